"""Picture files in a look: where each result goes, and writing it whole or not at all."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidstyle.convert import at_short_side, resize
from vidstyle.detail import in_detail
from vidstyle.errors import SinkError, SourceError, UsageError
from vidstyle.faces import size_of_picture
from vidstyle.frame import AUTO
from vidstyle.hdr import TONE_MAPPED
from vidstyle.inputs import series
from vidstyle.outputs import check_folder, check_name, is_taken, output_folder
from vidstyle.picture import ENCODERS, QUALITY, Picture, encode_picture, keeps_alpha, on_white, read_picture
from vidstyle.pixel_formats import FEWER_BITS
from vidstyle.stylizer import Stylizer
from vidstyle.whole import led_to, write_whole

_NO_FILE = re.compile(r"-$|[A-Za-z][A-Za-z0-9+.-]+:/")  # a path has lost the second slash of a URL


@dataclass(frozen=True)
class PictureReport:
    """What became of one picture. ``notes``: what the output could not keep."""

    source: str
    output: str
    width: int
    height: int
    seconds: float
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"notes": list(self.notes)}


def style_image(image: np.ndarray, stylizer: Callable[[np.ndarray], np.ndarray], size: int | str | None) -> np.ndarray:
    """Style uint8 [H, W, 3] RGB at a short side of ``size`` (None: its own), or less where it would be enlarged.

    `vidstyle.frame.AUTO` and `BEST` are by its faces. The result has the picture's size.
    """
    height, width = image.shape[:2]
    own = size_of_picture(image) if isinstance(size, str) else size
    worked = at_short_side(image, own, enlarge=isinstance(size, str))
    look = resize(stylizer(worked), height, width)
    return in_detail(look, image, worked.shape[:2]) if worked.size < image.size else look


def write_picture(path: Path, data: bytes) -> None:
    """Write a picture file whole or not at all; its folder is made.

    Raises:
        SinkError: the system refuses; an existing file stays as it was.
    """
    try:
        write_whole(path, data)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from error


def targets(sources: Sequence[Path], output: str | None, style: str, extension: str | None = None) -> list[Path]:
    """Where each picture's result goes: ``output`` is a file for one source, or a folder (`output_folder`).

    Without it ``{stem}.{style}{ext}`` beside the source; .png where its own kind cannot be written. Two may have one.

    Raises:
        UsageError: a source is a URL or standard input, or ``output`` is; or several pictures are to go to a name that
            is a picture's or a video's.
        SinkError: several pictures are to go to one file.
    """
    _check_sources(sources)
    folder = output_folder(output, len(sources) > 1)
    if output is not None:
        _check_output(output, len(sources), folder)
    if output is not None and folder is None:
        return [Path(output)]
    endings = [extension or (source.suffix if source.suffix.lower() in ENCODERS else ".png") for source in sources]
    return [
        (folder or source.parent) / f"{source.stem}.{style}{ending}"
        for source, ending in zip(sources, endings, strict=True)
    ]


def _check_sources(sources: Sequence[Path]) -> None:
    for source in sources:
        if _NO_FILE.match(str(source)) and not os.path.lexists(source):
            what = "standard input" if str(source) == "-" else "a URL"
            raise UsageError(f"this command reads files, got {what}: save it first, and give its path")


def _check_output(output: str, count: int, folder: Path | None) -> None:
    check_name(output)
    if output == "-":
        raise UsageError("this command writes files, got standard output: give a file or a folder with -o")
    if folder is not None:
        check_folder(output, f"{count} pictures")


def check_source(path: Path) -> None:
    """Refuse what is not there: else a mistyped folder is told as one that the result cannot be written to.

    Raises:
        SourceError: there is nothing of that name.
    """
    try:
        path.lstat()
    except OSError as error:
        pictures = series(path) if isinstance(error, FileNotFoundError) else None
        hint = f"; numbered pictures are given by their own names, as {pictures}" if pictures else ""
        raise SourceError(f"cannot read {path}: {error.strerror or error}{hint}") from error


def check_target(path: Path, sources: Sequence[Path], overwrite: bool, folder: Path | None = None) -> None:
    """Refuse an output before any work is done; ``folder`` may be missing, since it is made when written to.

    Raises:
        UsageError: unknown extension, or the output is one of the sources, also through links.
        SinkError: it exists, its name is too long, or its folder is missing or not writable.
    """
    _check_extension(path)
    if is_taken(path):
        there = path.exists()  # a link may lead nowhere, and a source's name may be too long to exist
        if there and any(os.path.exists(source) and path.samefile(source) for source in sources):  # noqa: PTH110
            raise UsageError(f"the output {path} is a source itself: give another name with -o")
        if path.is_dir():
            raise SinkError(f"{path} is a folder: give a file's name")
        if not overwrite:
            raise SinkError(f"{path} exists: give another name with -o, or --overwrite")
    place = led_to(path).parent
    if not place.is_dir() and place != folder:
        raise SinkError(f"no folder {place} to write {path.name} to: make it first")
    if place.is_dir() and not os.access(place, os.W_OK):
        raise SinkError(f"not allowed to write to {place}: choose another folder with -o")


def _check_extension(path: Path) -> None:
    known = [extension for extension, entry in ENCODERS.items() if entry[0] in av.codecs_available]
    if path.suffix.lower() not in known:
        hint = "" if path.suffix else f", or {path}/ for a folder"
        raise UsageError(f"cannot write {path.name!r} as a picture: use one of the extensions {' '.join(known)}{hint}")


def stylize_image(
    source: Path, target: Path, stylizer: Stylizer, size: int | str | None = AUTO, quality: int = QUALITY
) -> PictureReport:
    """Style one picture file; ``target`` was checked by `check_target`.

    Raises:
        SourceError, SinkError, EngineError, StyleError: nothing is left behind then.
    """
    started = time.perf_counter()
    picture, notes = read_picture(source), []
    if picture.alpha is not None and not keeps_alpha(target.suffix):
        picture = on_white(picture)
        notes.append(f"{target.suffix} keeps no transparency: put on white")
    styled = replace(picture, rgb=style_image(picture.rgb, stylizer, size))
    write_picture(target, encode_picture(styled, target.suffix, quality))
    notes += _left_out(picture, target.suffix)
    height, width = picture.rgb.shape[:2]
    return PictureReport(str(source), str(target), width, height, time.perf_counter() - started, tuple(notes))


def _left_out(picture: Picture, extension: str) -> Iterator[str]:
    """What of a picture's file is not in its result, but for the transparency."""
    if picture.more:
        yield "of its pages the first alone was styled"
    if picture.hdr:
        yield TONE_MAPPED
    elif picture.bits > 8:
        yield FEWER_BITS.format(picture.bits)
    for tags, name in ((picture.profile, "the colour profile"), (picture.exif, "EXIF")):
        if tags and extension.lower() not in (".png", ".jpg", ".jpeg"):
            yield f"{name} is not kept in {extension}"
