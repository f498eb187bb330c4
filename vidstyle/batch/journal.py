"""What a batch did, one JSON line for everything that happened, in the output folder.

Lines are appended and brought to the disk; one that was cut by a crash is passed over when the journal is
read: once, at the start of a batch. A lock keeps a second batch off the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from vidstyle.errors import SinkError
from vidstyle.numbering import as_pattern
from vidstyle.pattern import Pattern

NAME = "vidstyle-batch.jsonl"
LOCK = "vidstyle-batch.lock"
#: exit codes that say something about the video, and not about the disk, the device or the command's words
OWN_FAULT = (1, 4)

Fingerprint = dict[str, Any]  # see `vidstyle.job.FileJob.fingerprint`
#: of a file: bytes, mtime in ns; of numbered pictures: bytes of all, and a number that changes with each of them
Stamp = tuple[int, int]


def look(path: Path) -> Stamp | None:
    """Of a file, or of all numbered pictures that are there by their pattern; None where there is none.

    Raises:
        OSError: that cannot be told.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pattern = as_pattern(path)
        return None if pattern is None else _look_at_all(pattern)
    return found.st_size, found.st_mtime_ns


def _look_at_all(pattern: Pattern) -> Stamp | None:
    states = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for number in sorted(pattern.numbers(path.name for path in pattern.folder.iterdir())):
            found = pattern.path(number).stat()
            states.append((number, found.st_size, found.st_mtime_ns))
    if not states:
        return None
    mark = hashlib.sha256(repr(states).encode()).hexdigest()
    return sum(size for _, size, _ in states), int(mark[:13], 16)  # exact in any program that reads JSON


def stamp(path: Path) -> Stamp | None:
    """None where there is no file, or none that can be looked at."""
    with suppress(OSError):
        return look(path)
    return None


@dataclass(slots=True)
class Entry:
    """What is known of one output.

    Attributes:
        source: absolute path of the video it is made of.
        source_stamp: of that video when it was last tried.
        file: name of the output, in the folder of the item's target.
        made: fingerprint of the output that was put in place, None before.
        size: bytes of that output.
        losses: what was lost of the source on the way; "" for nothing.
        tried: fingerprint of the last run, None where it succeeded.
        failures: runs of ``tried`` that failed through the video's own fault.
        reason, code: of the last failure.
        begun: whether a run began and nothing is known of its end: the batch was killed, or stopped.
        before: the output's stamp when that run began.
        last: reason of the last line about it, or its event; see also `Journal.last`.
    """

    source: str
    source_stamp: Stamp | None = None
    file: str = ""
    made: Fingerprint | None = None
    size: int = -1
    losses: str = ""
    tried: Fingerprint | None = None
    failures: int = 0
    reason: str = ""
    code: int = 0
    begun: bool = False
    before: Stamp | None = None
    last: str = ""


class Journal:
    """A context manager: the folder is made and locked inside the block. `read` alone writes nothing.

    Raises:
        SinkError: another batch is at work there, or the system refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME
        self.entries: dict[str, Entry] = {}
        self._texts: dict[str, str] = {}
        self._refused: dict[tuple[str, str], str] = {}  # (output, source) -> why nothing was tried
        self._lock = FileLock(folder / LOCK, timeout=0)
        self._file: BinaryIO | None = None
        self._as_read: Stamp | None = None
        self._torn = False

    def __enter__(self) -> Journal:
        try:
            with self._disk():
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
        except Timeout:
            raise SinkError(f"another batch is at work in {self.folder}: wait for it, or choose another -o") from None
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk was told when the line was written
                self._file.close()
        self._lock.release()

    def _open(self) -> None:
        self.read()  # another batch may have written since
        with self._disk():
            self._file = open(self.path, "ab")  # noqa: SIM115 - closed at the end of the block
            if self._torn:
                self._file.write(b"\n")

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, Timeout):
                raise
            raise SinkError(f"cannot use {self.path}: {error.strerror or error}") from error

    def read(self) -> None:
        """Take in what earlier batches wrote, where that has changed since it was last read; writes nothing.

        Raises:
            SinkError: it is there and cannot be read.
        """
        if (now := stamp(self.path)) == self._as_read:
            return
        self.entries.clear()
        self._refused.clear()
        line = b"\n"
        if now is not None:
            with self._disk(), open(self.path, "rb") as file:
                for line in file:
                    self._take(line)
        self._torn, self._as_read = not line.endswith(b"\n"), now

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            _check(record)
            self._apply(record)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return  # torn, or by a later version

    def entry(self, target: Path) -> Entry | None:
        return self.entries.get(self._key(target))

    def last(self, target: Path, source: Path) -> str | None:
        """Reason of the last line about a video, or its event. Several videos may be meant for one target."""
        key, entry = self._key(target), self.entry(target)
        return self._refused.get((key, str(source.absolute()))) or (entry.last if entry else None)

    def outputs(self) -> Iterator[Path]:
        """Every file that batches wrote or wanted to write here."""
        for key, entry in self.entries.items():
            path = self.folder / key
            yield path
            yield path.with_name(entry.file or path.name)

    def made(self) -> Iterator[tuple[Path, Path]]:
        """Every file that batches put in place here, and what of."""
        for key, entry in self.entries.items():
            if entry.made is not None:
                path = self.folder / key
                yield path.with_name(entry.file or path.name), Path(entry.source)

    def _key(self, target: Path) -> str:
        """Relative, so that the folder may be moved."""
        return target.relative_to(self.folder).as_posix()

    def write(self, event: str, target: Path, source: Path, **data: Any) -> None:
        """Append a line and bring it to the disk.

        ``started`` needs fingerprint, stamp (of the source), file and before; ``done`` fingerprint and size;
        ``incomplete``, which is done with losses, reason too; ``failed`` fingerprint, reason and code.

        Raises:
            SinkError: the system refuses.
        """
        record = {"event": event, "output": self._key(target), "source": str(source.absolute()), **data}
        record["time"] = datetime.now(UTC).isoformat(timespec="seconds")
        assert self._file is not None, "the journal is used as a context manager"
        with self._disk():
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
            if event != "skipped":  # losing one of these costs nothing
                os.fsync(self._file.fileno())
        self._apply(record)

    def _apply(self, record: dict[str, Any]) -> None:
        event, key, source = record["event"], record["output"], record["source"]
        made = self._shared(record.get("fingerprint"))
        self._refused.pop((key, source), None)
        if event == "failed" and made is None:  # before anything was tried: it says nothing of the output
            self._refused[key, source] = record["reason"]
            return
        entry = self.entries.setdefault(key, Entry(source))
        if event == "started":
            before, mark, file = _as_stamp(record["before"]), _as_stamp(record["stamp"]), record["file"]
            entry.begun, entry.before, entry.source_stamp, entry.file = True, before, mark, file
        elif event in ("done", "incomplete"):
            losses = record["reason"] if event == "incomplete" else ""
            entry = Entry(source, entry.source_stamp, entry.file, made, record["size"], losses)
        elif event == "failed":
            again = entry.failures if entry.tried == made else 0
            entry.failures = again + (record["code"] in OWN_FAULT)
            entry.tried, entry.reason, entry.code, entry.begun = made, record["reason"], record["code"], False
        entry.last = record.get("reason", event)
        self.entries[key] = entry

    def _shared(self, fingerprint: Fingerprint | None) -> Fingerprint | None:
        """Equal texts once in memory: of thousands of videos only their digests differ."""
        if fingerprint is None:
            return None
        return {self._text(name): self._text(value) for name, value in fingerprint.items()}

    def _text(self, value: Any) -> Any:
        return self._texts.setdefault(value, value) if isinstance(value, str) else value


def _check(record: dict[str, Any]) -> None:
    """Any file of this name in the inputs' folders is read, whoever wrote it.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is no line of a journal.
    """
    texts = record["output"], record["source"], record["event"], record.get("reason", ""), record.get("file", "x")
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError
    if not Path(texts[0]).name or Path(texts[-1]).name != texts[-1]:
        raise ValueError


def _as_stamp(value: Any) -> Stamp | None:
    return None if value is None else (int(value[0]), int(value[1]))
