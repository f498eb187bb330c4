// Where we are in the video, and which part of it is wanted: three sliders on one rail, for mouse, finger and keys.

import { by, clock } from "./common.js";

const LEAST = 0.1; // seconds of a part

export class Timeline {
  constructor({ onSeek, onTrim }) {
    this.box = by("timeline");
    this.head = this.box.querySelector(".head");
    this.grips = { begin: this.box.querySelector(".begin"), end: this.box.querySelector(".end") };
    Object.assign(this, { onSeek, onTrim, length: 0, at: 0, begin: 0, end: 0 });
    this.box.addEventListener("pointerdown", (event) => this.#press(event));
    this.box.addEventListener("pointermove", (event) => this.held && this.#drag(event));
    this.box.addEventListener("pointerup", () => this.#release());
    this.box.addEventListener("pointercancel", () => this.#release());
    for (const [name, one] of [["at", this.head], ...Object.entries(this.grips)]) {
      one.addEventListener("keydown", (event) => this.#key(event, name));
    }
  }

  set(length, begin = 0, end = length) {
    Object.assign(this, { length, begin, end, at: Math.min(this.at, length) });
    this.show();
  }

  get isPart() {
    return this.length > 0 && (this.begin > 0.02 || this.end < this.length - 0.02);
  }

  moveTo(seconds) {
    this.at = seconds;
    this.show();
  }

  #press(event) {
    if (event.button || !this.length) return;
    event.preventDefault();
    const grip = event.target.closest(".grip");
    this.held = grip ? (grip.classList.contains("begin") ? "begin" : "end") : "at";
    this.box.setPointerCapture(event.pointerId);
    (grip ?? this.head).focus({ preventScroll: true });
    if (!grip) this.#drag(event);
  }

  #drag(event) {
    const box = this.box.getBoundingClientRect();
    this.#move(this.held, ((event.clientX - box.left) / box.width) * this.length);
  }

  #release() {
    if (this.held && this.held !== "at") this.onTrim();
    this.held = null;
  }

  #key(event, name) {
    const step = { ArrowLeft: -0.1, ArrowDown: -0.1, ArrowRight: 0.1, ArrowUp: 0.1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.length) return;
    event.preventDefault();
    event.stopPropagation();
    this.#move(name, this[name] + step);
    if (name !== "at") this.onTrim();
  }

  #move(name, seconds) {
    const [low, high] = { at: [0, this.length], begin: [0, this.end - LEAST], end: [this.begin + LEAST, this.length] }[name];
    this[name] = Math.max(low, Math.min(high, seconds));
    this.at = this[name];
    this.show();
    this.onSeek(this.at);
  }

  show() {
    const share = (seconds) => (this.length ? Math.min(1, seconds / this.length) : 0);
    this.box.style.setProperty("--at", share(this.at));
    this.box.style.setProperty("--begin", share(this.begin));
    this.box.style.setProperty("--end", this.length ? share(this.end) : 1);
    by("now").textContent = clock(this.at, true);
    by("length").textContent = clock(this.length, true);
    for (const [one, seconds] of [[this.head, this.at], [this.grips.begin, this.begin], [this.grips.end, this.end]]) {
      one.setAttribute("aria-valuemin", 0);
      one.setAttribute("aria-valuemax", this.length.toFixed(1));
      one.setAttribute("aria-valuenow", seconds.toFixed(1));
      one.setAttribute("aria-valuetext", clock(seconds, true));
    }
  }
}
