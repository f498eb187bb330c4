"""From one working size to another without a jump."""

from __future__ import annotations

import numpy as np

from vidstyle.opencv import opencv

LENGTH = 10  # pictures
MOVED = 12.0  # levels by which a place has changed when nothing of the old look is left there
CELL = 8  # pixels: movement is looked for on means of this many to a side


class Fade:
    """Fade out what one look has over another for the same picture.

    Both are computed once, for the picture at the change. Computing both for every picture of the fade would halve
    the rate just where the machine is too slow already. Where the picture moves meanwhile the difference is dropped:
    it would stay behind as a shadow, and movement hides the jump.

    Args:
        source: the picture at the change.
        old, new: its two looks; all uint8 [H, W, 3].

    Attributes:
        left: pictures until the fade is over.
    """

    def __init__(self, source: np.ndarray, old: np.ndarray, new: np.ndarray) -> None:
        self.left = LENGTH
        self._size = source.shape[1], source.shape[0]
        self._means = self._shrunk(source)
        self._difference = opencv().subtract(old, new, dtype=opencv().CV_16S)

    def __call__(self, source: np.ndarray, look: np.ndarray) -> np.ndarray:
        """``look`` with what is left of the difference, a new array; ``look`` itself once it is over."""
        self.left = max(0, self.left - 1)
        if not self.left:
            return look
        cv2 = opencv()
        change = cv2.absdiff(self._shrunk(source), self._means).max(2)
        still = cv2.blur(1 - np.minimum(change / MOVED, 1, dtype=np.float32), (3, 3))
        share = cv2.resize((still * (256 * self.left / LENGTH)).astype(np.int16), self._size)
        rest = cv2.multiply(self._difference, cv2.merge([share] * 3), scale=1 / 256)
        result: np.ndarray = cv2.add(look, rest, dtype=cv2.CV_8U)
        return result

    def _shrunk(self, picture: np.ndarray) -> np.ndarray:
        size = max(1, self._size[0] // CELL), max(1, self._size[1] // CELL)
        means: np.ndarray = opencv().resize(picture, size, interpolation=opencv().INTER_AREA)
        return means
