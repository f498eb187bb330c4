"""Where the colours of a subsampled picture lie between its pixels.

PyAV does not say what a stream's own tags say of it, but swscale follows them: a ramp with a picture's tags is
converted, and where its values come out tells.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from vidstyle.convert import INTERPOLATION
from vidstyle.tags import plane

MIDDLE = 0.5
_START, _STEP = 64, 8  # of the ramp, in chroma samples
_GAINS = (1.772, 1.402)  # of blue by Cb and red by Cr, BT.601


def siting_of(frame: Any) -> tuple[float, float]:
    """Where in its own pixel a chroma sample lies, across and down, in quarters.

    (0.25, 0.5) is on every other luma column, between two rows; `MIDDLE` is also what a full direction has.

    Args:
        frame: a YUV picture in the machine's memory, with chroma of full or half resolution.
    """
    pixels = av.VideoFormat(frame.format.name, 64, 64)
    factors = 64 // pixels.components[1].width, 64 // pixels.components[1].height
    side = 32 if (frame.width, frame.height) != (32, 32) else 40
    name = {(1, 1): "yuv444p", (2, 1): "yuv422p", (2, 2): "yuv420p", (1, 2): "yuv440p"}[factors]
    probe = frame.reformat(width=side, height=side, format=name, threads=1)
    _fill(probe, factors)
    rgb = probe.reformat(
        format="gbrp",
        interpolation=INTERPOLATION,
        src_colorspace=5,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    values = (float(plane(rgb, index)[side // 2, side // 2]) for index in (1, 2))  # blue, red
    across, down = (
        _place(value, gain, factor, side // 2) for value, gain, factor in zip(values, _GAINS, factors, strict=True)
    )
    return across, down


def _fill(probe: Any, factors: tuple[int, int]) -> None:
    """Grey, with Cb rising to the right and Cr rising downwards where they are subsampled."""
    for index, data in enumerate(probe.planes):
        values = np.full((data.height, data.width), 128, np.uint8)
        if index and factors[index - 1] == 2:
            axis = np.arange(values.shape[2 - index]) * _STEP + _START
            values[:] = axis if index == 1 else axis[:, None]
        rows = np.frombuffer(data, np.uint8).reshape(data.height, -1)
        rows[:, : data.width] = values


def _place(value: float, gain: float, factor: int, pixel: int) -> float:
    if factor == 1:
        return MIDDLE
    sample = ((value - 128) / gain + 128 - _START) / _STEP
    return round(4 * ((pixel + 0.5) / factor - sample)) / 4
