"""Convolutions of a look in eight bits: which of them, and the grids of their inputs and weights.

The last block, at the network's finest level, keeps its own precision: what it is off by is seen as it is. Of the
others weights are rounded here, and inputs by the engine to 256 values over the range that pictures gave when the
style was made (`Ranges`). On the bundled looks that is 47 to 51 dB from float32, about a level, and bfloat16 54 to 58.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any

import numpy as np

#: of every convolution's input, by its name: the least and the greatest value that pictures gave
Ranges = dict[str, tuple[float, float]]

MOST = 63  # of a weight: two products of 255 by more overflow the 16 bits in which AVX2 adds them
PIXEL = 1 / 127.5  # a level of a picture in the network's -1..1
#: what a picture's values are moved by so that the 256 of them are a grid with a zero
HALF_LEVEL = PIXEL / 2
PIXELS = (-128 * PIXEL, 127 * PIXEL)  # the range then
FIRST = "stem"  # takes the picture: 16 pixels of each colour


def is_eight_bits(name: str) -> bool:
    """Whether the student's convolution of this name is computed so."""
    return not name.startswith("up0.")


def grid(low: float, high: float) -> tuple[float, float]:
    """The range, widened until zero is one of its 256 values: rounded elsewhere it would be a bias everywhere."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255 or 1.0
    zero = round(-low / step)
    step = max(high / (255 - zero) if zero < 255 else 0.0, -low / zero if zero else 0.0) or 1.0
    return -zero * step, (255 - zero) * step


def rounded(weight: np.ndarray, together: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of ``step`` for ``weight`` [out, in, k, k], and the steps, float32 [out, 1, 1, 1].

    The sums over the taps of each ``together`` input channels are kept to half a step, as pictures and features
    are smooth: rounded each for itself, weights that see nearly the same value would be off all at once.
    """
    out, inputs, k, _ = weight.shape
    step = np.abs(weight).max((1, 2, 3), keepdims=True) / MOST
    step = np.where(step > 0, step, 1.0).astype(np.float32)
    exact = (weight / step).reshape(out, inputs // together, together * k * k).astype(np.float64)
    whole = np.round(exact)
    off = exact - whole
    missing = np.round(off.sum(-1, keepdims=True))
    rank = np.argsort(np.argsort(-off, -1, kind="stable"), -1, kind="stable")  # 0: most was rounded away
    whole += rank < missing
    whole -= rank >= off.shape[-1] + missing
    return np.clip(whole, -MOST, MOST).reshape(weight.shape).astype(np.float32), step


def to_text(ranges: Ranges) -> str:
    """For a style file's metadata."""
    return json.dumps({name: list(ends) for name, ends in ranges.items()})


def from_text(text: str, names: Collection[str]) -> Ranges:
    """The way back, for the convolutions ``names``; "": none.

    Raises:
        ValueError: not ranges, or not of all of them.
    """
    found = json.loads(text) if text else {}
    if not isinstance(found, dict) or (found and set(found) != set(names)):
        raise ValueError("the ranges are not those of its convolutions")
    return {name: _ends(ends) for name, ends in found.items()}


def _ends(ends: Any) -> tuple[float, float]:
    if not isinstance(ends, list) or len(ends) != 2 or not all(type(end) in (int, float) for end in ends):
        raise ValueError(f"{ends!r} is not a range")
    low, high = float(ends[0]), float(ends[1])
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{ends!r} is not a range")
    return low, high
