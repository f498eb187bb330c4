// The queue: files of this machine, in an order that can be changed at any time.

import { ask, by, data, element, icon, problem, say } from "./common.js";
import { choose, chosen, lock, onChoice } from "./look.js";
import { fileThumbs } from "./video.js";

const UP = "M6 14.5l6-6 6 6", DOWN = "M6 9.5l6 6 6-6", OUT = "M7 7l10 10M17 7L7 17", AGAIN = "M18 12a6 6 0 1 1-2-4.5M18 4v4h-4";
let here = false;
let state = null;
let dragged = null;
let isLost = false; // the server did not answer
let acted = 0; // actions that were answered: what was asked before the last one may be older than its answer
let turn = Promise.resolve(); // actions go one after the other: two at once may come in the other order
let watching = 0; // the newest of the watches: one that slept while the page was left and opened again ends
const drawn = new Map(); // id -> what a row shows, and the row
let own = false; // the panel's look is the queue's
let others = null; // the one that the other pages had before

export const folder = {
  enter() {
    here = true;
    fileThumbs();
    watch();
  },
  leave() {
    here = false;
    lock(false);
    if (own) choose(others);
    own = false;
  },
};

async function watch() {
  const mine = ++watching;
  while (here && mine === watching) {
    if (data.open) {
      closed(say("queue_closed"));
      return;
    }
    await change(null);
    await new Promise((resolve) => setTimeout(resolve, state?.running ? 400 : 2000));
  }
}

/** Do something with the queue, without an action just look; whether that was done. */
function change(json) {
  if (!json) return send(null);
  turn = turn.then(() => send(json), () => send(json));
  return turn;
}

async function send(json) {
  const before = acted;
  let answer;
  try {
    answer = await ask("queue", json ? { json } : {});
  } catch (error) {
    problem("queue-problem", error.message);
    isLost = error.status === 0;
    return false;
  }
  if (json || isLost) problem("queue-problem", ""); // else it stands until something is done about it
  isLost = false;
  const isOld = before !== acted;
  if (json) acted += 1;
  if (isOld) return json ? send(null) : true;
  state = answer;
  if (state.locked) closed(say("queue_locked"));
  else if (here) show(); // also what the last run ended with
  return true;
}

function closed(words) {
  by("queue-nothing").querySelector("p").textContent = words;
  for (const one of ["queue-path", "queue-output", "queue-start"]) by(one).disabled = true;
}

function show() {
  const { entries, settings, running, stopping } = state;
  if (!own) {
    own = true;
    others = chosen();
    if (settings.look) choose({ look: settings.look, second: settings.second, share: settings.share, strength: settings.strength });
    if (document.activeElement !== by("queue-output")) by("queue-output").value = settings.output;
  }
  lock(running);
  if (!dragged) fill(entries);
  by("queue-nothing").hidden = entries.length > 0;
  const count = (...statuses) => entries.filter((entry) => statuses.includes(entry.status)).length;
  const [done, failed, waiting] = [count("done", "skipped"), count("failed"), count("waiting")];
  by("queue-count").textContent = entries.length ? [say("queue_count", { done, all: entries.length }), failed ? say("queue_failed", { failed }) : ""].filter(Boolean).join(", ") : "";
  by("queue-clear").hidden = !done;
  const start = by("queue-start");
  start.textContent = say(running ? (stopping && count("running") ? "queue_stopping" : "queue_stop") : "queue_start");
  start.classList.toggle("primary", !running);
  start.disabled = running ? stopping : !waiting;
  if (state.error) problem("queue-problem", state.error);
}

/** Only rows that changed are made anew: the others may be under somebody's finger. */
function fill(entries) {
  const list = by("queue-list");
  const focus = document.activeElement?.dataset?.key;
  entries.forEach((entry, place) => {
    const now = JSON.stringify([entry, place, entries.length]);
    const before = drawn.get(entry.id);
    if (before?.now !== now) {
      const one = row(entry, place);
      before?.one.replaceWith(one);
      drawn.set(entry.id, { now, one });
    }
    const { one } = drawn.get(entry.id);
    if (list.children[place] !== one) list.insertBefore(one, list.children[place] ?? null);
  });
  for (const id of drawn.keys()) {
    if (entries.some((entry) => entry.id === id)) continue;
    drawn.get(id).one.remove();
    drawn.delete(id);
  }
  if (focus && document.activeElement?.dataset?.key !== focus) list.querySelector(`[data-key="${focus}"]`)?.focus();
}

function row(entry, place) {
  const busy = entry.status === "running";
  const share = entry.total ? Math.min(1, entry.frames / entry.total) : 0;
  const status = busy && entry.frames ? `${Math.round(share * 100)}% · ${say("speed", { fps: entry.fps.toFixed(1) })}` : say(`status_${entry.status}`);
  const words = { failed: "queue_again", done: "queue_anew", skipped: "queue_anew" }[entry.status]; // perhaps in another look
  const again = words ? tool(entry, AGAIN, words, { action: "again" }) : null;
  const one = element(
    "li",
    { className: entry.status, draggable: !busy, title: entry.source },
    element("div", {}, element("b", { textContent: entry.name }), element("small", entry.reason ? { className: "why", textContent: entry.reason } : { textContent: entry.status === "done" ? entry.output : entry.folder })),
    element("em", { textContent: status }),
    element("div", { className: "tools" }, again, tool(entry, UP, "queue_up", { action: "move", place: place - 1 }, place === 0), tool(entry, DOWN, "queue_down", { action: "move", place: place + 1 }, place === state.entries.length - 1), tool(entry, OUT, "queue_remove", { action: "remove", ids: [entry.id] }, busy)),
  );
  if (busy) {
    const bar = element("div", { className: "bar" }, element("i"));
    bar.style.setProperty("--done", share);
    one.append(bar);
  }
  one.dataset.id = entry.id;
  one.ondragstart = () => {
    dragged = one;
    one.classList.add("dragged");
  };
  one.ondragend = () => drop();
  one.ondragover = (event) => {
    if (!dragged || dragged === one) return;
    event.preventDefault();
    const box = one.getBoundingClientRect();
    event.clientY < box.top + box.height / 2 ? one.before(dragged) : one.after(dragged);
  };
  return one;
}

function drop() {
  const place = [...by("queue-list").children].indexOf(dragged);
  const { id } = dragged.dataset;
  dragged = null;
  change({ action: "move", id, place });
}

function tool(entry, shape, words, action, disabled = false) {
  const button = element("button", { className: "round", type: "button", title: say(words), disabled, onclick: () => change({ id: entry.id, ...action }) }, icon(shape));
  button.setAttribute("aria-label", `${say(words)}: ${entry.name}`);
  button.dataset.key = `${entry.id} ${words}`;
  return button;
}

by("queue-add").onsubmit = async (event) => {
  event.preventDefault();
  const input = by("queue-path");
  if (!input.value.trim()) return;
  if (await change({ action: "add", path: input.value })) input.value = "";
};
for (const id of ["queue-path", "queue-output"]) {
  by(id).oninput = async () => {
    const found = await ask(`folders?text=${encodeURIComponent(by(id).value)}`).catch(() => []);
    by("queue-suggest").replaceChildren(...found.map((value) => element("option", { value })));
  };
}
by("queue-output").onchange = () => change({ action: "set", output: by("queue-output").value.trim() });
by("queue-clear").onclick = () => change({ action: "remove", ids: state.entries.filter((entry) => ["done", "skipped"].includes(entry.status)).map((entry) => entry.id) });
by("queue-start").onclick = async () => {
  if (state.running) return change({ action: "stop" });
  if (await change({ action: "set", output: by("queue-output").value.trim(), ...chosen() })) await change({ action: "start" });
};
onChoice((choice) => here && own && !state?.running && change({ action: "set", ...choice }));
