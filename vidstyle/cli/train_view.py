"""What a training shows: one bar for the stage under way on a terminal, plain lines elsewhere, JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vidstyle.cli.console import drawing, event, human, is_terminal, result
from vidstyle.errors import Interrupted
from vidstyle.style import read_card

if TYPE_CHECKING:
    from vidstyle.batch.stop import Stop

LINE_SECONDS = 10.0  # between two plain lines


class _Stage(Protocol):
    name: str
    title: str
    unit: str


class View:
    """Plain lines; its subclasses show the same otherwise. `step` raises Interrupted once a stop was asked for."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._began = self._told = 0.0
        self._first: tuple[int, float] | None = None  # the steps, and the time, when this stage was first heard of
        self.stage: Any = None

    def begin(self, stage: _Stage, number: int, of: int) -> None:
        self.stage, self._began, self._told, self._first = stage, time.monotonic(), 0.0, None
        self._asked()
        self.say_begin(stage, number, of)

    def step(self, done: int, of: int, figures: dict[str, float]) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (done, now)
        self.say_step(done, of, figures, self._left(done, of, now))
        self._asked()

    def end(self, stage: _Stage, seconds: float, was_done: bool) -> None:
        self.say_end(stage, seconds, was_done)

    def finish(self, name: str, path: Path, run: Path) -> None:
        """The training is done."""
        human(f"{name} is ready: {path}")
        if near := nearness(path):
            of = f"{near['psnr']:.1f} dB to the drawings of {near['held_out']} photos that were not learned from"
            human(f"it comes to {of}, whose photos themselves have {near['psnr_of_photos']:.1f}")
        human(f"sheets, statistics and what was refused: {run}")
        result(f"vidstyle file in.mp4 --style {name}")

    def _asked(self) -> None:
        if self._stop.asked:
            raise Interrupted(self._stop.code)

    def _left(self, done: int, of: int, now: float) -> float | None:
        """Seconds to the stage's end, from the pace since it was taken up."""
        first, since = self._first or (done, now)
        return (now - since) / (done - first) * (of - done) if done > first else None

    def say_begin(self, stage: _Stage, number: int, of: int) -> None:
        human(f"{number} of {of}: {stage.title}")

    def say_step(self, done: int, of: int, figures: dict[str, float], left: float | None) -> None:
        if time.monotonic() - self._told < LINE_SECONDS:
            return
        self._told = time.monotonic()
        about = "" if left is None else f", about {duration(left)} left"
        human(f"   {done} of {of} {self.stage.unit}{shown(figures)}{about}")

    def say_end(self, stage: _Stage, seconds: float, was_done: bool) -> None:
        human(f"   {stage.name}: {'done before' if was_done else 'done'} ({duration(seconds)})")


class _Events(View):
    def say_begin(self, stage: _Stage, number: int, of: int) -> None:
        event({"event": "stage", "name": stage.name, "number": number, "of": of})

    def say_step(self, done: int, of: int, figures: dict[str, float], left: float | None) -> None:
        if time.monotonic() - self._told >= 0.5:
            self._told = time.monotonic()
            event({"event": "step", "stage": self.stage.name, "done": done, "of": of, "left": left, **figures})

    def say_end(self, stage: _Stage, seconds: float, was_done: bool) -> None:
        event({"event": "done", "name": stage.name, "seconds": round(seconds, 2), "before": was_done})

    def finish(self, name: str, path: Path, run: Path) -> None:
        event({"event": "finished", "style": name, "path": str(path), "run": str(run), **nearness(path)})


class _Bars(View):
    def __init__(self, stop: Stop, bars: Any) -> None:
        super().__init__(stop)
        self._bars, self._task = bars, None

    def say_begin(self, stage: _Stage, number: int, of: int) -> None:
        self._task = self._bars.add_task(f"{number}/{of} {stage.title}", total=None, about="")

    def say_step(self, done: int, of: int, figures: dict[str, float], left: float | None) -> None:
        time_ = f", {duration(left)} left" if left else ""  # before the figures: a narrow line cuts off its end
        about = f"{done}/{of} {self.stage.unit}{time_}{shown(figures)}"
        self._bars.update(self._task, completed=done, total=of, about=about)

    def say_end(self, stage: _Stage, seconds: float, was_done: bool) -> None:
        self._bars.remove_task(self._task)
        self._bars.console.print(f"  [green]✓[/] {stage.title}  [dim]{duration(seconds)}{', before' * was_done}[/]")


def nearness(path: Path) -> dict[str, float]:
    """From a style's card, where it was learned from drawings of the photos themselves: see `training.student`."""
    training = read_card(path).training
    return {name: training[name] for name in ("held_out", "psnr", "psnr_of_photos") if name in training}


def shown(figures: dict[str, float]) -> str:
    """``, l1 0.12`` for at most three of the figures."""
    return "".join(f", {name} {value:.3g}" for name, value in list(figures.items())[:3])


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    for limit, size, unit, places in ((90, 1, "s", 0), (5400, 60, "min", 0), (172800, 3600, "h", 1)):
        if seconds < limit:
            return f"{seconds / size:.{places}f} {unit}"
    return f"{seconds / 86400:.1f} days"


@contextmanager
def open_view(json: bool, stop: Stop) -> Iterator[View]:
    """The view that suits where the output goes."""
    if json:
        yield _Events(stop)
    elif not is_terminal():
        yield View(stop)
    else:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[about]}"))
        with Progress(*columns, console=drawing(), transient=True) as bars:
            yield _Bars(stop, bars)


def show_plan(rows: list[Any], json: bool) -> None:
    """A table of stages: what there is to do, how long it takes here, how much memory it needs."""
    if json:
        for row in rows:
            event({"event": "plan", **row.as_dict()})
        return
    width = max(len(row.title) for row in rows)
    for row in rows:
        time_ = "done" if row.done else "done at once" if row.seconds < 1 else f"about {duration(row.seconds)}"
        memory = f"{row.memory / 2**30:5.1f} GB" if row.memory and not row.done else ""
        result(f"{row.title:{width}}  {f'{row.steps} {row.unit}':>15}  {time_:>15}  {memory}".rstrip())
    total = sum(row.seconds for row in rows if not row.done)
    most = max((row.memory for row in rows if not row.done), default=0)
    result(
        f"{'all together':{width}}  {'':>15}  {f'about {duration(total)}':>15}  {most / 2**30:5.1f} GB at most".rstrip()
    )
    human("measured with a few steps on this machine, as busy as it is now")
