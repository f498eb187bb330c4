"""Numbered pictures, as renderers and editors write them: a video whose times come from a rate that is given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.errors import SourceError
from vidstyle.pattern import Pattern
from vidstyle.picture_tags import (
    claimed_size,
    claims_alpha,
    is_animated_webp,
    read_orientation,
    read_profile,
    still_format,
    unread_compression,
)

#: extension -> FFmpeg's demuxer of the still where its first bytes tell
KINDS: dict[str, str | None] = {
    ".png": "png_pipe",
    **dict.fromkeys((".jpg", ".jpeg"), "jpeg_pipe"),
    **dict.fromkeys((".tif", ".tiff"), "tiff_pipe"),
    ".webp": "webp_pipe",
    ".bmp": "bmp_pipe",
    **dict.fromkeys((".dpx", ".tga"), None),
}
LINEAR = (".exr", ".hdr")  # scene light: what it looks like is chosen by the program that made it
_HEAD = 1 << 16  # bytes of a picture that nearly always tell its size


@dataclass(frozen=True)
class Series(Pattern):
    """All pictures of one name but for the number.

    Attributes:
        first, last: numbers; every one between has its picture.
        named: what a result is named after, and lies beside: the folder where that was given, else `beside`.
        rate: pictures a second.
        alpha: one of them says that it has some, which the first need not.
    """

    first: int
    last: int
    named: Path
    rate: Fraction = Fraction(25)
    alpha: bool = False

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        """For messages: shot.%04d.png, 1001 to 1024."""
        return f"{self.pattern.name}, {self.first} to {self.last}"

    def stamp(self) -> str:
        """Changes with every picture that is written anew; their contents are not read.

        Raises:
            SourceError: one is gone.
        """
        result = hashlib.sha256()
        for number in range(self.first, self.last + 1):
            try:
                found = self.path(number).stat()
            except OSError as error:
                raise SourceError(f"cannot read {self.path(number)}: {error.strerror}") from error
            result.update(
                f"{self.name(number)}\0{found.st_size} {found.st_mtime_ns}\n".encode(errors="surrogateescape")
            )
        return result.hexdigest()

    def caveat(self) -> str | None:
        """What the first picture says of its colours that a video cannot; None where they are as usual."""
        data = self.path(self.first).read_bytes()
        if data[:4] in (b"SDPX", b"XPDS") and data[801:802] in (b"\1", b"\3"):  # printing density, logarithmic
            return "the pictures say that they hold film densities (log); they were taken as they are"
        profile = read_profile(data)
        if profile is None or any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be")):
            return None
        return "the pictures' colour profile is not kept: their colours were taken as sRGB"

    def accounted(
        self, frames: Iterator[Any], expected: int, again: Callable[[int], Iterator[Any]], lost: Callable[[str], None]
    ) -> Iterator[Any]:
        """The decoded ``frames``; ``lost`` is told the names of the pictures that are not among them.

        Args:
            expected: pts of the first.
            again: decodes from a pts on by one thread: with several, the pictures behind a damaged one near the end
                do not come out.
        """

        def passed(until: int) -> None:
            if (count := until - expected) > 0:
                first, last = (self.name(self.first + pts) for pts in (expected, until - 1))
                what = f"{first} cannot be decoded (damaged?): a picture is missing there"
                several = f"{first} to {last} cannot be decoded (damaged?): {count} pictures are missing there"
                lost(what if count == 1 else several)

        for anew in (False, True):
            if anew and expected < self.count:
                frames = again(expected)
            for frame in frames:
                if frame.pts >= self.count:  # written since
                    break
                passed(frame.pts)
                yield frame
                expected = frame.pts + 1
        passed(self.count)


@dataclass(frozen=True)
class _Look:
    """What a picture's head says: (width, height) as it is stored, `vidstyle.orientation`'s turn, and of its alpha."""

    size: tuple[int, int]
    turn: int
    alpha: bool


def checked(series: Series) -> Series:
    """Look at every picture's head: all can be read, and are of one size. TGA, WebP and BMP are decoded for that.

    Returns:
        the series, with what was seen of its alpha.

    Raises:
        SourceError: one is not as the others; the message names it.
    """
    if series.pattern.suffix.lower() in LINEAR:
        what = "hold linear light, and how that is to look is not in them"
        raise SourceError(f"{series.pattern}: such pictures {what}: make 16-bit .png or .tif of them first")
    first = _look(series.path(series.first))
    alpha = first.alpha
    for number in range(series.first + 1, series.last + 1):
        look = _look(series.path(number))
        if look.size != first.size:
            was, is_ = ("{}x{}".format(*each.size) for each in (first, look))
            raise SourceError(
                f"{series.path(number)} is {is_}, and {series.name(series.first)} is {was}: "
                "the pictures of a series have one size"
            )
        if look.turn != first.turn:
            raise SourceError(
                f"{series.path(number)} is turned by another angle than {series.name(series.first)} (EXIF): "
                "turn the pictures themselves, all the same way up"
            )
        alpha |= look.alpha
    return replace(series, alpha=alpha)


def _look(path: Path) -> _Look:
    try:
        with open(path, "rb") as file:
            data = file.read(_HEAD)
            if not data:
                raise SourceError(f"{path} is empty (0 bytes): make it again")
            if (size := claimed_size(data)) is None and still_format(data) in ("jpeg_pipe", "tiff_pipe"):
                data += file.read()  # it is behind the pixels, or behind large tags
                size = claimed_size(data)
        kind = KINDS[path.suffix.lower()]
        if kind is not None and still_format(data) != kind:
            raise SourceError(f"{path} is no {path.suffix[1:].upper()} picture (damaged, or of another kind)")
        if is_animated_webp(data[:64]):
            raise SourceError(f"{path} is an animated WebP: a series is of single pictures")
        if (compression := unread_compression(data)) is not None:
            raise SourceError(
                f"{path} is a TIFF compressed in a way that cannot be read (number {compression}): use LZW"
            )
        return _Look(size or _opened_size(path), read_orientation(data), claims_alpha(data))
    except (OSError, av.error.FFmpegError) as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


def _opened_size(path: Path) -> tuple[int, int]:
    with av.open(f"file:{path}", format="image2", container_options={"pattern_type": "none"}) as container:
        context = container.streams.video[0].codec_context
        if not (context.width and context.height):
            raise SourceError(f"{path} is damaged, or another kind of file: make it again")
        return context.width, context.height
