// What every part of the page uses: its data, its texts, the server, small helpers.

export const data = JSON.parse(document.getElementById("data").textContent);
export const by = (id) => document.getElementById(id);

export function say(key, values = {}) {
  return data.texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export class Refused extends Error {
  constructor(words, status) {
    super(words);
    this.status = status;
  }
}

/** Ask the server; its errors are sentences. */
export async function ask(path, options = {}) {
  if (options.json) {
    options = { ...options, method: options.method ?? "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(options.json) };
  }
  let answer;
  try {
    answer = await fetch(`/api/${path}`, { cache: "no-store", ...options });
  } catch {
    throw new Refused(say("lost"), 0);
  }
  if (answer.ok) return options.raw ? answer : answer.json();
  let words = answer.statusText;
  try {
    words = (await answer.json()).error;
  } catch { /* not ours */ }
  throw new Refused(words, answer.status);
}

/** Send a file, telling how far it is. */
export function send(path, file, onShare = () => {}) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => onShare(event.total ? event.loaded / event.total : 0);
    request.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch { /* not ours */ }
      request.status < 300 ? resolve(answer) : reject(new Refused(answer.error ?? request.statusText, request.status));
    };
    request.onerror = () => reject(new Refused(say("lost"), 0));
    request.onabort = () => reject(new Refused("", -1));
  });
  request.open("PUT", `/api/${path}`);
  request.send(file);
  return { done, stop: () => request.abort() };
}

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let hiding = 0;
export function toast(words) {
  by("toast").textContent = words;
  by("toast").hidden = !words;
  clearTimeout(hiding);
  hiding = setTimeout(() => (by("toast").hidden = true), 7000);
}

export function problem(id, words) {
  by(id).textContent = words ?? "";
  by(id).hidden = !words;
}

export function element(name, properties = {}, ...children) {
  const one = Object.assign(document.createElement(name), properties);
  one.append(...children.filter((child) => child != null));
  return one;
}

export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(svg.namespaceURI, "path");
  line.setAttribute("d", path);
  line.setAttribute("class", "line");
  svg.append(line);
  return svg;
}

export function clock(seconds, tenths = false) {
  const whole = Math.max(0, seconds);
  const minutes = Math.floor(whole / 60);
  const rest = tenths ? (Math.floor(whole * 10) / 10 - minutes * 60).toFixed(1).padStart(4, "0") : String(Math.floor(whole - minutes * 60)).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function bytes(count) {
  return count >= 1 << 30 ? `${(count / (1 << 30)).toFixed(1)} GB` : count >= 1 << 20 ? `${(count / (1 << 20)).toFixed(0)} MB` : `${Math.ceil(count / 1024)} kB`;
}

const store = (storage) => ({
  get: (key) => {
    try {
      return JSON.parse(storage().getItem(key));
    } catch {
      return null;
    }
  },
  set: (key, value) => {
    try {
      storage().setItem(key, JSON.stringify(value));
    } catch { /* no storage: a reload begins anew */ }
  },
});
export const kept = store(() => sessionStorage); // by this tab, until it is closed
export const shared = store(() => localStorage); // by all tabs, also later ones
