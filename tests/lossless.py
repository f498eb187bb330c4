"""Videos whose every code value is known, for the tests of colours."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

#: AVColorSpace -> (Kr, Kb) of H.273
WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
WEIGHTS[9] = (0.2627, 0.0593)


def raw_frame(pix_fmt: str, planes: Sequence[np.ndarray]) -> av.VideoFrame:
    """A frame with these planes, [H, W] each, in the format's own order."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
        rows = np.zeros((plane.height, plane.line_size // kind().itemsize), kind)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    return frame


def write_lossless(path: Path, frames: Sequence[av.VideoFrame], codec: str = "ffv1", **tags: int) -> Path:
    """25 frames a second; ``tags``: colorspace, color_range, color_trc, color_primaries."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        first = frames[0]
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
        for key, value in tags.items():
            setattr(stream.codec_context, key, value)
        for index, frame in enumerate(frames):
            for key, value in tags.items():
                setattr(frame, key, value)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def codes(rgb: np.ndarray, matrix: int, full: bool, bits: int) -> np.ndarray:
    """R'G'B' 0..1 [..., 3] as whole Y'CbCr codes [..., 3], by H.273."""
    kr, kb = WEIGHTS[matrix]
    y = rgb @ np.array([kr, 1 - kr - kb, kb])
    chroma = np.stack([(rgb[..., 2] - y) / (2 - 2 * kb), (rgb[..., 0] - y) / (2 - 2 * kr)], -1)
    unit, top = 2 ** (bits - 8), 2**bits - 1
    if full:
        values = np.concatenate([y[..., None] * top, chroma * top + 128 * unit], -1)
    else:
        values = np.concatenate([y[..., None] * 219 * unit + 16 * unit, chroma * 224 * unit + 128 * unit], -1)
    return np.clip(np.round(values), 0, top)


def rgb_of(values: np.ndarray, matrix: int, full: bool, bits: int) -> np.ndarray:
    """The inverse of `codes`, in float and unrounded, as 0..255."""
    kr, kb = WEIGHTS[matrix]
    unit, top = 2 ** (bits - 8), 2**bits - 1
    if full:
        y, cb, cr = values[..., 0] / top, (values[..., 1] - 128 * unit) / top, (values[..., 2] - 128 * unit) / top
    else:
        y = (values[..., 0] - 16 * unit) / (219 * unit)
        cb, cr = ((values[..., n] - 128 * unit) / (224 * unit) for n in (1, 2))
    red, blue = y + (2 - 2 * kr) * cr, y + (2 - 2 * kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1), 0, 1) * 255
