"""What changed between two pictures, on blocks, and the few rectangles that hold it."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from vidstyle.live.opencv import opencv

CELL = 4  # pixels to a side whose mean is compared where pictures have noise
MOST_NOISE = 4.0  # levels: what is more is movement
MEASURED = 30  # pictures


class Rect(NamedTuple):
    """Rows top to bottom and columns left to right, ends left out; of blocks or of pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, by: int, height: int, width: int) -> Rect:
        """Larger by ``by`` to each side, within height x width."""
        return Rect(
            max(0, self.top - by), max(0, self.left - by), min(height, self.bottom + by), min(width, self.right + by)
        )

    def stepped(self, step: int, height: int, width: int) -> Rect:
        """The rectangle, larger where that makes its sides multiples of ``step``, within height x width."""
        rows = min(height, -(-(self.bottom - self.top) // step) * step)
        columns = min(width, -(-(self.right - self.left) // step) * step)
        top, left = min(self.top, height - rows), min(self.left, width - columns)
        return Rect(top, left, top + rows, left + columns)

    def within(self, outer: Rect) -> Rect:
        """The same place counted from the corner of ``outer``."""
        return Rect(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def times(self, factor: int) -> Rect:
        return Rect(*(value * factor for value in self))

    def of(self, array: np.ndarray, scale: int = 1) -> np.ndarray:
        """The part of ``array`` [..., rows, columns] that this covers; the rectangle is divided by ``scale``."""
        return array[..., self.top // scale : self.bottom // scale, self.left // scale : self.right // scale]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two pictures are equal, by eight bytes at a time where that is possible."""
    if a is b or a.shape != b.shape:
        return a is b
    if a.nbytes % 8 or not (a.flags.c_contiguous and b.flags.c_contiguous):
        return np.array_equal(a, b)
    return not (a.reshape(-1).view(np.uint64) != b.reshape(-1).view(np.uint64)).any()


def differing(a: np.ndarray, b: np.ndarray, block: int) -> np.ndarray:
    """Blocks of which any byte differs: bool [H / block, W / block].

    ``a`` and ``b`` are contiguous uint8 [H, W, 3]; ``block`` divides H and W, and 8 divides it.
    """
    height, width = a.shape[0] // block, a.shape[1] // block
    words = a.reshape(a.shape[0], -1).view(np.uint64) != b.reshape(b.shape[0], -1).view(np.uint64)
    rows = words.reshape(height, block, -1).any(1)
    result: np.ndarray = rows.reshape(height, width, -1).any(2)
    return result


def spread(mask: np.ndarray, by: int) -> np.ndarray:
    """A mask grown by ``by`` to each side, diagonals included."""
    around = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    result: np.ndarray = opencv().dilate(mask.view(np.uint8), around).view(bool)
    return result


def filled(mask: np.ndarray) -> np.ndarray:
    """The mask with its `rectangles` full."""
    result = np.zeros_like(mask)
    for rect in rectangles(mask, 0):
        rect.of(result)[:] = True
    return result


def bounds(mask: np.ndarray) -> Rect:
    """The rectangle around all that is set; something must be."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Rect(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def rectangles(mask: np.ndarray, margin: int, most: int = 3) -> list[Rect]:
    """At most ``most`` rectangles that hold all that is set, disjoint; empty where nothing is.

    One is cut in two at its widest empty gap where both parts with their margins are a fifth smaller than it.
    """
    if not mask.any():
        return []
    found = [bounds(mask)]
    whole: list[Rect] = []
    while found and len(found) + len(whole) < most:
        rect = found.pop(0)
        halves = _halves(mask, rect)
        cost = sum(half.grown(margin, *mask.shape).area for half in halves)
        if halves and cost < 0.8 * rect.grown(margin, *mask.shape).area:
            found += halves
        else:
            whole.append(rect)
    return found + whole


def _halves(mask: np.ndarray, rect: Rect) -> list[Rect]:
    """Both sides of the widest gap, rows or columns without anything set; empty where there is no gap."""
    inside = rect.of(mask)
    gaps = [(*_widest_gap(inside.any(1 - axis)), axis) for axis in (0, 1)]
    width, end, axis = max(gaps)
    if not width:
        return []
    cut = (slice(0, end), slice(None)) if axis == 0 else (slice(None), slice(0, end))
    rest = (slice(end, None), slice(None)) if axis == 0 else (slice(None), slice(end, None))
    first, second = bounds(inside[cut]), bounds(inside[rest])
    shift = (end, 0) if axis == 0 else (0, end)
    return [_moved(first, rect.top, rect.left), _moved(second, rect.top + shift[0], rect.left + shift[1])]


def _moved(rect: Rect, down: int, right: int) -> Rect:
    return Rect(rect.top + down, rect.left + right, rect.bottom + down, rect.right + right)


def _widest_gap(line: Any) -> tuple[int, int]:
    """(length, end) of the longest run of False between two True; (0, 0) without one."""
    places = np.flatnonzero(line)
    gaps = np.diff(places) - 1
    if not len(gaps) or not gaps.max():
        return 0, 0
    widest = int(gaps.argmax())
    return int(gaps[widest]), int(places[widest + 1])


class Changes:
    """Which blocks of a picture differ from those the look was computed from.

    Args:
        block: pixels to a side, a multiple of 8 that divides every picture's height and width.
        noise: levels by which the means of 4x4 pixels may differ between pictures of one still thing. 0 compares
            every byte; None measures it: the noise of the quieter third of the picture.
    """

    def __init__(self, block: int, noise: float | None) -> None:
        self._block, self._noise = block, noise
        self._levels: deque[float] = deque(maxlen=MEASURED)
        self._source = self._means = self._last = np.zeros((0, 0, 3), np.uint8)
        self._active = np.zeros((0, 0), bool)

    @property
    def noise(self) -> float:
        """Levels, given or measured; 0 until there is something to measure."""
        if self._noise is not None:
            return self._noise
        level = float(np.median(self._levels)) if self._levels else 0.0
        return min(level, MOST_NOISE) if level >= 1 else 0.0

    def find(self, picture: np.ndarray) -> np.ndarray:
        """bool [H / block, W / block]: what changed since `take`; all of a first picture, or of another size."""
        if picture.shape != self._source.shape:
            return np.ones((picture.shape[0] // self._block, picture.shape[1] // self._block), bool)
        if self._noise != 0:
            self._last, before = self._shrunk(picture), self._last
            self._levels.append(float(np.percentile(self._scores(self._last, before), 30)))
        return self._beyond_noise() if self.noise else differing(picture, self._source, self._block)

    def take(self, picture: np.ndarray, mask: np.ndarray | None = None) -> None:
        """From now on the look shows ``picture`` in the blocks of ``mask``; everywhere without one."""
        if mask is None:
            self._source = picture.copy()
            self._active = np.zeros((picture.shape[0] // self._block, picture.shape[1] // self._block), bool)
            mask = np.ones_like(self._active)
        means = self._shrunk(picture) if self._noise != 0 else None
        if means is not None and means.shape != self._means.shape:
            self._means = self._last = means.copy()
        for rect in rectangles(mask, 0):
            pixels, cells = rect.times(self._block).slices, rect.times(self._block // CELL).slices
            self._source[pixels] = picture[pixels]
            if means is not None:
                self._means[cells] = means[cells]

    def _beyond_noise(self) -> np.ndarray:
        """Blocks over the threshold, with their company: a lone block must differ by twice as much, one beside
        another, or that changed in the picture before, by half."""
        threshold = 2.5 * self.noise + 1
        score = self._scores(self._last, self._means)
        strong = score > threshold
        strong &= (_neighbours(strong) > 0) | (score > 2 * threshold)
        self._active = strong | ((self._active | spread(strong, 1)) & (score > threshold / 2))
        return self._active

    def _shrunk(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        cv2 = opencv()
        means: np.ndarray = cv2.resize(picture, (width // CELL, height // CELL), interpolation=cv2.INTER_AREA)
        return means

    def _scores(self, means: np.ndarray, others: np.ndarray) -> np.ndarray:
        """uint8 [H / block, W / block]: the greatest difference of means in each block."""
        difference, cells = opencv().absdiff(means, others), self._block // CELL
        rows, columns = means.shape[0] // cells, means.shape[1] // cells
        result: np.ndarray = difference.reshape(rows, cells, columns, cells * 3).max((1, 3))
        return result


def _neighbours(mask: np.ndarray) -> np.ndarray:
    """How many of the eight blocks around each are set."""
    count: np.ndarray = opencv().boxFilter(
        mask.view(np.uint8), -1, (3, 3), normalize=False, borderType=opencv().BORDER_CONSTANT
    )
    return count - mask
