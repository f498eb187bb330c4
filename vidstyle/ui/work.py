"""A run in a process of its own: it can be paused, and ended within a moment whatever it does."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
import time
from contextlib import suppress
from typing import Any

from vidstyle.ui.worker import PAUSE, RESUME, Done, Failed, PictureTask, ProxyTask, Step, VideoTask, work

CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy the engines' threads half


class Work:
    """One task from its start to its end.

    Attributes:
        status: running, paused, done, failed, cancelled.
        shown: (number, seconds, JPEG) of the newest picture it made; None before.
    """

    def __init__(self, task: VideoTask | PictureTask | ProxyTask) -> None:
        """The task's folder is made here, and deleted unless it is done."""
        task.folder.mkdir(parents=True, exist_ok=True)
        self.status, self.step, self.reason, self.code = "running", Step(), "", 0
        self.result = Done()
        self.shown: tuple[int, float, bytes] | None = None
        self.began, self.ended = time.time(), 0.0
        self.folder = task.folder
        self._lock = threading.Lock()
        self._connection, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=work, args=(theirs, task), name="vidstyle-ui-work", daemon=True)
        self._process.start()
        theirs.close()
        self._thread = threading.Thread(target=self._listen, name="vidstyle-ui-work", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self.status not in ("running", "paused")

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def _listen(self) -> None:
        outcome: Done | Failed | None = None
        with suppress(EOFError, OSError):
            while outcome is None:
                message = self._connection.recv()
                if isinstance(message, Step):
                    self.step = message
                elif isinstance(message, tuple):
                    self.shown = (self.shown[0] + 1 if self.shown else 1, *message)
                else:
                    outcome = message
        self._finish(outcome)

    def _finish(self, outcome: Done | Failed | None) -> None:
        self._process.kill()  # it has said all, or it is dead
        self._process.join()
        if not isinstance(outcome, Done):  # before anyone sees that it is over
            shutil.rmtree(self.folder, ignore_errors=True)
        with self._lock:
            if isinstance(outcome, Done) and self.status != "cancelled":
                self.status, self.result = "done", outcome
            elif self.status != "cancelled":
                failure = outcome if isinstance(outcome, Failed) else Failed(_death(self._process.exitcode))
                self.status, self.reason, self.code = "failed", failure.reason, failure.code
            self.ended = time.time()
        if self.status == "cancelled":
            shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        self._turn("running", "paused", PAUSE)

    def resume(self) -> None:
        self._turn("paused", "running", RESUME)

    def _turn(self, before: str, after: str, message: str) -> None:
        with self._lock:  # it may end at this moment
            if self.status != before:
                return
            self.status = after
        with suppress(OSError):
            self._connection.send(message)

    def cancel(self) -> None:
        """End it; nothing of it is left when this returns."""
        with self._lock:
            if not self.is_over:
                self.status = "cancelled"
        self._process.kill()
        self._thread.join()
        self._connection.close()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        step = self.step
        progress = {"frames": step.frames, "total": step.total, "fps": round(step.fps, 1), "eta": step.eta}
        seconds = (self.ended or time.time()) - self.began
        shown = self.shown[:2] if self.shown else None
        return {"status": self.status, "reason": self.reason, "seconds": seconds, "shown": shown, **progress}


def _death(code: int | None) -> str:
    cause = "perhaps for want of memory" if code == -9 else f"exit code {code}"
    return f"the process that worked on it died ({cause})"
