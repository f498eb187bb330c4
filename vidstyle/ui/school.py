"""A training that runs beside the page: `vidstyle train` in a process of its own, its words kept in a file."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from vidstyle.errors import UsageError
from vidstyle.locking import LOCK, passed_on
from vidstyle.style import check_name
from vidstyle.training_pictures import ENDINGS, is_named_so, told_by
from vidstyle.ui.sessions import plain_text

TAIL = 6000  # bytes of the log that the page shows
KINDS = ("photos", "exemplars")
WAYS: dict[str, tuple[str, ...]] = {"quick": ("--quick",), "paired": ("--paired",), "standard": ()}
PATIENCE = 5.0  # seconds that a training gets to end in order, and then to be gone
SAYS = "vidstyle: "  # begins the line in which a command says why it ended


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

        Args:
            kind: one of `KINDS`.
            name: of the picture, with the folders that it lay in.

        Raises:
            UsageError: it is none by its name, or a training needs the pictures now.
        """
        if name.lower().endswith(".zip"):
            raise UsageError(f"{name} is a zip: unpack it, and drop the folder that comes of it")
        if kind not in KINDS or not is_named_so(name):
            raise UsageError(f"{name} is not taken: pictures end in {' '.join(ENDINGS)}")
        first = self.folder / kind / name
        with self._still():
            first.parent.mkdir(parents=True, exist_ok=True)
        return next(path for path in _numbered(first) if _made(path))

    def settle(self, kind: str, name: str, path: Path) -> None:
        """What has come to its `place`: the same picture again is not kept, another one of its name is noted."""
        first = self.folder / kind / name
        for other in takewhile(lambda one: one != path, _numbered(first)):
            if other.is_file() and filecmp.cmp(other, path, shallow=False):
                return path.unlink()
        if path != first:
            with open(self._seconds(kind), "a", encoding="utf-8") as file:
                file.write(f"{name}\n")
        return None

    def _seconds(self, kind: str) -> Path:
        """A list of names that more than one picture came with: which of them a drawing is of, nobody can tell."""
        return self.folder / f"{kind}-seconds.txt"

    def clear(self, kind: str) -> None:
        """
        Raises:
            UsageError: a training needs the pictures now.
        """
        if kind in KINDS:
            with self._still():
                shutil.rmtree(self.folder / kind, ignore_errors=True)
                self._seconds(kind).unlink(missing_ok=True)

    @contextmanager
    def _still(self) -> Iterator[None]:
        """No training is under way, nor of another page: they share the folder, and a training holds it to its end."""
        busy = "a training is under way: pictures can be changed when it has ended"
        if self.is_running:
            raise UsageError(busy)
        with passed_on(self.folder / LOCK, busy, shared=True):
            yield

    def start(self, name: str, way: str) -> None:
        """
        Args:
            name: of the look.
            way: one of `WAYS`.

        Raises:
            UsageError: one is under way, there are no pictures, or no such way; of pairs, two pictures have one name.
            StyleError: the name cannot be a look's.
        """
        check_name(name)
        if way not in WAYS:
            raise UsageError(f"no way of training {way!r}: there are {', '.join(WAYS)}")
        if self.is_running:
            raise UsageError("a training is under way already: stop it first")
        if not all(map(self._names, KINDS)):
            raise UsageError("a training needs photos and drawn pictures: drop some of both")
        if way == "paired":
            self._check_names()
        self._let_go()
        self._was_stopped = False
        command = [sys.executable, "-m", "vidstyle", "train", name]
        for kind in KINDS:
            command += [f"--{kind}", str(self.folder / kind)]
        busy = "a training is under way in another vidstyle ui: wait for its end, or stop it there"
        with passed_on(self.folder / LOCK, busy) as kept, open(self.folder / "log.txt", "wb") as log:
            (self.folder / "settings.json").write_text(json.dumps({"name": name, "way": way}))
            self._process = subprocess.Popen(
                [*command, "--attended", *WAYS[way]],
                stdin=subprocess.PIPE,  # nothing is written: its end tells that the page is gone
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                pass_fds=kept,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def _check_names(self) -> None:
        """
        Raises:
            UsageError: several pictures came with one name.
        """
        for kind in KINDS:
            if self._seconds(kind).exists():
                name = self._seconds(kind).read_text("utf-8").partition("\n")[0]
                raise UsageError(
                    f"{name} came more than once, each time another picture, and only one of them can be a pair: "
                    "remove all, and drop every picture once"
                )

    def stop(self) -> None:
        """In order if it can, else at once."""
        if self._process is not None and self._process.poll() is None:
            self._was_stopped = True
            for at_once in (False, True):
                _end(self._process, at_once)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(PATIENCE)
                    break
        self._let_go()

    def _let_go(self) -> None:
        """Of the pipe to the last training."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def state(self) -> dict[str, Any]:
        """JSON-ready.

        ``code``: how the last training ended, None while it runs; ``why``: in its words, where it failed; ``stopped``:
        by `stop`; ``pairs``: how many photos and exemplars have the same name, but for their endings.
        """
        code, log = self._process.poll() if self._process else None, self._log()
        known = {"available": is_there(), "running": self.is_running, "code": code, "stopped": self._was_stopped}
        found = {kind: self._names(kind) for kind in KINDS}
        counts = {kind: len(names) for kind, names in found.items()}
        pairs = set.intersection(*({told_by(PurePosixPath(name)) for name in names} for names in found.values()))
        why = self._why(log) if code else ""
        return known | self._settings() | counts | {"pairs": len(pairs), "why": why, "log": log}

    def _why(self, log: str) -> str:
        """The last line, where it is the command's own; it does not name the folder, which nobody chose."""
        last = log.rstrip().rpartition("\n")[2]
        return plain_text(last.removeprefix(SAYS).replace(f"{self.folder}/", "")) if last.startswith(SAYS) else ""

    def _settings(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / "settings.json").read_text())
            return {"name": str(found["name"]), "way": str(found["way"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"name": "", "way": ""}

    def _names(self, kind: str) -> list[str]:
        """Of the pictures there, with their folders."""
        top = self.folder / kind
        return [Path(inner, name).relative_to(top).as_posix() for inner, _, names in os.walk(top) for name in names]

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


def _end(process: subprocess.Popen[bytes], at_once: bool) -> None:
    """A training with all that it has begun; on Windows, which has no groups, in order by the end of its input."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL if at_once else signal.SIGINT)
    elif at_once:
        process.kill()
    elif process.stdin is not None:
        process.stdin.close()


def _numbered(first: Path) -> Iterator[Path]:
    """``first``, then the same with -2, -3 and so on behind its name."""
    return chain([first], (first.with_stem(f"{first.stem}-{number}") for number in count(2)))


def _made(path: Path) -> bool:
    """Whether it is a new, empty file now: at once, as pictures come at the same time."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
