"""A folder of videos and `vidstyle batch` upon it, for tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from media import make_clip

from vidstyle.batch.journal import LOCK, NAME

Events = list[dict[str, Any]]


class Shop:
    """A folder with videos in ``in``, results in ``out``, and the command that makes them."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "in").mkdir()
        self.env = {**os.environ, "VIDSTYLE_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
        self.running: list[subprocess.Popen[str]] = []

    def copy(self, clip: Path, name: str) -> None:
        shutil.copy(clip, self.folder / "in" / name)

    def clip(self, name: str, frames: int = 3, **more: Any) -> Path:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return make_clip(path, frames, audio=0, **more).path

    def command(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "vidstyle", "batch", "-o", "out", "--style", "tiny", *map(str, args)]

    def run(self, *args: object, **more: Any) -> subprocess.CompletedProcess[str]:
        env = {**self.env, **more.pop("env", {})}
        options = {"capture_output": True, "text": True, "timeout": 120, "cwd": self.folder, "env": env, **more}
        return subprocess.run(self.command(*(args or ("in",))), **options)

    def start(self, *args: object) -> subprocess.Popen[str]:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(self.command("--json", *args), cwd=self.folder, env=self.env, **options)
        self.running.append(process)
        return process

    def journal(self, *events: str) -> Events:
        lines = [json.loads(line) for line in (self.out / NAME).read_text().splitlines()]
        return [line for line in lines if line["event"] in events] if events else lines

    def results(self) -> list[str]:
        """Everything in the output folder but the journal and its lock."""
        paths = (path for path in self.out.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.out)) for path in paths if path.name not in (NAME, LOCK))


def wait_for(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first event of a kind."""
    assert process.stdout is not None and process.stderr is not None
    for text in process.stdout:
        if wanted(event := json.loads(text)):
            return event
    raise AssertionError(f"it ended: {process.stderr.read()}")


def styled(frames: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "progress" and event["frames"] >= frames


def rest(process: subprocess.Popen[str]) -> tuple[int, Events, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err
