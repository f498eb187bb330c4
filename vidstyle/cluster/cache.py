"""Sources that were fetched, kept on this machine until their room is needed: shared by its workers.

``FOLDER/<of the URL>-<of its state>.whole``; a file without that ending is still being fetched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from vidstyle.batch.messages import Facts
from vidstyle.cluster.store import Store, shown
from vidstyle.errors import SinkError, SourceError
from vidstyle.refusal import as_sink_error

WHOLE, PART = ".whole", ".part"
TRIES = 3  # to fetch what other workers remove as soon as it is there
ABANDONED = 3600.0  # seconds without a byte after which a fetch is over: its worker died
GIB = 1 << 30


def _name(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:24]


@dataclass(frozen=True)
class Cache:
    """``limit``: bytes. A single file may be larger; it then goes with the next one that comes."""

    folder: Path
    limit: int = 20 * GIB

    def take(self, place: Store, name: str, facts: Facts, link: Path) -> None:
        """Make ``link`` a name of the file as ``facts`` say it is: fetched once, however many workers ask.

        Args:
            place, name: where it is.
            link: stays whatever is removed here later; the caller removes it.

        Raises:
            SourceError: it cannot be fetched, or is another by now.
            SinkError: the disk is full, or the limit is far too low.
        """
        url = _name(facts.url)
        entry = self.folder / f"{url}-{_name(f'{facts.size} {facts.mark}')}{WHOLE}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f"{url[:2]}.lock"):  # one for many, or there would be one for every video
                for _ in range(TRIES):
                    if not _is(entry, facts.size):
                        self._fetch(place, name, facts, entry)
                    with suppress(FileNotFoundError):  # another worker made room of it in between
                        os.utime(entry)  # its last use
                        return _link(entry, link)
            raise SinkError(f"{self.folder} has no room for what is fetched there: give a larger --cache")
        except OSError as error:
            raise as_sink_error(error, self.folder) from error

    def _fetch(self, place: Store, name: str, facts: Facts, entry: Path) -> None:
        for old in self.folder.glob(f"{_name(facts.url)}-*"):  # other states of it, and what a worker that died left
            old.unlink(missing_ok=True)
        self._make_room(facts.size)
        part = entry.with_suffix(PART)
        try:
            place.fetch(name, part)
            if part.stat().st_size != facts.size or place.facts(name) != facts:
                raise SourceError(f"{shown(facts.url)} changed while it was fetched: the next run takes it as it is")
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            part.replace(entry)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Remove what was not used for longest, until neither the limit nor the disk is full."""
        found = []
        for path in (*self.folder.glob(f"*{WHOLE}"), *self.folder.glob(f"*{PART}")):
            with suppress(OSError):
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
        free = shutil.disk_usage(self.folder).free
        room = min(self.limit - sum(size for _, size, _ in found), free) - size
        for used, size_there, path in sorted(found):
            if room >= 0:
                return
            if path.suffix == WHOLE or time.time() - used > ABANDONED:
                path.unlink(missing_ok=True)
                room += size_there


def _is(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _link(entry: Path, link: Path) -> None:
    try:
        os.link(entry, link)
    except OSError:  # a file system without them
        shutil.copyfile(entry, link)
