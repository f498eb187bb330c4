"""Damage in a GIF or a QOI picture, of which FFmpeg makes black or other pictures without an error.

Neither has checksums, but both are codes of several lengths that must come to the picture's number of pixels exactly.
Of a damaged WebP, and of some damaged JPEGs, nothing short of another decoder could tell.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress

import numpy as np

_QOI_HEAD, _QOI_END = 14, bytes(7) + b"\1"
#: QOI's codes of several bytes; all others have one
_QOI_LONG = re.compile(rb"\xfe.{3}|\xff.{4}|[\x80-\xbf].", re.DOTALL)
_QOI_RUN, _QOI_RGB = 0xC0, 0xFE  # first codes of a run of pixels, and of those that are long
_GIF_CODES = 4096


def damage(data: bytes) -> str | None:
    """What is wrong with a QOI picture or a GIF's first one; None for whole ones, and for other kinds of files."""
    if data[:4] == b"qoif":
        return _of_qoi(data)
    return _of_gif(data) if data[:4] == b"GIF8" else None


def _of_qoi(data: bytes) -> str | None:
    if not data.endswith(_QOI_END):
        return "cut short"
    width, height = struct.unpack_from(">II", data, 4)
    codes = np.frombuffer(_QOI_LONG.sub(b"\0", data[_QOI_HEAD : -len(_QOI_END)]), np.uint8)
    runs = codes[codes >= _QOI_RUN].astype(np.int64)
    whole = len(codes) + int((runs - _QOI_RUN).sum()) == width * height and not (runs >= _QOI_RGB).any()
    return None if whole else "damaged"


def _of_gif(data: bytes) -> str | None:
    with suppress(IndexError, struct.error):
        at = 13 + _gif_palette(data[10])
        while data[at] == 0x21:  # an extension
            at = _blocks(data, at + 2)[1]
        width, height = struct.unpack_from("<HH", data, at + 5)
        begin = at + 10 + _gif_palette(data[at + 9])
        codes, end = _blocks(data, begin + 1)
        if data[at] == 0x2C and end <= len(data):
            return None if _pixels(codes, data[begin]) == width * height else "damaged"
    return "cut short"


def _gif_palette(flags: int) -> int:
    """Bytes."""
    return 6 << (flags & 7) if flags & 0x80 else 0


def _blocks(gif: bytes, at: int) -> tuple[bytes, int]:
    """What the blocks at ``at`` hold, and where they end."""
    found = []
    while length := gif[at]:
        found.append(gif[at + 1 : at + 1 + length])
        at += length + 1
    return b"".join(found), at + 1


def _pixels(data: bytes, literal: int) -> int | None:
    """How many pixels GIF's LZW codes stand for; None where one of them stands for nothing yet.

    ``literal``: bits of a code that stands for one pixel.
    """
    clear = 1 << literal
    start = [1] * clear + [0, 0]  # pixels of each code; two are for clearing, and for the end
    lengths, size, previous = start.copy(), literal + 1, 0
    value = held = pixels = 0
    for byte in data:
        value |= byte << held
        held += 8
        while held >= size:
            code = value & (1 << size) - 1
            value >>= size
            held -= size
            if code == clear:
                lengths, size, previous = start.copy(), literal + 1, 0
                continue
            if code == clear + 1:
                return pixels
            if previous and len(lengths) < _GIF_CODES:
                lengths.append(previous + 1)
            if code >= len(lengths):
                return None
            previous = lengths[code]
            pixels += previous
            if len(lengths) == 1 << size and len(lengths) < _GIF_CODES:
                size += 1
    return pixels
