"""What one process at a time may write. The system frees the lock when the process ends, however it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from vidstyle.errors import SinkError, StyleError, UsageError

LOCK = "lock"  # name of the file


@contextmanager
def alone(folder: Path, doing: str) -> Iterator[None]:
    """Hold ``folder``, which is made, through the file `LOCK` in it, which stays; ``doing`` as "pulling anime".

    Raises:
        SinkError: nothing can be written there.
        StyleError: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "ab")  # noqa: SIM115
    except OSError as error:
        raise SinkError(f"cannot write to {folder}: {error.strerror or error}") from error
    with file:
        try:
            _lock(file)
        except OSError as error:
            reason = f"{folder / LOCK}: {error.strerror or error}"
            raise StyleError(f"another vidstyle is {doing} now: wait for it ({reason})") from error
        yield


def _lock(file: BinaryIO, shared: bool = False) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


@contextmanager
def passed_on(file: Path, busy: str, shared: bool = False) -> Iterator[tuple[int, ...]]:
    """Hold ``file``, which is made, for this block and every process started in it with these descriptors.

    On Windows, where none can be passed on, nothing is held.

    Args:
        shared: several may hold it so at a time, and nobody otherwise.

    Raises:
        UsageError: another process holds it, which ``busy`` tells.
    """
    if sys.platform == "win32":
        yield ()
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "ab") as opened:
        try:
            _lock(opened, shared)
        except BlockingIOError:
            raise UsageError(busy) from None
        yield (opened.fileno(),)


def hold(file: Path, busy: str, make: Callable[[], object] = lambda: None) -> FileLock:
    """Lock ``file``, which is made; once more if the run that had it removed it in between.

    Args:
        make: makes its folder before each try.

    Raises:
        SinkError: another process holds it, which ``busy`` tells.
        OSError: it cannot be made.
    """
    lock = FileLock(file, timeout=0, thread_local=False)
    for _ in range(10):
        make()
        try:
            lock.acquire()
        except Timeout:
            raise SinkError(busy) from None
        except FileNotFoundError:
            continue
        if file.exists():
            return lock
        lock.release()
    raise SinkError(f"cannot lock {file}: is another program removing it?")


def let_go(lock: FileLock) -> None:
    """Release what `hold` gave and remove its file; a second call does nothing."""
    if not lock.is_locked:
        return
    with suppress(OSError):  # first, or it might be another's; Windows removes it only when it is closed
        Path(lock.lock_file).unlink()
    lock.release()
    if sys.platform == "win32":
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
