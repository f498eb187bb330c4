// How far a run is, and what became of it.

import { by, clock, element, say } from "./common.js";

/** How far a run is. */
export function figures(run, isPicture) {
  const { frames, total, fps, eta } = run;
  const share = total ? Math.min(1, frames / total) : 0;
  by("bar").style.setProperty("--done", share);
  by("bar").setAttribute("aria-valuenow", Math.round(share * 100));
  const count = total ? say("progress", { frames, total: Math.max(total, frames) }) : say("progress_open", { frames });
  by("figures").textContent = run.status === "paused" ? `${say("paused")} · ${count}` : !frames ? say("starting") : `${count} · ${say("speed", { fps })}`;
  by("eta").textContent = run.status === "paused" || eta == null ? "" : total && frames >= total ? say("finishing") : eta < 1 ? say("almost") : say("eta", { left: clock(eta) });
  by("pause").textContent = say(run.status === "paused" ? "resume" : "pause");
  by("pause").hidden = isPicture;
}

/** What was kept, and where the result is. */
export function outcome(run, address) {
  by("download").href = address;
  by("download").download = run.result.name;
  by("report").replaceChildren(...run.report.map(({ tone, text }) => element("li", { className: tone, textContent: text })));
}
