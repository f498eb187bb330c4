"""What a person named as the output: a file, a folder, or standard output."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from vidstyle.containers import CONTAINERS
from vidstyle.errors import SinkError, UsageError
from vidstyle.whole import check_place

PIPE = Path("-")
_LINE = b'{"event"'  # begins a journal of `vidstyle batch`


def output_folder(output: str | None, several: bool) -> Path | None:
    """The folder that ``output`` names: one that exists, or ends in a slash, or is for ``several`` results."""
    if output is not None and (several or output.endswith(("/", os.sep)) or os.path.isdir(output)):  # noqa: PTH112 - one too long is none
        return Path(output)
    return None


def parse_output(text: str | None) -> tuple[Path | None, Path | None]:
    """``output`` and ``folder`` of a `vidstyle.job.FileJob` as a person names them in one: a file, a folder, or "-".

    Raises:
        UsageError: it is empty.
    """
    if text == "":
        raise UsageError("the output's name is empty: give a file or a folder, or leave it out")
    if text is None:
        return None, None
    if Path(text) == PIPE:
        return PIPE, None
    folder = output_folder(text, False)
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
