"""Write a file whole or not at all."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from vidstyle.errors import SinkError


def write_whole(path: Path, data: bytes) -> None:
    """Write beside ``path`` and rename; its folder is made, and an existing file stays as it was on failure.

    Raises:
        OSError: as the system gave it, for the caller to name what could not be written.
    """
    # Of this process alone (two may write one file), and short whatever the name's length.
    part = path.with_name(f"vidstyle-{os.getpid()}-{time.monotonic_ns()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def check_place(path: Path) -> None:
    """Refuse a file that `write_whole` could not write, before any work is done; nothing is made.

    Raises:
        SinkError: it is a folder, or a folder above it is none, or may not be written to.
    """
    if path.is_dir():
        raise SinkError(f"{path} is a folder: give a file's name")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise SinkError(f"cannot write {path}: {above} is no folder")
    if not os.access(above, os.W_OK):
        raise SinkError(f"not allowed to write to {above}: choose another folder for {path.name}")
