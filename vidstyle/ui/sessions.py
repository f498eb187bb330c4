"""What every visitor has for themselves: a file, what is made of it, and a folder that goes with the session."""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any
from unicodedata import normalize

import numpy as np
from filelock import FileLock, Timeout

from vidstyle.errors import UsageError, VidstyleError
from vidstyle.frame import AUTO, BEST
from vidstyle.job import FileJob
from vidstyle.source import SourceOptions
from vidstyle.ui.media import Media, look_into, plays_in_browsers
from vidstyle.ui.studio import Choice, Studio
from vidstyle.ui.texts import TEXTS
from vidstyle.ui.words import Line, in_words
from vidstyle.ui.work import Work
from vidstyle.ui.worker import PictureTask, ProxyTask, VideoTask

IDLE = 3600.0 * 6  # seconds after which a session that nobody asks about is removed
MOST = 50  # sessions at a time
PREFIX, LOCK = "vidstyle-ui-", "lock"  # of the temporary folder's name; a file in it that a living page holds


@dataclass
class Source:
    """A dropped file; ``known`` comes from another thread."""

    path: Path
    known: Future[tuple[Media, np.ndarray]]
    proxy: Work | None = None


@dataclass
class Run:
    """A result under way or ready; ``shift``: seconds of the source where it begins."""

    work: Work
    choice: Choice
    shift: float
    proxy: Work | None = None
    plays: bool | None = None  # whether browsers play it, once that is known
    kept: bool = False  # it was downloaded


@dataclass
class Session:
    id: str
    folder: Path
    seen: float = field(default_factory=time.monotonic)
    source: Source | None = None
    run: Run | None = None
    count: int = 0  # names the folders of files and runs

    def place(self, kind: str) -> Path:
        """A new folder for one thing."""
        self.count += 1
        return self.folder / f"{kind}-{self.count}"


class Sessions:
    """All visitors. `close` ends every run and removes every file."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        sweep(Path(gettempdir()))
        self.folder = Path(mkdtemp(prefix=PREFIX))
        self._owner = FileLock(self.folder / LOCK)
        self._owner.acquire()
        self._all: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._readers = ThreadPoolExecutor(2, "vidstyle-ui-read")

    def open(self) -> Session:
        """A new visitor's.

        Raises:
            UsageError: there are too many.
        """
        with self._lock:
            for old in [s for s in self._all.values() if time.monotonic() - s.seen > IDLE]:
                self.end(old)
            if len(self._all) >= MOST:
                idle = [s for s in self._all.values() if s.source is None] or [
                    s for s in self._all.values() if s.run is None or s.run.work.is_over
                ]
                if not idle:
                    raise UsageError("too many pages are open: close one of them and load this one again")
                self.end(min(idle, key=lambda one: one.seen))
            session = Session(secrets.token_urlsafe(18), Path())
            session.folder = self.folder / session.id
            session.folder.mkdir(mode=0o700)
            self._all[session.id] = session
            return session

    def get(self, name: str) -> Session | None:
        session = self._all.get(name)
        if session is not None:
            session.seen = time.monotonic()
        return session

    def end(self, session: Session) -> None:
        with self._lock:
            self._all.pop(session.id, None)
            self.drop(session)
            shutil.rmtree(session.folder, ignore_errors=True)

    # --- the file

    def take(self, session: Session, path: Path) -> Source:
        """Make an uploaded file the session's; the one before goes, with all that was made of it."""
        with self._lock:
            self.drop(session)
            source = session.source = Source(path, self._readers.submit(look_into, path))
        source.known.add_done_callback(lambda _: self._after_look(session, source))
        return source

    def _after_look(self, session: Session, source: Source) -> None:
        if source.known.cancelled() or source.known.exception() is not None:
            return
        media, _ = source.known.result()
        if media.kind == "video" and not media.plays:
            self.make_playable(session)

    def make_playable(self, session: Session, of_result: bool = False) -> None:
        """Begin a copy that browsers play, of the source or of the result; once."""
        with self._lock:
            owner = session.run if of_result else session.source
            if owner is None or owner.proxy is not None:
                return
            path = Path(owner.work.result.output) if isinstance(owner, Run) else owner.path
            owner.proxy = Work(ProxyTask(path, session.place("proxy")))

    def drop(self, session: Session) -> None:
        """Forget the session's file and all that was made of it."""
        with self._lock:
            self.drop_run(session)
            source, session.source = session.source, None
            if source is not None:
                if source.proxy is not None:
                    _end(source.proxy)
                shutil.rmtree(source.path.parent, ignore_errors=True)

    # --- the run

    def begin(
        self, session: Session, choice: Choice, start: float | None, end: float | None, best: bool = False
    ) -> Run:
        """Style the session's file; ``best``: at `vidstyle.frame.BEST`.

        Raises:
            UsageError: there is no file, or the part is none.
            VidstyleError: the file or the look cannot be read.
        """
        source = session.source
        if source is None:
            raise UsageError("there is no video or picture yet: drop one first")
        media, _ = source.known.result()
        if start is not None and end is not None and end <= start:
            raise UsageError("the part ends before it begins: move its ends apart")
        recipe = self.studio.do(self.studio.recipe, choice).result()
        with self._lock:
            self.drop_run(session)
            folder = session.place("result")
            task: VideoTask | PictureTask
            if media.kind == "picture":
                task = PictureTask(source.path, folder, recipe, self.studio.options)
            else:
                reading = replace(SourceOptions.of_size(BEST if best else AUTO), start=_exact(start), end=_exact(end))
                task = VideoTask(FileJob(source.path, recipe, None, reading, engine=self.studio.options), folder)
            run = session.run = Run(Work(task), choice, start or 0.0)
        return run

    def look_at_result(self, session: Session) -> None:
        """Once a run is done: see whether browsers play its result, and begin a copy if not."""
        run, source = session.run, session.source
        if run is None or run.work.status != "done" or run.plays is not None or source is None:
            return
        run.plays = True
        if source.known.result()[0].kind == "video":
            try:
                run.plays = plays_in_browsers(Path(run.work.result.output))
            except VidstyleError:
                run.plays = False
            if not run.plays:
                self.make_playable(session, of_result=True)

    def drop_run(self, session: Session) -> None:
        with self._lock:
            run, session.run = session.run, None
            if run is not None:
                _end(run.work)
                if run.proxy is not None:
                    _end(run.proxy)

    def close(self) -> None:
        for session in list(self._all.values()):
            self.end(session)
        self._readers.shutdown(cancel_futures=True)
        self._owner.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what pages left that were killed: their locks are free."""
    for lock in folder.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent, ignore_errors=True)


def _exact(seconds: float | None) -> Fraction | None:
    return None if seconds is None else Fraction(seconds).limit_denominator(1000)


def _end(work: Work) -> None:
    work.cancel()
    shutil.rmtree(work.folder, ignore_errors=True)


def state(session: Session) -> dict[str, Any]:
    """Everything the page shows of a session, JSON-ready."""
    return {"file": _file(session.source), "run": _run(session.run)}


def _file(source: Source | None) -> dict[str, Any] | None:
    if source is None:
        return None
    known: dict[str, Any] = {"name": source.path.name, "key": source.path.parent.name}
    if not source.known.done():
        return known | {"status": "reading"}
    if (error := source.known.exception()) is not None:
        return known | {"status": "bad", "reason": plain(error, source.path)}
    proxy = source.proxy.as_dict() if source.proxy else None
    return known | source.known.result()[0].as_dict() | {"status": "ready", "proxy": proxy}


def _run(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    work, lines = run.work, list[Line]()
    result: dict[str, Any] = {}
    if work.status == "done":
        output = Path(work.result.output)
        lines = in_words(work.result.report)
        size = output.stat().st_size if output.exists() else 0
        result = {"name": output.name, "bytes": size, "key": output.parent.name, "plays": run.plays, "kept": run.kept}
    choice = {"look": run.choice.look, "second": run.choice.second, "share": run.choice.share}
    choice |= {"strength": run.choice.strength}
    proxy = run.proxy.as_dict() if run.proxy else None
    words = {"report": [line.as_dict() for line in lines], "reason": plain_text(work.reason)}
    return work.as_dict() | words | {"result": result, "choice": choice, "shift": run.shift, "proxy": proxy}


def plain(error: BaseException, path: Path | None = None) -> str:
    """An error as a sentence for the page: without the temporary folder's name."""
    text = str(error) if isinstance(error, VidstyleError) else f"unexpected {type(error).__name__}: {error}"
    return plain_text(text.replace(f"{path.parent}/", "") if path is not None else text)


def plain_text(text: str) -> str:
    """Without the places of temporary files, which say nothing to anybody, and with the page's names of options."""
    for option, key in (("--start", "trim_start"), ("--end", "trim_end")):
        text = text.replace(option, f"“{TEXTS[key]}”")
    text = text.replace(" or choose another folder with -o", "")
    text = re.sub(r"[^\s'\"]*[/\\\\]vidstyle-ui-[^/\\\\]+[/\\\\](?:[\w.-]+[/\\\\])*", "", text)
    return capital(text)


def capital(text: str) -> str:
    """With a capital, unless it begins with a file's name."""
    first = text.partition(" ")[0].rstrip(":")
    return text if "." in first or "/" in first else text[:1].upper() + text[1:]


def safe_name(name: str) -> str:
    """A file's name as the browser gave it, fit for any file system: at most 200 bytes, its extension kept."""
    name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", name).strip(". ") or "video"
    stem, dot, ending = name.rpartition(".")
    return f"{_cut(stem, 180)}.{_cut(ending, 16)}" if dot and stem else _cut(name, 180)


def safe_path(name: str) -> str:
    """As `safe_name`, of the folders in it too, which stay; macOS writes an é as two characters, others as one."""
    return "/".join(map(safe_name, filter(None, normalize("NFC", name).split("/")))) or safe_name("")


def _cut(text: str, most: int) -> str:
    """The first whole characters of it, in at most so many bytes."""
    return text.encode("utf-8", "ignore")[:most].decode("utf-8", "ignore")
