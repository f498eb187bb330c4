// Pictures to the server and back, in order; the newest wins, and no more than a few are on their way.

import { say } from "./common.js";

const WORKERS = 2; // one is coded while another is styled

export class Pump {
  constructor() {
    this.workers = [];
    this.waiting = new Map();
    this.count = 0;
  }

  get free() {
    return this.waiting.size < WORKERS;
  }

  /** Resolves to {bitmap, styled, ms}, both to be closed by who takes them; or throws a sentence. */
  style(bitmap, query, quality = 0.9) {
    if (this.workers.length < WORKERS) {
      const worker = new Worker("/files/stylist.js");
      worker.onmessage = ({ data }) => this.#answer(worker, data);
      worker.onerror = () => this.#gone(worker);
      this.workers.push(worker);
      worker.load = 0;
    }
    const worker = this.workers.reduce((one, other) => (other.load < one.load ? other : one));
    const id = ++this.count;
    worker.load += 1;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { worker, resolve, reject, began: performance.now() });
      worker.postMessage({ id, bitmap, query, quality }, [bitmap]);
    });
  }

  /** The server did not give a worker its script. */
  #gone(worker) {
    this.workers = this.workers.filter((one) => one !== worker);
    for (const [id, one] of this.waiting) if (one.worker === worker) this.#answer(worker, { id, error: "" });
  }

  #answer(worker, { id, error, ...result }) {
    const { resolve, reject, began } = this.waiting.get(id);
    this.waiting.delete(id);
    worker.load -= 1;
    error !== undefined ? reject(new Error(error || say("lost"))) : resolve({ ...result, id, ms: performance.now() - began });
  }
}

export function draw(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
}

/** Width and height at a short side of at most `short`. */
export function fitted(width, height, short) {
  const scale = Math.min(1, short / Math.min(width, height));
  return { resizeWidth: Math.max(1, Math.round(width * scale)), resizeHeight: Math.max(1, Math.round(height * scale)), resizeQuality: "medium" };
}

const SIZES = [360, 480, 720]; // short side in pixels of a moving preview
const QUICK = 70, SLOW = 170; // ms a picture at which the next larger, or smaller, one is tried

/** Larger moving previews where there is time for them: the look is that of the result only at its size. */
export class Pace {
  constructor() {
    this.step = 0;
    this.spent = [];
  }

  get size() {
    return SIZES[this.step];
  }

  took(ms) {
    this.spent.push(ms);
    if (this.spent.length < 12) return;
    const mean = this.spent.slice(2).reduce((sum, one) => sum + one) / (this.spent.length - 2);
    if (mean < QUICK && this.step < SIZES.length - 1) this.step += 1;
    else if (mean > SLOW && this.step > 0) this.step -= 1;
    this.spent = [];
  }
}
