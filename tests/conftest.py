"""Fixtures of all tests."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

POLICY = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else 0
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_finish() -> None:
    """What all modules brought stays: the collector, which some tests call often, took 0.4 s to look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """``shared("teachers/anime.tflite")``: a file of the folder ``shared`` beside the checkout.

    The test is skipped where it is absent, and fails where the variable CI is set.
    """

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {path}: fetch the shared files to run this")
        return path

    return find


@pytest.fixture(scope="session", autouse=True)
def _never_the_users_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Cache, styles and config of the person who runs the tests are left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDSTYLE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def _ordinary_priority() -> Iterator[None]:
    """No test leaves this process with a real-time priority, as SVT-AV1 does: the whole machine would wait for it."""
    yield
    if hasattr(os, "sched_getscheduler") and (found := os.sched_getscheduler(0)) != POLICY:
        os.sched_setscheduler(0, POLICY, os.sched_param(0))
        pytest.fail(f"the test left this thread with the scheduling policy {found}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of vidstyle: styles, cache and config of this test alone."""
    folder = tmp_path / "home"
    monkeypatch.setenv("VIDSTYLE_HOME", str(folder))
    return folder


@pytest.fixture
def our_threads() -> Callable[[], list[str]]:
    """Names of vidstyle's threads that began with the test: those of a page that several tests share go on."""
    before = set(threading.enumerate())
    return lambda: [t.name for t in threading.enumerate() if t not in before and t.name.startswith("vidstyle-")]


@pytest.fixture
def kept_threads() -> Iterator[None]:
    """Torch's number of threads, which is the whole process's, as it was."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread(request: pytest.FixtureRequest) -> None:
    """For pictures that are too small to share out."""
    import torch

    request.getfixturevalue("kept_threads")
    torch.set_num_threads(1)
