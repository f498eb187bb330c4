"""The training on the page in a real Chromium: pictures that come, the way that is taken, why it did not work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_ui_browser_phone import screen
from ui_browser import Page
from ui_client import until

from vidstyle.ui import school
from vidstyle.ui.house import House
from vidstyle.ui.texts import TEXTS

pytest_plugins = "ui_fixtures"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def empty(house: House) -> Iterator[None]:
    """The school begins and ends without pictures."""
    for time in ("before", "after"):
        for kind in school.KINDS:
            house.rooms.school.clear(kind)
        for name in ("log.txt", "settings.json"):
            (house.rooms.school.folder / name).unlink(missing_ok=True)
        if time == "before":
            yield


def opened(page: Page) -> None:
    screen(page, 1280, 900)  # all of it is seen
    page.press("tab-looks")
    until(lambda: counted(page, "photos") == "0 there")


def let_fall(page: Page, kind: str, *paths: Path) -> None:
    """Files and folders, from outside of the browser."""
    pool = page.browser.find_element("css selector", f".pool[data-kind={kind}]")
    page.js("arguments[0].scrollIntoView({ block: 'center' })", pool)
    box = page.js("return arguments[0].getBoundingClientRect().toJSON()", pool)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
    for event in ("dragEnter", "dragOver", "drop"):
        page.browser.execute_cdp_cmd("Input.dispatchDragEvent", {"type": event, **place})


def counted(page: Page, kind: str) -> str:
    return str(page.browser.find_element("css selector", f".pool[data-kind={kind}] output").text)


def way(page: Page) -> str:
    return str(page.js("return document.getElementById('school-form').way.value"))


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_folders_are_dropped_and_their_pairs_trained(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "$*"\necho "vidstyle: 1 pair, 20 are needed"\nexit 4\n')
    program.chmod(0o700)
    monkeypatch.setattr(school.sys, "executable", str(program))
    photos = made(tmp_path / "people", "set/day 1/a.jpg", "set/day 2/a.jpg", "set/.b.jpg", "__MACOSX/set/c.jpg")
    drawings = made(tmp_path / "drawn", "day 1/a.png", "day 2/other.png", "day 2/a.png")
    opened(page)
    let_fall(page, "photos", photos)
    until(lambda: counted(page, "photos") == "2 there")
    assert not page.seen("school-pairs") and way(page) == "quick"
    let_fall(page, "exemplars", drawings)
    until(lambda: counted(page, "exemplars") == "3 there")
    assert not page.seen("school-problem")
    assert page["school-pairs"].text == TEXTS["train_pairs_ask"].format(pairs=2)
    page.browser.find_element("css selector", "[name=way][value=paired]").click()
    assert page["school-pairs"].text == TEXTS["train_pairs"].format(pairs=2)
    page["school-name"].send_keys("mine")
    page.press("school-start")
    until(lambda: page["school-status"].text == "The training ended: 1 pair, 20 are needed")
    assert "--paired" in page["school-log"].text
    page.browser.refresh()
    page.wait_until_ready()
    until(lambda: way(page) == "paired")


def test_a_second_picture_of_one_name_is_told_where_pairs_are_wanted(page: Page, tmp_path: Path) -> None:
    opened(page)
    for kind, some in (("photos", ("one/a.jpg", "two/a.jpg")), ("exemplars", ("drawn/a.png",))):
        for name in some:
            let_fall(page, kind, made(tmp_path, name) / name)
        until(lambda: counted(page, kind) == f"{len(some)} there")  # noqa: B023
    page.browser.find_element("css selector", "[name=way][value=paired]").click()
    page["school-name"].send_keys("mine")
    page.press("school-start")
    until(lambda: page["school-problem"].text.startswith("a.jpg came more than once"))


def test_the_ways_fit_on_a_phone(page: Page) -> None:
    for width, height in ((390, 844), (1280, 800)):
        screen(page, width, height)
        page.press("tab-looks")
        until(lambda: page.seen("school-ways"))
        assert page.js("return document.documentElement.scrollWidth") == width
        for one in page.browser.find_elements("css selector", "#school-ways small"):
            assert page.js("return arguments[0].scrollWidth <= arguments[0].clientWidth", one)
