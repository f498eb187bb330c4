"""A run seen from inside its process: it does one task, says how far it is, and ends.

It ends at once when the pipe closes, so also when the page's process is killed.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vidstyle.engine import Recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import SinkError, VidstyleError
from vidstyle.frame import Frame
from vidstyle.job import FileJob, Progress
from vidstyle.source import VideoSource
from vidstyle.stylizer import Stylizer

PAUSE, RESUME = "pause", "resume"
STEP = 0.2  # seconds between two reports of progress
SHOWN = 0.16  # seconds between two pictures for the page
SIZE = 360  # short side of these
FULL = "the disk is full"


@dataclass(frozen=True)
class VideoTask:
    """Style a video; the result gets its usual name in ``folder``."""

    job: FileJob
    folder: Path


@dataclass(frozen=True)
class PictureTask:
    """Style a picture file; the result gets its usual name in ``folder``."""

    source: Path
    folder: Path
    recipe: Recipe
    engine: EngineOptions


@dataclass(frozen=True)
class ProxyTask:
    """Make a copy that browsers play."""

    source: Path
    folder: Path


@dataclass
class Step:
    """How far it is. ``fps`` and ``eta`` (seconds) leave out pauses; None: nothing is known."""

    frames: int = 0
    total: int | None = None
    fps: float = 0.0
    eta: float | None = None


@dataclass
class Done:
    output: str = ""
    report: dict[str, Any] = field(default_factory=dict)


@dataclass
class Failed:
    reason: str
    code: int = VidstyleError.exit_code


class Talk:
    """The pipe to the page: says things, waits while paused, ends the process when the page is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._going, self._lock = connection, threading.Event(), threading.Lock()
        self._going.set()
        self.paused = 0.0  # seconds so far
        threading.Thread(target=self._listen, name="vidstyle-ui-pipe", daemon=True).start()

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._going.clear() if self._connection.recv() == PAUSE else self._going.set()
        os._exit(1)

    def say(self, message: object) -> None:
        with suppress(OSError), self._lock:
            self._connection.send(message)

    def wait(self) -> None:
        """While it is paused."""
        if not self._going.is_set():
            began = time.monotonic()
            self._going.wait()
            self.paused += time.monotonic() - began


class Shown(Stylizer):
    """Shows the page some of the pictures that come out of it."""

    talk: Talk  # set before the first picture

    def frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        from vidstyle.convert import at_short_side
        from vidstyle.ui.media import jpeg

        last = 0.0
        for frame in super().frames(frames):
            if time.monotonic() - last >= SHOWN:
                last = time.monotonic()
                self.talk.say((float(frame.time), jpeg(at_short_side(frame.image, SIZE), 82)))
            yield frame


class _Reporter:
    """Called after every written frame."""

    def __init__(self, talk: Talk) -> None:
        self._talk, self._last = talk, 0.0

    def __call__(self, progress: Progress) -> None:
        self._talk.wait()
        if (now := time.monotonic()) - self._last < STEP:
            return
        self._last = now
        seconds = max(progress.seconds - self._talk.paused, 1e-3)
        fps = progress.frames / seconds
        left = max(0, progress.total - progress.frames) / fps if progress.total and progress.frames > 2 else None
        self._talk.say(Step(progress.frames, progress.total, fps, left))


def work(connection: Connection, task: VideoTask | PictureTask | ProxyTask) -> None:
    """The main function of the process."""
    import av

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    av.logging.set_level(None)
    talk = Talk(connection)
    try:
        talk.say(_do(task, talk))
    except VidstyleError as error:
        talk.say(Failed(str(error), error.exit_code))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        talk.say(Failed(FULL if full else str(error.strerror or error), SinkError.exit_code))
    except Exception as error:
        talk.say(Failed(f"unexpected {type(error).__name__}: {error}"))


def _do(task: VideoTask | PictureTask | ProxyTask, talk: Talk) -> Done:
    if isinstance(task, VideoTask):
        return _video(task, talk)
    return _picture(task) if isinstance(task, PictureTask) else _proxy(task, talk)


def _video(task: VideoTask, talk: Talk) -> Done:
    from vidstyle.job import stylize_file

    job, options = task.job, task.job.engine
    with VideoSource(job.input, replace(job.reading, threads=1)) as source:
        beside, reason = job.target_for(source)
    job = replace(job, output=task.folder / beside.name)
    runtime = (options.engine, options.device, options.precision, options.threads)
    stylizer = Shown(job.recipe, *runtime, in_flight=0)
    stylizer.talk = talk
    with stylizer:
        report = stylize_file(job, _Reporter(talk), stylizer)
    if reason is not None:
        report.notes.insert(0, f"written as {beside.suffix}, since {reason}")
    return Done(report.output, report.as_dict())


def _picture(task: PictureTask) -> Done:
    from vidstyle.images import stylize_image, targets

    target = targets([task.source], f"{task.folder}/", task.recipe.name)[0]
    options = task.engine
    with Stylizer(task.recipe, options.engine, options.device, options.precision, options.threads) as stylizer:
        report = stylize_image(task.source, target, stylizer)
    return Done(str(target), report.as_dict())


def _proxy(task: ProxyTask, talk: Talk) -> Done:
    from vidstyle.ui.media import make_proxy

    target = task.folder / "proxy.mp4"
    make_proxy(task.source, target, _Shares(talk))
    return Done(str(target))


class _Shares:
    """Called with the share that is done."""

    def __init__(self, talk: Talk) -> None:
        self._talk, self._last = talk, -1

    def __call__(self, share: float) -> None:
        if (percent := round(share * 100)) != self._last:
            self._last = percent
            self._talk.say(Step(percent, 100))
