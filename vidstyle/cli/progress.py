"""Progress of one run: a bar on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vidstyle.cli.console import drawing, event, human, is_terminal, shortened

if TYPE_CHECKING:
    from vidstyle.job import Progress

PLAIN_SECONDS, JSON_SECONDS = 10.0, 0.5  # between two lines
FIGURES = 50  # columns that the bar and the figures behind the name want


@contextmanager
def watch(name: str, json: bool) -> Iterator[Callable[[Progress], None]]:
    """Give a function to call with every `Progress`."""
    if json:
        yield _every(JSON_SECONDS, _json)
    elif is_terminal():
        with _bar(name) as update:
            yield update
    else:
        yield _every(PLAIN_SECONDS, _plain)


def _every(seconds: float, show: Callable[[Progress], None]) -> Callable[[Progress], None]:
    last = float("-inf")  # the first frame is shown at once

    def update(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            show(progress)

    return update


def _json(progress: Progress) -> None:
    if progress.doing:
        event({"event": "preparing", "doing": progress.doing})
        return
    event({"event": "progress", "frames": progress.frames, "total": progress.total, "fps": round(progress.fps, 2)})


def _plain(progress: Progress) -> None:
    if progress.doing:
        human(progress.doing)
        return
    total = f" of about {progress.total}" if progress.total else ""
    left = ""
    if progress.total and progress.fps and progress.frames > progress.before + 1:
        left = f", about {max(0, progress.total - progress.frames) / progress.fps:.0f} s left"
    human(f"{progress.frames}{total} frames, {progress.fps:.1f} fps{left}")


@contextmanager
def _bar(name: str) -> Iterator[Callable[[Progress], None]]:
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from vidstyle.report import printable

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.fields[shown]} frames"),
        TextColumn("{task.fields[fps]:.1f} fps"),
        TimeRemainingColumn(compact=True),
    )
    console = drawing()
    name = shortened(printable(name), console.width - FIGURES)  # a long one would push the figures off the line
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(escape(name), total=None, shown="?", fps=0.0)

        def update(progress: Progress) -> None:
            total = max(progress.total, progress.frames) if progress.total else None
            what = f"{name}: {progress.doing}" if progress.doing else name
            bars.update(
                task,
                description=escape(what),
                completed=progress.frames,
                total=total,
                shown=total or "?",
                fps=progress.fps,
            )

        yield update
