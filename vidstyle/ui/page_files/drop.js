// A file comes: chosen, dropped or pasted; one at a time, the last one wins.

import { by, bytes, data, say, send } from "./common.js";
import { path } from "./session.js";

export function drops({ isOpen, onBegin, onShare, onEnd, onProblem }) {
  const now = { upload: null };
  by("file").onchange = () => give(by("file").files[0]);
  by("another").onclick = () => by("file").click();
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    by("stage").addEventListener(kind, (event) => {
      event.preventDefault();
      by("stage").classList.toggle("dragging", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") give(event.dataTransfer.files[0]);
    });
  }
  addEventListener("dragover", (event) => event.preventDefault()); // beside the stage: or the browser leaves the page
  addEventListener("drop", (event) => event.preventDefault());
  addEventListener("paste", (event) => isOpen() && event.clipboardData?.files[0] && give(event.clipboardData.files[0]));

  async function give(file) {
    by("file").value = "";
    if (!file) return;
    now.upload?.stop();
    if (file.size > data.upload) {
      return onProblem(say("too_large", { name: file.name, size: bytes(file.size), most: bytes(data.upload) }));
    }
    onBegin();
    performance.mark("dropped");
    onShare(file.name, 0);
    const mine = (now.upload = send(path(`/file?name=${encodeURIComponent(file.name)}`), file, (share) => {
      if (now.upload === mine) onShare(file.name, Math.floor(share * 100));
    }));
    try {
      const state = await mine.done;
      if (now.upload !== mine) return;
      now.upload = null;
      onEnd(state);
    } catch (error) {
      if (now.upload !== mine) return;
      now.upload = null;
      onProblem(error.message);
    }
  }
  return now;
}
