import { address, PATIENCE, start, stop, token, watch } from "/stream.js";

const SURE = 2500; // ms in which "End session" may be pressed again
const $ = (id) => document.getElementById(id);
const picture = $("picture");
const COMMANDS = { frozen: "freeze" }; // where the command is not named as the state is

let known = {}; // the newest state
let run = null; // which run of the program the page belongs to
let words = ""; // the last refusal
let answered = 0; // when the last command was
let isSending = false;
let isSure = false; // "End session" was pressed once
let hasEnded = false; // by this page
let isLost = false;
const asked = new Map(); // what was commanded and not yet answered: shown as if it were done

// Commands

async function set(key, value) {
  asked.set(key, value);
  show();
  if (isSending) return; // one at a time: of a slider's values the newest goes next
  isSending = true;
  while (asked.size) {
    const [next, wanted] = asked.entries().next().value;
    const answer = await post(COMMANDS[next] ?? next, wanted);
    if (asked.get(next) === wanted) asked.delete(next);
    if (answer) take(answer);
  }
  isSending = false;
  show();
}

async function post(name, value = null) {
  words = "";
  try {
    const answer = await fetch("/command", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Token": token },
      body: JSON.stringify({ name, value }),
      signal: AbortSignal.timeout(PATIENCE),
    });
    answered = performance.now();
    if (answer.ok) return await answer.json();
    words = await answer.text();
  } catch {
    lose();
  }
  return null;
}

function step(by) {
  const { look, looks = [] } = current();
  if (looks.length) set("look", looks[(looks.indexOf(look) + by + looks.length) % looks.length]);
}

function toggle(key) {
  set(key, !current()[key]);
}

const isComparing = ({ wipe }) => typeof wipe === "number"; // null in the state, false as commanded

function compare() {
  set("wipe", isComparing(current()) ? false : 0.5);
}

function strengthen(by) {
  set("strength", Math.round(Math.min(1, Math.max(0, current().strength + by)) * 100) / 100);
}

function end() {
  hasEnded = isSure;
  if (hasEnded) post("quit");
  else setTimeout(() => askAgain(false), SURE);
  askAgain(!hasEnded);
}

function askAgain(sure) {
  isSure = sure;
  $("quit").textContent = sure ? "Really end?" : "End session";
}

// State

function take(state, asked = Infinity) {
  if (asked < answered) return; // it may be older than what a command answered since
  if (run && state.page !== run) return location.reload(); // with the token of the new run
  run = state.page;
  known = state;
  isLost = false;
  show();
}

function lose() {
  isLost = true;
  show();
}

const current = () => ({ ...known, ...Object.fromEntries(asked) });

// What is seen

function show() {
  const now = current();
  const [width, height] = now.picture ?? [16, 9];
  picture.style.setProperty("--ratio", width / height);
  document.body.classList.toggle("lost", isLost);
  showLooks(now);
  showStrength(now.strength ?? 1);
  showWipe(now);
  for (const [id, on] of [["mirror", now.mirror], ["freeze", now.frozen], ["compare", isComparing(now)]])
    $(id).setAttribute("aria-pressed", Boolean(on));
  $("frozen").hidden = !now.frozen;
  write($("numbers"), numbers(now));
  $("message").textContent = message(now);
  tell($("problems"), (now.problems ?? []).map((words) => `${sentence(words)}.`).join(" "));
}

function tell(place, words) {
  if (place.textContent !== words) place.textContent = words; // once: screen readers say it every time
}

function message(now) {
  if (isLost) return hasEnded ? "The session has ended" : "Connection lost. Trying again…";
  if (now.picture === null) return "Waiting for the first picture";
  if (words) return words;
  return now.state && !["running", "frozen"].includes(now.state) ? sentence(now.state) : "";
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

function showLooks({ look, looks = [], loading }) {
  const group = $("looks");
  if (group.dataset.names !== JSON.stringify(looks)) {
    group.dataset.names = JSON.stringify(looks);
    group.replaceChildren(...looks.map(lookButton));
  }
  for (const button of group.children) {
    const isOn = button.value === look;
    if (isOn && button.ariaPressed !== "true") button.scrollIntoView({ block: "nearest", inline: "nearest" });
    button.setAttribute("aria-pressed", isOn);
    button.setAttribute("aria-busy", button.value === loading);
  }
}

function lookButton(name) {
  const button = document.createElement("button");
  button.value = button.textContent = name;
  button.addEventListener("click", () => set("look", name));
  return button;
}

function showStrength(strength) {
  const percent = Math.round(strength * 100);
  $("strength").value = percent;
  $("strength").style.setProperty("--strength", strength);
  $("strength-value").textContent = `${percent}%`;
}

function showWipe({ wipe, look, shown }) {
  const isOn = isComparing({ wipe });
  for (const id of ["wipe", "side-source", "side-look"]) $(id).hidden = !isOn;
  picture.classList.toggle("comparing", isOn);
  $("side-look").textContent = shown ?? look ?? "";
  if (!isOn) return;
  picture.style.setProperty("--wipe", wipe);
  $("wipe").setAttribute("aria-valuenow", Math.round(wipe * 100));
}

function numbers(now) {
  const show = (value, digits = 0) => (value == null ? "–" : value.toFixed(digits));
  const list = [
    ["latency", `${show(now.latency?.p50)} ms, p95 ${show(now.latency?.p95)} ms`],
    ["fps", `${show(now.fps_in, 1)} in, ${show(now.fps_out, 1)} out`],
    ["dropped", show(now.dropped)],
  ];
  return now.working ? [...list, ["working size", now.working.join(" × ")]] : list;
}

function write(list, pairs) {
  const text = JSON.stringify(pairs);
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(
    ...pairs.map(([name, value]) => {
      const [pair, term, detail] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      [term.textContent, detail.textContent] = [name, value];
      pair.append(term, detail);
      return pair;
    }),
  );
}

// Hands

function drag(event) {
  if (!isComparing(current()) || (event.type === "pointermove" && !event.buttons)) return;
  picture.setPointerCapture(event.pointerId);
  const box = picture.getBoundingClientRect();
  wipeTo((event.clientX - box.left) / box.width);
  event.preventDefault();
}

function wipeTo(place) {
  set("wipe", Math.round(Math.min(1, Math.max(0, place)) * 1000) / 1000);
}

function snapshot() {
  const local = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString();
  const link = document.createElement("a");
  link.href = address("/snapshot.png");
  link.download = `vidstyle-${local.slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-")}.png`;
  link.click();
}

// As in the terminal, and the arrows.
const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  p: () => step(-1),
  n: () => step(1),
  "-": () => strengthen(-0.1),
  "+": () => strengthen(0.1),
  "=": () => strengthen(0.1), // the same key without shift
  m: () => toggle("mirror"),
  w: compare,
  f: () => toggle("frozen"),
  s: snapshot,
  q: end,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isSlider = event.target.matches("input, [role=slider]");
  if (isSlider && event.key.startsWith("Arrow")) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

$("wipe").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  wipeTo(current().wipe + by);
});

picture.addEventListener("pointerdown", drag);
picture.addEventListener("pointermove", drag);
$("strength").addEventListener("input", (event) => set("strength", event.target.value / 100));
$("compare").addEventListener("click", compare);
$("mirror").addEventListener("click", () => toggle("mirror"));
$("freeze").addEventListener("click", () => toggle("frozen"));
$("snapshot").addEventListener("click", snapshot);
$("quit").addEventListener("click", (event) => event.detail < 2 && end()); // a double click is no second thought

new ResizeObserver(() => {
  document.body.style.setProperty("--wide", `${picture.offsetWidth}px`); // the controls stand below the picture
}).observe(picture);

// A hidden page takes no pictures: browsers allow few connections to one address, and coding costs time.
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
if (!document.hidden) start();
watch(take, lose);
