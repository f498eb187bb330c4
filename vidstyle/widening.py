"""RGB of 8 bits in formats of more: black, white and opaque stay so, of which FFmpeg's scaler falls short."""

from __future__ import annotations

from typing import Any

import av
import numpy as np

from vidstyle.pixel_formats import bits

#: format -> the one of 8 bits that it is made of
_NARROW = {
    **dict.fromkeys(("rgb48be", "rgb48le", "gbrp10be", "gbrp10le", "gbrp12be", "gbrp12le"), "rgb24"),
    **dict.fromkeys(("rgba64be", "rgba64le"), "rgba"),
    **dict.fromkeys(("gray16be", "gray16le"), "gray"),
}


def narrow(pix_fmt: str) -> str:
    """The pixel format that `widened` takes for this one; itself where FFmpeg's scaler makes it."""
    return _NARROW.get(pix_fmt, pix_fmt)


def widened(picture: Any, pix_fmt: str) -> Any:
    """A `VideoFrame` of the format `narrow` gives as one of ``pix_fmt``."""
    if pix_fmt == picture.format.name:
        return picture
    most = 2 ** bits(pix_fmt) - 1
    levels = ((np.arange(256) * most + 127) // 255).astype(np.uint16)
    return av.VideoFrame.from_ndarray(levels[picture.to_ndarray()], format=pix_fmt)
