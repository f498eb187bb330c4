// A worker: a picture in, the picture and the same in a look out. Coding it here leaves the page's own thread free.

const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { alpha: false });

onmessage = async ({ data: { id, bitmap, query, quality } }) => {
  try {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    context.drawImage(bitmap, 0, 0);
    const body = await canvas.convertToBlob({ type: "image/jpeg", quality });
    const answer = await fetch(`/api/look?${query}`, { method: "POST", body }).catch(() => null);
    if (!answer) throw new Error(""); // the server is gone: the page has the words for it
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({ error: answer.statusText }))).error);
    const styled = await createImageBitmap(await answer.blob());
    postMessage({ id, bitmap, styled }, [bitmap, styled]);
  } catch (error) {
    bitmap.close();
    postMessage({ id, error: error.message });
  }
};
