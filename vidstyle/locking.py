"""A folder held by one process at a time. The system frees the lock when the process ends, however it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vidstyle.errors import SinkError, StyleError


@contextmanager
def alone(folder: Path, doing: str) -> Iterator[None]:
    """Hold ``folder``, which is made, through the file ``lock`` in it; ``doing`` as "pulling anime".

    Raises:
        SinkError: nothing can be written there.
        StyleError: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "ab")  # noqa: SIM115
    except OSError as error:
        raise SinkError(f"cannot write to {folder}: {error.strerror or error}") from error
    with file:
        try:
            _lock(file)
        except OSError as error:
            reason = f"{folder / 'lock'}: {error.strerror or error}"
            raise StyleError(f"another vidstyle is {doing} now: wait for it ({reason})") from error
        yield


def _lock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
