"""The page in a real Chromium, where an answer comes later than one that was asked for after it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from media import Clip
from ui_browser import Page
from ui_client import until

from vidstyle.ui.entries import Entry
from vidstyle.ui.house import House
from vidstyle.ui.texts import TEXTS

pytest_plugins = "ui_fixtures"
pytestmark = pytest.mark.slow

#: after `hold(address)` what is only looked at there is held back, with the answer it had, until `release()`
HELD = """
const plain = window.fetch.bind(window), waiting = [], looks = {};
let held = "";
window.fetch = async (address, how = {}) => {
  const answer = await plain(address, how);
  if ((how.method ?? "GET") !== "GET") return answer;
  looks[address] = (looks[address] ?? 0) + 1;
  if (held && address.endsWith(held)) await new Promise((resolve) => waiting.push(resolve));
  return answer;
};
window.hold = (address) => (held = address);
window.held = () => waiting.length;
window.release = () => ((held = ""), waiting.splice(0).forEach((resolve) => resolve()));
window.looks = (address) => looks[address] ?? 0;
"""


TAB = "\ue004"  # WebDriver's name of the key
#: the first action on the queue takes long to get there
SLOW = """
const plain = window.fetch.bind(window);
let isFirst = true;
window.fetch = async (address, how = {}) => {
  if (isFirst && (how.method ?? "GET") !== "GET" && address.endsWith("/api/queue")) {
    isFirst = false;
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
  return plain(address, how);
};
"""


def shortly(page: Page) -> None:
    """Let the page do with an answer what it does."""
    time.sleep(0.3)
    page.js("return 0")


def test_an_older_look_at_the_queue_says_nothing_after_a_start(
    page: Page, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It said what the run before had failed of, and that stood until the next action."""
    queue = house.rooms.queue

    def start() -> None:
        monkeypatch.setattr(queue, "error", "")
        monkeypatch.setattr(type(queue), "is_running", True)

    monkeypatch.setattr(queue, "entries", [Entry(str(tmp_path / "a.mp4"))])
    monkeypatch.setattr(queue, "error", "Nothing could be written.")
    monkeypatch.setattr(queue, "start", start)
    page.js(HELD)
    page.press("tab-folder")
    until(lambda: page.seen("queue-problem"))
    page.js("hold('/api/queue')")
    until(lambda: page.js("return held()"))
    page.press("queue-start")
    until(lambda: page["queue-start"].text == TEXTS["queue_stop"])
    page.js("release()")
    shortly(page)
    assert not page.seen("queue-problem") and page["queue-start"].text == TEXTS["queue_stop"]
    monkeypatch.setattr(type(queue), "is_running", False)
    until(lambda: page["queue-start"].text == TEXTS["queue_start"], 10)


def test_what_was_done_first_comes_first(
    page: Page, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder that was typed before could come after the one that the queue was started with, and took its place."""
    queue, begun = house.rooms.queue, list[str]()
    monkeypatch.setattr(queue, "entries", [Entry(str(tmp_path / "a.mp4"))])
    monkeypatch.setattr(queue, "start", lambda: begun.append(queue.settings.output))
    page.press("tab-folder")
    until(lambda: page["queue-start"].is_enabled())
    page.js(SLOW)
    page["queue-output"].clear()
    page["queue-output"].send_keys(str(tmp_path / "first") + TAB)
    page["queue-output"].clear()
    page["queue-output"].send_keys(str(tmp_path / "second"))
    page.press("queue-start")
    until(lambda: begun)
    time.sleep(2)
    assert begun == [queue.settings.output] == [str(tmp_path / "second")]


def test_an_older_look_at_the_session_does_not_undo_a_start(page: Page, long_clip: Clip) -> None:
    """It showed the preview again, and the next look came after 20 seconds."""
    page.drop(long_clip.path)
    until(lambda: page["start"].is_enabled() and page.thumbs() == page.looks())
    page.js(HELD)
    address = page.js("return `/api/s/${JSON.parse(sessionStorage.getItem('session'))}`")
    page.js("hold(arguments[0])", address)
    until(lambda: page.js("return held()"))
    page.press("start")
    until(lambda: page.seen("progress"))
    page.js("release()")
    shortly(page)
    assert page.seen("progress")
    until(lambda: "of 500" in page["figures"].text, 5)
    page.press("cancel")
    until(lambda: page.seen("start"))


def test_pages_that_were_left_and_opened_again_ask_no_oftener(page: Page) -> None:
    page.js(HELD)
    for _ in range(5):
        for tab in ("tab-folder", "tab-looks"):
            page.press(tab)
    page.press("tab-folder")
    time.sleep(1)
    before = page.js("return looks('/api/queue')")
    time.sleep(4.5)
    assert 1 <= page.js("return looks('/api/queue')") - before <= 3  # every 2 seconds
