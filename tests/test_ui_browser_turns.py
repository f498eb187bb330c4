"""The page in a real Chromium, where a person changes their mind, or tries again."""

from __future__ import annotations

from pathlib import Path

import pytest
from media import Clip, make_clip
from ui_browser import Page, camera_clip, chromium
from ui_client import until

from vidstyle.ui.house import House
from vidstyle.ui.texts import TEXTS

pytest_plugins = "ui_fixtures"

#: a person who answers the browser's question when `answer()` is called; how many cameras are on is in `cameras()`
ASKED = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices), given = [], waiting = [];
navigator.mediaDevices.getUserMedia = async (wishes) => {
  await new Promise((resolve) => waiting.push(resolve));
  given.push(await ask(wishes));
  return given.at(-1);
};
window.asked = () => waiting.length;
window.answer = () => waiting.splice(0).forEach((resolve) => resolve());
window.given = () => given.length;
window.cameras = () => given.flatMap((one) => one.getTracks()).filter((one) => one.readyState === "live").length;
"""


@pytest.mark.slow
def test_the_queue_is_started_again_after_a_failure(page: Page, house: House, tmp_path: Path) -> None:
    """The folder was a file: with another one it works, and what is said of the first is gone."""
    make_clip(tmp_path / "again.mp4", frames=3)
    (tmp_path / "taken").write_text("")
    page.press("tab-folder")
    page["queue-path"].send_keys(f"{tmp_path / 'again.mp4'}\n")
    until(lambda: "again.mp4" in page["queue-list"].text)
    page["queue-output"].clear()
    page["queue-output"].send_keys(str(tmp_path / "taken"))
    page.press("queue-start")
    until(lambda: house.rooms.queue.error and not house.rooms.queue.is_running)
    until(lambda: page.seen("queue-problem") and page["queue-start"].text == TEXTS["queue_start"])
    page["queue-output"].clear()
    page["queue-output"].send_keys(str(tmp_path / "drawn"))
    page.press("queue-start")
    until(lambda: (tmp_path / "drawn" / "again.anime.mp4").exists())
    until(lambda: not page.seen("queue-problem"))
    until(lambda: not house.rooms.queue.is_running)
    house.rooms.queue.remove([entry.id for entry in house.rooms.queue.entries])


@pytest.mark.slow
def test_a_camera_that_is_given_late_stays_off(house: House, tmp_path: Path) -> None:
    with chromium(tmp_path, camera_clip(tmp_path / "camera.y4m")) as browser:
        page = Page(browser, f"{house.url}#camera")
        page.js(ASKED)
        page.press("camera-first")
        page.press("camera-first")  # once is enough
        until(lambda: page["camera-message"].text == TEXTS["camera_waiting"])
        page.press("tab-video")
        page.js("answer()")
        until(lambda: page.js("return given() > 0 && cameras() === 0"))
        page.press("tab-camera")
        page.press("camera-first")
        page.press("camera-first")
        until(lambda: page.js("return asked() > 0"))
        page.js("answer()")
        until(lambda: page.js("return document.getElementById('camera-show').dataset.frames"))
        assert page.js("return cameras()") == 1
        page.press("camera-toggle")
        assert page.js("return cameras()") == 0


@pytest.mark.slow
def test_a_run_that_was_paused_is_cancelled_in_words(page: Page, long_clip: Clip) -> None:
    page.drop(long_clip.path)
    until(lambda: page.seen("start") and page["start"].is_enabled())
    page.press("start")
    until(lambda: page.seen("pause"))
    page.press("pause")
    until(lambda: page["figures"].text.startswith("Paused"))
    page.press("cancel")
    until(lambda: page.seen("toast"))
    assert page["toast"].text == TEXTS["cancelled"]
