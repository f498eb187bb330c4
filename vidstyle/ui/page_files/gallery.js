// The looks as cards, more of them from files, and a look of one's own.

import { ask, by, element, problem, say, send, toast } from "./common.js";
import { load } from "./look.js";
import { dropped } from "./pictures.js";

let here = false;
let known = null; // of the school
let watching = 0; // the newest of the watches: one that slept while the page was left and opened again ends

export const gallery = {
  enter() {
    here = true;
    cards();
    watch();
  },
  leave() {
    here = false;
  },
};

async function cards() {
  try {
    by("cards").replaceChildren(...(await load()).map(card));
  } catch (error) {
    problem("looks-problem", error.message);
  }
}

function card(one) {
  const remove = one.own ? element("button", { className: "quiet", textContent: say("looks_remove"), onclick: () => removed(one) }) : null;
  remove?.setAttribute("aria-label", `${say("looks_remove")}: ${one.name}`);
  const origin = one.own ? say("looks_own") : one.origin === "package" ? say("looks_package") : say("looks_plugin", { origin: one.origin.replace("plugin:", "") });
  const head = element("h3", {}, element("span", { textContent: one.name }), remove ?? element("small", { className: "hint", textContent: origin }));
  if (one.error) return element("li", {}, head, element("p", { className: "problem", textContent: one.error }));
  const cost = say("looks_cost_value", { kflop: one.kflop, parameters: one.parameters.toLocaleString() });
  const facts = [["looks_licence", one.licence], ["looks_from", one.provenance], ["looks_cost", cost]];
  const list = element("dl", {}, ...facts.flatMap(([key, value]) => [element("dt", { textContent: say(key) }), element("dd", { textContent: value, title: value })]));
  return element("li", {}, head, element("p", { textContent: one.look }), list);
}

async function removed(one) {
  if (!confirm(say("looks_remove_sure", { name: one.name }))) return;
  try {
    await ask(`looks/${encodeURIComponent(one.name)}`, { method: "DELETE" });
    problem("looks-problem", "");
  } catch (error) {
    problem("looks-problem", error.message);
  }
  cards();
}

by("look-file").onchange = async () => {
  const [file] = by("look-file").files;
  by("look-file").value = "";
  if (!file) return;
  try {
    const { name } = await send(`looks?name=${encodeURIComponent(file.name)}`, file).done;
    problem("looks-problem", "");
    toast(say("looks_added", { name }));
  } catch (error) {
    problem("looks-problem", error.message);
  }
  cards();
};

// --- train your own

async function watch() {
  const mine = ++watching;
  while (here && mine === watching) {
    await school(null);
    await new Promise((resolve) => setTimeout(resolve, known?.running ? 1000 : 5000));
  }
}

async function school(json) {
  try {
    const before = known;
    known = await ask("school", json ? { json } : {});
    if (!before && known.way) by("school-form").way.value = known.way;
    if (json) problem("school-problem", "");
    if (before?.running && !known.running && known.code === 0) cards();
    show();
  } catch (error) {
    problem("school-problem", error.message);
  }
}

function show() {
  by("school-all").hidden = !known.available;
  by("school-hint").textContent = say(known.available ? "train_intro" : "train_none");
  for (const pool of document.querySelectorAll(".pool")) pool.querySelector("output").textContent = say("train_count", { count: known[pool.dataset.kind] });
  if (document.activeElement !== by("school-name") && !by("school-name").value) by("school-name").value = known.name;
  by("school-start").hidden = known.running;
  by("school-clear").hidden = known.running || !(known.photos || known.exemplars);
  by("school-stop").hidden = !known.running;
  by("school-status").textContent = status(known);
  by("school-status").classList.toggle("problem", failed(known));
  pairs();
  const log = by("school-log");
  const atEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 8;
  if (log.textContent !== known.log) log.textContent = known.log;
  log.hidden = !known.log;
  if (atEnd) log.scrollTop = log.scrollHeight;
}

const failed = ({ running, code, stopped }) => !running && Boolean(code) && !stopped;

function status(now) {
  if (now.running) return say("train_running", now);
  if (failed(now)) return say(now.why ? "train_failed" : "train_ended", now);
  return now.code === null ? "" : say(now.code === 0 ? "train_done" : "train_stopped", now);
}

/** How many pairs there are; where most pictures are called as a photo, they may be drawings of those. */
function pairs() {
  const chosen = by("school-form").way.value === "paired";
  const likely = known.pairs > 0 && known.pairs * 2 >= known.exemplars;
  by("school-pairs").textContent = chosen || likely ? say(chosen ? "train_pairs" : "train_pairs_ask", known) : "";
}

by("school-ways").onchange = () => known && pairs();

for (const pool of document.querySelectorAll(".pool")) {
  const input = pool.querySelector("input");
  const take = async (files) => {
    const refused = [];
    problem("school-problem", "");
    for (const { file, name } of files) {
      try {
        known = await send(`school/${pool.dataset.kind}?name=${encodeURIComponent(name)}`, file).done;
        show();
      } catch (error) {
        refused.push(error.message);
        const [first, others] = [refused[0], refused.length - 1];
        problem("school-problem", others ? `${first} ${say("train_refused", { others })}` : first);
      }
    }
    input.value = "";
  };
  input.onchange = () => take([...input.files].map((file) => ({ file, name: file.name })));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    pool.addEventListener(kind, (event) => {
      event.preventDefault();
      pool.classList.toggle("over-it", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") dropped(event.dataTransfer).then(take, (error) => problem("school-problem", error.message));
    });
  }
}

by("school-form").onsubmit = (event) => {
  event.preventDefault();
  school({ action: "start", name: by("school-name").value, way: by("school-form").way.value });
};
by("school-clear").onclick = async () => {
  for (const kind of ["photos", "exemplars"]) await school({ action: "clear", kind });
};
by("school-stop").onclick = () => school({ action: "stop" });
