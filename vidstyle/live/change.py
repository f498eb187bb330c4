"""What changed between two pictures, on blocks."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from vidstyle.opencv import opencv

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

    def holds(self, other: Rect) -> bool:
        return self.joined(other) == self

    def joined(self, other: Rect) -> Rect:
        """The smallest that holds both."""
        return Rect(*(min(pair) for pair in zip(self[:2], other[:2], strict=True)), *map(max, self[2:], other[2:]))

    def within(self, outer: Rect) -> Rect:
        """The same place counted from the corner of ``outer``."""
        return Rect(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    def mirrored(self, width: int) -> Rect:
        """The same place where left and right of ``width`` are changed over."""
        return Rect(self.top, width - self.right, self.bottom, width - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def times(self, factor: int) -> Rect:
        return Rect(*(value * factor for value in self))


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


def bounds(mask: np.ndarray) -> Rect:
    """The rectangle around all that is set; something must be."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Rect(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


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

    def take(self, picture: np.ndarray, rect: Rect | None = None) -> None:
        """From now on the look shows ``picture`` in the blocks of ``rect``; everywhere without one."""
        if rect is None:
            rows, columns = picture.shape[0] // self._block, picture.shape[1] // self._block
            self._source, self._active = np.empty_like(picture), np.zeros((rows, columns), bool)
            rect = Rect(0, 0, rows, columns)
        means = self._shrunk(picture) if self._noise != 0 else None
        if means is not None and means.shape != self._means.shape:
            self._means = self._last = means.copy()
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
