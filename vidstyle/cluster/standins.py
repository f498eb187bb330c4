"""Videos and results behind URLs, as the batch sees them: a small file of this machine stands in for each.

``WORK/in/`` has the sources', ``WORK/out/`` the results', beside the journal. A stand-in's text says what is known of
its file, so that it changes when that does; the batch decides by it as by the file itself.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from vidstyle.batch.decide import Fingerprints
from vidstyle.batch.inputs import EXTENSIONS, Found, Item, left_out, pass_over, take
from vidstyle.batch.journal import Journal, stamp
from vidstyle.batch.messages import Away, Ended, Facts, Look, Task
from vidstyle.cluster.messages import Prepared
from vidstyle.cluster.store import is_url, joined, shown, store
from vidstyle.errors import SinkError, SourceError, UsageError
from vidstyle.paths import styles_dir
from vidstyle.whole import write_whole

PAD = 1024  # bytes at most after the text: by the length alone another state is noticed, too


def as_url(text: str) -> str:
    return text if is_url(text) else f"file://{Path(text).absolute().as_posix()}"


def work_for(output: str) -> Path:
    """Where the journal of a batch with results at this URL is, on this machine."""
    return styles_dir().parent / "batches" / hashlib.sha256(os.fsencode(shown(output).rstrip("/"))).hexdigest()[:16]


class StandIns:
    """
    Args:
        work: folder of this machine, kept between runs.
        output: URL of the results' folder.
    """

    def __init__(self, work: Path, output: str) -> None:
        self.folder = work / "out"
        self._sources, self._output = work / "in", output.rstrip("/")
        self._facts: dict[Path, Facts] = {}  # of the sources

    def results(self) -> None:
        """Have a stand-in for every result that is there, and for no other.

        Raises:
            SinkError: they cannot be listed.
        """
        there = {name: facts for name, facts in store(self._output).files().items() if is_result(name)}
        for path in [path for path in self.folder.rglob("*") if is_result(path.name)]:
            if path.relative_to(self.folder).as_posix() not in there:
                path.unlink()
        for name, facts in there.items():
            _write(self.folder / name, facts)

    def find(self, inputs: Sequence[str], name: Callable[[Path], str], journal: Journal, patience: bool) -> Found:
        """As `vidstyle.batch.inputs.find`.

        Raises:
            SourceError, UsageError: as there; or nobody answers.
        """
        found, items = Found(), list[Item]()
        for text in inputs:
            for url, below, facts in self._named(as_url(text).rstrip("/"), found, patience):
                items.append(self._item(url, below, facts, name))
        results = {self._target(path.relative_to(self.folder)) for path in journal.outputs()}
        results |= {item.names[1] for item in items}
        take(found, [item for item in items if item.names[0] not in results])
        return found

    def _target(self, below: PurePath) -> str:
        """URL of a result, for people."""
        return joined(shown(self._output), below.as_posix())

    def _item(self, top: str, below: str, facts: Facts, name: Callable[[Path], str]) -> Item:
        source = self._sources / hashlib.sha256(os.fsencode(shown(top))).hexdigest()[:12] / below
        self._facts[source.absolute()] = facts
        _write(source, facts)
        relative = PurePosixPath(below).parent / name(source)
        return Item(source, self.folder / relative, (shown(facts.url), self._target(relative)))

    def _named(self, url: str, found: Found, patience: bool) -> list[tuple[str, str, Facts]]:
        """(URL of what was named, name below it, facts)."""
        place, explicit, given = store(url, SourceError), False, url
        if (facts := place.facts()) is not None:
            head, _, last = url.rpartition("/")
            return [(head, last, facts)]
        if is_folder := place.is_folder():
            files = place.files()
        elif glob.has_magic(url):  # after files and folders whose names have such signs, as "clip [1].mp4"
            url, files, explicit = _matching(url, patience)
        elif patience:
            files = {}
        else:
            raise SourceError(f"no such file or folder: {shown(url)}")
        if not files and not is_folder:
            found.missing.append(shown(given))
        return [(url, name, facts) for name, facts in files.items() if self._wanted(url, name, explicit, found)]

    def _wanted(self, url: str, name: str, explicit: bool, found: Found) -> bool:
        path = PurePosixPath(name)
        results = f"{joined(url, name)}/".startswith(f"{self._output}/") and self._output != url
        if results or any(left_out(part) for part in path.parts):
            return False
        is_video = explicit or path.suffix.lower() in EXTENSIONS
        if not is_video:
            pass_over(path, found)
        if is_video and not _is_below(name):
            found.unreadable.append(f"cannot take {shown(joined(url, name))}: a folder in its name has no name")
            return False
        return is_video

    # --- between the crew and its workers

    def sent(self, message: Task | Look) -> Task | Look:
        facts = self._facts[message.source.absolute()]
        if isinstance(message, Look):
            return replace(message, away=Away(facts, self._output))
        below = message.target.relative_to(self.folder).parent.as_posix()
        return replace(message, away=Away(facts, joined(self._output, below)))

    def came(self, item: Item, value: Any, fingerprints: Fingerprints) -> Any:
        """A worker's answer with what is true of the stand-ins: it knows of the files alone."""
        if isinstance(value, Prepared) and value.begun is not None:
            before = stamp(item.target.with_name(value.begun.file))
            marks = fingerprints.of(item.source)
            return replace(
                value, begun=replace(value.begun, fingerprint=marks, stamp=stamp(item.source), before=before)
            )
        if isinstance(value, Ended) and value.stored is not None:
            path = item.target.with_name(value.stored.url.rpartition("/")[2])
            _write(path, value.stored)
            return replace(value, size=path.stat().st_size)
        return value


def _matching(url: str, patience: bool) -> tuple[str, dict[str, Facts], bool]:
    """URL above a pattern, what matches below it, and whether that is meant whatever its extension.

    Raises:
        UsageError: nothing does.
    """
    parts = url.split("/")
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    url, pattern = "/".join(parts[:first]), "/".join(parts[first:])
    files = store(url, SourceError).matching(pattern)
    if not files and not patience:
        raise UsageError(f"nothing matches {shown(joined(url, pattern))}: check the pattern")
    ending = PurePosixPath(pattern).suffix
    return url, files, bool(ending) and not glob.has_magic(ending)


def is_result(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in EXTENSIONS and _is_below(name) and not any(left_out(part) for part in path.parts)


def _is_below(name: str) -> bool:
    """Whether it is a path below a folder of this machine: buckets also have names as ``/x`` and ``x//y``."""
    return "" not in name.split("/")


def _write(path: Path, facts: Facts) -> None:
    """The stand-in, untouched where it says the same already.

    Raises:
        SinkError: the system refuses.
    """
    text = json.dumps(asdict(facts) | {"url": shown(facts.url)}).encode()
    text += b" " * (zlib.crc32(text) % PAD)
    try:
        if path.read_bytes() == text:
            return
    except OSError:
        pass
    try:
        write_whole(path, text)
    except OSError as error:
        reason = error.strerror or error
        raise SinkError(f"cannot write {path} ({reason}): choose another folder of this machine with --work") from error
