"""The source's fine detail, given back to a look that was computed on a smaller picture and scaled up.

A look keeps part of the source's texture and replaces the rest. So what the small picture lacks of the source's luma
is added, times the share of it that the look kept around that place: the slope of the look's luma over the source's,
fitted in small windows (`vidstyle.live.upscale` does so in RGB, and has figures). All of it would bring back noses
and rims of glasses that the look had left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation

from vidstyle.tags import bits_of, plane

FLAT = 15.0  # squared levels: what varies less says little about the slope
FIT = 2  # the slope is fitted on the small picture divided by this
BITS = 7  # of a share: with them a detail's product fits into 16
#: formats with a plane of luma that is numbers as this machine has them: p010's are shifted, big-endian ones swapped
_LUMA = re.compile(r"yuvj?4\d\dp(\d+le)?|nv12")
Size = tuple[int, int]  # height, width


def give_back(picture: Any, luma: np.ndarray, working: Size, limited: bool) -> None:
    """Add it to a look's picture, a `VideoFrame` of the source's size, in place; formats without a plane of luma stay.

    Args:
        luma: of the source, uint8 [H, W].
        working: size of the picture that the look was computed on.
        limited: the range of the picture's values.
    """
    if not _LUMA.fullmatch(picture.format.name) or luma.shape != (picture.height, picture.width):
        return
    values, unit = plane(picture, 0), 1 << (bits_of(picture.format) - 8)
    look = values if unit == 1 else (values // unit).astype(np.uint8)
    least, most = (16 * unit, 235 * unit) if limited else (0, 256 * unit - 1)
    sums = np.multiply(lacking(luma, look, working), unit, dtype=np.int16 if unit == 1 else np.int32)
    np.add(sums, values, out=sums)
    values[...] = np.clip(sums, least, most, out=sums)


def luma_of(frame: Any, curve: np.ndarray | None = None) -> np.ndarray | None:
    """uint8 [H, W] of a decoded YUV picture, in its own range; None of one that has no plane of it.

    ``curve``: uint8 [2 ** bits], what becomes of each value, as `vidstyle.hdr.luma_curve`.
    """
    if not _LUMA.fullmatch(frame.format.name):
        return None
    values = plane(frame, 0)
    if curve is not None:
        return curve.take(values, mode="clip")
    return values.copy() if values.dtype == np.uint8 else (values >> (bits_of(frame.format) - 8)).astype(np.uint8)


def in_detail(look: np.ndarray, source: np.ndarray, working: Size) -> np.ndarray:
    """A look scaled up to its source, with what it lacks; uint8 [H, W, 3] RGB, a new array.

    Args:
        source: RGB as well, or its luma in full range, uint8 [H, W].
    """
    delta = lacking(source if source.ndim == 2 else _gray(source), _gray(look), working)
    return np.add(look, delta[..., None], dtype=np.int16).clip(0, 255).astype(np.uint8)


def _gray(image: np.ndarray) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    gray: np.ndarray = frame.reformat(format="gray", threads=1).to_ndarray()
    return gray


def lacking(luma: np.ndarray, look: np.ndarray, working: Size) -> np.ndarray:
    """int16 [H, W] to be added to the luma of the look.

    Args:
        luma: of the source, uint8 [H, W].
        look: luma of the look, scaled up from ``working``, uint8 [H, W].
    """
    fit = max(1, working[0] // FIT), max(1, working[1] // FIT)
    share = (kept_share(_scaled(luma, fit), _scaled(look, fit), _mean) * (1 << BITS)).astype(np.uint8)
    detail = np.subtract(luma, _scaled(_scaled(luma, working), luma.shape), dtype=np.int16)
    np.multiply(detail, _scaled(share, luma.shape), out=detail)
    return np.right_shift(detail, BITS, out=detail)


def kept_share(before: np.ndarray, after: np.ndarray, mean: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """How much of the variation of ``before`` is left in ``after``, both [h, w] of 0..255: float32 0..1.

    Args:
        mean: of 3x3, of float32 [h, w].
    """
    x, y = before.astype(np.float32), after.astype(np.float32)
    mean_x, mean_y = mean(x), mean(y)
    slope = (mean(x * y) - mean_x * mean_y) / (mean(x * x) - mean_x * mean_x + FLAT)
    return mean(slope).clip(0, 1)


def _mean(x: np.ndarray) -> np.ndarray:
    """Of 3x3, edges repeated."""
    padded = np.pad(x, 1, "edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) * np.float32(1 / 9)


def _scaled(gray: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """uint8 [h, w] at another size (height, width)."""
    height, width = size
    if gray.shape == (height, width):
        return gray
    way = Interpolation.AREA if height * width < gray.size else Interpolation.BICUBIC
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), format="gray")
    scaled: np.ndarray = frame.reformat(width=width, height=height, interpolation=way, threads=1).to_ndarray()
    return scaled
