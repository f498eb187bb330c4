"""Convolutions of a look in eight bits: which of them, and the grids of their inputs and weights.

The last block, at the network's finest level, and what follows it keep their own precision: what they are off by is
seen as it is, and they cost little. Of the others weights are rounded here, and inputs by the engine to 256 values over
the range that pictures gave when the style was made (`Ranges`). All channels of an input share these values, so each is
first multiplied by a gain, which its weights are divided by (`gains`). On the bundled looks that is 51 to 56 dB from
float32, half a level, and bfloat16 54 to 58.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

Ends = tuple[tuple[float, ...], tuple[float, ...]]
#: of every convolution's input, by its name: the least and the greatest values of each channel that pictures gave
Ranges = dict[str, Ends]

MOST = 63  # of a weight: two products of 255 by more overflow the 16 bits in which AVX2 adds them
PIXEL = 1 / 127.5  # a level of a picture in the network's -1..1
#: what a picture's values are moved by so that the 256 of them are a grid with a zero
HALF_LEVEL = PIXEL / 2
PIXELS = (-128 * PIXEL, 127 * PIXEL)  # the range then
EXACT = "up0.", "gate", "head"
FIRST = "stem"  # takes the picture: 16 pixels of each colour
MOVED = 0.7  # of how uneven the channels are, to their weights; 0.5, as published, leaves more shimmer
LEAST = 1e-3  # of the greatest range, or weight, a channel is taken to have
FARTHEST = 1e30  # of an end: float32 holds it, and a range of two


def is_eight_bits(name: str) -> bool:
    """Whether the student's convolution of this name is computed so."""
    return not name.startswith(EXACT)


def grid(low: float, high: float) -> tuple[float, float]:
    """The range, widened until zero is one of its 256 values: rounded elsewhere it would be a bias everywhere."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255 or 1.0
    zero = round(-low / step)
    step = max(high / (255 - zero) if zero < 255 else 0.0, -low / zero if zero else 0.0) or 1.0
    return -zero * step, (255 - zero) * step


def gains(weight: np.ndarray, ends: Ends) -> np.ndarray:
    """float32 [in]: by what to multiply the channels of an input of these ``ends``, for ``weight`` [out, in, k, k].

    SmoothQuant (Xiao et al., ICML 2023, equation 4), with each output's weights relative to the greatest of them, as
    each has a step of its own. Without, a channel of a hundredth of the widest one's range has two or three values.
    """
    span = np.abs(ends).max(0).astype(np.float64)
    most = np.abs(weight).max((1, 2, 3), keepdims=True)
    share = (np.abs(weight) / np.where(most > 0, most, 1)).max((0, 2, 3))
    span, share = (np.maximum(x, LEAST * x.max()) if x.any() else np.ones_like(x) for x in (span, share))
    found: np.ndarray = (share ** (1 - MOVED) / span**MOVED).astype(np.float32)
    return found


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
    return json.dumps(ranges, separators=(",", ":"))


def from_text(text: str, channels: Mapping[str, int]) -> Ranges:
    """The way back, for convolutions of so many input ``channels``; "": none.

    Raises:
        ValueError: not ranges, or not of all of them.
    """
    found = json.loads(text) if text else {}
    if not isinstance(found, dict) or (found and set(found) != set(channels)):
        raise ValueError("the ranges are not those of its convolutions")
    return {name: _ends(ends, channels[name]) for name, ends in found.items()}


def _ends(ends: Any, channels: int) -> Ends:
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(f"{str(ends)[:60]} is not a range")
    # Styles of before hold one range for all channels.
    low, high = (tuple(end) if isinstance(end, list) else (end,) * channels for end in ends)
    if not len(low) == len(high) == channels or not all(type(end) in (int, float) for end in low + high):
        raise ValueError(f"{str(ends)[:60]} is not a range of {channels} channels")
    if not all(-FARTHEST <= a <= b <= FARTHEST for a, b in zip(low, high, strict=True)):  # not of NaN
        raise ValueError(f"{str(ends)[:60]} is not a range")
    return low, high
