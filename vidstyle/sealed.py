"""Files that this user alone can have written: owner-only, with an HMAC by a key that no one else can read.

magic | HMAC-SHA256 of the rest | the rest
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
import tempfile
from pathlib import Path

from vidstyle.paths import state_dir

log = logging.getLogger(__name__)

MAGIC = b"vidstyle sealed 1\n"
MOST = 1 << 31  # bytes read of a file
_MAC, _SECRET = 32, 32  # bytes


class UntrustedError(Exception):
    """The file is damaged, or another user could have made it; the message says which."""


def secret_file() -> Path:
    return state_dir() / "keys" / "seal.key"


def read_sealed(path: Path) -> bytes:
    """What was written by `write_sealed`; checked on the descriptor it is read from.

    Raises:
        UntrustedError: anything but that.
        FileNotFoundError.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:
            if problem := loose(os.fstat(file.fileno())):
                raise UntrustedError(problem)
            data = file.read(MOST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UntrustedError(f"not readable ({error.strerror or error})") from error
    head, body = data[: len(MAGIC) + _MAC], data[len(MAGIC) + _MAC :]
    secret = _known_secret()
    if secret is None or not hmac.compare_digest(head, MAGIC + _mac(secret, body)):
        raise UntrustedError("damaged or not built by you")
    return body


def write_sealed(path: Path, body: bytes) -> None:
    """All of it or nothing: under a name of its own, then renamed. The folder is made, for this user alone.

    Raises:
        OSError.
    """
    make_folder(path.parent)
    data = MAGIC + _mac(_known_secret() or _new_secret(), body) + body
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """For this user alone, also where it was there before."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def loose(found: os.stat_result) -> str:
    """Why another user may have made a file or may change it; "" where none can. Windows has no such bits."""
    if not hasattr(os, "geteuid"):
        return ""
    if found.st_uid != os.geteuid():
        return "another user's"
    if not stat.S_ISREG(found.st_mode):
        return "not a file"
    return "open to other users" if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def secret_problem() -> str:
    """Why the user's key is not to be trusted; "" where it is, or is not made yet."""
    try:
        found = secret_file().lstat()
    except FileNotFoundError:
        return ""
    if problem := loose(found):
        return problem
    if hasattr(os, "geteuid") and found.st_mode & 0o077:
        return "readable by other users"
    return "" if found.st_size == _SECRET else "damaged"


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.new(secret, body, hashlib.sha256).digest()


def _known_secret() -> bytes | None:
    """This user's key; None where there is none, or where others could know it."""
    if problem := secret_problem():
        log.warning("the key %s is %s: what it sealed is not used", secret_file(), problem)
        return None
    try:
        return secret_file().read_bytes()
    except OSError:
        return None


def _new_secret() -> bytes:
    """A key in place of one that cannot be used."""
    path = secret_file()
    make_folder(path.parent)
    if secret_problem():
        path.unlink()
    handle, part = tempfile.mkstemp(dir=path.parent)  # mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(_SECRET))
    try:
        os.link(part, path)  # not renamed: where two processes make it at one time, the first one's stays
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        Path(part).replace(path)
    Path(part).unlink(missing_ok=True)
    return path.read_bytes()
