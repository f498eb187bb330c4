"""How much of a batch is done, and how long the rest takes: counted in pixels, since videos differ in size."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from vidstyle.batch.inputs import Item
from vidstyle.batch.messages import Ended, Step


@dataclass(frozen=True)
class Failure:
    source: str
    output: str
    reason: str
    code: int

    def as_dict(self) -> dict[str, Any]:
        return {"source": self.source, "output": self.output, "reason": self.reason, "code": self.code}


@dataclass
class Totals:
    """Every number here is kept up to date by adding: nothing grows with the square of the videos.

    Attributes:
        found: videos so far.
        done, skipped, stopped: of them; a stopped one goes on in the next run.
        failures: of them; also those that were done with losses.
        frames: styled in this run.
    """

    found: int = 0
    done: int = 0
    skipped: int = 0
    stopped: int = 0
    frames: int = 0
    failures: list[Failure] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _first_step: float | None = None
    _pixels_done: float = 0.0
    _pixels_left: float = 0.0  # of the videos in _left whose size is known
    _left: dict[Item, float | None] = field(default_factory=dict)  # pixels that are still to do
    _unknown: int = 0  # videos in _left whose size is not
    _seen: int = 0  # videos that were looked at, and their pixels
    _seen_pixels: float = 0.0
    _under_way: dict[Item, tuple[int, int]] = field(default_factory=dict)  # frames, and pixels in each
    _alone: dict[Item, float] = field(default_factory=dict)  # seconds that each of them takes yet

    @property
    def left(self) -> int:
        return self.found - self.done - self.skipped - len(self.failures)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def add(self, item: Item) -> None:
        """There is work to do on it, nobody knows how much."""
        self._left[item] = None
        self._unknown += 1

    def weigh(self, item: Item, frames: int | None, pixels: int) -> None:
        """Its estimated length, before it begins."""
        if frames and self._left.get(item, 0.0) is None:
            self._seen += 1
            self._seen_pixels += frames * pixels
            self._rest(item, float(frames * pixels))

    def step(self, item: Item, step: Step) -> None:
        if self._first_step is None:
            self._first_step = time.monotonic()
        self._under_way.setdefault(item, (step.before, step.pixels))
        self._advance(item, step.frames)
        if step.total:
            rest = max(0, step.total - step.frames)
            self._rest(item, float(rest * step.pixels))
            self._alone[item] = rest / step.fps if step.fps else 0.0

    def _advance(self, item: Item, frames: int) -> None:
        before, pixels = self._under_way[item]
        self._under_way[item] = frames, pixels
        self.frames += frames - before
        self._pixels_done += (frames - before) * pixels

    def end(self, item: Item, ended: Ended) -> None:
        """It needs no more work in this run."""
        if item in self._left:
            self._rest(item, 0.0)
            del self._left[item]
        if item in self._under_way:
            if ended.report:
                self._advance(item, ended.report["frames_in"])
            del self._under_way[item]
            self._alone.pop(item, None)
        if ended.status == "done":
            self.done += 1
        elif ended.status == "skipped":
            self.skipped += 1
        elif ended.status == "stopped":
            self.stopped += 1
        else:
            self.failures.append(Failure(*item.names, ended.reason, ended.code))

    def _rest(self, item: Item, pixels: float) -> None:
        before = self._left[item]
        if before is None:
            self._unknown -= 1
        self._pixels_left += pixels - (before or 0.0)
        self._left[item] = pixels

    @property
    def eta(self) -> float | None:
        """Seconds until everything is done; None while there is nothing to tell it from."""
        if self._first_step is None or not self._pixels_done or (self._unknown and not self._seen):
            return None
        mean = self._seen_pixels / self._seen if self._seen else 0.0
        speed = self._pixels_done / max(time.monotonic() - self._first_step, 0.001)
        together = (self._pixels_left + self._unknown * mean) / speed
        return max(together, *self._alone.values(), 0.0)  # the last video has one worker, however many there are

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counts = {"found": self.found, "done": self.done, "failed": len(self.failures), "skipped": self.skipped}
        return {**counts, "left": self.left, "frames": self.frames, "seconds": round(self.seconds, 3)}
