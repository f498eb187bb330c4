"""The folder beside an output that is being made: ``OUT.part/`` with its finished segments.

It is what a run goes on from after a crash, and its lock keeps a second run off the same output.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vidstyle.changes import changes
from vidstyle.errors import SinkError
from vidstyle.faces import Suited
from vidstyle.locking import hold, let_go
from vidstyle.picture_codecs import numbered
from vidstyle.planning import Plan, make_plan
from vidstyle.refusal import as_sink_error
from vidstyle.segment import Segment, complete_segments, unbroken
from vidstyle.source import VideoSource
from vidstyle.whole import led_to, write_whole

PLAN, MARK, SIZES, LOCK = "plan.json", "job.json", "sizes.json", "lock"
PLACING = "placing"  # is there from when the first of numbered pictures gets its name
#: names of what is written there: at the beginning, and ever
_BEGINNING = re.compile(r"lock|vidstyle-\d+-\d+\.part")
_OURS = re.compile(
    rf"{_BEGINNING.pattern}|rehearsal|whole\.\w+|(job|plan|sizes|\d{{5,}})\.json|\d{{5,}}\.\w+|\d{{5,}}-[0-9a-f]+\.part"
    rf"|picture-\d+\.\w+|{PLACING}"
)


def work_path(target: Path) -> Path:
    """Beside the output, and short enough for every file system."""
    pattern = numbered(target)
    target = pattern.beside() if pattern is not None else led_to(target)
    name = os.fsencode(target.name)
    if len(name) > 240:
        return target.with_name(f"vidstyle-{hashlib.sha256(name).hexdigest()[:16]}.part")
    return target.with_name(target.name + ".part")


class WorkFolder:
    """A context manager: locked inside the block; removed at its end unless there is something to go on from.

    Args:
        target: the output that is being made.
        fingerprint: what decides the result; a later run goes on only if it is the same.
        resume: go on from the segments that are there, if any.
        overwrite: throw them away, if any.
        parts: of ``resume``: take every segment there is, not only those from the beginning on; and keep the
            folder at the end of the block, unless the output is `done`.

    Raises:
        SinkError: what is there is not ours, another run is at work on this output, an interrupted run's work is there
            and neither ``resume`` nor ``overwrite`` was asked for, or it was made from something else.
    """

    def __init__(
        self, target: Path, fingerprint: dict[str, Any], resume: bool, overwrite: bool, parts: bool = False
    ) -> None:
        self.target, self.path = target, work_path(target)
        self.done = False
        self.segments: list[Segment] = []
        self._fingerprint = json.loads(json.dumps(fingerprint))
        self._resume, self._overwrite, self._parts = resume, overwrite, parts

    def __enter__(self) -> WorkFolder:
        try:
            busy = f"another run is writing {self.target}: wait for it, or choose another -o"
            self._lock = hold(self.path / LOCK, busy, self._make)
            try:
                self._take_up()
            except BaseException:
                self._leave_empty()
                raise
        except OSError as error:
            with suppress(OSError):  # a disk that is full at once leaves an empty folder
                self.path.rmdir()
            raise as_sink_error(error, self.target) from error
        return self

    def _make(self) -> None:
        """The folder, unless what has its name is a browser's or a person's, and not ours to touch."""
        with suppress(FileExistsError):
            return self.path.mkdir()
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else {""}
        if os.path.lexists(self.path) and MARK not in names and not all(map(_BEGINNING.fullmatch, names)):
            raise SinkError(f"{self.path} is in the way, and is not vidstyle's: move it, or choose another -o")
        return None

    def _take_up(self) -> None:
        found = complete_segments(self.path) if not self._overwrite else []
        if not self._parts:
            found = unbroken(found)
        if found and not self._resume:
            frames = sum(len(segment.pts) for segment in found)
            what = f"{self.path} holds {frames} frames of an interrupted run"
            raise SinkError(f"{what}: --resume goes on from there, --overwrite begins anew")
        if found:
            self._check_same()
        self.segments = found
        self._clean()
        write_whole(self.path / MARK, json.dumps(self._fingerprint, indent=1).encode())

    def _check_same(self) -> None:
        try:
            before = json.loads((self.path / MARK).read_text())
        except (OSError, ValueError):
            before = {}
        if changed := changes(before, self._fingerprint):
            what = f"cannot go on from {self.path}: since that run {', '.join(changed)}"
            raise SinkError(f"{what}; give the same again, or --overwrite begins anew")

    def plan(self, source: VideoSource) -> Plan:
        """Where the video is cut: as the run did that this one goes on from."""
        path = self.path / PLAN
        try:
            return Plan(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            plan = make_plan(source)
        self._keep(path, plan)
        return plan

    def suited(self, find: Callable[[], Suited]) -> Suited:
        """What `--size auto` comes to: as the run found that this one goes on from, or by ``find``."""
        path = self.path / SIZES
        try:
            found = Suited(**json.loads(path.read_text()))
            return replace(found, shots=tuple((int(pts), int(size)) for pts, size in found.shots))
        except (OSError, ValueError, TypeError):
            found = find()
        self._keep(path, found)
        return found

    def _keep(self, path: Path, found: Any) -> None:
        try:
            write_whole(path, json.dumps(asdict(found)).encode())
        except OSError as error:
            raise as_sink_error(error, self.target) from error

    @property
    def next(self) -> int:
        """Number of the segment that follows the finished ones."""
        return self.segments[-1].number + 1 if self.segments else 0

    @property
    def frames(self) -> int:
        """Pictures in the finished segments."""
        return sum(len(segment.pts) for segment in self.segments)

    def _clean(self) -> None:
        """Remove all of ours but the lock, what was made from what, and the finished segments."""
        keep = {LOCK, MARK, *(s.file for s in self.segments), *(f"{s.number:05d}.json" for s in self.segments)}
        if self.segments:
            keep |= {PLAN, SIZES, PLACING}
        self._remove(keep)

    def _remove(self, keep: Collection[str]) -> None:
        """All that is ours but ``keep``; last what shows that the folder is ours."""
        for path in sorted(self.path.iterdir(), key=lambda path: path.name == MARK):
            if _OURS.fullmatch(path.name) and path.name not in keep and not path.is_dir():
                path.unlink(missing_ok=True)

    def _leave_empty(self) -> None:
        """Release the lock; remove the folder where there is nothing but that in it."""
        names: list[str] = []
        with suppress(OSError):
            names = [path.name for path in self.path.iterdir()]
        if names == [LOCK]:
            self._let_go()
        else:
            self._lock.release()

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        kept = (self._parts or bool(self.segments)) and not self.done and self.path.exists()
        try:
            if kept and not self._parts:
                with suppress(OSError):  # the error that ends the block is the one to tell of
                    self._clean()
                if error is not None:
                    error.add_note(f"{self.frames} frames are done: the same command with --resume goes on from there")
        finally:
            if kept:
                self._lock.release()
            else:
                with suppress(OSError):
                    self._remove({LOCK})  # before the next run may begin, whose work it would take
                self._let_go()

    def _let_go(self) -> None:
        """Release the lock, and remove the folder where nothing else is in it."""
        let_go(self._lock)
        with suppress(OSError):
            self.path.rmdir()
