"""Small pictures of which a part changes, for the tests of live looks."""

from __future__ import annotations

import numpy as np


def backdrop(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None]
    waves = np.sin(y / 7 + rng.uniform(0, 6, 3)) * np.cos(x / 9 + rng.uniform(0, 6, 3)) * 100 + 128
    return (waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)


def with_box(back: np.ndarray, top: int, left: int, seed: int, side: int = 32) -> np.ndarray:
    """A box of other content at a place, cut off at the picture's ends."""
    picture = back.copy()
    target = picture[top : top + side, left : left + side]
    target[:] = np.random.default_rng(seed).integers(0, 256, target.shape, np.uint8)
    return picture


def noisy(picture: np.ndarray, rng: np.random.Generator, deviation: float = 2.0) -> np.ndarray:
    """The picture as a camera of some noise gives it."""
    return (picture + rng.normal(0, deviation, picture.shape)).clip(0, 255).round().astype(np.uint8)
