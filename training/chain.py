"""The whole way from pictures to a style, as stages that can be stopped anywhere: what `vidstyle train` runs.

A stage is data: its name (and folder in the run), what it needs, its options, and a function. A stage is done when its
folder holds ``done.json`` with the key of its options and of everything before it; with other options it begins anew,
and so does all that follows from it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from training.world import leave
from vidstyle.errors import SinkError
from vidstyle.locking import LOCK, alone
from vidstyle.whole import write_whole

OWN = "own.json"  # in the folder of the style's stage: the name of the file that it wrote
OnStep = Callable[[int, int, dict[str, float]], None]  # done, of, figures; it raises Interrupted to stop


@dataclass(frozen=True)
class Stage:
    """One part of a chain.

    Attributes:
        name: of its folder in the run, as ``crops/photos``.
        title: for people.
        needs: names of stages whose results it takes.
        options: a dataclass, or anything JSON can hold: with another one the stage is done anew.
        work: makes the folder; goes on by itself where it was stopped.
        steps: how many it takes, for plans.
        unit: what a step is called.
        result: a file outside of the run that must be there for the stage to count as done.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    options: Any
    work: Callable[[Path, OnStep], object]
    steps: int = 0
    unit: str = "steps"
    result: Path | None = None


class View(Protocol):
    """Who is told."""

    def begin(self, stage: Stage, number: int, of: int) -> None: ...
    def step(self, done: int, of: int, figures: dict[str, float]) -> None: ...
    def end(self, stage: Stage, seconds: float, was_done: bool) -> None: ...


@dataclass(frozen=True)
class Chain:
    """Stages in order, and the folder they share."""

    run: Path
    stages: tuple[Stage, ...]

    def keys(self) -> dict[str, str]:
        """A digest of each stage's options and of all it follows from."""
        keys: dict[str, str] = {}
        for stage in self.stages:
            options = asdict(stage.options) if is_dataclass(stage.options) else stage.options  # type: ignore[arg-type]
            parts = [stage.name, options, *(keys[name] for name in stage.needs)]
            keys[stage.name] = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
        return keys

    def done(self, stage: Stage, key: str) -> float | None:
        """Seconds that a finished stage took; None where it is still to be done."""
        try:
            note = read_note(self.run / stage.name / "done.json")
            there = stage.result is None or stage.result.exists()
            return float(note["seconds"]) if note["key"] == key and there else None
        except (ValueError, KeyError, TypeError):
            return None

    def go(self, view: View) -> None:
        """Do what is not done yet.

        Raises:
            VidstyleError: a stage failed; the stages before it are kept, and its own state where it has one.
            Interrupted: by whom ``view`` listens to; giving the same command goes on.
            StyleError: another process trains in the same folder.
            SinkError: the folder is somebody's who has files where a stage would put its own.
        """
        self._check_own()
        # Of several processes that train together (torchrun) the first holds the folder for all.
        with alone(self.run, f"training in {self.run}") if os.environ.get("RANK", "0") == "0" else nullcontext():
            self._go(view)
            leave()

    def _check_own(self) -> None:
        """A stage that begins anew removes its folder: where no training was before, that is not ours."""
        if not (self.run / LOCK).exists():
            for stage in self.stages:
                if (folder := self.run / stage.name).exists():
                    raise SinkError(f"{folder} is there, and is no training's: choose another folder with --run")

    def _go(self, view: View) -> None:
        keys = self.keys()
        for number, stage in enumerate(self.stages, 1):
            view.begin(stage, number, len(self.stages))
            seconds = self.done(stage, keys[stage.name])
            if seconds is None:
                spent = self._work(stage, keys[stage.name], view)
                view.end(stage, spent, False)
            else:
                view.end(stage, seconds, True)

    def _work(self, stage: Stage, key: str, view: View) -> float:
        folder = self.run / stage.name
        try:
            before = self._begun(stage, key)
            started = time.monotonic()
            try:
                stage.work(folder, view.step)
            finally:
                spent = before + time.monotonic() - started
                self._note(folder / "begun.json", {"key": key, "seconds": spent})
            self._note(folder / "done.json", {"key": key, "seconds": spent, "machine": machine()})
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "make room, then give the same command to go on" if full else "choose another folder with --run"
            raise SinkError(f"cannot write in {folder} ({error.strerror or error}): {remedy}") from error
        return spent

    def _begun(self, stage: Stage, key: str) -> float:
        """Seconds that an interrupted stage has spent; a folder of other options, or of unknown ones, is removed."""
        folder = self.run / stage.name
        note = read_note(folder / "begun.json")
        if folder.exists() and note.get("key") != key:
            shutil.rmtree(folder)
        spent = float(note.get("seconds", 0.0)) if note.get("key") == key else 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._note(folder / "begun.json", {"key": key, "seconds": spent})  # there even if the machine goes down
        return spent

    def _note(self, path: Path, values: dict[str, Any]) -> None:
        if path.parent.is_dir():
            write_whole(path, json.dumps(values, indent=1).encode())


def read_note(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none, or a broken one, as a machine that goes down may leave it."""
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def has_gpu() -> bool:
    """Whether torch can use a GPU here."""
    import torch

    return torch.cuda.is_available()


def machine() -> str:
    """In words, for the notes of how long a stage took."""
    import torch

    cores = f"{torch.get_num_threads()} threads of {platform.processor() or platform.machine()}"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else cores
