"""The page in a real Chromium of a phone's size, and what of it must not be cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from media import Clip
from ui_browser import Page
from ui_client import until

from vidstyle.ui.texts import TEXTS

pytest_plugins = "ui_fixtures"
pytestmark = pytest.mark.slow

WITHIN = """const box = arguments[0].getBoundingClientRect(), around = arguments[1]?.getBoundingClientRect();
return box.height > 0 && box.left >= (around?.left ?? 0) && box.top >= (around?.top ?? 0)
  && box.right <= (around?.right ?? innerWidth) && box.bottom <= (around?.bottom ?? innerHeight)"""


def screen(page: Page, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def chosen(page: Page) -> str:
    return str(page.js("return document.querySelector('[aria-checked=true]').dataset.look"))


def is_whole(page: Page) -> bool:
    """Whether all of the chosen look's tile is seen among the tiles."""
    tile = page.js("return document.querySelector('[aria-checked=true]')")
    return bool(page.js(WITHIN, tile, page["tiles"]))


def test_the_download_lies_on_the_screen_of_a_phone(page: Page, clip: Clip) -> None:
    screen(page, 390, 844)
    page.drop(clip.path)
    until(lambda: page["start"].is_enabled() and page.thumbs() == page.looks())
    page.press("start")
    until(lambda: page.seen("done"))
    assert page["told"].get_property("textContent") == TEXTS["done"]
    assert page.js("return scrollY") == 0
    for name in ("download", "change"):
        assert page.js(WITHIN, page[name])
    page.js("scrollTo(0, document.documentElement.scrollHeight)")
    report = page["report"].rect
    assert report["y"] + report["height"] <= page["download"].rect["y"]  # all of it can be read
    page.press("tab-camera")
    assert not page.seen("download")


def test_a_phone_held_sideways_has_picture_and_buttons_on_the_screen(page: Page, clip: Clip) -> None:
    """The head took a quarter of it, and what starts the run lay below."""
    screen(page, 844, 390)
    page.drop(clip.path)
    until(lambda: page["start"].is_enabled() and page.thumbs() == page.looks())
    for name in ("show", "transport", "start"):
        assert page.js(WITHIN, page[name]), name
    page.press("start")
    until(lambda: page.seen("done"))
    for name in ("show", "download", "change"):
        assert page.js(WITHIN, page[name]), name
    for tab in ("camera", "folder", "looks"):
        page.press(f"tab-{tab}")
        assert page.js("return document.documentElement.scrollWidth") == 844


def test_an_upload_is_seen_and_can_be_cancelled(page: Page, tmp_path: Path) -> None:
    """Nothing else is on the stage meanwhile: what is said of it lay under the page's head."""
    screen(page, 390, 844)
    (large := tmp_path / "large.mp4").write_bytes(bytes(1 << 20))
    page.throttle(100_000)
    page.drop(large)
    until(lambda: page.seen("upload-stop"))
    assert page.js(WITHIN, page["message"], page["stage"]) and page.js(WITHIN, page["upload-stop"], page["stage"])
    page.press("upload-stop")
    until(lambda: page.seen("drop"))


def test_a_cancelled_run_can_be_started_again_at_once(page: Page, long_clip: Clip) -> None:
    """What is said of it lay over the button for seven seconds, and took its clicks."""
    screen(page, 390, 844)
    page.drop(long_clip.path)
    until(lambda: page["start"].is_enabled())
    page.press("start")
    until(lambda: page.seen("progress"))
    page.press("cancel")
    until(lambda: page.seen("toast") and page.seen("start"))
    page.press("start")
    until(lambda: page.seen("progress"))
    page.press("cancel")


def test_the_chosen_look_is_seen_also_after_a_reload(page: Page) -> None:
    screen(page, 390, 844)
    until(lambda: is_whole(page))
    tile = page.browser.find_element("css selector", '.tile[data-look="sketch"]')
    page.js("arguments[0].click()", tile)
    assert chosen(page) == "sketch" and is_whole(page)
    page.browser.refresh()
    page.wait_until_ready()
    assert chosen(page) == "sketch" and is_whole(page)
    assert page.js("return scrollY") == 0


def test_no_look_that_comes_with_vidstyle_has_its_name_cut_off(page: Page) -> None:
    for size in ((1280, 800), (1440, 900), (1280, 620), (390, 844), (844, 390)):
        screen(page, *size)
        cut = "return [...document.querySelectorAll('.tile b')].filter((one) => one.scrollWidth > one.clientWidth)"
        assert page.js(f"{cut}.map((one) => one.textContent)") == [], size
