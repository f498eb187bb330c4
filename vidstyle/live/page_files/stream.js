// Keeps the stream in the page's picture, and asks for the session's state: both again and again, whatever breaks.

export const image = document.getElementById("stream");
export const token = document.querySelector("meta[name=token]").content;

const POLL = 500; // ms between two looks at the state
const RETRY = 1000; // ms after a stream that did not come
const GRACE = 3000; // ms in which a stream may not have begun
export const PATIENCE = 3000; // ms for an answer
let stream = ""; // the name of this stream: the state tells whether the server still sends it
let begun = 0;
let timer = 0;
let isWanted = false;

export function address(path) {
  return `${path}?token=${encodeURIComponent(token)}&stream=${stream}`;
}

export function start() {
  clearTimeout(timer);
  isWanted = true;
  stream = String(Math.random()).slice(2);
  begun = performance.now();
  image.src = address("/stream.mjpeg");
}

export function stop() {
  clearTimeout(timer);
  isWanted = false;
  image.removeAttribute("src");
}

// Calls take(state, when it was asked for), or lose(). A broken stream is no event in browsers: the server tells.
export async function watch(take, lose) {
  const asked = performance.now();
  try {
    if (!isWanted) return;
    const answer = await fetch(address("/status.json"), { signal: AbortSignal.timeout(PATIENCE) });
    if (answer.status === 403) return location.reload(); // the token is old: another run took this one's place
    const state = await answer.json();
    if (!isWanted) return;
    if (!state.streaming && performance.now() - begun > GRACE) start();
    take(state, asked);
  } catch {
    lose();
  } finally {
    setTimeout(watch, POLL, take, lose);
  }
}

image.addEventListener("load", () => image.classList.add("shown"));
image.addEventListener("error", () => {
  image.classList.remove("shown");
  clearTimeout(timer);
  if (isWanted) timer = setTimeout(start, RETRY);
});

const page = document.documentElement;
if (page.classList.contains("bare")) {
  start();
  watch(
    () => page.classList.remove("lost"),
    () => page.classList.add("lost"),
  );
}
