"""Files behind URLs (s3, gs, sftp, ...) through fsspec: listed, fetched, put in place whole; errors in one line.

Keys, regions and the like are the environment's, as fsspec's packages read them, on every machine.
"""

from __future__ import annotations

import errno
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vidstyle.batch.messages import Facts
from vidstyle.errors import EngineError, SinkError, UsageError, VidstyleError

T = TypeVar("T")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters at least: C: is a drive
PAUSES = (1.0, 3.0, 9.0)  # seconds before the next try, once a connection is lost
#: a file appears there when all of it has come; moving it would copy all of it
AT_ONCE = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"))
#: what tells one state of a file from another; the first that a store knows
_MARKS = (
    *("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "updated", "modified"),
    "created",
)
_LINKS = frozenset(("link", "other"))  # types that listings have for links, and for pipes and devices
_FINAL: tuple[type[Exception], ...] = (
    *(FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError),
    *(NotImplementedError, ValueError, TypeError),
)


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


def shown(url: str) -> str:
    """For people: without a password."""
    parts = urlsplit(url)
    return url.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else url


def joined(url: str, *below: str) -> str:
    return "/".join([url.rstrip("/"), *(name for name in below if name not in ("", "."))])


@dataclass(frozen=True)
class Store:
    """The place of a URL: everything below is said relative to it, with slashes.

    Raises (every method):
        SourceError, SinkError: by `failing`; it is refused, or the connection is lost again and again.
    """

    url: str
    fs: Any
    root: str
    failing: type[VidstyleError] = SinkError

    def at(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def _do(self, what: str, name: str, action: Callable[[], T]) -> T:
        """Retried while it may be the connection's fault."""
        for pause in (*PAUSES, None):
            try:
                return action()
            except Exception as error:
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise SinkError(f"no room left to {what} {shown(joined(self.url, name))}") from error
                if pause is None or isinstance(error, _FINAL) or "redential" in type(error).__name__:
                    where = shown(joined(self.url, name))
                    raise self.failing(f"cannot {what} {where}: {_reason(error)}") from error
                time.sleep(pause)
        raise AssertionError(name)

    def facts(self, name: str = "") -> Facts | None:
        """None where there is no such file."""

        def ask() -> Facts | None:
            self.fs.invalidate_cache()
            try:
                found = self.fs.info(self.at(name))
            except FileNotFoundError:
                return None
            return self._facts(name, found) if found["type"] == "file" else None

        return self._do("look at", name, ask)

    def _facts(self, name: str, found: dict[str, Any]) -> Facts:
        mark = next((str(found[key]) for key in _MARKS if found.get(key) is not None), "")
        return Facts(joined(self.url, name), int(found["size"]), mark)

    def is_folder(self) -> bool:
        return self._do("look at", "", lambda: bool(self.fs.isdir(self.root)))

    def files(self) -> dict[str, Facts]:
        """All below, by name relative to here; empty where there is no such folder."""

        def ask() -> dict[str, Any]:
            self.fs.invalidate_cache()
            try:
                return self._followed(self.fs.find(self.root, detail=True))
            except FileNotFoundError:
                return {}

        return dict(self._relative(self._do("list", "", ask)))

    def matching(self, pattern: str) -> dict[str, Facts]:
        """Files that ``pattern``, relative to here, matches."""

        def ask() -> dict[str, Any]:
            self.fs.invalidate_cache()
            return self._followed(self.fs.glob(self.at(pattern), detail=True))

        return dict(self._relative(self._do("list", pattern, ask)))

    def _followed(self, found: dict[str, Any]) -> dict[str, Any]:
        """Links as what they lead to; one that leads nowhere as a file, which fails by name when its turn comes."""

        def target(path: str) -> dict[str, Any]:
            try:
                return dict(self.fs.info(path))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ELOOP):
                    raise
                return {**found[path], "type": "file"}

        return {path: target(path) if about["type"] in _LINKS else about for path, about in found.items()}

    def _relative(self, found: dict[str, Any]) -> Iterator[tuple[str, Facts]]:
        for path in sorted(found):
            top = f"{self.root.rstrip('/')}/"
            if found[path]["type"] == "file" and path.startswith(top):
                name = path.removeprefix(top)
                yield name, self._facts(name, found[path])

    def fetch(self, name: str, file: Path) -> None:
        """Into a file of this machine."""
        self._do("fetch", name, lambda: self.fs.get_file(self.at(name), str(file)))

    def put(self, file: Path, name: str) -> None:
        """In place when all of it is there, or not at all."""
        target = self.at(name)

        def send() -> None:
            if _protocol(self.url) in AT_ONCE:
                self.fs.put_file(str(file), target)
                return
            self.fs.makedirs(self.fs._parent(target), exist_ok=True)
            part = f"{self.fs._parent(target)}/vidstyle-{secrets.token_hex(6)}.part"
            try:
                self.fs.put_file(str(file), part)
                self.fs.mv(part, target)
            except BaseException:
                with suppress(Exception):
                    self.fs.rm_file(part)
                raise

        self._do("write", name, send)

    def remove(self, name: str) -> None:
        """A file; it may be gone already."""

        def go() -> None:
            with suppress(FileNotFoundError):
                self.fs.rm_file(self.at(name))

        self._do("remove", name, go)

    def clear(self) -> None:
        """Remove all of it; where there are folders, the folder too."""

        def go() -> None:
            with suppress(FileNotFoundError):
                self.fs.rm(self.root, recursive=True)

        self._do("remove", "", go)


def store(url: str, failing: type[VidstyleError] = SinkError) -> Store:
    """
    Args:
        failing: class of the errors: `SourceError` to read from, `SinkError` to write to.

    Raises:
        EngineError: the package is not installed that the protocol needs.
        UsageError: there is no such protocol, or the URL is incomplete.
        SourceError, SinkError: nobody answers there.
    """
    try:
        import fsspec
    except ImportError:
        raise EngineError(f"{shown(url)} needs fsspec: pip install 'vidstyle[cluster]'") from None
    protocol = _protocol(url)
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise UsageError(f"cannot use {shown(url)}: {protocol}:// is not known; s3, gs and sftp are") from error
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or error
        raise EngineError(f"{protocol}:// needs the package {package}: pip install {package}") from error
    for pause in (*PAUSES, None):
        try:
            fs, root = fsspec.core.url_to_fs(url.rstrip("/"))
            return Store(url.rstrip("/"), fs, root, failing)
        except Exception as error:
            if pause is None or isinstance(error, _FINAL):
                raise failing(f"cannot reach {shown(url)}: {_reason(error)}") from error
            time.sleep(pause)
    raise AssertionError(url)


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower()


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file, folder or bucket"
    if isinstance(error, PermissionError):
        return "no access: give this machine's account the right, or other keys"
    if "redential" in type(error).__name__:
        return "no keys for it are found in this machine's environment"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def check(url: str) -> None:
    """Refuse a place for results before any work is done.

    Raises:
        EngineError, UsageError, SinkError: as `store`, or it cannot be written to.
    """
    import tempfile

    place = store(url)
    with tempfile.NamedTemporaryFile() as probe:
        name = f".vidstyle-{secrets.token_hex(6)}"
        place.put(Path(probe.name), name)
        place.remove(name)
