"""The size the network works at: chosen by measuring the machine, and adapted slowly to its load. No threads here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

STEPS = (720, 640, 576, 512, 448, 384, 320)  # pixels of the short side
GRID = 16  # pixels: sides are multiples, so that no network pads them

HOLD_DOWN, HOLD_UP = 2.0, 6.0  # seconds at a size before a smaller, a larger one is tried
ENOUGH = 20  # pictures to judge by
SPARE = 0.88  # of the budget: what a size must be expected to stay under to be begun with
BACKOFF = 30.0  # seconds until a size that proved too large is tried again; doubled each time
LONGEST_BACKOFF = 480.0

Size = tuple[int, int]  # height, width


class Sample(NamedTuple):
    """One picture that was computed: when it was done and how long it took, in seconds."""

    time: float
    seconds: float


def working_sizes(height: int, width: int) -> tuple[Size, ...]:
    """Sizes for pictures of height x width, the largest first, never larger than the picture."""
    short = min(height, width)
    own = [(height, width)] if short <= STEPS[0] else []
    return (*own, *(_scaled(height, width, step) for step in STEPS if step < short))


def _scaled(height: int, width: int, short: int) -> Size:
    scale = short / min(height, width)
    return tuple(max(GRID, round(side * scale / GRID) * GRID) for side in (height, width))  # type: ignore[return-value]


@dataclass(frozen=True)
class Cost:
    """Seconds a picture takes: ``base`` and ``per_pixel`` of its working size."""

    base: float
    per_pixel: float

    @classmethod
    def fitted(cls, measured: Sequence[tuple[Size, float]]) -> Cost:
        """By least squares from (size, seconds) of at least two sizes; neither term is negative."""
        pixels = np.array([h * w for (h, w), _ in measured], np.float64)
        seconds = np.array([s for _, s in measured], np.float64)
        slope, base = np.polyfit(pixels, seconds, 1)
        if slope <= 0:
            return cls(float(seconds.mean()), 0.0)
        return cls(float(base), float(slope)) if base > 0 else cls(0.0, float((seconds / pixels).mean()))

    def seconds(self, size: Size) -> float:
        return self.base + self.per_pixel * size[0] * size[1]


@dataclass
class AdaptiveSize:
    """Which of ``sizes`` to work at, so that a picture takes at most ``budget`` seconds.

    `start` picks by the measured cost, `decide` follows the load: one step at a time, down after `HOLD_DOWN`
    seconds over budget, up after `HOLD_UP` seconds with room for it. A size that had to be left is not tried
    again for a while. Down to ``largest`` it goes at once.

    Attributes:
        sizes: the largest first.
        place: index of the present one.
        largest: index of the largest that may be worked at: what is larger draws the faces worse.
    """

    sizes: Sequence[Size]
    budget: float
    cost: Cost = field(default_factory=lambda: Cost(0.0, 1.0))
    place: int = 0
    largest: int = 0
    _refused: dict[int, tuple[float, float]] = field(default_factory=dict)  # place: not before, for how long

    @property
    def size(self) -> Size:
        return self.sizes[self.place]

    def start(self, measured: Cost | Sequence[tuple[Size, float]]) -> Size:
        """The largest size expected to stay within the budget, else the smallest; from two (size, seconds) or more."""
        self.cost = measured if isinstance(measured, Cost) else Cost.fitted(measured)
        fits = [i for i, size in enumerate(self.sizes) if self.cost.seconds(size) <= SPARE * self.budget]
        self.place = max(fits[0] if fits else len(self.sizes) - 1, self.largest)
        return self.size

    def decide(self, history: Sequence[Sample]) -> Size:
        """The size to work at from now on, by the pictures computed since the last change, the oldest first."""
        if len(history) < ENOUGH:
            return self.size
        now, held = history[-1].time, history[-1].time - history[0].time
        if self.place < self.largest:
            self.place = self.largest
        elif held >= HOLD_DOWN and self.place + 1 < len(self.sizes) and self._typical(history, HOLD_DOWN) > self.budget:
            self._refuse(self.place, now)
            self.place += 1
        elif held >= HOLD_UP and self.place > self.largest and now >= self._refused.get(self.place - 1, (0.0, 0.0))[0]:
            ratio = self.cost.seconds(self.sizes[self.place - 1]) / self.cost.seconds(self.size)
            if self._typical(history, HOLD_UP) * ratio < SPARE * self.budget:
                self.place -= 1
        return self.size

    @staticmethod
    def _typical(history: Sequence[Sample], window: float) -> float:
        """What three in four pictures of the last ``window`` seconds, and at least `ENOUGH`, take at most."""
        since = history[-1].time - window
        recent: list[float] = []
        for sample in reversed(history):
            if sample.time < since and len(recent) >= ENOUGH:
                break
            recent.append(sample.seconds)
        return float(np.percentile(recent, 75))

    def _refuse(self, place: int, now: float) -> None:
        backoff = min(LONGEST_BACKOFF, 2 * self._refused[place][1]) if place in self._refused else BACKOFF
        self._refused[place] = now + backoff, backoff
