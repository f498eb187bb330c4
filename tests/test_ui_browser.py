"""The page in a real Chromium, from the drop to the download; nothing is asked of any other machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from media import Clip, make_clip, video_times
from ui_browser import Page, camera_clip, chromium
from ui_client import until

from vidstyle.ui.house import House
from vidstyle.ui.texts import TEXTS

pytest_plugins = "ui_fixtures"


def preview_is_there(page: Page) -> bool:
    return bool(page.js("return document.getElementById('show').dataset.frames"))


def test_from_the_drop_to_the_download(page: Page, clip: Clip, tmp_path: Path) -> None:
    """Dropped, seen in all looks, picked, weakened, a part of it styled, compared in step, kept; and a reload."""
    page.drop(clip.path)
    until(lambda: page.thumbs() == page.looks() > 2)
    until(lambda: preview_is_there(page))
    page.pick("sketch")
    until(lambda: page.apart() > 10)
    page.slide("strength", 0)
    until(lambda: page.apart() < 4)
    page.slide("strength", 100)
    grip = page.browser.find_element("css selector", ".grip.end")
    for _ in range(3):
        grip.send_keys("\ue012")  # left, a tenth of a second each
    assert page["start"].text == "Style 0:00.5"
    page.press("start")
    until(lambda: page.is_over())
    assert page.seen("done"), page["problem"].text
    assert "The sound is the same, to the bit." in page["report"].text
    until(lambda: page.js("return document.getElementById('result').readyState >= 3"))
    page.press("play")
    until(lambda: page.js("return document.getElementById('result').currentTime > 0.2"))
    off = until(lambda: page.js("return document.getElementById('show').dataset.off"))
    assert abs(float(off)) < 0.2
    assert not page.js("return document.getElementById('result').muted")
    page.press("download")
    kept = tmp_path / "clip.sketch.mp4"
    until(kept.exists)
    assert 12 <= len(video_times(kept)) <= 13
    page.browser.refresh()
    page.wait_until_ready()
    until(lambda: page.seen("done") and page.thumbs() == page.looks())
    assert page.js("return document.querySelector('[aria-checked=true]').dataset.look") == "sketch"
    page.press("change")
    assert page.seen("start") and not page.seen("done")


def test_a_reload_in_the_middle_and_a_cancel(page: Page, long_clip: Clip) -> None:
    page.drop(long_clip.path)
    until(lambda: preview_is_there(page))
    page.press("start")
    until(lambda: page.js("return document.getElementById('show').dataset.shown"))
    page.browser.refresh()
    page.wait_until_ready()
    until(lambda: page.seen("progress") and "of 500" in page["figures"].text)
    page.press("pause")
    until(lambda: page["figures"].text.startswith("Paused"))
    page.press("pause")
    until(lambda: not page["figures"].text.startswith("Paused"))
    page.press("cancel")
    until(lambda: page.seen("start"))
    assert not page.seen("progress") and page["start"].is_enabled()


def test_what_is_no_video_is_said_and_the_next_file_goes(page: Page, clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_bytes(b"no video " * 200)
    page.drop(tmp_path / "notes.mp4")
    until(lambda: page["message"].text.startswith("notes.mp4"))
    assert page.seen("drop") and not page["start"].is_enabled()
    page.drop(clip.path)
    until(lambda: page.thumbs() == page.looks())
    assert page["start"].is_enabled() and not page.seen("message")


@pytest.mark.slow
def test_a_run_that_fails_is_said_and_the_page_goes_on(house: House, page: Page, long_clip: Clip) -> None:
    page.drop(long_clip.path)
    until(lambda: preview_is_there(page))
    page.press("start")
    until(lambda: page.js("return document.getElementById('show').dataset.shown"))
    session = house.sessions.get(page.js("return JSON.parse(sessionStorage.getItem('session'))"))
    assert session is not None and session.run is not None
    os.kill(session.run.work.pid, signal.SIGKILL)
    until(lambda: page["problem"].text.startswith(TEXTS["failed"]))
    frames = page.js("return document.getElementById('show').dataset.frames")
    until(lambda: page.js("return document.getElementById('show').dataset.frames") > frames)
    assert page["problem"].text.startswith(TEXTS["failed"])
    page.press("start")
    until(lambda: page.seen("progress"))
    page.press("cancel")


@pytest.mark.slow
def test_two_tabs_do_not_mix(page: Page, clip: Clip, tmp_path: Path) -> None:
    other = make_clip(tmp_path / "other.mp4", frames=8, size=(96, 160))
    page.drop(clip.path)
    until(lambda: preview_is_there(page))
    first, address = page.browser.current_window_handle, page.js("return location.origin")
    page.browser.switch_to.new_window("tab")
    second = Page(page.browser, address)
    assert second.seen("drop")
    second.drop(other.path)
    until(lambda: preview_is_there(second))
    second.pick("sketch")
    second.press("start")
    until(second.is_over)
    assert second["download"].get_attribute("download") == "other.sketch.mp4"
    page.browser.switch_to.window(first)
    assert (
        not page.seen("done")
        and page.js("return document.querySelector('[aria-checked=true]').dataset.look") != "sketch"
    )
    page.press("start")
    until(page.is_over)
    assert page["download"].get_attribute("download") == "clip.anime.mp4"


@pytest.mark.slow
def test_a_codec_that_the_browser_cannot_play(page: Page, tmp_path: Path) -> None:
    odd = make_clip(tmp_path / "odd.avi", frames=25, size=(160, 96), codec="mpeg4")
    page.drop(odd.path)
    until(lambda: page.js("return document.getElementById('source').readyState >= 2"))
    until(lambda: preview_is_there(page) and not page.seen("message"))
    page.press("start")
    until(page.is_over)
    assert page.seen("done")
    until(lambda: page.js("return document.getElementById('result').readyState >= 2"))


@pytest.mark.slow
def test_a_picture_is_compared_too(page: Page, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)).save(tmp_path / "one.png")
    page.drop(tmp_path / "one.png")
    until(lambda: preview_is_there(page) and page.thumbs() == page.looks())
    assert page["start"].text == TEXTS["start_picture"]
    page.press("start")
    until(page.is_over)
    until(lambda: page.canvas("over").shape == (240, 320, 3))
    assert page["download"].get_attribute("download") == "one.anime.png"


@pytest.mark.slow
def test_the_camera_in_a_look(house: House, tmp_path: Path) -> None:
    with chromium(tmp_path, camera_clip(tmp_path / "camera.y4m")) as browser:
        page = Page(browser, f"{house.url}#camera")
        page.press("camera-first")
        until(lambda: page.js("return document.getElementById('camera-show').dataset.fps"))
        until(lambda: page.thumbs() == page.looks())
        assert "a second" in page["camera-numbers"].text and "ms" in page["camera-numbers"].text
        one = page.canvas("camera-over").astype(int)
        until(lambda: np.abs(page.canvas("camera-over") - one).mean() > 1)  # it moves
        before = page.mean("camera-over")
        page.pick("sketch")
        until(lambda: np.abs(page.mean("camera-over") - before).max() > 5)
        page.press("camera-toggle")
        assert page.seen("camera-intro")


@pytest.mark.slow
def test_a_refused_camera_is_said(house: House, tmp_path: Path) -> None:
    with chromium(tmp_path, refuse=True) as browser:
        page = Page(browser, f"{house.url}#camera")
        page.press("camera-first")
        until(lambda: page["camera-message"].text == TEXTS["camera_refused"])
        page.press("tab-video")
        assert page.seen("drop")


@pytest.mark.slow
def test_the_queue_by_hand(page: Page, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("a", "b"):
        make_clip(clips / f"{name}.mp4", frames=6)
    (clips / "c.mp4").write_bytes(b"no video " * 200)
    page.press("tab-folder")
    page["queue-path"].send_keys(f"{clips}\n")

    def rows() -> list[str]:
        return list(page.js("return [...document.querySelectorAll('.queue b')].map(one => one.textContent)"))

    until(lambda: rows() == ["a.mp4", "b.mp4", "c.mp4"])
    page.browser.find_element("css selector", '[aria-label="Move down: a.mp4"]').click()
    until(lambda: rows() == ["b.mp4", "a.mp4", "c.mp4"])
    page.browser.find_element("css selector", '[aria-label="Remove: b.mp4"]').click()
    until(lambda: rows() == ["a.mp4", "c.mp4"])
    page["queue-output"].send_keys(str(tmp_path / "drawn"))
    page.press("queue-start")
    until(lambda: page["queue-count"].text == "1 of 2 done, 1 failed")
    assert "is not a video" in page["queue-list"].text
    assert (tmp_path / "drawn" / "a.anime.mp4").exists()
    page.browser.refresh()
    page.wait_until_ready()
    until(lambda: rows() == ["a.mp4", "c.mp4"])


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, clip: Clip, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.drop(clip.path)
    until(lambda: preview_is_there(page))
    for name in ("video", "camera", "folder", "looks"):
        page.press(f"tab-{name}")
        time.sleep(0.3)
        assert page.js("return document.documentElement.scrollWidth") <= width, name


@pytest.mark.slow
def test_every_control_has_a_name_and_the_tabs_go_by_keys(page: Page, clip: Clip) -> None:
    page.drop(clip.path)
    until(lambda: preview_is_there(page))
    nameless = """return [...document.querySelectorAll("button, input, select, a, [role=slider]")].filter(one =>
        !one.closest("[hidden]") && !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
        .map(one => one.outerHTML)"""
    for name in ("video", "camera", "folder", "looks"):
        page.press(f"tab-{name}")
        assert page.js(nameless) == []
    page["tab-looks"].send_keys("\ue014")
    assert page.js("return document.activeElement.id") == "tab-video"
    assert page.seen("view-video")
