"""The plain way to style a live picture: shrink, style, enlarge the change."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from vidstyle.engine import Recipe
from vidstyle.frame import working_size
from vidstyle.job import EngineOptions
from vidstyle.live.pixels import resize
from vidstyle.stylizer import Stylizer

DEFAULT_SIZE = 360  # short side that two cores keep up with at 30 frames a second


class PlainStylizer:
    """Every picture whole, at one working size (``size``: its short side, None for the picture's own)."""

    def __init__(self, recipe: Recipe, size: int | None, options: EngineOptions) -> None:
        self._size = size
        self._stylizer = Stylizer(recipe, options.engine, options.device, options.precision, options.threads)
        self._status: dict[str, Any] = {}

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        working = working_size(width, height, Fraction(1), self._size)
        small = resize(picture, *working)
        styled = self._stylizer(small)
        self._status = {
            "working": [working[1], working[0]],
            "engine": self._stylizer.engine_for(*working).description,
        }
        return styled if small is picture else enlarged(picture, small, styled)

    def status(self) -> dict[str, Any]:
        return dict(self._status)

    def close(self) -> None:
        self._stylizer.close()


def enlarged(source: np.ndarray, small: np.ndarray, styled: np.ndarray) -> np.ndarray:
    """The styled picture at the source's size."""
    del small
    return resize(styled, *source.shape[:2])
