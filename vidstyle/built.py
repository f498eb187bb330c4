"""Built engines kept in the user's cache: one file each, which only this user's own build can have made.

    DIGEST-OF-KEY.engine = sealed (see `vidstyle.sealed`): length of the record, 8 bytes | record, JSON | engine

Reading an engine back is running code: TensorRT's files hold compiled kernels, and TensorRT does not defend itself
against strangers' files. So nothing is handed to it that `vidstyle.sealed` does not vouch for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vidstyle.errors import EngineError
from vidstyle.paths import cache_dir
from vidstyle.sealed import UntrustedError, make_folder, read_sealed, write_sealed

log = logging.getLogger(__name__)

KEEP = 64  # newest files; one engine of 1080p has about 5 MB
SHOWN = 8  # characters of a key that people are shown
NO_BUILD = "VIDSTYLE_NO_BUILD"  # set in the environment: what is not built is an error
_LENGTH = 8  # bytes
_STALE = 3600  # seconds after which a part of a killed process is removed


@dataclass(frozen=True)
class Key:
    """All that a built engine depends on; an engine serves one key alone.

    Attributes:
        engine: "tensorrt"; "cuda" for a record without an engine.
        precision: "f32", "bf16" or "f16".
        gpu: name and compute capability, as "NVIDIA H200, 9.0".
        runtime: name and version of what runs it, as "TensorRT 10.15.1".
        weights: `vidstyle.engine.Recipe.key`.
        code: digest of what builds it.
        optimization_level: 0 to 5.
        tiling: "none", "fast", "moderate" or "full".
    """

    engine: str
    height: int
    width: int
    batch: int
    precision: str
    gpu: str
    runtime: str
    torch: str
    weights: str
    code: str
    optimization_level: int = 3
    tiling: str = "none"

    @property
    def family(self) -> str:
        """Digest of all but the levels of optimization, which change no result: its members serve for each other."""
        text = json.dumps(asdict(replace(self, optimization_level=0, tiling="")), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def digest(self) -> str:
        """As "09fb8a1c0d...-3-none"."""
        return f"{self.family}-{self.optimization_level}-{self.tiling}"


@dataclass(frozen=True)
class Record:
    """What is known of a built engine.

    Attributes:
        style: name of the look, for people.
        bytes: of the engine.
        seconds: that building took.
        psnr: dB against the reference, see `vidstyle.building.verify`.
        date: seconds since 1970, of the build.
        ms: median of one call, upload to download; 0 where it was not measured.
        fps: pictures a second with all calls under way that the engine allows; 0 where it was not measured.
    """

    key: Key
    style: str
    bytes: int
    seconds: float
    psnr: float
    date: float = field(default_factory=time.time)
    ms: float = 0.0
    fps: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the key's digest and parts, then the rest."""
        values = asdict(self)
        return {"key": self.key.digest, **values.pop("key"), **values}


@dataclass(frozen=True)
class Entry:
    """A file of the store; ``record`` is None where it is not to be trusted, and ``problem`` says why."""

    path: Path
    record: Record | None
    problem: str = ""

    @property
    def digest(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Build:
    """How engines are built, for whoever loads one; ``tell`` gets a line for people at each step.

    Attributes:
        force: build again what is there.
        levels: (optimization, tiling); None for any that is there, else the builder's usual.
        may: what is not built may be built, whatever `NO_BUILD` says.
    """

    tell: Callable[[str], None] = log.warning  # which Python writes to stderr, and not into a result
    force: bool = False
    levels: tuple[int, str] | None = None
    may: bool = False


#: of the running command
BUILD: ContextVar[Build] = ContextVar("BUILD", default=Build())  # noqa: B039 - frozen


def may_build() -> bool:
    return BUILD.get().may or not os.environ.get(NO_BUILD)


def folder() -> Path:
    return cache_dir() / "engines"


def timing_cache() -> Path:
    """TensorRT's measurements of its kernels, which make the next build quicker."""
    return folder() / "timing.cache"


@contextmanager
def building(key: Key) -> Iterator[None]:
    """Hold the right to build ``key``: a second process waits here, and then finds the first one's engine.

    Raises:
        EngineError: the folder cannot be written.
    """
    lock = FileLock(folder() / f"{key.digest}.lock")
    try:
        make_folder(folder())
        try:
            lock.acquire(timeout=0)
        except Timeout:
            BUILD.get().tell("another vidstyle builds this engine: waiting for it, some minutes perhaps")
            lock.acquire()
    except OSError as error:
        raise _unwritable(error) from error
    try:
        yield
    finally:
        lock.release()


def fetch(key: Key, any_level: bool = True) -> tuple[Record, bytes] | None:
    """The engine of ``key``, or the quickest of its family; None where there is none to trust."""
    found = entries(key.family if any_level else key.digest)
    for entry in sorted(found, key=lambda e: e.record.ms or 1e9 if e.record else 0.0):
        if entry.record is None:
            log.warning("the built engine %s is %s: building again", entry.path, entry.problem)
            with suppress(OSError):
                entry.path.unlink()
            continue
        with suppress(OSError):
            os.utime(entry.path)  # the newest are kept
        with suppress(UntrustedError, FileNotFoundError):  # it was good a moment ago
            return _read(entry.path)
    return None


def store(record: Record, data: bytes) -> None:
    """Keep an engine under its key, in place of one that is there.

    Raises:
        EngineError: the folder cannot be written.
    """
    text = json.dumps(asdict(record), sort_keys=True).encode()
    try:
        write_sealed(folder() / f"{record.key.digest}.engine", len(text).to_bytes(_LENGTH, "big") + text + data)
        _prune()
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> EngineError:
    where = f"built engines cannot be kept in {folder()} ({error.strerror or error})"
    return EngineError(f"{where}: set VIDSTYLE_HOME to a folder of your own")


def measured(record: Record, ms: float, fps: float) -> Record:
    """``record`` with what was measured, in the store too where its engine is still there."""
    new = replace(record, ms=ms, fps=fps)
    with suppress(UntrustedError, FileNotFoundError):
        store(new, _read(folder() / f"{record.key.digest}.engine")[1])
    return new


def entries(beginning: str = "") -> list[Entry]:
    """Built engines by the ``beginning`` of their digest, also those that are not to be trusted; the newest first."""
    found = [_entry(path) for path in folder().glob(f"{beginning}*.engine")]
    return sorted(found, key=lambda e: e.record.date if e.record else 0.0, reverse=True)


def remove(which: str) -> list[Entry]:
    """Remove "all" engines, or those of the style ``which``, or else those whose key begins so.

    A beginning has `SHOWN` characters at least: "3d" is a style's name, and the beginning of any style's key.

    Raises:
        EngineError: a file cannot be removed.
    """
    found = entries()
    gone = [e for e in found if which in ("all", e.record and e.record.style)]
    gone = gone or [e for e in found if e.digest == which or (len(which) >= SHOWN and e.digest.startswith(which))]
    try:
        for entry in gone:
            entry.path.unlink(missing_ok=True)
        if which == "all":
            timing_cache().unlink(missing_ok=True)
    except OSError as error:
        raise EngineError(f"cannot remove {error.filename}: {error.strerror or error}") from error
    return gone


def _entry(path: Path) -> Entry:
    try:
        return Entry(path, _read(path)[0])
    except (UntrustedError, FileNotFoundError) as error:
        return Entry(path, None, str(error))


def _read(path: Path) -> tuple[Record, bytes]:
    """
    Raises:
        UntrustedError, FileNotFoundError: see `read_sealed`; or a good file under another one's name.
    """
    body = read_sealed(path)
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "big")
    try:
        values = json.loads(body[_LENGTH:end])
        record = Record(**values | {"key": Key(**values["key"])})
    except (ValueError, TypeError, KeyError) as error:
        raise UntrustedError("of another version of vidstyle") from error
    if path.stem != record.key.digest:
        raise UntrustedError("of another key")
    return record, body[end:]


def _prune() -> None:
    """Remove all but the newest engines, and parts that killed processes left."""

    def age(path: Path) -> float:
        with suppress(FileNotFoundError):
            return time.time() - path.lstat().st_mtime
        return 0.0

    files = sorted(folder().glob("*.engine"), key=age)
    parts = [path for path in folder().glob("*.part") if age(path) > _STALE]
    for path in [*files[KEEP:], *parts]:
        path.unlink(missing_ok=True)
