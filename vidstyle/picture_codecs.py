"""Numbered pictures as what is written: which endings there are, by which encoders, and in which pixel formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vidstyle.errors import UsageError
from vidstyle.pattern import Pattern, parse_pattern

PICTURES = "pictures"  # where FFmpeg's name of a container stands for a video
DIGITS = 4  # of the numbers of a video's pictures
CARRIER = "image2pipe"  # FFmpeg's muxer that writes one file after the other, each as its encoder gives it
#: ending -> FFmpeg's encoder, whose every packet is a whole file
ENDINGS = {
    ".png": "png",
    **dict.fromkeys((".jpg", ".jpeg"), "mjpeg"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    ".dpx": "dpx",
    ".webp": "libwebp",
}
#: encoder -> pixel formats of 8 bits and of more: without alpha, with it
_FORMATS = {
    "png": (("rgb24", "rgba"), ("rgb48be", "rgba64be")),
    "mjpeg": (("yuvj444p",) * 2,) * 2,
    "tiff": (("rgb24", "rgba"), ("rgb48le", "rgba64le")),
    "dpx": (("rgb24", "rgba"), ("gbrp10be", "rgba64be")),
    "libwebp": (("bgra",) * 2,) * 2,
}
#: LZW is what every program reads; libwebp's more thorough search takes three times as long for a tenth of the size
OPTIONS = {"tiff": {"compression_algo": "lzw"}, "libwebp": {"lossless": "1", "compression_level": "0"}}


def numbered(path: Path) -> Pattern | None:
    """The names of the pictures that an output is; None for other outputs.

    Raises:
        UsageError: the name has several numbers.
    """
    return parse_pattern(path) if path.suffix.lower() in ENDINGS else None


def numbered_as(path: Path, ending: str, like: Pattern | None) -> Path:
    """The pattern of pictures in place of a video: a.anime.%04d.png for a.anime.mp4, with the digits of ``like``."""
    return Pattern(path.parent, f"{path.stem}.", ending, DIGITS if like is None else like.digits).pattern


def parse_ending(text: str) -> str:
    """The ending that a person means by png, or .png.

    Raises:
        UsageError: such pictures are not written.
    """
    ending = f".{text.lower().removeprefix('.')}"
    if ending not in ENDINGS:
        raise UsageError(f"--pictures is {text!r}: expected one of {', '.join(each[1:] for each in ENDINGS)}")
    return ending


def check_codec(path: Path, wanted: str, name: str) -> None:
    """
    Args:
        wanted: what the person asked for, FFmpeg's encoder of which is ``name``.

    Raises:
        UsageError: that makes no pictures of this ending.
    """
    fitting = ENDINGS[path.suffix.lower()]
    if name != fitting:
        raise UsageError(f"{path.suffix} pictures are made by {fitting}, got --codec {wanted}: leave it out")


def picture_format(encoder: str, bits: int, alpha: bool) -> str:
    """The pixel format for a source of this depth."""
    return _FORMATS[encoder][bits > 8][alpha]


def shown_alike(encoder: str, formats: Iterable[str]) -> list[str]:
    """Of an encoder's pixel formats those that all programs show in the same colours: of YUV only JPEG says which.

    None with a palette, which FFmpeg's scaler does not make.
    """
    return [name for name in formats if encoder == "mjpeg" or not name.startswith(("yuv", "pal"))]
