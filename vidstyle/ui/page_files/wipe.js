// The line between before and after: dragged anywhere on the picture, or moved by the arrow keys.

export function wipe(figure, start = 0.5) {
  const line = figure.querySelector(".wipe");
  let value = start;

  const set = (to) => {
    value = Math.min(1, Math.max(0, to));
    figure.style.setProperty("--wipe", figure.classList.contains("wiping") ? value : 0);
    line.setAttribute("aria-valuenow", Math.round(value * 100));
  };
  const follow = (event) => {
    const box = figure.getBoundingClientRect();
    set((event.clientX - box.left) / box.width);
  };
  figure.addEventListener("pointerdown", (event) => {
    if (!figure.classList.contains("wiping") || figure.classList.contains("side-by-side") || event.button) return;
    figure.setPointerCapture(event.pointerId);
    follow(event);
  });
  figure.addEventListener("pointermove", (event) => figure.hasPointerCapture(event.pointerId) && follow(event));
  line.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageUp: 0.1, PageDown: -0.1, Home: -1, End: 1 }[event.key];
    if (step) {
      event.preventDefault();
      set(value + step);
    }
  });
  return {
    /** Whether there are two pictures to compare; else only the upper one is seen. */
    show(on) {
      figure.classList.toggle("wiping", on);
      set(value);
    },
    set,
  };
}
