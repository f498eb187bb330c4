"""A batch on a terminal: a line for every worker that moves, and lines above it for what has ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vidstyle.cli.batch_view import clock, how_far, line, plain, preface, summary
from vidstyle.cli.console import drawing, shortened

if TYPE_CHECKING:
    from vidstyle.batch.inputs import Found
    from vidstyle.batch.run import Event
    from vidstyle.batch.totals import Totals

COLOURS = {
    "failed": "red",
    "unopened": "red",
    "damaged": "yellow",
    "done": "green",
    "stopped": "yellow",
    "waiting": "dim",
    "again": "dim",
}
COLUMNS = {"bar": 20, "frames": 20, "fps": 9, "left": 7}  # characters
WIDE = 80  # characters of a terminal that has room for all of them


class TableView:
    """See `vidstyle.cli.batch_view.BatchView`. A context manager; nothing of the table stays behind it."""

    def __init__(self) -> None:
        self._console = drawing(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._rows: dict[int, Event] = {}  # the last start or progress of every worker
        self._watches = False
        self._names = 0  # width of their column: it only grows, or the table would jump

    def __enter__(self) -> TableView:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def _print(self, text: str) -> None:
        """A line above the table; its first word says by its colour how it ended."""
        styled = Text(text)
        if colour := COLOURS.get(text.partition(" ")[0]):
            styled.stylize(colour, 0, 8)
        self._console.print(styled, soft_wrap=True)

    def begin(self, found: Found, every: float | None) -> None:
        self._watches = every is not None
        for text in preface(found, every):
            self._print(text)

    def show(self, event: Event) -> None:
        if event.name in ("start", "progress"):
            self._rows[event.worker] = event
        elif event.worker:
            self._rows.pop(event.worker, None)
        if text := line(event):
            self._print(text)

    def tick(self, totals: Totals) -> None:
        room = max(1, self._console.height - 4)
        lines: list[RenderableType] = [self._table(room)] if self._rows else []
        if not self._rows and (totals.left or self._watches):
            lines.append(Text("starting" if totals.left else "waiting for videos", "dim"))
        elif len(self._rows) > room:
            lines.append(Text(f"and {len(self._rows) - room} more", "dim"))
        self._live.update(Group(*lines, Text(how_far(totals), "bold")), refresh=True)

    def _table(self, room: int) -> Table:
        shown = [self._rows[worker] for worker in sorted(self._rows)[:room]]
        wide = self._console.width >= WIDE
        columns = COLUMNS if wide else {name: COLUMNS[name] for name in ("frames", "left")}
        others = sum(columns.values()) + len(columns)
        names = [shortened(plain(event.item.source), self._console.width - others) for event in shown if event.item]
        self._names = max(self._names, *map(cell_len, names))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=self._names, no_wrap=True)
        for name, width in columns.items():
            table.add_column(width=width, no_wrap=True, justify="left" if name == "bar" else "right")
        for text, event in zip(names, shown, strict=True):
            cells = _progress(event)
            table.add_row(Text(text), *(cells[name] for name in columns))
        return table

    def end(self, totals: Totals, code: int, journal: Path) -> None:
        self._live.stop()
        for text in summary(totals, code, journal):
            self._print(text)


def _progress(event: Event) -> dict[str, RenderableType]:
    """What stands in the columns for one video."""
    frames, total, fps = event.data.get("frames", 0), event.data.get("total"), event.data.get("fps", 0.0)
    whole = max(frames, total or 0)
    bar = ProgressBar(total=whole if total else None, completed=frames, width=COLUMNS["bar"])
    if not frames:
        return {"bar": bar, "frames": "starting", "fps": "", "left": ""}
    left = clock((whole - frames) / fps) if total and fps else ""
    return {"bar": bar, "frames": f"{frames}/{whole if total else '?'} frames", "fps": f"{fps:.1f} fps", "left": left}
