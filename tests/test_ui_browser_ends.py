"""The page in a real Chromium, where its server goes, and where its session is another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub import closed_port
from media import Clip, make_clip
from ui_browser import Page, chromium
from ui_client import GIB, until

from vidstyle.ui.house import House, HouseOptions
from vidstyle.ui.texts import TEXTS

pytest_plugins = "ui_fixtures"


def ready(page: Page) -> bool:
    return page.seen("start") and page["start"].is_enabled()


@contextmanager
def left_by_its_server(folder: Path, clip: Clip, before: Callable[[Page], None]) -> Iterator[Page]:
    """A page with a dropped clip; the server has gone after ``before``."""
    pytest.importorskip("gradio", reason="no Gradio: pip install 'vidstyle[ui]'", exc_type=ImportError)
    with chromium(folder) as browser:
        with House(HouseOptions(upload=GIB, port=closed_port())) as house:
            page = Page(browser, house.url)
            page.drop(clip.path)
            before(page)
        yield page


@pytest.mark.slow
def test_a_server_that_goes_in_the_middle_is_told(tmp_path: Path, long_clip: Clip) -> None:
    def started(page: Page) -> None:
        until(lambda: ready(page))
        page.press("start")
        until(lambda: page.js("return document.getElementById('show').dataset.shown"))

    with left_by_its_server(tmp_path, long_clip, started) as page:
        until(lambda: page["toast"].text == TEXTS["lost"])


@pytest.mark.slow
def test_a_server_that_goes_is_told_by_the_preview_in_words(tmp_path: Path, long_clip: Clip) -> None:
    def previewed(page: Page) -> None:
        until(lambda: page.js("return document.getElementById('show').dataset.frames"))

    with left_by_its_server(tmp_path, long_clip, previewed) as page:
        until(lambda: page["problem"].text == TEXTS["lost"])
        page.press("tab-camera")  # whose workers are yet to come from the server
        page.press("camera-first")
        until(lambda: page["camera-message"].text == TEXTS["lost"])
        page.press("camera-toggle")


@pytest.mark.slow
def test_a_duplicated_tab_has_a_session_of_its_own(page: Page, long_clip: Clip, tmp_path: Path) -> None:
    page.drop(long_clip.path)
    until(lambda: ready(page))
    page.press("start")
    until(lambda: page.seen("progress"))
    page.press("pause")  # else it may be done before the other tab is
    first = page.browser.current_window_handle
    page.js("window.open(location.href)")  # with a copy of this one's storage, as a duplicated tab has
    page.browser.switch_to.window(page.browser.window_handles[-1])
    page.wait_until_ready()
    assert page.seen("drop") and not page.seen("progress")
    page.drop(make_clip(tmp_path / "other.mp4", frames=8).path)
    until(lambda: ready(page))
    page.browser.switch_to.window(first)
    assert page.seen("progress")
    page.browser.refresh()
    page.wait_until_ready()
    until(lambda: page.seen("progress"))
    page.press("cancel")


@pytest.mark.slow
def test_what_was_left_in_another_session_hides_no_result(page: Page, house: House, clip: Clip) -> None:
    """Files and results of every session are named alike."""
    for _ in range(2):
        page.drop(clip.path)
        until(lambda: ready(page))
        page.press("start")
        until(lambda: page.seen("done"))
        page.press("change")
        session = house.sessions.get(page.js("return JSON.parse(sessionStorage.getItem('session'))"))
        assert session is not None
        house.sessions.end(session)  # as a server that was started again does
        page.browser.refresh()
        page.wait_until_ready()
