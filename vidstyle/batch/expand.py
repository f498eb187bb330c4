"""What a pattern with wildcards matches."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from vidstyle.errors import SourceError
from vidstyle.numbering import names_in


def expanded(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """As `glob.glob`, whose ``**`` follows links to folders: for ever, where they lead in a circle."""
    if not parts:
        yield folder
    elif parts[0] == "**":
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from expanded(Path(place), parts[1:]) if parts[1:] else (Path(place, name) for name in names)
    elif glob.has_magic(parts[0]):
        hidden = parts[0].startswith(".")
        for name in fnmatch.filter(_names_in(folder), parts[0]):
            if hidden or not name.startswith("."):
                yield from expanded(folder / name, parts[1:])
    elif os.path.lexists(folder / parts[0]):
        yield from expanded(folder / parts[0], parts[1:])


def _names_in(folder: Path) -> list[str]:
    with suppress(SourceError):  # a folder of somebody else
        return names_in(folder)
    return []
