// The frame: pages, theme, and the start.

import { by, data, say, toast } from "./common.js";
import { load } from "./look.js";
import { begin } from "./session.js";
import { camera } from "./camera.js";
import { folder } from "./folder.js";
import { gallery } from "./gallery.js";
import { video } from "./video.js";

const pages = { video, camera, folder, looks: gallery };
let open = "video";

function show(name) {
  if (!(name in pages)) return;
  pages[open].leave?.();
  open = name;
  for (const page of Object.keys(pages)) {
    const tab = by(`tab-${page}`);
    tab.setAttribute("aria-selected", page === name);
    tab.tabIndex = page === name ? 0 : -1;
    by(`view-${page}`).hidden = page !== name;
    if (by(`action-${page}`)) by(`action-${page}`).hidden = page !== name;
  }
  by("panel").hidden = name === "looks";
  document.querySelector("main").classList.toggle("full", name === "looks");
  history.replaceState(null, "", name === "video" ? "/" : `#${name}`);
  pages[name].enter?.();
}

const tabs = [...document.querySelectorAll("nav [role=tab]")];
for (const tab of tabs) {
  tab.onclick = () => show(tab.id.slice(4));
  tab.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  };
}

by("theme").onclick = () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch { /* no storage: until the reload */ }
};

if (data.open) by("drop-or").textContent = say("drop_or_open");
try {
  await load();
  await begin();
  show(location.hash.slice(1) in pages ? location.hash.slice(1) : "video");
  document.documentElement.dataset.ready = "yes";
} catch (error) {
  toast(error.message);
}
