"""A worker whose videos and results are behind URLs: it fetches, works on files of its own machine, and sends.

Finished segments go to ``OUT.part/`` beside the result, each whole or not at all, its description last; a later run
finds them there.
"""

from __future__ import annotations

import json
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vidstyle.batch.decide import Fingerprints, exists
from vidstyle.batch.messages import Away, Ended, Look, Seen, Task
from vidstyle.batch.worker import ended_with
from vidstyle.cluster.cache import Cache
from vidstyle.cluster.messages import Broken, Hello, Join, Made, Order, Prepared
from vidstyle.cluster.store import Store, joined, shown, store
from vidstyle.cluster.worker import StyleWorker
from vidstyle.errors import SinkError, SourceError, TakenError, VidstyleError
from vidstyle.job import FileJob
from vidstyle.paths import cache_dir
from vidstyle.workfolder import MARK, PLAN, SIZES, work_path


@dataclass(frozen=True)
class Near:
    """A video on this machine, for one call. ``task``: with this machine's paths; ``place``: of the result."""

    task: Task
    away: Away
    place: Store

    def output(self, far: Path) -> Path:
        return self.task.target.with_name(far.name)

    def parts(self, output: Path) -> Store:
        name = work_path(output).name
        return replace(self.place, url=joined(self.place.url, name), root=self.place.at(name))

    def told(self, text: str) -> str:
        """With the names that people know."""
        text = text.replace(str(self.task.source), shown(self.away.source.url))
        return text.replace(str(self.task.target.parent), shown(self.away.folder).rstrip("/"))


class RemoteWorker(StyleWorker):
    """Args as of `StyleWorker`; ``results``: URL of the results' folder; ``limit``: bytes of fetched sources."""

    def __init__(
        self,
        template: FileJob,
        fingerprints: Fingerprints,
        visible: Mapping[str, str],
        results: str,
        limit: int,
        folder: Path | None = None,
    ) -> None:
        super().__init__(template, fingerprints, visible)
        home = folder or cache_dir() / "cluster"
        self._results = results
        self._cache = Cache(home / "sources", limit)
        self._desk = _desk(home / "work")

    def hello(self, node: str = "") -> Hello:
        hello = super().hello(node)
        try:
            store(self._results).is_folder()
        except VidstyleError as error:
            return replace(hello, trouble=str(error))
        return hello

    @contextmanager
    def _near(self, task: Task) -> Iterator[Near]:
        assert task.away is not None
        source, folder = task.away.source, self._desk.path / secrets.token_hex(6)
        try:
            local = folder / "in" / task.source.name
            head, _, name = source.url.rpartition("/")
            self._cache.take(store(head, SourceError), name, source, local)
            output = folder / "out" / task.target.name
            output.parent.mkdir(parents=True)
            near = replace(task, source=local, target=output, known=output.with_name(task.known.name))
            yield Near(near, task.away, store(task.away.folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def look(self, task: Look) -> Seen:
        try:
            with self._near(Task(task.source, task.source, task.source, False, task.away)) as near:
                seen = super().look(Look(near.task.source))
                return replace(seen, error=near.told(seen.error))
        except Exception as error:
            return Seen(error=str(error))

    def whole(self, task: Task) -> Ended:
        try:
            with self._near(task) as near:
                return self._delivered(near, super().whole(near.task))
        except Exception as error:
            return ended_with(error)

    def prepare(self, task: Task) -> Prepared:
        try:
            with self._near(task) as near:
                for output in {near.task.known.name: near.task.known, near.task.target.name: near.task.target}.values():
                    _fetch_parts(near, output)
                return self._shared(near, super().prepare(near.task))
        except Exception as error:
            return Prepared(ended=ended_with(error))

    def _shared(self, near: Near, prepared: Prepared) -> Prepared:
        """Bring the work folder beside the result to the state of this machine's."""
        if prepared.ended is not None:
            return replace(prepared, ended=_told(near, prepared.ended))
        _refuse_others(near, prepared.output)
        local, parts = work_path(prepared.output), near.parts(prepared.output)
        if prepared.plan is None:
            parts.clear()
            return prepared
        for name in parts.files():
            if not (local / name).exists():
                parts.remove(name)
        for name in (PLAN, SIZES, MARK):
            if (local / name).exists():
                parts.put(local / name, name)
        return prepared

    def style(self, order: Order) -> Made:
        try:
            with self._near(order.task) as near:
                output = near.output(order.output)
                folder, parts = work_path(output), near.parts(output)
                folder.mkdir()
                made = super().style(replace(order, task=near.task, output=output))
                if made.error:
                    return replace(made, error=near.told(made.error))
                _send_segments(folder, parts)
                return made
        except Exception as error:
            ended = ended_with(error)
            return Made(error=ended.reason, code=ended.code)

    def assemble(self, join: Join) -> Ended | Broken:
        try:
            with self._near(join.task) as near:
                output = near.output(join.output)
                _fetch_parts(near, output)
                ended = super().assemble(replace(join, task=near.task, output=output))
                if isinstance(ended, Broken):
                    for number in ended.damaged:
                        near.parts(output).remove(f"{number:05d}.json")
                    return ended
                return self._delivered(near, ended)
        except Exception as error:
            return ended_with(error)

    def _delivered(self, near: Near, ended: Ended) -> Ended:
        if ended.report:
            output = near.task.target.with_name(Path(ended.report["output"]).name)
            near.place.put(output, output.name)
            near.parts(output).clear()
            ended = replace(ended, stored=near.place.facts(output.name))
        return _told(near, ended)


def _refuse_others(near: Near, output: Path) -> None:
    """
    Raises:
        TakenError: a file is there that may not be replaced.
    """
    if output.name != near.task.known.name and not near.task.overwrite and near.place.facts(output.name):
        raise TakenError(near.told(exists(output, "and no batch made it")))


def _fetch_parts(near: Near, output: Path) -> None:
    """The work folder of a result. What comes damaged, its digest tells."""
    parts, folder = near.parts(output), work_path(output)
    names = parts.files()
    if MARK not in names:  # the video is over
        return
    for name in names:
        if "/" not in name and not name.endswith(".part"):
            folder.mkdir(exist_ok=True)
            parts.fetch(name, folder / name)


def _send_segments(folder: Path, parts: Store) -> None:
    """Pictures before their description: a segment with one is complete.

    A copy that comes when the video is over is not sent.
    """
    if parts.facts(MARK) is None:
        raise SinkError(f"{shown(parts.url)} is gone: its video is over, or somebody removed it")
    files = sorted(folder.iterdir(), key=lambda path: (path.suffix == ".json", path.name))
    for path in files:
        parts.put(path, path.name)
    if parts.facts(MARK) is None:
        parts.clear()


def _told(near: Near, ended: Ended) -> Ended:
    report: dict[str, Any] = ended.report
    if report:
        report = json.loads(near.told(json.dumps(report)))
        report |= {"source": shown(near.away.source.url)}
        report |= {"output": joined(shown(near.away.folder), Path(ended.report["output"]).name)}
    return replace(ended, reason=near.told(ended.reason), report=report)


@dataclass(frozen=True)
class Desk:
    """A folder of this process; whoever comes later removes those of processes that are gone."""

    path: Path
    lock: FileLock


def _desk(home: Path) -> Desk:
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob("*.lock"):
        with suppress(Timeout, OSError), FileLock(old, timeout=0):
            shutil.rmtree(old.with_suffix(""), ignore_errors=True)
            old.unlink(missing_ok=True)
    path = home / f"{threading.get_native_id()}-{secrets.token_hex(6)}"
    lock = FileLock(path.with_suffix(".lock"), timeout=0)
    lock.acquire()
    path.mkdir()
    return Desk(path, lock)
