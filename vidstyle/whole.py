"""Write a file whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vidstyle.errors import SinkError

PARTS = "vidstyle-*.part"  # what a process that is killed leaves


def led_to(path: Path) -> Path:
    """What is written for ``path``: where it is a link, the file that it leads to, as any program would."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114 - one too long is none


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write beside ``path``, whose name it takes at the end; its folder is made.

    When the block fails, an existing file stays as it was. The data is on the disk before the name is.

    Raises:
        OSError: as the system gave it, for the caller to name what could not be written.
    """
    path = led_to(path)
    # Of this process alone (two may write one file), and short whatever the name's length.
    part = path.with_name(f"vidstyle-{os.getpid()}-{time.monotonic_ns()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def write_whole(path: Path, data: bytes, private: bool = False) -> None:
    """Write ``data`` as `whole` does; ``private``: for this user alone to read.

    Raises:
        OSError: as the system gave it.
    """

    def opened(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600 if private else 0o666)  # less what the umask takes

    with whole(path) as part, open(part, "xb", opener=opened) as file:
        file.write(data)


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing; what was made goes again at the end where nothing is in it.

    Raises:
        SinkError: it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot make the folder {folder}: {error.strerror or error}") from error
        yield
    finally:
        for each in missing:
            with suppress(OSError):
                each.rmdir()


def check_place(path: Path) -> None:
    """Refuse a file that `write_whole` could not write, before any work is done; nothing is made.

    Raises:
        SinkError: it is a folder, or a folder above it is none, or may not be written to; its name is too long.
    """
    try:
        if path.is_dir():
            raise SinkError(f"{path} is a folder: give a file's name")
        path.exists()
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
    above = next(folder for folder in led_to(path).absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise SinkError(f"cannot write {path}: {above} is no folder")
    if not os.access(above, os.W_OK):
        raise SinkError(f"not allowed to write to {above}: choose another folder for {path.name}")
