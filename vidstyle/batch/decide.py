"""What to do with a video now, from what was done with it before."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, replace
from pathlib import Path

from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import Entry, Fingerprint, Journal, look, stamp
from vidstyle.batch.names import Names
from vidstyle.changes import changes
from vidstyle.errors import SinkError, VidstyleError
from vidstyle.job import FileJob
from vidstyle.refusal import as_sink_error

TRIES = 3  # runs that may fail through a video's own fault before it is left alone
SOURCE, VERSION, RATE = "the source", "vidstyle's version", "--fps"  # entries of a fingerprint


@dataclass(frozen=True)
class Decision:
    """``action``: "do", "skip" or "fail", which needs no work; ``code``: the exit code of a failure."""

    action: str
    why: str = ""
    code: int = 0


class Fingerprints:
    """What decides a video's result in this batch; how many threads work on it does not."""

    def __init__(self, template: FileJob) -> None:
        reading, writing, engine = template.reading, template.writing, template.engine
        self._template = replace(
            template,
            reading=replace(reading, threads=0),
            writing=replace(writing, overwrite=False, encoder=replace(writing.encoder, threads=0)),
            engine=replace(engine, threads=0),
        )
        self._common: dict[bool, Fingerprint] = {}  # of numbered pictures or not

    def of(self, source: Path) -> Fingerprint:
        """Of the file, or of the numbered pictures, as they are now.

        Raises:
            SourceError: it cannot be read.
        """
        found: Fingerprint = json.loads(json.dumps(self._template.of(source).fingerprint()))
        found.pop(VERSION, None)  # a new version is no reason to make everything again
        self._common[RATE in found] = found
        return found

    def now(self, source: Path, entry: Entry) -> Fingerprint:
        """The same, without reading a file whose size and time are those of its last run."""
        known = entry.tried or entry.made
        same = not entry.begun and entry.source_stamp == stamp(source) and entry.source == str(source.absolute())
        if same and known and (common := self._common.get(RATE in known)):
            return {**common, SOURCE: known[SOURCE]}
        return self.of(source)


def place(item: Item, entry: Entry | None) -> Path:
    """Where the result lies, as far as is known."""
    return item.target.with_name(entry.file) if entry is not None and entry.file else item.target


def fate(
    item: Item, journal: Journal, names: Names, fingerprints: Fingerprints, overwrite: bool, retry: bool
) -> Decision:
    """`decide`; of several videos that would become one file the first has it."""
    entry = journal.entry(item.target)
    paths = item.target, place(item, entry)
    for path in paths:
        if other := names.claim(path, item):
            return refused(item, path, other)
    decision = decide(item, entry, fingerprints, overwrite, retry)
    if decision.code == SinkError.exit_code:  # what is there is not its own: it may be another's, and done
        names.release(paths)
    return decision


def refused(item: Item, path: Path, other: Item) -> Decision:
    """``item`` may not become ``path``, which is ``other``'s."""
    apart = posixpath.dirname(item.names[0]) != posixpath.dirname(other.names[0])
    more = ", or give the folder above both, whose structure is kept" if apart else ""
    return Decision("fail", becomes_too(other.names[0], path) + more, VidstyleError.exit_code)


def decide(item: Item, entry: Entry | None, fingerprints: Fingerprints, overwrite: bool, retry: bool) -> Decision:
    """What to do with ``item``.

    An output that a batch made from the same source in the same way is there for good. One that it made from
    an earlier state of the source, or in another way, is made anew. Any other file is only replaced with ``overwrite``.

    Args:
        entry: what the journal knows of its output.
        retry: try what failed too often once more.
    """
    path = place(item, entry)
    try:
        there = look(path)
    except OSError as error:  # its name is too long, or its folder is locked
        return Decision("fail", str(as_sink_error(error, path)), SinkError.exit_code)
    if entry is None:
        return Decision("do") if there is None or overwrite else _exists(path, "and no batch made it")
    try:
        now = fingerprints.now(item.source, entry)
    except VidstyleError as error:
        return Decision("fail", str(error), error.exit_code)
    if there is not None and not overwrite and (other := _not_ours(item, path, entry, now, there)):
        return other
    untouched = not entry.begun or entry.before == there  # by a run whose end is not known
    if there is not None and entry.made == now and entry.size == there[0] and untouched:
        if not entry.losses:
            return Decision("skip", "done before")
        if not retry:
            return Decision("fail", entry.losses, 1)
    if entry.tried == now and entry.failures >= TRIES and not retry:
        return Decision("fail", f"{entry.reason} (failed {entry.failures} times; --retry tries again)", entry.code)
    return Decision("do", _why(entry, now, there is not None))


def _not_ours(item: Item, path: Path, entry: Entry, now: Fingerprint, there: tuple[int, int]) -> Decision | None:
    """Refuse to replace what is no batch's work, or was made from another video."""
    put_in_place = entry.begun and there != entry.before  # by a run whose end could not be written down
    if entry.size != there[0] and not put_in_place:
        return _exists(path, "and was changed since a batch made it" if entry.made else "and no batch made it")
    known = entry.made or now
    if entry.source != str(item.source.absolute()) and known[SOURCE] != now[SOURCE]:
        return _exists(path, f"and was made from {entry.source}")
    return None


def _exists(path: Path, what: str) -> Decision:
    return Decision("fail", exists(path, what), SinkError.exit_code)


def exists(path: Path, what: str) -> str:
    return f"{path} exists {what}: choose another folder, or --overwrite"


def becomes_too(other: str, path: Path) -> str:
    return f"{other} becomes {path} too: rename one"


def _why(entry: Entry, now: Fingerprint, there: bool) -> str:
    if entry.begun:
        return "was interrupted"
    if there and entry.made is not None:
        changed = changes(entry.made, now)
        return f"made anew: {' and '.join(changed)}" if changed else "tried again"
    if entry.made is not None:
        return "its output is gone"
    return f"failed before, {entry.failures} of {TRIES} times" if entry.failures else ""
