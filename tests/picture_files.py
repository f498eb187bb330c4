"""Pictures of many kinds for the tests, made by hand where an encoder would not."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from media import picture

from vidstyle.picture import Picture, encode_picture

COUNT = 12  # pictures of a series
PROFILE = bytes(16) + b"RGB " + bytes(range(256)) * 300  # longer than one JPEG segment takes


def smooth(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3] without two equal corners; soft, so that JPEG keeps it."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack(
        [x * 255 // max(1, width), y * 255 // max(1, height), (x + y) * 100 // (width + height)], -1
    ).astype(np.uint8)


def encoded(codec: str, image: np.ndarray | tuple[np.ndarray, np.ndarray], pix_fmt: str) -> bytes:
    """One picture in any of an encoder's pixel formats; pal8 is given as (indices, palette)."""
    frame = av.VideoFrame.from_ndarray(image, format=pix_fmt)  # type: ignore[arg-type]
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, pix_fmt  # type: ignore[attr-defined]
    context.time_base = Fraction(1, 25)
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))  # type: ignore[attr-defined]


def with_exif(jpeg: bytes, value: int, order: str = "<") -> bytes:
    """A JPEG with a handmade EXIF segment: another tag, then the orientation."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entries = struct.pack(f"{order}HHII", 0x100, 4, 1, 7) + struct.pack(f"{order}HHIHH", 0x112, 3, 1, value, 0)
    exif = b"Exif\0\0" + mark + struct.pack(f"{order}IH", 8, 2) + entries + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def png_claiming(width: int, height: int) -> bytes:
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(999))))
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def save(path: Path, image: np.ndarray | Picture) -> Path:
    still = image if isinstance(image, Picture) else Picture(image)
    path.write_bytes(encode_picture(still, path.suffix, 98))
    return path


def make_series(folder: Path, extension: str = ".png", count: int = COUNT, first: int = 1001) -> Path:
    """Pictures of 64x48 that tell their index; the pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        save(folder / f"shot.{first + index}{extension}", picture(index, 64, 48))
    return folder / f"shot.%04d{extension}"


def vidstyle(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidstyle", *map(str, args)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
