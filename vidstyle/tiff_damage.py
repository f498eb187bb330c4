"""Damage in the middle of a TIFF, of which FFmpeg makes black or torn pictures without an error."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import av

from vidstyle.ffmpeg_log import listening
from vidstyle.picture_tags import COMPRESSION, TIFF, tiff_numbers

_DEFLATE = (8, 32946)
#: (where they are, how long) of strips, and of tiles
_PIECES = ((0x111, 0x117), (0x144, 0x145))
_MOST = 1 << 20  # bytes that are held of what is decompressed
_COMPLAINTS = re.compile(r"Decoded only|went out of bounds|Uncompressing failed")


def fails_its_checksums(data: bytes) -> bool:
    """Whether a TIFF compressed by Deflate has a piece that is not what was written: FFmpeg does not look at those."""
    if data[:4] not in TIFF or not set(tiff_numbers(data, COMPRESSION)) & set(_DEFLATE):
        return False
    for places, lengths in _PIECES:
        for place, length in zip(tiff_numbers(data, places), tiff_numbers(data, lengths), strict=False):
            piece, held = zlib.decompressobj(), data[place : place + length]
            try:
                while held:
                    piece.decompress(held, _MOST)
                    held = piece.unconsumed_tail
            except zlib.error:
                return True
    return False


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What FFmpeg's decoder of TIFF says of damage in this block; in the list behind it."""
    found: list[str] = []
    with listening(av.logging.ERROR) as heard:
        yield found
    found += [line.splitlines()[0] for _, line in heard if _COMPLAINTS.search(line)]
