// A video or a picture: dropped, seen in looks, styled, compared, kept.

import { ask, by, clock, kept, problem, say, toast, wait } from "./common.js";
import { drops } from "./drop.js";
import { chosen, lock, onChoice, query, thumbs } from "./look.js";
import { figures, outcome } from "./progress.js";
import { draw, fitted, Pace, Pump } from "./pump.js";
import { bitmapOf, current, moves, onState, path, take, url } from "./session.js";
import { keepStep } from "./step.js";
import { Timeline } from "./timeline.js";
import { wipe } from "./wipe.js";

const WORTH = 30; // seconds of work that are not thrown away unasked
const SHARP = 720; // short side in pixels of a preview that stands still: what the result is made at
const source = by("source"), result = by("result"), show = by("show");
const line = wipe(show);
const pump = new Pump();
const timeline = new Timeline({ onSeek: seek, onTrim: trimmed });
let here = false; // this page is the open one
let file = null; // what the server knows of the file
let run = null;
let still = null; // a bitmap: the picture, or one of a video that cannot be played here
let view = ""; // what the stage shows now: "", preview, running, result
let stale = true; // the preview is not of this moment and this look
let plain = 0; // timer of the sharp preview
let shown = 0; // number of the running result's newest picture
let tried = false; // a copy was asked for, since the browser refused the file

export const video = {
  enter() {
    here = true;
    fileThumbs();
    refresh();
    action();
  },
  leave() {
    here = false;
    pauseAll();
    lock(false);
  },
};

// --- the file comes

const upload = drops({
  isOpen: () => here,
  isSure,
  onBegin() {
    clear();
    by("drop").hidden = true;
  },
  onShare: (name, percent) => message(say("uploading", { name, percent }), true),
  onEnd(state) {
    kept.set("trim", null);
    take(state);
  },
  onProblem(words) {
    if (!file && current().file) take(current()); // the one before, which the server still has
    if (file) return toast(words); // what is shown stays
    by("drop").hidden = false;
    message(words, true);
  },
});

function clear() {
  pauseAll();
  for (const one of [source, result]) {
    one.removeAttribute("src");
    one.load();
    one.hidden = true;
  }
  still?.close();
  file = run = still = null;
  view = "";
  tried = false;
  shown = 0;
  show.hidden = by("transport").hidden = true;
  thumbs(null);
  problem("problem", "");
  action();
}

// --- what the server says

onState((state) => {
  if (upload.upload) return;
  const fresh = state.file?.key !== file?.key || state.file?.status !== file?.status;
  const playable = state.file?.proxy?.status !== file?.proxy?.status;
  file = state.file;
  if (!file && !by("drop").hidden) return;
  if (!file) {
    clear();
    by("drop").hidden = false;
    return message("");
  }
  if (fresh) arrive();
  if (file.status !== "ready") return;
  if (playable && file.proxy?.status === "done") open(url(`/proxy?k=${file.key}`));
  follow(state.run);
  sayProxy();
});

/** The file in every look, on the tiles. */
export function fileThumbs() {
  thumbs(file?.status === "ready" ? (look) => url(`/thumb/${encodeURIComponent(look)}?k=${file.key}`) : null);
}

function arrive() {
  by("drop").hidden = file.status !== "bad";
  if (file.status === "reading") return message(say("reading", { name: file.name }), true);
  if (file.status === "bad") {
    show.hidden = by("transport").hidden = true;
    action();
    return message(file.reason, true);
  }
  message("");
  show.hidden = by("transport").hidden = false;
  show.style.setProperty("--ratio", file.width / file.height);
  by("transport").classList.toggle("still", file.kind === "picture");
  const trim = kept.get("trim");
  timeline.at = file.at;
  timeline.set(file.duration, ...(trim?.key === file.key ? [trim.begin, trim.end] : []));
  fileThumbs();
  if (file.kind === "video" && file.plays) open(url(`/file?k=${file.key}`));
  takeStill();
  action();
}

async function takeStill() {
  const mine = file.key;
  const bitmap = await bitmapOf("/still");
  if (!bitmap || mine !== file?.key) return;
  still = bitmap;
  stale = true;
  refresh();
}

function open(address) {
  source.src = address;
  source.currentTime = timeline.at;
  source.loop = true;
}

source.addEventListener("loadeddata", () => {
  stale = true;
  if (view === "preview" && !matchMedia("(prefers-reduced-motion: reduce)").matches) source.play().catch(() => {});
});
source.addEventListener("error", () => {
  if (!source.getAttribute("src") || tried || file?.proxy) return;
  tried = true;
  ask(path("/proxy"), { method: "POST" }).then(() => take(current())).catch(() => {});
});
result.addEventListener("error", () => {
  if (result.getAttribute("src") && run && !run.proxy) ask(path("/result-proxy"), { method: "POST" }).then(() => take(current())).catch(() => {});
});

function sayProxy() {
  const work = view === "result" ? run?.proxy ?? file.proxy : file.proxy;
  const name = view === "result" && run?.proxy ? run.result.name : file.name;
  if (!work || work.status === "done") return message("");
  if (work.status === "failed") return message(say("proxy_failed"));
  message(say("proxy", { name, percent: work.frames }));
}

function message(words, middle = false) {
  const box = by("message");
  box.textContent = words;
  box.hidden = !words;
  box.classList.toggle("middle", middle && by("drop").hidden);
}

// --- the preview: the browser's own picture of the file, styled by the server

const picture = () => (file?.kind === "video" && source.readyState >= 2 ? source : still);

function refresh() {
  if (!file || file.status !== "ready") return;
  const next = run?.status === "done" ? "result" : run?.status === "running" || run?.status === "paused" ? "running" : "preview";
  if (next !== view) {
    view = next;
    stale = true;
    for (const one of [source, result]) one.hidden = view !== "result" || file.kind === "picture";
    line.show(view !== "running");
    by("transport").classList.toggle("no-trim", view === "result");
    by("sound").hidden = view !== "result";
    source.loop = view === "preview";
    if (view !== "preview") source.pause();
    else if (source.readyState >= 2 && here) source.play().catch(() => {});
  }
  buttons();
}

onChoice(() => {
  stale = true;
  if (view === "result" && here) change();
});

(function turn() {
  requestAnimationFrame(turn);
  if (!here || document.hidden || !file) return;
  if (view === "result") return stepOn();
  if (view !== "preview") return;
  if (source.readyState >= 2 && !timeline.held) {
    if (timeline.isPart && !source.paused && (source.currentTime > timeline.end || source.currentTime < timeline.begin - 0.05)) {
      source.currentTime = timeline.begin;
    }
    if (!source.seeking) timeline.moveTo(source.currentTime);
  }
  const moving = picture() === source && !source.paused;
  if (pump.free && (moving || stale) && !source.seeking && picture()) preview(pace.size);
})();

let newest = 0;
const pace = new Pace();
let complained = false; // the last preview failed, and that is said

async function preview(short) {
  const one = picture();
  const [width, height] = one === source ? [source.videoWidth, source.videoHeight] : [still.width, still.height];
  stale = false;
  clearTimeout(plain);
  const mine = file.key;
  try {
    const bitmap = await createImageBitmap(one, fitted(width, height, short));
    const done = await pump.style(bitmap, query(), 0.9);
    if (view === "preview" && mine === file?.key && done.id > newest) {
      newest = done.id;
      draw(by("under"), done.bitmap);
      draw(by("over"), done.styled);
      mark(one === source ? "moving" : "still");
      if (one === source && !source.paused) pace.took(done.ms);
    }
    done.bitmap.close();
    done.styled.close();
    if (complained) problem("problem", "");
    complained = false;
    if (short < SHARP && (one !== source || source.paused) && Math.min(width, height) > short) {
      clearTimeout(plain);
      plain = setTimeout(() => !stale && pump.free && view === "preview" && preview(SHARP), 250);
    }
  } catch (error) {
    complained = true;
    problem("problem", error.message);
    await wait(500);
    stale = true;
  }
}

/** When the first previews were there, for measuring. */
function mark(name) {
  if (!performance.getEntriesByName(name).length || performance.getEntriesByName(name)[0].startTime < (performance.getEntriesByName("dropped").at(-1)?.startTime ?? 0)) {
    performance.clearMarks(name);
    performance.mark(name);
  }
  show.dataset.frames = Number(show.dataset.frames ?? 0) + 1;
}

// --- the player

function seek(seconds) {
  if (view === "result") {
    result.currentTime = Math.max(0, Math.min(result.duration || 0, seconds - run.shift));
    source.currentTime = result.currentTime + run.shift;
  } else if (source.readyState) {
    source.pause();
    source.currentTime = seconds;
  }
  stale = true;
}

source.addEventListener("seeked", () => (stale = true));

function trimmed() {
  kept.set("trim", { key: file.key, begin: timeline.begin, end: timeline.end });
  action();
}

const player = () => (view === "result" ? result : source);
by("play").onclick = () => (player().paused ? player().play().catch(() => {}) : player().pause());
for (const one of [source, result]) for (const kind of ["play", "pause"]) one.addEventListener(kind, buttons);

function buttons() {
  const playing = !player().paused;
  by("transport").classList.toggle("playing", playing);
  by("play").setAttribute("aria-label", say(playing ? "pause" : "play"));
  by("play").disabled = view === "running" || !player().getAttribute("src");
}

function pauseAll() {
  source.pause();
  result.pause();
}

function stepOn() {
  if (file.kind === "picture" || !result.readyState) return;
  if (!timeline.held) timeline.moveTo(result.currentTime + run.shift);
  show.dataset.off = keepStep(source, result, run.shift)?.toFixed(3) ?? show.dataset.off ?? "";
}

by("sound").onclick = () => {
  result.muted = !result.muted;
  by("sound").setAttribute("aria-pressed", !result.muted);
};
by("side").onclick = () => {
  const on = show.classList.toggle("side-by-side");
  by("side").setAttribute("aria-pressed", on);
};

addEventListener("keydown", (event) => {
  if (!here || !file || event.target.closest("input:not([type=range]), select, textarea, button, a, label") || event.metaKey || event.ctrlKey || event.altKey) return;
  const button = { " ": "play", m: "sound", s: "side" }[event.key];
  if (!button || by(button).hidden) return;
  event.preventDefault();
  by(button).click();
});

// --- the run

/** Whether the run may go, and what it made: where that took long and nobody has it, the person is asked. */
function isSure() {
  const hasResult = run?.status === "done" || run?.status === "left";
  const isLost = moves(run) || (hasResult && !run.result.kept);
  return !isLost || run.seconds < WORTH || confirm(say(hasResult ? "lose_result" : "lose_run"));
}

by("download").addEventListener("click", () => (run.result.kept = true)); // before the server's next word

by("start").onclick = async () => {
  if (!isSure()) return;
  problem("problem", "");
  by("start").disabled = true;
  by("start").textContent = say("starting");
  by("told").textContent = "";
  const part = timeline.isPart ? { start: timeline.begin || null, end: timeline.end < timeline.length ? timeline.end : null } : {};
  try {
    take(await ask(path("/run"), { json: { ...chosen(), ...part, best: by("best").checked } }));
  } catch (error) {
    problem("problem", error.message);
  }
  action();
};

by("pause").onclick = () => control(run.status === "paused" ? "resume" : "pause");
by("cancel").onclick = () => control("cancel");
by("change").onclick = change;
by("back").onclick = () => {
  kept.set("left", null);
  follow({ ...run, status: "done" });
};

async function control(what) {
  try {
    take(await ask(path(`/run/${what}`), { method: "POST" }));
  } catch (error) {
    toast(error.message);
  }
}

/** Back from the result to choosing; the result stays on the server until the next start. */
function change() {
  if (!run || run.status !== "done") return;
  kept.set("left", run.result.key);
  run = { ...run, status: "left" };
  pauseAll();
  source.muted = true;
  refresh();
  action();
}

function follow(next) {
  if (next?.status === "done" && kept.get("left") === next.result.key) next = { ...next, status: "left" };
  const before = run;
  run = next;
  if (run?.status === "done" && before?.status !== "done") finish();
  if (run?.status === "done" && run.proxy?.status === "done" && before?.proxy?.status !== "done") result.src = url(`/result-proxy?k=${run.result.key}`);
  if (run?.shown && run.shown[0] !== shown) newestOf(run.shown);
  if (!run?.shown) shown = 0;
  refresh();
  action(before?.status);
}

async function newestOf([number, seconds]) {
  shown = number;
  const bitmap = await bitmapOf("/shown");
  if (bitmap && view === "running") {
    draw(by("over"), bitmap);
    timeline.moveTo(seconds);
    show.dataset.shown = number;
  }
  bitmap?.close();
}

async function finish() {
  outcome(run, url("/result?download=1"));
  by("told").textContent = say("done"); // to those who do not see it
  if (file.kind === "picture") {
    const bitmap = await bitmapOf("/result-still");
    if (!bitmap) return;
    if (still) draw(by("under"), still);
    draw(by("over"), bitmap);
    return bitmap.close();
  }
  if (run.plays !== false && run.result.plays !== false) result.src = url(`/result?k=${run.result.key}`);
  source.currentTime = run.shift;
  result.muted = false;
  by("sound").setAttribute("aria-pressed", "true");
}

function action(before) {
  const status = run?.status;
  const works = moves(run);
  const start = by("start");
  start.hidden = works || status === "done";
  by("best-row").hidden = start.hidden || file?.kind !== "video";
  start.disabled = file?.status !== "ready" || !chosen().look;
  const length = timeline.end - timeline.begin;
  start.textContent = file?.kind === "picture" ? say("start_picture") : timeline.isPart && file ? say("start_part", { length: clock(length, true) }) : say("start_all");
  by("progress").hidden = !works;
  by("done").hidden = status !== "done";
  by("back").hidden = status !== "left";
  by("another").hidden = works;
  if (here) lock(works);
  if (works) figures(run, file.kind === "picture");
  if (status === "failed") problem("problem", `${say("failed")}: ${run.reason}`);
  if (status === "cancelled" && (before === "running" || before === "paused")) toast(say("cancelled"));
}
