"""A training that runs beside the page: `vidstyle train` in a process of its own, its words kept in a file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidstyle.errors import UsageError
from vidstyle.locking import LOCK, passed_on
from vidstyle.style import check_name

TAIL = 6000  # bytes of the log that the page shows
ENDINGS: tuple[str, ...] = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff")
ENDINGS += (".gif", ".avif", ".heic", ".heif", ".jxl")  # one that cannot be read is refused by name
KINDS = ("photos", "exemplars")


def is_there() -> bool:
    """Whether this vidstyle has the command `train`."""
    from vidstyle.cli import app

    names = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    return "train" in names | {group.name for group in app.registered_groups}


class School:
    """At most one training at a time; its folder outlives the page, its process does not, even if the page is killed.

    Args:
        folder: where pictures, log and settings are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._was_stopped = False

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def place(self, kind: str, name: str) -> Path:
        """Where a picture goes: an empty file, under a number where another has that name.

        Raises:
            UsageError: it is none by its name, or a training needs the pictures now.
        """
        if kind not in KINDS or not name.lower().endswith(ENDINGS):
            raise UsageError(f"{name} is not taken: pictures end in {' '.join(ENDINGS)}")
        with self._still():
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
        path = first = self.folder / kind / name
        number = 1
        while True:
            with suppress(FileExistsError):
                path.touch(exist_ok=False)  # at once: pictures come at the same time
                return path
            number += 1
            path = first.with_stem(f"{first.stem}-{number}")

    def clear(self, kind: str) -> None:
        """
        Raises:
            UsageError: a training needs the pictures now.
        """
        if kind in KINDS:
            with self._still():
                shutil.rmtree(self.folder / kind, ignore_errors=True)

    @contextmanager
    def _still(self) -> Iterator[None]:
        """No training is under way, nor of another page: they share the folder, and a training holds it to its end."""
        busy = "a training is under way: pictures can be changed when it has ended"
        if self.is_running:
            raise UsageError(busy)
        with passed_on(self.folder / LOCK, busy, shared=True):
            yield

    def start(self, name: str, quick: bool) -> None:
        """
        Raises:
            UsageError: one is under way, or there are no pictures.
            StyleError: the name cannot be a look's.
        """
        check_name(name)
        if self.is_running:
            raise UsageError("a training is under way already: stop it first")
        if any(not self._count(kind) for kind in KINDS):
            raise UsageError("a training needs photos and drawn pictures: drop some of both")
        self._let_go()
        self._was_stopped = False
        command = [sys.executable, "-m", "vidstyle", "train", name]
        for kind in KINDS:
            command += [f"--{kind}", str(self.folder / kind)]
        busy = "a training is under way in another vidstyle ui: wait for its end, or stop it there"
        with passed_on(self.folder / LOCK, busy) as kept, open(self.folder / "log.txt", "wb") as log:
            (self.folder / "settings.json").write_text(json.dumps({"name": name, "quick": quick}))
            self._process = subprocess.Popen(
                [*command, "--attended", *(["--quick"] if quick else [])],
                stdin=subprocess.PIPE,  # nothing is written: its end tells that the page is gone
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                pass_fds=kept,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def stop(self) -> None:
        """In order if it can, else at once."""
        if self._process is not None and self._process.poll() is None:
            self._was_stopped = True
            for number, patience in ((signal.SIGINT, 5), (signal.SIGKILL, 5)):
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
                    break
        self._let_go()

    def _let_go(self) -> None:
        """Of the pipe to the last training."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def state(self) -> dict[str, Any]:
        """JSON-ready; ``code``: how the last training ended, None while it runs; ``stopped``: by `stop`."""
        code = self._process.poll() if self._process else None
        known = {"available": is_there(), "running": self.is_running, "code": code, "stopped": self._was_stopped}
        return known | self._settings() | {kind: self._count(kind) for kind in KINDS} | {"log": self._log()}

    def _settings(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / "settings.json").read_text())
            return {"name": str(found["name"]), "quick": bool(found["quick"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"name": "", "quick": True}

    def _count(self, kind: str) -> int:
        folder = self.folder / kind
        return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0

    def _log(self) -> str:
        try:
            with open(self.folder / "log.txt", "rb") as file:
                file.seek(max(0, file.seek(0, 2) - TAIL))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))  # what a terminal would show

    def close(self) -> None:
        self.stop()
