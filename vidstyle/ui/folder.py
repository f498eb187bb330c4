"""The queue: files of this machine, styled one after the other, in an order that a person changes at any time.

The list is a file, so that it outlives the page; the work is a `vidstyle.batch.run.Batch`, which asks here for the
next video, tells here what happens, and goes on inside what was interrupted.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vidstyle.batch.inputs import Item, find
from vidstyle.batch.journal import Journal
from vidstyle.batch.run import Batch, Event, Wishes
from vidstyle.batch.totals import Totals
from vidstyle.engine import Recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import UsageError, VidstyleError
from vidstyle.job import FileJob
from vidstyle.paths import expanded
from vidstyle.sink import SinkOptions
from vidstyle.ui.entries import RUNNING, WAITING, Entry, Settings, set_apart
from vidstyle.ui.sessions import capital, plain_text
from vidstyle.ui.studio import Choice
from vidstyle.whole import write_whole

MOST = 2000  # files in the list


class Queue:
    """The list and its run. For a `Batch` it is the view, the arrivals and the stop at once.

    Args:
        file: where the list is kept; its lock keeps a second page off it.

    Attributes:
        asked, code: see `vidstyle.batch.stop.Stop`.
        locked: another page has the list.
    """

    def __init__(self, file: Path, recipe: Callable[[Choice], Recipe], engine: EngineOptions = EngineOptions()) -> None:
        self._file, self._recipe, self._engine = file, recipe, engine
        self.entries: list[Entry] = []
        self.settings = Settings()
        self.asked = self.code = 0
        self.error = ""
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._current: Entry | None = None
        self._owner = FileLock(f"{file}.lock", timeout=0)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._owner.acquire()
            self.locked = False
            self._load()
        except Timeout:
            self.locked = True

    # --- the list

    def _load(self) -> None:
        try:
            data = json.loads(self._file.read_bytes())
            self.settings = Settings(**data["settings"])
            self.entries = [Entry(**one) for one in data["entries"]]
        except (OSError, ValueError, KeyError, TypeError):
            return  # none yet, or by another version
        for entry in self.entries:
            if entry.status == RUNNING:
                entry.status = WAITING

    def _save(self) -> None:
        data = {"settings": asdict(self.settings), "entries": [asdict(entry) for entry in self.entries]}
        try:
            write_whole(self._file, json.dumps(data, indent=1).encode())
        except OSError as error:
            self.error = f"the queue cannot be kept in {self._file}: {error.strerror or error}"

    def _check(self) -> None:
        if self.locked:
            raise UsageError("the queue is open in another vidstyle ui on this machine: use that one, or close it")

    def add(self, text: str) -> int:
        """A video, a folder with all below it, or a pattern; how many came new. Results keep the structure.

        What is in the list and over waits once more: perhaps in another look.

        Raises:
            UsageError, SourceError: there is nothing of that name, or no video in it.
        """
        self._check()
        path = str(expanded(text.strip().strip("'\"")))
        if not Path(path).is_absolute():
            raise UsageError(f"{text} is not a whole path: it begins with {Path.home().anchor}")
        nowhere = Path(path) / ".vidstyle-none"
        found = find([path], nowhere, lambda source: f"{source.name}.x").items
        found = [item for item in found if ".vidstyle-" not in str(item.source)]
        with self._lock:
            known = {entry.source: entry for entry in self.entries}
            new = [
                Entry(str(item.source), below=str(item.target.parent.relative_to(nowhere)))
                for item in found
                if str(item.source) not in known
            ]
            if not found:
                raise UsageError(f"there is no video in {path}")
            if len(self.entries) + len(new) > MOST:
                raise UsageError(f"{len(new)} videos are too many for the list: use vidstyle batch for as many")
            for entry in (known[str(item.source)] for item in found if str(item.source) in known):
                self._wait_again(entry)
            set_apart(self.entries, new)
            self.entries += new
            self._save()
        return len(new)

    def remove(self, ids: list[str]) -> None:
        """What is under way stays."""
        self._check()
        with self._lock:
            self.entries = [entry for entry in self.entries if entry.id not in ids or entry is self._current]
            self._save()

    def move(self, name: str, place: int) -> None:
        """Put one at a place of the list, counted from 0."""
        self._check()
        with self._lock:
            entry = self._find(name)
            self.entries.remove(entry)
            self.entries.insert(max(0, place), entry)
            self._save()

    def again(self, name: str) -> None:
        """What is over waits once more."""
        self._check()
        with self._lock:
            self._wait_again(self._find(name))
            self._save()

    def _wait_again(self, entry: Entry) -> None:
        if entry is not self._current:
            entry.status, entry.reason, entry.frames = WAITING, "", 0

    def set(self, **values: Any) -> None:
        """Change the settings of the next run."""
        self._check()
        with self._lock:
            settings = replace(self.settings, **values)
            settings.choice  # noqa: B018 - checks the numbers
            self.settings = settings
            self._save()

    def _find(self, name: str) -> Entry:
        found = next((entry for entry in self.entries if entry.id == name), None)
        if found is None:
            raise UsageError("that video is not in the list any more")
        return found

    def state(self) -> dict[str, Any]:
        """JSON-ready."""
        with self._lock:
            entries = [
                asdict(entry) | {"name": entry.item.name, "folder": str(entry.item.parent)} for entry in self.entries
            ]
            known = {
                "locked": self.locked,
                "running": self.is_running,
                "stopping": bool(self.asked),
                "error": self.error,
            }
            return {"entries": entries, "settings": asdict(self.settings), **known}

    # --- the run

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Work until nothing waits.

        Raises:
            UsageError: it is not said where the results go.
            VidstyleError: the look cannot be read, or the folder not be written to.
        """
        self._check()
        with self._lock:
            if self.is_running:
                return
            output = expanded(self.settings.output)
            if not self.settings.output or not output.is_absolute():
                raise UsageError("say where the results go: a folder's whole path")
            recipe = self._recipe(self.settings.choice)
            template = FileJob(Path(), recipe, writing=SinkOptions(), engine=self._engine)
            self.asked, self.error = 0, ""
            self._thread = threading.Thread(target=self._run, args=(template, output), name="vidstyle-queue")
            self._thread.start()

    def _run(self, template: FileJob, output: Path) -> None:
        try:
            with Journal(output) as journal:
                self._next_item = lambda entry: Item(
                    entry.item, output / entry.below / template.result_name(entry.item)
                )
                Batch(template, [], journal, Wishes(retry=True), self, self, self).run()  # type: ignore[arg-type]
        except VidstyleError as error:
            self.error = plain_text(str(error))
        except Exception as error:
            self.error = f"Unexpected {type(error).__name__}: {error}"
        finally:
            with self._lock:
                if self._current is not None:
                    self._current.status, self._current = WAITING, None
                self._save()

    def stop(self, patience: float | None = None) -> None:
        """End the video under way at its next frame: it goes on there when the queue is started again.

        Args:
            patience: seconds to wait for that; None not to wait.
        """
        self.asked = 1
        if patience is not None and self._thread is not None:
            self._thread.join(patience)
            self.asked = 2
            self._thread.join()

    def close(self) -> None:
        if self.is_running:
            self.stop(2.0)
        self._owner.release()

    # --- what a Batch asks and tells

    def complete(self) -> list[Item]:
        """The next video, where none is under way; the end of the run where none waits."""
        with self._lock:
            if self._current is not None or self.asked:
                return []
            self._current = next((entry for entry in self.entries if entry.status == WAITING), None)
            if self._current is None:
                self.asked = 1
                return []
            self._current.status, self._current.reason = RUNNING, ""
            self._save()
            return [self._next_item(self._current)]

    def show(self, event: Event) -> None:
        with self._lock:
            entry = self._current
            if event.name == "note" or entry is None or event.item is None or event.item.source != entry.item:
                return
            if event.name == "progress":
                entry.frames, entry.total, entry.fps = (event.data[key] for key in ("frames", "total", "fps"))
            elif event.name != "start":
                self._end(entry, event)

    def _end(self, entry: Entry, event: Event) -> None:
        statuses = {"waiting": "failed", "incomplete": "failed", "stopped": WAITING}
        entry.status = statuses.get(event.name, event.name)
        reason = str(event.data.get("reason", "")).replace(f"{entry.item.parent}{os.sep}", "")
        entry.reason = capital(reason) if entry.status == "failed" else ""
        report = event.data.get("report") or {}
        item = event.item
        entry.output = str(report.get("output") or (item.target if item else ""))
        self._current = None
        self._save()

    def tick(self, totals: Totals) -> None:
        """Nothing: the page asks by itself."""
