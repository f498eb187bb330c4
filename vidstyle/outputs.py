"""What a person named as the output: a file, a folder, or standard output."""

from __future__ import annotations

import os
from pathlib import Path

from vidstyle.errors import UsageError

PIPE = Path("-")


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
