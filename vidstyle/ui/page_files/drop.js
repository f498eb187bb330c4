// A file comes: chosen, dropped or pasted; one at a time, the last one wins.

import { by, bytes, data, say, send, toast } from "./common.js";
import { path } from "./session.js";

const elsewhere = data.open ? "" : ` ${say("drop_elsewhere")}`; // open to others, that page is closed

const SOON = 500; // ms: an upload that is done by then need not be stopped

export function drops({ isOpen, isSure, onBegin, onShare, onEnd, onProblem }) {
  const now = { upload: null };
  by("file").onchange = () => give([...by("file").files]);
  by("upload-stop").onclick = () => now.upload?.stop();
  by("another").onclick = () => by("file").click();
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    by("stage").addEventListener(kind, (event) => {
      event.preventDefault();
      by("stage").classList.toggle("dragging", kind === "dragenter" || kind === "dragover");
      if (kind !== "drop") return;
      const folder = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry?.()).find((one) => one?.isDirectory);
      folder ? onProblem(say("drop_folder", { name: folder.name }) + elsewhere) : give([...event.dataTransfer.files]);
    });
  }
  addEventListener("dragover", (event) => event.preventDefault()); // beside the stage: or the browser leaves the page
  addEventListener("drop", (event) => event.preventDefault());
  addEventListener("paste", (event) => isOpen() && give([...(event.clipboardData?.files ?? [])]));

  async function give([file, ...others]) {
    by("file").value = "";
    if (!file || !isSure()) return;
    now.upload?.stop();
    if (others.length) toast(say("drop_many", { name: file.name }) + elsewhere);
    if (file.size > data.upload) {
      return onProblem(say("too_large", { name: file.name, size: bytes(file.size), most: bytes(data.upload) }));
    }
    onBegin();
    performance.mark("dropped");
    const began = performance.now();
    onShare(file.name, 0);
    const mine = (now.upload = send(path(`/file?name=${encodeURIComponent(file.name)}`), file, (share) => {
      if (now.upload !== mine) return;
      onShare(file.name, Math.floor(share * 100));
      by("upload-stop").hidden = share === 1 || performance.now() - began < SOON;
    }));
    try {
      const state = await mine.done;
      if (isOver(mine)) onEnd(state);
    } catch (error) {
      if (isOver(mine)) onProblem(error.message);
    }
  }
  /** Whether it was the newest: then none is under way any more. */
  function isOver(upload) {
    if (now.upload !== upload) return false;
    now.upload = null;
    by("upload-stop").hidden = true;
    return true;
  }
  return now;
}
