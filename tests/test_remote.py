"""A server that stalls keeps nobody from stopping."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from media import make_clip
from web import Site, serve

from vidstyle.errors import Interrupted, SourceError
from vidstyle.inputs import Input, parse_input
from vidstyle.prefetch import Prefetch
from vidstyle.remote import Aside
from vidstyle.source import SourceOptions, VideoSource

SOON = 8.0  # seconds; the server is waited for longer
PATIENT = SourceOptions(timeout=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "a.mkv", frames=300, size=(320, 240), audio=0).path.parent


@pytest.fixture
def stalling(folder: Path) -> Iterator[Input]:
    """A video whose second half never comes."""
    with serve(Site(folder, stalls=True)) as site:
        yield parse_input(f"{site.url}/a.mkv")


@contextmanager
def ctrl_c(after: float) -> Iterator[None]:
    def stop(*_: object) -> NoReturn:
        raise Interrupted(130)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, after)
    begun = time.monotonic()
    try:
        with pytest.raises(Interrupted):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < after + SOON


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs timers")
@pytest.mark.parametrize("start", [None, Fraction(8)])
def test_ctrl_c_is_heard_while_a_server_is_waited_for(stalling: Input, start: Fraction | None) -> None:
    with ctrl_c(4.0), VideoSource(stalling, SourceOptions(start=start, timeout=30)) as source:
        assert start is None, "nothing is there at its start"
        assert len(list(source)) == 300


def test_a_stage_that_waits_for_a_server_ends_with_the_run(stalling: Input) -> None:
    begun = time.monotonic()
    with (
        pytest.raises(Interrupted),
        VideoSource(stalling, PATIENT) as source,
        Prefetch(source, 400, "source") as read,
        source.stopping(),
    ):
        next(iter(read))
        time.sleep(2)  # the rest of what is there is read meanwhile
        raise Interrupted(130)
    assert time.monotonic() - begun < SOON


def test_what_is_left_to_itself_is_closed_when_it_comes_back() -> None:
    comes, stopped, closed = threading.Event(), threading.Event(), threading.Event()
    aside = Aside(stopped)
    stopped.set()
    with pytest.raises(SourceError, match="stopped"):
        aside(comes.wait)
    aside.close(SimpleNamespace(close=closed.set))
    assert not closed.wait(0.3), "a container must not be closed under its reader"
    comes.set()
    assert closed.wait(SOON)
