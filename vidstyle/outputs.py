"""What a person named as the output: a file, numbered pictures, a folder, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from vidstyle.containers import CONTAINERS, container_format
from vidstyle.errors import SinkError, SourceError, UsageError
from vidstyle.inputs import is_url
from vidstyle.numbering import is_pattern, listed, names_in
from vidstyle.pattern import Pattern
from vidstyle.picture_codecs import ENDINGS, numbered
from vidstyle.refusal import as_sink_error
from vidstyle.series import Series
from vidstyle.whole import check_place, led_to

PIPE = Path("-")
_LINE = b'{"event"'  # begins a journal of `vidstyle batch`


def output_folder(output: str | None, several: bool) -> Path | None:
    """The folder that ``output`` names: one that exists, or ends in a slash, or is for ``several`` results."""
    if output is not None and (several or output.endswith(("/", os.sep)) or os.path.isdir(output)):  # noqa: PTH112 - one too long is none
        return Path(output)
    return None


def check_name(text: str) -> None:
    """Refuse an output that has no name, or one that is not on this machine.

    Raises:
        UsageError: it is so.
    """
    if not text:
        raise UsageError("the output's name is empty: give a file or a folder, or leave it out")
    if is_url(text) and not os.path.isdir(os.path.dirname(text)):  # noqa: PTH112, PTH120 - a path would lose a slash
        raise UsageError("the output is a URL, and results are written to files: give a path")


def check_folder(text: str, what: str) -> None:
    """Refuse an output that cannot be meant as the folder of several results; it may be missing yet.

    Args:
        what: the results, in the message.

    Raises:
        UsageError: it is standard output, or named as a picture or a video: with a slash at its end, as a folder's.
        SinkError: something else than a folder has that name.
    """
    if text == "-":
        raise UsageError("this command writes files, got standard output: give a folder with -o")
    if text.endswith(("/", os.sep)) or os.path.isdir(text):  # noqa: PTH112 - one too long is none
        return
    if os.path.exists(text):  # noqa: PTH110
        raise SinkError(f"{text} is a file, and {what} go to a folder: give its name with -o")
    from vidstyle.picture import ENCODERS

    if Path(text).suffix.lower() in {*ENCODERS, *ENDINGS, *CONTAINERS}:
        raise UsageError(f"{what} go to a folder, got -o {text}: write {text}/ if a folder has that name")


def parse_output(text: str | None) -> tuple[Path | None, Path | None]:
    """``output`` and ``folder`` of a `vidstyle.job.FileJob` as a person names them in one.

    That is a file, the pattern of numbered pictures, a folder, or "-".

    Raises:
        UsageError: it is empty, a URL, a device or a pipe, or a pattern of pictures that cannot be written.
    """
    if text is None:
        return None, None
    check_name(text)
    if Path(text) == PIPE:
        return PIPE, None
    folder = output_folder(text, False)
    if folder is None and (pattern := numbered(Path(text))) is not None:
        return pattern.pattern, None
    if folder is None and is_pattern(text):
        known = " ".join(ENDINGS)
        raise UsageError(f"cannot write numbered pictures as {Path(text).suffix}: use one of {known}, or .mp4")
    if folder is None and os.path.exists(text) and not os.path.isfile(text):  # noqa: PTH110, PTH113 - one too long is none
        raise UsageError(f"the output {text} is neither a file nor a folder: - is standard output")
    return (Path(text), None) if folder is None else (None, folder)


def check_report(path: Path) -> None:
    """Refuse what ``--report`` should not go over, before any work is done: only an earlier report is replaced.

    Raises:
        SinkError: something else is there, or it could not be written.
        UsageError: it is a result's name.
    """
    check_place(path)
    if path.suffix.lower() in CONTAINERS:
        raise UsageError(f"--report {path} has a video's name: give one as report.json")
    if path.exists() and not _is_report(path):
        raise SinkError(f"{path} exists and is no report: give --report another name")


def _is_report(path: Path) -> bool:
    if not path.is_file():  # as /dev/null
        return False
    with suppress(OSError), open(path, "rb") as file:
        head = file.read(len(_LINE))
        return not head or (head.startswith(b"{") and head != _LINE)
    return False


def is_taken(path: Path) -> bool:
    """Whether something has this name: also a link to what is not there now, as on a disk that is out.

    Raises:
        SinkError: it cannot be told, as of a name that is too long.
    """
    try:
        return path.exists() or path.is_symlink()
    except OSError as error:
        raise as_sink_error(error, path) from error


def check_output(path: Path, source: Path | None, overwrite: bool) -> None:
    """Refuse an output before any work is done. ``source``: None where it is no file.

    Raises:
        UsageError: unknown extension, or the output is the source, also through links.
        SinkError: it exists, its folder is missing or not writable.
    """
    container_format(path)
    folder = led_to(path).parent
    exists = is_taken(path)
    if not folder.is_dir():
        raise SinkError(f"no folder {folder} to write {path.name} to: make it first")
    if exists:
        if source is not None and path.exists() and path.samefile(source):
            raise UsageError(f"the output {path} is the source itself: give another name with -o")
        if path.is_dir():
            raise SinkError(f"{path} is a folder: give a file's name")
        if not overwrite:
            raise SinkError(f"{path} exists: give another name with -o, or --overwrite")
    if not os.access(folder, os.W_OK):
        raise SinkError(f"not allowed to write to {folder}: choose another folder with -o")


def check_pictures(pattern: Pattern, source: Series | None, overwrite: bool) -> None:
    """Refuse numbered pictures as an output before any work is done; their folder may be missing yet.

    Args:
        source: where that is numbered pictures as well.

    Raises:
        UsageError: they are the source itself, also through links.
        SinkError: some exist, or their folder cannot be made or written to.
    """
    check_place(pattern.pattern)
    try:
        there = pattern.numbers(names_in(pattern.folder))
    except SourceError as error:
        raise SinkError(str(error)) from error
    if source is not None and not _files(source, range(source.first, source.last + 1)).isdisjoint(
        _files(pattern, there)
    ):
        raise UsageError(f"the output {pattern.pattern} is the source itself: give another name with -o")
    if folders := [number for number in there if pattern.path(number).is_dir()]:
        raise SinkError(f"{pattern.path(folders[0])} is a folder: give another name with -o")
    if there and not overwrite:
        what = f"{listed(pattern, there)} {'exists' if len(there) == 1 else 'exist'} in {pattern.folder}"
        raise SinkError(f"{what}: give another name with -o, or --overwrite")


def _files(pattern: Pattern, numbers: Iterable[int]) -> set[tuple[int, int]]:
    """What tells the files of these numbers from all others; of those that are there."""
    found = set()
    for number in numbers:
        with suppress(OSError):
            status = pattern.path(number).stat()
            found.add((status.st_dev, status.st_ino))
    return found


def standard_output() -> Any:
    """The stream to write pictures to.

    Raises:
        UsageError: it is closed, or a terminal.
    """
    if sys.stdout is None or sys.stdout.closed:
        raise UsageError("standard output is closed: give a file with -o")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal: pipe it into a program, or give a file with -o")
    return sys.stdout.buffer
