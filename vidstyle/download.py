"""Fetch one file over HTTP whole or not at all: resumed after a cut, of a bounded size, checked by its digest."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vidstyle.errors import SinkError, StyleError

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 16
ATTEMPTS = 4  # of a transfer that breaks off

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if the server says


class AbsentError(StyleError):
    """The server has no such file (404)."""


class _BrokenError(Exception):
    """The transfer broke off; what came is in the .part file."""


def open_url(url: str, headers: dict[str, str], timeout: float = TIMEOUT) -> Any:
    """Answer of the server, to be used as a context manager; proxies of the environment are used.

    Raises:
        OSError, http.client.HTTPException: as urllib does; `urllib.error.HTTPError` (to be closed)
            for every status that is no success.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "vidstyle", **headers})
    answer = urllib.request.urlopen(request, timeout=timeout)
    if url.startswith("https:") and not answer.url.startswith("https:"):
        answer.close()
        raise urllib.error.URLError(f"sent on from https to {answer.url}")
    return answer


def download(url: str, path: Path, digest: str | None, limit: int, progress: Progress) -> str:
    """Bring ``url`` to ``path`` through ``{path}.part`` and return its sha256.

    With a ``digest`` a transfer that was cut goes on where it ended, now or in a later call. Without
    one nothing could tell the joint of two releases, so then every attempt begins anew.

    Args:
        limit: most bytes the file may have.

    Raises:
        AbsentError: the server has no such file.
        StyleError: no network, an answer that is no file, too large, or not of this digest.
        SinkError: the bytes cannot be written.
    """
    part = path.with_name(path.name + ".part")
    if not (digest and _sha256(part) == digest):
        _attempts(url, part, bool(digest), limit, progress)
    found = _sha256(part)
    if digest and found != digest:
        part.unlink(missing_ok=True)
        raise StyleError(
            f"{path.name} is not as published: its sha256 is {found}, expected {digest}; deleted, try again later"
        )
    with _disk(path):
        part.replace(path)
    return found


def _attempts(url: str, part: Path, resume: bool, limit: int, progress: Progress) -> None:
    host = urlsplit(url).netloc
    for attempt in range(ATTEMPTS):
        try:
            return _transfer(url, part, resume, limit, progress)
        except _BrokenError as error:
            if attempt == ATTEMPTS - 1:
                kept = "; what came is kept: run it again to go on" if resume else ""
                raise StyleError(f"the transfer from {host} broke off ({error}){kept}") from error
        except urllib.error.HTTPError as error:
            with error:
                kind = AbsentError if error.code == 404 else StyleError
                raise kind(f"{host} answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise StyleError(f"cannot reach {host} ({reason}): check the network") from error


def _transfer(url: str, part: Path, resume: bool, limit: int, progress: Progress) -> None:
    """One request, its bytes appended to ``part``, or written anew where the server ignores Range."""
    have = part.stat().st_size if resume and part.exists() else 0
    try:
        answer = open_url(url, {"Range": f"bytes={have}-"} if have else {})
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        part.unlink(missing_ok=True)  # as long as the file or longer, yet of another digest
        raise _BrokenError("the server has nothing from there on") from error
    with answer:
        start, total = _extent(answer, part, have)
        done = start if (total or 0) > limit else _receive(answer, part, start, total, limit, progress)
    if max(done, total or 0) > limit:
        part.unlink(missing_ok=True)
        raise StyleError(f"{url} has more than {limit >> 20} MB: refused, this is not the file that was asked for")
    if total is not None and done < total:
        raise _BrokenError(f"{done} of {total} bytes came")


def _receive(answer: Any, part: Path, done: int, total: int | None, limit: int, progress: Progress) -> int:
    """Write the body behind the ``done`` bytes there are, onto the disk; give the new size."""
    with _disk(part), open(part, "ab" if done else "wb") as file:
        for block in _blocks(answer):
            done += len(block)
            if done > limit:
                break
            file.write(block)
            progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    return done


def _extent(answer: Any, part: Path, have: int) -> tuple[int, int | None]:
    """(first byte the answer brings, bytes of the whole file if known)."""
    if answer.status != 206:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if not match or int(match[1]) != have:
        part.unlink(missing_ok=True)
        raise _BrokenError("the server sent another part than was asked for")
    return have, int(match[2])


def _blocks(answer: Any) -> Iterator[bytes]:
    try:
        while block := answer.read1(CHUNK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # of whoever was reading the progress
        raise
    except OSError as error:
        raise SinkError(f"cannot write the download {path}: {error.strerror or error}") from error


def _sha256(path: Path) -> str:
    """Digest of a file; "" where there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
