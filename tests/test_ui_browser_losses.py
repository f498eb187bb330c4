"""The page in a real Chromium, where a person could lose what was made, or not be told what became of their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from media import Clip, make_clip
from ui_browser import Page
from ui_client import until

from vidstyle.ui.entries import Entry
from vidstyle.ui.house import House
from vidstyle.ui.sessions import Run
from vidstyle.ui.texts import TEXTS

pytest_plugins = "ui_fixtures"
pytestmark = pytest.mark.slow

OFFLINE = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


def dropped_on(page: Page, *paths: Path) -> None:
    """Drop files from outside of the browser on the stage."""
    box = page["stage"].rect
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.browser.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, **place})


def started(page: Page, clip: Clip) -> None:
    page.drop(clip.path)
    until(lambda: page["start"].is_enabled() and page.thumbs() == page.looks())
    page.press("start")


def run_of(page: Page, house: House) -> Run:
    session = house.sessions.get(page.js("return JSON.parse(sessionStorage.getItem('session'))"))
    assert session is not None and session.run is not None
    return session.run


def chosen(page: Page) -> Any:
    return page.js("return document.querySelector('[aria-checked=true]').dataset.look")


def reopened(page: Page) -> Page:
    """Close the tab, and open the page in another."""
    address, old = page.js("return location.origin"), page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    new = page.browser.current_window_handle
    page.browser.switch_to.window(old)
    page.browser.close()
    page.browser.switch_to.window(new)
    return Page(page.browser, address)


def test_a_result_stays_until_it_is_left_and_is_found_again(page: Page, clip: Clip) -> None:
    """What is picked on other pages is no wish for another result of this one."""
    started(page, clip)
    until(lambda: page.seen("done"))
    for tab in ("tab-camera", "tab-folder"):
        page.press(tab)
        page.pick("3d" if chosen(page) == "sketch" else "sketch")
        page.press("tab-video")
        assert page.seen("done") and not page.seen("back")
    page.pick("handdrawn")
    until(lambda: page.seen("back") and not page.seen("done"))
    page.press("back")
    until(lambda: page.seen("done") and page.js("return document.getElementById('result').readyState >= 2"))
    page.browser.refresh()
    page.wait_until_ready()
    until(lambda: page.seen("done"))


def test_the_page_of_a_closed_tab_is_taken_up_until_its_result_is_kept(
    page: Page, clip: Clip, long_clip: Clip, tmp_path: Path
) -> None:
    page.drop(long_clip.path)
    until(lambda: page["start"].is_enabled())
    page.pick("sketch")
    page.press("start")
    until(lambda: page.seen("progress"))
    page = reopened(page)
    until(lambda: page.seen("progress"))
    assert chosen(page) == "sketch"
    page.press("cancel")
    until(lambda: page.seen("start"))
    started(page, clip)
    until(lambda: page.seen("done"))
    page = reopened(page)
    until(lambda: page.seen("done"))
    page.press("download")
    until((tmp_path / "clip.sketch.mp4").exists)
    page = reopened(page)
    assert page.seen("drop") and not page.seen("done")


def test_what_took_long_is_not_thrown_away_unasked(page: Page, house: House, clip: Clip, long_clip: Clip) -> None:
    def shown() -> Any:
        return page.js("return document.getElementById('show').dataset.shown")

    started(page, long_clip)
    until(shown)
    run_of(page, house).work.began -= 60
    before = shown()
    until(lambda: shown() != before)  # it has come to the page
    page.js("window.asked = []; window.confirm = (words) => { asked.push(words); return false; }")
    dropped_on(page, clip.path)
    until(lambda: page.js("return asked.length"))
    assert page.seen("progress") and page.js("return asked") == [TEXTS["lose_run"]]
    page.press("cancel")
    until(lambda: page.seen("start"))
    dropped_on(page, clip.path)
    until(lambda: page["length"].text == "0:00.8")
    page.press("start")
    until(lambda: page.seen("done"))
    run_of(page, house).work.began -= 60
    page.browser.refresh()
    page.wait_until_ready()
    until(lambda: page.seen("done"))
    page.press("change")
    page.js("window.asked = []; window.confirm = (words) => { asked.push(words); return false; }")
    page.press("start")
    assert page.js("return asked") == [TEXTS["lose_result"]] and page.seen("back")
    page.press("back")
    page.press("download")
    page.press("change")
    page.press("start")
    until(lambda: page.seen("done") and not page.seen("back"))
    assert page.js("return asked.length") == 1


def test_a_folder_and_many_files_are_answered(page: Page, clip: Clip, tmp_path: Path) -> None:
    (folder := tmp_path / "clips").mkdir()
    dropped_on(page, folder)
    until(lambda: page["message"].text.startswith("clips is a folder: "))
    assert page.seen("drop") and page["message"].text.endswith(TEXTS["drop_elsewhere"])
    dropped_on(page, clip.path, make_clip(tmp_path / "other.mp4", frames=3).path)
    until(lambda: page["toast"].text.startswith("One file at a time: clip.mp4 was taken."))
    until(lambda: page["start"].is_enabled())
    dropped_on(page, folder)
    until(lambda: page["toast"].text.startswith("clips is a folder: "))
    assert page["start"].is_enabled() and not page.seen("drop")


def test_an_upload_that_fails_or_is_stopped_leaves_the_file_before(page: Page, clip: Clip, tmp_path: Path) -> None:
    """It came back by itself after 20 seconds, over what was said of the other."""
    (large := tmp_path / "large.mp4").write_bytes(bytes(1 << 20))
    page.throttle(100_000)
    page.drop(large)
    until(lambda: page.seen("upload-stop"))
    page.press("upload-stop")
    until(lambda: page.seen("drop"))
    assert not page.seen("message") and not page.seen("upload-stop")
    page.throttle(-1)
    page.drop(clip.path)
    until(lambda: page["start"].is_enabled() and page.thumbs() == page.looks())
    (empty := tmp_path / "empty.mp4").write_bytes(b"")
    page.drop(empty)
    until(lambda: page["toast"].text.startswith("empty.mp4 is empty"))
    assert page.seen("show") and page["start"].is_enabled() and not page.seen("drop")
    page.throttle(100_000)
    page.drop(large)
    until(lambda: page.seen("upload-stop"))
    page.press("upload-stop")
    until(lambda: page.seen("show") and page["start"].is_enabled())
    assert not page.seen("drop") and not page.seen("message")


def test_the_queue_says_lost_only_while_it_is(page: Page) -> None:
    def online(offline: bool) -> None:
        page.browser.execute_cdp_cmd("Network.enable", {})
        page.browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**OFFLINE, "offline": offline})

    page.press("tab-folder")
    online(True)
    until(lambda: page["queue-problem"].text == TEXTS["lost"])
    online(False)
    until(lambda: not page.seen("queue-problem"), 10)


def test_nothing_is_chosen_while_the_queue_works(
    page: Page, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would be without effect."""
    queue = house.rooms.queue
    monkeypatch.setattr(queue, "entries", [Entry(str(tmp_path / "a.mp4"))])
    monkeypatch.setattr(type(queue), "is_running", True)
    page.press("tab-folder")
    tile: Callable[[], Any] = lambda: page.browser.find_element("css selector", ".tile")  # noqa: E731
    until(lambda: not tile().is_enabled() and not page["strength"].is_enabled())
    page.press("tab-camera")
    assert tile().is_enabled() and page["strength"].is_enabled() and not page["share"].is_enabled()
    page.press("tab-folder")
    monkeypatch.setattr(type(queue), "is_running", False)
    until(lambda: tile().is_enabled(), 10)


def test_what_is_done_can_be_made_in_another_look(
    page: Page, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entries = [Entry(str(tmp_path / f"{status}.mp4"), status=status) for status in ("done", "skipped", "failed")]
    monkeypatch.setattr(house.rooms.queue, "entries", entries)
    page.press("tab-folder")
    for words in ("Style again: done.mp4", "Style again: skipped.mp4", "Try again: failed.mp4"):
        until(lambda: page.browser.find_elements("css selector", f'[aria-label="{words}"]'))[0].click()  # noqa: B023
    until(lambda: [entry.status for entry in entries] == ["waiting"] * 3)
    until(lambda: page["queue-start"].is_enabled())


def test_every_refused_training_picture_is_counted(page: Page, house: House, tmp_path: Path) -> None:
    """Also those before others that are taken."""
    for name in ("notes.txt", "more.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "one.jpg").write_bytes(b"x")
    page.press("tab-looks")
    given = [tmp_path / "notes.txt", tmp_path / "more.txt", tmp_path / "one.jpg"]
    pool = page.browser.find_element("css selector", ".pool[data-kind=photos]")
    try:
        until(lambda: pool.find_element("css selector", "output").text == "0 there")
        pool.find_element("css selector", "input").send_keys("\n".join(map(str, given)))
        until(lambda: pool.find_element("css selector", "output").text == "1 there")
        assert page["school-problem"].text.startswith("notes.txt is not taken: ")
        assert page["school-problem"].text.endswith("1 more were not taken either.")
    finally:
        house.rooms.school.clear("photos")
