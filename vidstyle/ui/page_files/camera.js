// The browser's camera in a look, while it happens.

import { ask, by, data, element, say } from "./common.js";
import { query, thumbs } from "./look.js";
import { draw, fitted, Pump } from "./pump.js";
import { fileThumbs } from "./video.js";
import { wipe } from "./wipe.js";

const WIDTH = 640, HEIGHT = 360; // asked of the camera; its short side is what is sent
const QUALITY = 0.85;
const MEASURED = 60; // pictures that latency and rate are told from
const eye = element("video", { muted: true, playsInline: true });
const show = by("camera-show");
const line = wipe(show, 0);
const pump = new Pump();
let stream = null;
let turn = 0; // of starts and stops: a camera that is given when the next one has begun is let go
let times = []; // {at, ms} of the newest pictures
let newest = 0;
let fresh = false; // the camera has a picture that was not sent
let told = 0;

export const camera = {
  enter() {
    live();
    fileThumbs();
  },
  leave() {
    stop();
  },
};

by("camera-first").onclick = by("camera-toggle").onclick = () => (stream ? stop() : start());
by("camera-mirror").onclick = () => {
  const on = by("camera-mirror").getAttribute("aria-pressed") !== "true";
  by("camera-mirror").setAttribute("aria-pressed", on);
  show.classList.toggle("mirrored", on);
};
show.classList.add("mirrored");

async function start() {
  if (!navigator.mediaDevices?.getUserMedia) return message(say("camera_insecure"));
  message(say("camera_waiting"));
  const mine = ++turn;
  let given;
  try {
    given = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: WIDTH }, height: { ideal: HEIGHT }, frameRate: { ideal: 30 } } });
  } catch (error) {
    if (mine === turn) message(say(error.name === "NotAllowedError" ? "camera_refused" : "camera_none"));
    return;
  }
  if (mine !== turn) return off(given);
  stream = given;
  stream.getVideoTracks()[0].onended = () => {
    stop();
    message(say("camera_lost"));
  };
  eye.srcObject = stream;
  await eye.play().catch(() => {}); // it was stopped
  if (mine !== turn) return;
  times = [];
  message("");
  by("camera-intro").hidden = true;
  show.hidden = false;
  show.style.setProperty("--ratio", eye.videoWidth / eye.videoHeight);
  line.show(true);
  by("camera-toggle").textContent = say("camera_stop");
  watch();
  thumbsOfNow();
}

const off = (one) => one?.getTracks().forEach((track) => track.stop());

function stop() {
  turn += 1;
  off(stream);
  stream = eye.srcObject = null;
  show.hidden = true;
  by("camera-intro").hidden = false;
  by("camera-numbers").textContent = "";
  by("camera-toggle").textContent = say("camera_start");
  message("");
}

function message(words) {
  by("camera-message").textContent = words;
  by("camera-message").hidden = !words;
}

/** Every picture of the camera is a chance; it is taken when the server is free for one. */
function watch() {
  if (!stream) return;
  if (eye.requestVideoFrameCallback) {
    eye.requestVideoFrameCallback(() => {
      fresh = true;
      next();
      watch();
    });
  } else {
    fresh = true;
    next();
    requestAnimationFrame(watch);
  }
}

async function next() {
  if (!stream || !fresh || !pump.free || document.hidden) return;
  fresh = false;
  const mine = stream;
  const began = performance.now();
  try {
    const bitmap = await createImageBitmap(eye, fitted(eye.videoWidth, eye.videoHeight, HEIGHT));
    const done = await pump.style(bitmap, query(), QUALITY);
    if (mine === stream && done.id > newest) {
      newest = done.id;
      draw(by("camera-under"), done.bitmap);
      draw(by("camera-over"), done.styled);
      count(performance.now() - began);
      message("");
    }
    done.bitmap.close();
    done.styled.close();
  } catch (error) {
    if (mine === stream) message(error.message);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  next();
}

function count(ms) {
  const now = performance.now();
  times.push({ at: now, ms });
  times = times.slice(-MEASURED);
  show.dataset.frames = Number(show.dataset.frames ?? 0) + 1;
  if (now - told < 500 || times.length < 5) return;
  told = now;
  const sorted = times.map((one) => one.ms).sort((one, other) => one - other);
  const pick = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const fps = ((times.length - 1) * 1000) / (now - times[0].at);
  const [p50, p95] = [pick(0.5), pick(0.95)].map(Math.round);
  Object.assign(show.dataset, { fps: fps.toFixed(1), p50, p95 });
  by("camera-numbers").replaceChildren(element("span", { textContent: say("numbers_fps", { fps: fps.toFixed(0) }) }), element("span", { textContent: say("numbers_latency", { p50, p95 }) }));
}

/** The newest picture in every look: in a square, for which the engines are warm. */
async function thumbsOfNow() {
  for (let i = 0; i < 50 && !newest; i++) await new Promise((resolve) => setTimeout(resolve, 100));
  if (!stream) return;
  const side = Math.min(eye.videoWidth, eye.videoHeight);
  const left = (eye.videoWidth - side) / 2;
  const square = { resizeWidth: 320, resizeHeight: 320, resizeQuality: "medium" };
  thumbs(async (look) => {
    const done = await pump.style(await createImageBitmap(eye, left, 0, side, side, square), query({ look, strength: 1 }));
    const canvas = new OffscreenCanvas(320, 320);
    canvas.getContext("2d").drawImage(done.styled, 0, 0);
    done.bitmap.close();
    done.styled.close();
    return URL.createObjectURL(await canvas.convertToBlob({ type: "image/jpeg" }));
  });
}

async function live() {
  const { url } = data.open ? { url: null } : await ask("live").catch(() => ({ url: null }));
  by("live").replaceChildren(say(url ? "live_here" : "live_none"));
  if (url) by("live").append(" ", element("a", { href: url, target: "_blank", rel: "noreferrer", textContent: say("live_open") }));
}

