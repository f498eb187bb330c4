"""Compiled networks kept in the user's cache: checked by digest on the way back, bounded in number."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path

from vidstyle.paths import cache_dir
from vidstyle.whole import write_whole

log = logging.getLogger(__name__)

KEEP = 40  # newest files; one of 720p on a CPU has about 3 MB
_DIGEST = hashlib.sha256().digest_size


def _path(runtime: str, key: str) -> Path:
    return cache_dir() / runtime / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.bin"


def fetch(runtime: str, key: str) -> bytes | None:
    """What was stored under ``key``, whole and unaltered; None otherwise.

    ``key`` names everything the compiled form depends on: weights, shape, precision, runtime version, device.
    """
    path = _path(runtime, key)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        log.info("the compiled network %s is damaged: compiling again", path)
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # the newest are kept
    return data[_DIGEST:]


def store(runtime: str, key: str, data: bytes) -> None:
    """Keep ``data``, readable by this user alone; a cache that cannot be written is no error."""
    path = _path(runtime, key)
    try:
        write_whole(path, hashlib.sha256(data).digest() + data, private=True)
        _prune(path.parent)
    except OSError as error:
        log.info("the compiled network is not kept: %s", error)


def _prune(folder: Path) -> None:
    """Remove all but the newest, and parts that a killed process left."""
    files = sorted(folder.glob("*.bin"), key=lambda p: p.stat().st_mtime, reverse=True)
    parts = [p for p in folder.glob("*.part") if p.stat().st_mtime < files[0].stat().st_mtime - 3600]
    for path in [*files[KEEP:], *parts]:
        with contextlib.suppress(OSError):
            path.unlink()
