"""A batch on a cluster, on a terminal: a line for every worker, under its machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vidstyle.cli.batch_cluster_view import cluster_line, machine_lines, state
from vidstyle.cli.batch_table import COLOURS, TableView
from vidstyle.cli.batch_view import plain
from vidstyle.cli.console import shortened

if TYPE_CHECKING:
    from vidstyle.batch.run import Event
    from vidstyle.batch.totals import Totals
    from vidstyle.cluster.crew import ClusterCrew
    from vidstyle.cluster.pool import Worker

COLOURS |= {"lost": "yellow", "retry": "yellow", "copied": "yellow", "cluster": "bold"}
HEADS = {"machine": 16, "worker": 6, "segments": 8, "fps": 7}  # characters


class ClusterTable(TableView):
    """See `vidstyle.cli.batch_cluster_view.ClusterView`."""

    _crew: Any = None

    def follow(self, crew: ClusterCrew) -> None:
        self._crew = crew

    def show(self, event: Event) -> None:
        if text := cluster_line(event):
            self._print(text)

    def tick(self, totals: Totals) -> None:
        workers = sorted(self._crew.pool.ready, key=lambda worker: (worker.machine, worker.number))
        room = max(1, self._console.height - 5)
        lines: list[RenderableType] = [self._workers(workers[:room])] if workers else [Text("workers start", "dim")]
        if len(workers) > room:
            lines.append(Text(f"and {len(workers) - room} more", "dim"))
        self._live.update(Group(*lines, Text(state(self._crew, totals), "bold")), refresh=True)

    def _workers(self, workers: list[Worker]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        for name, width in HEADS.items():
            table.add_column(name, width=width, no_wrap=True, justify="left" if name == "machine" else "right")
        room = max(12, self._console.width - sum(HEADS.values()) - 2 * len(HEADS))
        table.add_column("at work on", width=room, no_wrap=True)
        above = ""
        for worker in workers:
            name, above = "" if worker.machine == above else shortened(worker.machine, HEADS["machine"]), worker.machine
            fps = f"{worker.fps:.1f}" if worker.fps else ""
            table.add_row(name, str(worker.number), str(worker.segments), fps, Text(shortened(_doing(worker), room)))
        return table

    def end(self, totals: Totals, code: int, journal: Path) -> None:
        super().end(totals, code, journal)
        for text in machine_lines(self._crew):
            self._print(text)


def _doing(worker: Worker) -> str:
    call = worker.call
    if call is None or call.film.item is None:
        return "waiting"
    name = plain(call.film.item.source.name)
    return f"{name}, segment {call.first} of {call.film.segments}" if call.first >= 0 else f"{name}, {call.kind}"
