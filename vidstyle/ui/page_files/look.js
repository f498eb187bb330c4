// The look that is chosen: which one, mixed with which, how strong. One choice for all pages.

import { ask, by, element, kept, say } from "./common.js";

const EDGE = 8; // pixels that stay free beside a tile that was scrolled to
const listeners = [];
let all = [];
let revealed = ""; // the look whose tile was scrolled to
let choice = { look: "", second: "", share: 0.5, strength: 1, ...kept.get("choice") };

export const chosen = () => ({ ...choice });
export const looks = () => all.filter((one) => !one.error);
export const onChoice = (listener) => listeners.push(listener);

/** The choice as an address's query. */
export function query(one = choice) {
  return new URLSearchParams(one.second ? one : { look: one.look, strength: one.strength }).toString();
}

export function choose(change) {
  choice = { ...choice, ...change };
  if (choice.second === choice.look) choice.second = "";
  kept.set("choice", choice);
  show();
  listeners.forEach((listener) => listener(choice));
}

/** Read the list anew; a look that is gone is not chosen any more. */
export async function load() {
  all = await ask("looks");
  const names = looks().map((one) => one.name);
  if (!names.includes(choice.look)) choice.look = names.includes("anime") ? "anime" : names[0] ?? "";
  if (!names.includes(choice.second)) choice.second = "";
  by("tiles").replaceChildren(...looks().map(tile));
  by("tiles").classList.toggle("many", names.length > 4);
  revealed = "";
  show();
  return all;
}

function tile(one) {
  const label = say("thumb_of", { look: one.name, text: one.look });
  const button = element("button", { className: "tile", type: "button", title: label }, element("span", {}, element("img", { alt: "", draggable: false })), element("b", { textContent: one.name }));
  button.dataset.look = one.name;
  button.setAttribute("role", "radio");
  button.setAttribute("aria-label", label);
  button.onclick = () => choose({ look: one.name });
  return button;
}

by("tiles").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const names = looks().map((one) => one.name);
  choose({ look: names[(names.indexOf(choice.look) + step + names.length) % names.length] });
  by("tiles").querySelector('[aria-checked="true"]').focus();
});

function show() {
  for (const one of by("tiles").children) {
    const is = one.dataset.look === choice.look;
    one.setAttribute("aria-checked", is);
    one.tabIndex = is ? 0 : -1;
    one.classList.toggle("mixed", one.dataset.look === choice.second);
  }
  if (revealed !== choice.look) reveal();
  const others = looks().map((one) => one.name).filter((name) => name !== choice.look);
  by("second").replaceChildren(new Option(say("mix_nothing"), ""), ...others.map((name) => new Option(name, name)));
  by("second").value = choice.second;
  by("share").disabled = !choice.second;
  by("mix-cost").hidden = !choice.second;
  range("share", choice.share, choice.second ? `${Math.round(choice.share * 100)}%` : "");
  range("strength", choice.strength, `${Math.round(choice.strength * 100)}%`);
}

/** Scroll the tiles, and nothing else, to the chosen one. */
function reveal() {
  const one = by("tiles").querySelector('[aria-checked="true"]');
  if (!one?.offsetParent) return;
  revealed = one.dataset.look;
  const [box, place] = [by("tiles").getBoundingClientRect(), one.getBoundingClientRect()];
  const beyond = (low, high, from, to) => Math.min(0, low - from - EDGE) || Math.max(0, high - to + EDGE);
  by("tiles").scrollBy(beyond(place.left, place.right, box.left, box.right), beyond(place.top, place.bottom, box.top, box.bottom));
}

new ResizeObserver(reveal).observe(by("tiles"));

/** Whether nothing can be chosen: what was chosen is at work. */
export function lock(on) {
  for (const one of document.querySelectorAll("#tiles button, .knobs input, .knobs select")) {
    one.disabled = on || (one.id === "share" && !choice.second);
  }
}

function range(id, value, words) {
  const input = by(id);
  input.value = Math.round(value * 100);
  input.style.setProperty("--value", value);
  input.parentElement.querySelector("output").textContent = words;
}

by("second").onchange = () => choose({ second: by("second").value });
by("share").oninput = () => choose({ share: by("share").value / 100 });
by("strength").oninput = () => choose({ strength: by("strength").value / 100 });

/** Show a small picture on every tile: `picture(look)` gives an address, or a promise of one. */
export async function thumbs(picture) {
  await Promise.all([...by("tiles").children].map(async (one) => {
    const image = one.querySelector("img");
    try {
      const address = picture && (await picture(one.dataset.look));
      if (!address) throw new Error("none");
      image.onload = () => image.classList.add("there");
      image.onerror = () => image.classList.remove("there");
      image.src = address;
    } catch {
      image.classList.remove("there");
    }
  }));
}
