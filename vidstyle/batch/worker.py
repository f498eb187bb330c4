"""A worker process seen from inside: it takes videos through a pipe, one by one, and says what becomes of them.

It keeps its engine from video to video. It ends when the pipe is closed, so also when the batch is killed.
"""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import av
from filelock import FileLock, Timeout

from vidstyle.batch.decide import Fingerprints, becomes_too, exists
from vidstyle.batch.journal import look as look_at
from vidstyle.batch.journal import stamp
from vidstyle.batch.messages import STOP, Begun, Ended, Look, Ready, Seen, Step, Task
from vidstyle.errors import DeviceLostError, SinkError, TakenError, VidstyleError
from vidstyle.job import FileJob, Progress, open_source, stylize_file
from vidstyle.refusal import as_sink_error
from vidstyle.report import Report
from vidstyle.sink import check_stream
from vidstyle.source import VideoSource
from vidstyle.stylizer import Stylizer
from vidstyle.workfolder import LOCK, MARK, work_path

STEP_SECONDS = 0.5  # between two reports of progress
LOST = 6  # exit code of a worker whose device was lost
GRACE = 10.0  # seconds that a video may take to stop once the batch is gone


class Inbox:
    """What the batch says, read on a thread of its own: a stop, and the batch's death, come at any time.

    A context manager; the thread ends with the pipe.
    """

    def __init__(self, connection: Connection) -> None:
        self.stopping = threading.Event()
        self.tasks: SimpleQueue[Task | Look | None] = SimpleQueue()  # None: no more
        self._connection, self._over = connection, threading.Event()
        self._thread = threading.Thread(target=self._read, name="vidstyle-inbox", daemon=True)

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                message = self._connection.recv()
                if message == STOP:
                    self.stopping.set()
                else:
                    self.tasks.put(message)
        self.stopping.set()
        self.tasks.put(None)
        if not self._over.wait(GRACE):  # the main thread is stuck in a decoder or a disk
            os._exit(1)

    def __enter__(self) -> Inbox:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()


def work(connection: Connection, template: FileJob, fingerprints: Fingerprints, log: Path, polite: bool) -> None:
    """The main function of a worker process.

    Args:
        log: takes what libraries would write to the terminal.
        polite: leave the cores to others.
    """
    if polite and hasattr(os, "nice"):
        os.nice(10)
    terminal = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(terminal, stream)
    av.logging.set_level(None)

    def say(message: object) -> None:
        with suppress(OSError):  # the batch is gone: the inbox sees it too
            connection.send(message)

    options = template.engine.settled()
    runtime = (options.engine, options.device, options.precision, options.threads)
    with Inbox(connection) as inbox, Stylizer(template.recipe, *runtime, in_flight=0, batch=0) as stylizer:
        tools = Tools(template, fingerprints, stylizer, inbox.stopping, say)
        gc.freeze()  # what is here stays: only what a video brought is searched below
        say(Ready())
        while (task := inbox.tasks.get()) is not None:
            os.ftruncate(terminal, 0)
            said = look(task, template) if isinstance(task, Look) else style(task, tools)
            say(said)
            if isinstance(said, Ended) and said.lost:
                os._exit(LOST)  # nothing more can be done in this process, not even closing; another takes its place
            gc.collect()  # Python counts objects, not the decoder's memory that one of them may hold


@dataclass(frozen=True)
class Tools:
    """What every video is styled with."""

    template: FileJob
    fingerprints: Fingerprints
    stylizer: Stylizer
    stopping: threading.Event
    say: Callable[[object], None]


def look(task: Look, template: FileJob) -> Seen:
    try:
        job = replace(template.of(task.source), output=None, reading=replace(template.reading, threads=1))
        if task.fully:
            job = replace(job, source=job.input.checked())
        with open_source(job) if task.fully else VideoSource(job.input, job.reading) as source:
            height, width = source.info.working
            seen = Seen(source.info.frames, height * width)
            if not task.fully:
                return seen
            output, _ = job.target_for(source)
            check_stream(output, source, job.writing)
            return replace(seen, file=output.name)
    except VidstyleError as error:
        return Seen(error=str(error), code=error.exit_code)
    except Exception as error:
        return Seen(error=f"{type(error).__name__}: {error}")


def style(task: Task, tools: Tools) -> Ended:
    """Style a video, whatever comes of it."""
    try:
        return _styled(task, tools)
    except KeyboardInterrupt:
        return Ended("stopped")
    except DeviceLostError as error:
        return replace(ended_with(error), lost=True)
    except Exception as error:
        tools.stylizer.unload()  # pictures may be under way in it; the next video loads it again
        return ended_with(error)


def ended_with(error: Exception) -> Ended:
    """What a video ends with that failed with ``error``."""
    if isinstance(error, VidstyleError):
        return Ended("failed", str(error), error.exit_code, taken=isinstance(error, TakenError))
    reason = f"unexpected {type(error).__name__}: {error}: see vidstyle --debug file, and report it"
    return Ended("failed", reason, VidstyleError.exit_code)


def _styled(task: Task, tools: Tools) -> Ended:
    if tools.stopping.is_set():
        raise KeyboardInterrupt
    job, notes = begin(task, tools)
    output = job.target
    job = replace(job, resume=can_go_on(job, output))
    report = stylize_file(job, _Reporter(tools.say, tools.stopping), tools.stylizer)
    report.notes[:0] = notes
    return finished(output, report)


def finished(output: Path, report: Report) -> Ended:
    """What a video ends with that was put in place, perhaps with losses."""
    there, summary = look_at(output), report.as_dict()
    assert there is not None, "it was put in place"
    size, _ = there
    if not report.losses:
        return Ended("done", size=size, report=summary)
    reason = f"{'; '.join(report.losses)}; what could be read is in {output}"
    return Ended("incomplete", reason, VidstyleError.exit_code, size, summary)


def begin(task: Task, tools: Tools) -> tuple[FileJob, list[str]]:
    """Settle source and output, say that it is begun, make its folder; the video's job, and notes about it."""
    job, mark = replace(tools.template.of(task.source), suited=task.suited), tools.fingerprints.of(task.source)
    output, notes = task.known, list[str]()
    try:
        job = replace(job, source=job.input.checked())
        output, notes = _output(task, job)
        _check_free(output, task)
    finally:  # what cannot be opened has begun, too, and failed
        if output.name not in task.taken:
            tools.say(Begun(output.name, mark, stamp(task.source), stamp(output)))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {output.parent}: {error.strerror or error}") from error
    _await_predecessor(output)
    return replace(job, output=output, writing=replace(job.writing, overwrite=True)), notes


def _output(task: Task, job: FileJob) -> tuple[Path, list[str]]:
    """The result's path in a container that holds what is in the video, and notes about that.

    Raises:
        SourceError: the video cannot be opened.
    """
    with VideoSource(job.input, replace(job.reading, threads=1)) as source:
        beside, reason = replace(job, output=None).target_for(source)
    output = task.target.with_name(beside.name)
    return output, [f"written as {output.suffix}, since {reason}"] if reason else []


def _check_free(output: Path, task: Task) -> None:
    """
    Raises:
        VidstyleError: another video of the batch becomes that file.
        TakenError: a file is there that may not be replaced.
    """
    if output.name in task.taken:
        raise VidstyleError(becomes_too(task.taken[output.name], output))
    try:
        there = look_at(output) is not None
    except OSError as error:
        raise as_sink_error(error, output) from error
    if there and output != task.known and not task.overwrite:
        raise TakenError(exists(output, "and no batch made it"))


def _await_predecessor(target: Path) -> None:
    """Let the worker of a batch that was killed come to its end: it stops at its next frame."""
    lock = work_path(target) / LOCK
    if lock.exists():
        with suppress(Timeout, OSError), FileLock(lock, timeout=GRACE):
            pass


def can_go_on(job: FileJob, output: Path) -> bool:
    """Whether what an interrupted run left of this output was made in the same way; else it is thrown away."""
    try:
        before = json.loads((work_path(output) / MARK).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(before == json.loads(json.dumps(job.fingerprint())))


class _Reporter:
    """Called after every frame: says how far it is, twice a second, and ends the video when that is wanted."""

    def __init__(self, say: Callable[[object], None], stopping: threading.Event) -> None:
        self._say, self._stopping, self._last = say, stopping, 0.0

    def __call__(self, progress: Progress) -> None:
        if self._stopping.is_set():
            raise KeyboardInterrupt
        if (now := time.monotonic()) - self._last >= STEP_SECONDS:
            self._last = now
            height, width = progress.info.working
            self._say(Step(progress.frames, progress.total, progress.fps, height * width, progress.before))
