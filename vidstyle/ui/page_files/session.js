// The visitor's session on the server: begun at the first visit, taken up again after a reload.

import { ask, kept, Refused, shared, toast, wait } from "./common.js";
import { choose } from "./look.js";

const REMEMBERED = 8; // sessions of this browser

let id = kept.get("session");
const listeners = [];
let state = { file: null, run: null };
let soon = () => {};
let taken = 0; // answers to what was done: what was asked before the last of them may be older than it

export const onState = (listener) => listeners.push(listener);
export const path = (rest = "") => `s/${id}${rest}`;
export const url = (rest) => `/api/${path(rest)}`;
export const current = () => state;

/** A picture of the session as a bitmap; null where there is none. */
export async function bitmapOf(rest) {
  const answer = await ask(path(rest), { raw: true }).catch(() => null);
  return answer && createImageBitmap(await answer.blob());
}

/** Whether this session is this tab's from now on: a tab that was duplicated begins with a copy of the other's. */
function mine(name, how = { signal: AbortSignal.timeout(1000) }) {
  if (!navigator.locks) return true; // browsers have them for pages of this machine, and encrypted ones
  // A reload asks before the page that goes has let go: that is waited for.
  const held = (resolve) => (lock) => lock ? new Promise(() => resolve(true)) : resolve(false);
  return new Promise((resolve) => {
    navigator.locks.request(`vidstyle ${name}`, how, held(resolve)).catch(() => resolve(false));
  });
}

/** The session of a tab that was closed with a run in it that nobody has the result of; null where there is none. */
async function orphan() {
  if (!navigator.locks) return null; // another tab may have it
  for (const name of shared.get("sessions") ?? []) {
    const { run } = await ask(`s/${name}`).catch(() => ({}));
    const matters = moves(run) || (run?.status === "done" && !run.result.kept);
    if (!matters || !(await mine(name, { ifAvailable: true }))) continue;
    choose(run.choice);
    return name;
  }
  return null;
}

export async function begin() {
  if (id && !(await mine(id))) id = null;
  if (!id) kept.set("session", (id = await orphan()));
  if (id) {
    try {
      take(await ask(path()));
    } catch {
      id = null;
    }
  }
  if (!id) await renew();
  watch();
}

async function renew() {
  id = (await ask("session", { method: "POST" })).id;
  mine(id);
  kept.set("session", id);
  shared.set("sessions", [id, ...(shared.get("sessions") ?? [])].slice(0, REMEMBERED));
  for (const key of ["trim", "left"]) kept.set(key, null); // of another session's files, which have the same keys
  take({ file: null, run: null });
}

export function take(next) {
  taken += 1;
  state = next;
  listeners.forEach((listener) => listener(state));
  soon();
}

export const moves = (work) => work?.status === "running" || work?.status === "paused";

async function watch() {
  let lost = 0;
  for (;;) {
    const { file, run } = state;
    const quick = file?.status === "reading" || moves(run) || moves(file?.proxy) || moves(run?.proxy);
    await Promise.race([wait(quick ? 200 : 20000), new Promise((resolve) => (soon = resolve))]);
    soon = () => {};
    if (!quick && !stillNeeded()) continue;
    try {
      let before, next;
      do {
        before = taken;
        next = await ask(path());
      } while (before !== taken);
      state = next;
      lost = 0;
      listeners.forEach((listener) => listener(state));
    } catch (error) {
      if (error.status === 404) {
        await renew().catch(() => wait(1000));
        continue;
      }
      if (error instanceof Refused && ++lost > 1) toast(error.message);
      await wait(1000);
    }
  }
}

let last = 0;
/** Now and then even where nothing moves, or the server would take the visitor for gone. */
function stillNeeded() {
  const now = performance.now();
  if (now - last < 15000) return false;
  last = now;
  return true;
}
