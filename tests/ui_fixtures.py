"""Fixtures of the tests of `vidstyle ui`; a test module names this one in ``pytest_plugins``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import closed_port
from media import Clip, make_clip
from ui_browser import Page, chromium
from ui_client import GIB, Visitor

from vidstyle.ui.house import House, HouseOptions

#: what Gradio leaves open: event loops, made for their locks alone, and the pairs of sockets in them
LEFT_OPEN = ("unclosed event loop", r"unclosed <socket.socket fd=\d+, family=1,")


def pytest_configure(config: pytest.Config) -> None:
    for message in LEFT_OPEN:
        config.addinivalue_line("filterwarnings", f"ignore:{message}:ResourceWarning")


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    pytest.importorskip("gradio", reason="no Gradio: pip install 'vidstyle[ui]'", exc_type=ImportError)
    with House(HouseOptions(upload=GIB, port=closed_port())) as one:  # two processes of tests would take the same one
        yield one


@pytest.fixture
def visitor(house: House) -> Iterator[Visitor]:
    one = Visitor(house.url)
    yield one
    one.http.delete(one.url())
    one.http.close()


@pytest.fixture
def page(house: House, tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path) as browser:
        yield Page(browser, house.url)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=20, size=(160, 96))


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Takes many seconds to style."""
    return make_clip(tmp_path_factory.mktemp("clips") / "long.mp4", frames=500, size=(320, 192))
