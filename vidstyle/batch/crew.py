"""Worker processes seen from the batch: started when there is work, replaced when they die, gone at the end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vidstyle.batch.decide import Fingerprints
from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import Fingerprint
from vidstyle.batch.messages import STOP, Look, Task
from vidstyle.batch.worker import work
from vidstyle.errors import EngineError
from vidstyle.job import FileJob

SCOUT = 0  # number of the worker that looks at videos and styles none
CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy threads of FFmpeg and OpenVINO half
#: what a person sends to the batch, which then tells its workers; a terminal sends it to all of them
SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


class Worker:
    """One process and the pipe to it; its successor has the same number."""

    def __init__(self, number: int, template: FileJob, fingerprints: Fingerprints, folder: Path) -> None:
        self.number, self.is_scout = number, number == SCOUT
        self.ready = False
        self.item: Item | None = None  # what it works on
        self.why = ""  # that has to be done, where it is not new
        self.fingerprint: Fingerprint | None = None  # of that, once it has begun
        self._log = folder / f"worker-{number}.log"
        self.connection, theirs = CONTEXT.Pipe()
        arguments = (theirs, template, fingerprints, self._log, self.is_scout)
        self._process = CONTEXT.Process(target=work, args=arguments, name=f"vidstyle-worker-{number}", daemon=True)
        try:
            with _deaf():
                self._process.start()
        except BaseException:  # a signal that came meanwhile: nobody else knows of the process
            if self._process.pid is not None:
                self._process.kill()
                self._process.join()
            raise
        theirs.close()  # or its death would not close the pipe

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def send(self, message: Task | Look | str) -> None:
        with suppress(OSError):  # it died: reading from it says so
            self.connection.send(message)

    def receive(self) -> Any:
        """Its next message; None where it died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def bury(self) -> str:
        """What it died of, for people."""
        self.connection.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        cause = f"exit code {code}"
        if sys.platform != "win32" and code < 0:
            name = signal.Signals(-code).name
            cause = f"{name}, perhaps for want of memory" if -code == signal.SIGKILL else name
        last = self._last_words()
        return f"the worker process died: {cause}{f' ({last})' if last else ''}"

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text("utf-8", "replace").split("\n")
        except OSError:
            return ""
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")

    def end(self, deadline: float) -> None:
        """Wait for its end until ``deadline`` (`time.monotonic`), then kill it."""
        self._process.join(max(0.0, deadline - time.monotonic()))
        self._process.kill()
        self._process.join()
        self._process.close()


def _fill_standard_streams() -> None:
    """Open what is closed of 0, 1, 2: a pipe of that number would be taken for a child's standard input."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number


@contextmanager
def _deaf() -> Iterator[None]:
    """Children born in here do not hear `SIGNALS`, from their first instruction on; this process hears them after."""
    if sys.platform == "win32":  # it has none that could be held back
        yield
        return
    resource_tracker.ensure_running()  # it would unblock them in the middle
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Crew:
    """A worker for each of ``templates`` at most. A context manager: no process is left after the block.

    Attributes:
        patience: seconds that videos under way get to stop when the block is left.
    """

    def __init__(self, templates: Sequence[FileJob], fingerprints: Fingerprints) -> None:
        self.patience = 5.0
        self._templates, self._fingerprints = (templates[0], *templates), fingerprints  # the scout has the first's
        self._free = set(range(1, len(self._templates)))
        self._workers: dict[Any, Worker] = {}  # by its end of the pipe

    @property
    def busy(self) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.item is not None and not worker.is_scout]

    def idle(self) -> Worker | None:
        """One without work, started where there is none yet; None where all are busy."""
        for worker in self._workers.values():
            if worker.item is None and not worker.is_scout:
                return worker
        return self._hire(min(self._free)) if self._free else None

    def scout(self) -> Worker | None:
        """The one that only looks at videos; None while it does."""
        found = next((worker for worker in self._workers.values() if worker.is_scout), None)
        worker = found or self._hire(SCOUT)
        return worker if worker.item is None else None

    def _hire(self, number: int) -> Worker:
        self._free.discard(number)
        worker = Worker(number, self._templates[number], self._fingerprints, Path(self._logs.name))
        self._workers[worker.connection] = worker
        return worker

    def heard(self, seconds: float) -> list[Worker]:
        """Those that have something to say, waiting up to ``seconds`` for the first."""
        return [self._workers[end] for end in connection.wait(list(self._workers), seconds)]

    def bury(self, worker: Worker) -> str:
        """Take a dead one out; what it died of.

        Raises:
            EngineError: it never was ready, and the next one would not be either.
        """
        del self._workers[worker.connection]
        self._free |= {worker.number} - {SCOUT}
        cause = worker.bury()
        if not worker.ready:
            raise EngineError(f"{cause} before it was ready: see vidstyle doctor, or try fewer --jobs")
        return cause

    def dismiss(self, worker: Worker) -> None:
        """Send an idle one home."""
        del self._workers[worker.connection]
        worker.connection.close()
        worker.end(time.monotonic() + self.patience)

    def stop(self) -> None:
        """Ask for the end of every video under way, at its next frame."""
        for worker in self._workers.values():
            worker.send(STOP)

    def __enter__(self) -> Crew:
        _fill_standard_streams()
        self._logs = TemporaryDirectory(prefix="vidstyle-")
        return self

    def __exit__(self, *exc: object) -> None:
        deadline = time.monotonic() + self.patience
        for worker in self._workers.values():
            worker.connection.close()  # it ends with the pipe, after the frame under way
        for worker in self._workers.values():
            worker.end(deadline)
        self._workers.clear()
        self._logs.cleanup()
