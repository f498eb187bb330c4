"""What a batch on a cluster looks like: machines and workers in a table that moves; lines, or JSON, elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from vidstyle.cli.batch_view import BatchView, JsonView, PlainView, how_far, line, plain
from vidstyle.cli.console import is_terminal

if TYPE_CHECKING:
    from vidstyle.batch.run import Event
    from vidstyle.batch.totals import Totals
    from vidstyle.cluster.crew import ClusterCrew

QUIET = ("node", "worker", "segment", "start")  # too many for lines


class ClusterView(BatchView, Protocol):
    def follow(self, crew: ClusterCrew) -> None: ...  # whose workers are shown


@contextmanager
def open_cluster_view(json: bool) -> Iterator[ClusterView]:
    if json:
        yield ClusterJson()
    elif is_terminal():
        from vidstyle.cli.batch_cluster_table import ClusterTable

        with ClusterTable() as table:
            yield cast(ClusterTable, table)
    else:
        yield ClusterPlain()


def cluster_line(event: Event) -> str | None:
    """One event for people; None where a line would be too many."""
    facts, where = event.data, plain(event.item.names[0]) if event.item else ""
    segment = f", segment {facts['segment']}" if "segment" in facts else ""
    if event.name in QUIET:
        return None
    if event.name == "cluster":
        return f"cluster {facts['address']}" + (f", dashboard {facts['dashboard']}" if facts["dashboard"] else "")
    if event.name == "node-lost":
        return f"lost     machine {facts['host']}"
    if event.name == "worker-lost":
        return f"lost     {plain(facts['reason'])}"
    if event.name == "retry":
        return f"retry    {where}{segment}: {plain(facts['reason'])}"
    if event.name == "copied":
        return f"copied   {where}{segment}: under way for {facts['seconds']:.0f} s, another worker has it, too"
    return line(event)


def machine_lines(crew: ClusterCrew) -> Iterator[str]:
    """What every machine has done."""
    for name, did in sorted(crew.machines.items()):
        fps = did["frames"] / did["seconds"] if did["seconds"] else 0.0
        yield f"  {name}: {did['segments']:.0f} segments, {did['frames']:.0f} frames, {fps:.1f} fps a worker"


def state(crew: ClusterCrew, totals: Totals) -> str:
    """Under the table: how many of everything."""
    pool = crew.pool
    counts = {"machine": len(pool.nodes), "worker": len(pool.ready)}
    text = ", ".join(f"{count} {name}{'s'[: count != 1]}" for name, count in counts.items())
    segments = sum(int(did["segments"]) for did in crew.machines.values())
    fps = sum(worker.fps for worker in pool.ready if worker.call is not None)
    text += f", {segments} segments, {fps:.1f} fps" + (f", {crew.retries} retries" if crew.retries else "")
    return f"{text}; {how_far(totals)}"


class ClusterJson(JsonView):
    def __init__(self) -> None:
        self._crew: ClusterCrew | None = None

    def follow(self, crew: ClusterCrew) -> None:
        self._crew = crew

    def end(self, totals: Totals, code: int, journal: Path) -> None:
        assert self._crew is not None
        self.more = {"machines": self._crew.machines, "retries": self._crew.retries}
        self.more["copies"] = self._crew.schedule.copies
        super().end(totals, code, journal)


class ClusterPlain(PlainView):
    """Lines on stderr."""

    _crew: Any = None

    def follow(self, crew: ClusterCrew) -> None:
        self._crew = crew

    def show(self, event: Event) -> None:
        if text := cluster_line(event):
            self._line(text)

    def tick(self, totals: Totals) -> None:
        if time.monotonic() - self._last >= self.seconds and totals.left:
            self._line(state(self._crew, totals))

    def end(self, totals: Totals, code: int, journal: Path) -> None:
        super().end(totals, code, journal)
        for text in machine_lines(self._crew):
            self._line(text)
