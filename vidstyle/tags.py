"""What a decoded picture says of itself: colours, depth, alpha, HDR metadata."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from vidstyle.frame import MATRIX_RGB, MATRIX_UNKNOWN, MATRIX_YCGCO, RANGE_FULL, Colour
from vidstyle.orientation import UNLISTED

#: FFmpeg's side data -> metadata that changes with the pictures, which drawn pictures cannot keep
DYNAMIC = {
    "DOVI_METADATA": "Dolby Vision",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}
UNREADABLE = {  # AVColorSpace -> name: what neither swscale nor `vidstyle.convert` can turn into RGB
    11: "YDzDx",
    13: "constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-R",
    17: "YCgCo-R",
}


def is_gray(form: Any) -> bool:
    """Whether an `av.VideoFormat` has no colours."""
    return len(form.components) <= 2 and not form.has_palette


def is_yuv(form: Any) -> bool:
    return not (form.is_rgb or form.has_palette or is_gray(form))


def bits_of(form: Any) -> int:
    """Of a channel: 8 or more; 16 for floating point."""
    return min(16, max(8, form.components[0].bits))


@cache
def levels(bits: int, limited: bool) -> np.ndarray:
    """uint8 [2 ** bits]: every value as 0..255."""
    unit = 2 ** (bits - 8)
    black, span = (16 * unit, 219 * unit) if limited else (0, 2**bits - 1)
    return np.round(np.clip((np.arange(2**bits) - black) / span, 0, 1) * 255).astype(np.uint8)


def plane(frame: Any, index: int) -> np.ndarray:
    """A plane of one value a pixel, [H, W] of uint8 or uint16, without its padding."""
    data = frame.planes[index]
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    return np.frombuffer(data, kind).reshape(data.height, -1)[:, : data.width]


def carries_alpha(frame: Any) -> bool:
    """Whether a picture has an alpha channel, or colours of a palette that are not opaque."""
    if frame.format.has_palette:
        used = np.bincount(plane(frame, 0).ravel(), minlength=256) > 0
        return bool((np.frombuffer(frame.planes[1], np.uint32)[:256][used] >> 24 < 255).any())
    return any(component.is_alpha for component in frame.format.components)


def colour_of(frame: Any, first: Colour | None = None) -> Colour:
    """A picture's own tags; what they leave open is as in the ``first`` one of the stream.

    RGB and gray are full range unless they say otherwise: so FFmpeg writes them.
    """
    form, said = frame.format, int(frame.color_range)
    if form.name.startswith("yuvj") or (not is_yuv(form) and not said):
        said = RANGE_FULL
    matrix = int(frame.colorspace)
    if is_yuv(form) and matrix == MATRIX_RGB:  # a mistake of whoever wrote it
        matrix = MATRIX_UNKNOWN
    own = Colour(matrix, int(frame.color_primaries), int(frame.color_trc), said, frame.height)
    if first is None:
        return own
    return Colour(
        first.matrix if own.matrix == MATRIX_UNKNOWN else own.matrix,
        first.primaries if own.primaries == 2 else own.primaries,
        first.transfer if own.transfer == 2 else own.transfer,
        own.range or first.range,
        first.height,
    )


def side_data(frame: Any, codec: str) -> dict[str, bytes]:
    """What the decoder ``codec`` attached, by FFmpeg's names; empty where PyAV does not know one of them."""
    if codec in UNLISTED:
        return {}
    try:
        return {data.type.name: bytes(data) for data in frame.side_data}
    except ValueError:
        return {}


def unreadable(colour: Colour, data: dict[str, bytes]) -> str | None:
    """Name of a way to store colours that cannot be turned into RGB; None for all that can."""
    if colour.matrix in UNREADABLE:
        return UNREADABLE[colour.matrix]
    header = data.get("DOVI_METADATA", b"")
    start = int.from_bytes(header[:8], "little")
    # The structure's vdr_rpu_profile is 0, and bl_video_full_range_flag is 1.
    if len(header) > start + 10 and header[start + 4] == 0 and header[start + 10] == 1:
        return "IPT of Dolby Vision profile 5"
    return None


def dynamic_metadata(data: dict[str, bytes]) -> list[str]:
    """Names of metadata that changes with the pictures and is not kept."""
    return sorted({DYNAMIC[name] for name in data if name in DYNAMIC})


def is_ycgco(frame: Any, colour: Colour) -> bool:
    return colour.matrix == MATRIX_YCGCO and is_yuv(frame.format)
