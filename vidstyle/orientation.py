"""The display matrix: how a stream's pictures are turned and mirrored before they are shown.

A scalar angle cannot say "mirrored", so the whole 3x3 matrix is read. Of it only the eight ways of
turning a rectangle onto itself are applied, as ``orientation`` 0..7:
bit 0 mirrors left-right, then bits 1-2 turn counterclockwise by 0, 90, 180, 270 degrees.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

UPRIGHT = 0


def from_matrix(matrix: bytes) -> int:
    """Orientation of FFmpeg's display matrix (nine native int32); upright where it is oblique."""
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    # A picture's point (x, y), y downwards, is shown at (a x + c y, b x + d y).
    signs = [(v > 0) - (v < 0) if abs(v) > 1 << 14 else 0 for v in (a, b, c, d)]
    return _BY_MATRIX.get(tuple(signs), UPRIGHT)


#: signs of (a, b, c, d) -> orientation
_BY_MATRIX: dict[tuple[int, ...], int] = {
    (1, 0, 0, 1): 0,
    (-1, 0, 0, 1): 1,
    (0, -1, 1, 0): 2,  # 90 degrees counterclockwise
    (0, 1, 1, 0): 3,  # mirrored, then 90 counterclockwise: the transpose
    (-1, 0, 0, -1): 4,
    (1, 0, 0, -1): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
}


#: decoders whose frames' side data must not be listed: PyAV 18.1 frees the name of a PNG's colour profile twice
UNLISTED = ("png", "apng")


def of_frame(frame: Any, codec: str = "") -> int:
    """Orientation of an `av.VideoFrame` that was decoded by ``codec``, from its side data."""
    try:
        if codec in UNLISTED:
            raise ValueError
        for data in frame.side_data:
            if data.type.name == "DISPLAYMATRIX":
                return from_matrix(bytes(data))
    except ValueError:  # or PyAV 18.1 does not know every kind of side data and stops at the first such
        turns = round(frame.rotation / 90) % 4
        return 2 * turns
    return UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation in (2, 3, 6, 7)


def apply(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture [H, W, C] upright; contiguous."""
    if orientation & 1:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, orientation >> 1))
