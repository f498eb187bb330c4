"""The page in a real Chromium: a moving person is seen in the look, and every control works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_client import STATUS, decoded, difference
from page_show import CONTROLS, HEIGHT, WIDTH, Pairs, Show, by_id, moves, press, seen, shows, until

from vidstyle.live import page as page_module
from vidstyle.live.controls import Controls
from vidstyle.live.page import PageOutput
from vidstyle.live.pixels import wiped

pytest_plugins = "page_fixtures"


def test_a_moving_person_is_seen_in_the_look(page: Any, pictures: Pairs) -> None:
    assert difference(*pictures[0]) > 10
    assert shows(page, [styled for _, styled in pictures])
    assert moves(page) and moves(page)
    numbers = until(page, lambda: by_id(page, "numbers").text)
    for words in ("31 ms, p95 42 ms", "30.0 in, 29.9 out", "dropped\n2", f"{WIDTH} \u00d7 {HEIGHT}"):
        assert words in numbers


def test_a_picture_is_seen_though_no_other_follows(
    browser: Any, pictures: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers show a part of a stream when its end has come, which the next part must not be needed for."""
    monkeypatch.setattr(page_module, "PATIENCE", 600)
    alone = PageOutput(Controls(["anime"], "anime"), port=0)
    try:
        alone.send(pictures[0][1], STATUS)
        browser.get(alone.url)
        assert difference(seen(browser), pictures[0][1]) < 3
        browser.get("about:blank")
    finally:
        alone.close()


def test_a_looks_button_changes_the_look(page: Any, show: Show, pictures: Pairs) -> None:
    buttons = {button.text: button for button in page.find_elements("css selector", "#looks button")}
    assert list(buttons) == ["none", "anime", "sketch"]
    assert buttons["anime"].get_attribute("aria-pressed") == "true"
    buttons["none"].click()
    until(page, lambda: show.controls.look == "none")
    until(page, lambda: buttons["none"].get_attribute("aria-pressed") == "true")
    assert buttons["anime"].get_attribute("aria-pressed") == "false"
    assert shows(page, [source for source, _ in pictures])
    show.controls.command("look", "sketch")  # from elsewhere, as the terminal
    until(page, lambda: buttons["sketch"].get_attribute("aria-pressed") == "true")


def test_the_slider_sets_the_strength(page: Any, show: Show) -> None:
    from selenium.webdriver import ActionChains, Keys

    slider = by_id(page, "strength")
    ActionChains(page).drag_and_drop_by_offset(slider, -slider.size["width"] // 4, 0).perform()
    until(page, lambda: show.controls.strength < 0.9)
    slider.send_keys(Keys.HOME)
    until(page, lambda: show.controls.strength == 0)
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    until(page, lambda: show.controls.strength == 0.02)
    assert show.controls.look == "anime"  # the arrows were the slider's
    until(page, lambda: by_id(page, "strength-value").text == "2%")


def test_every_key_does_its_work(page: Any, show: Show) -> None:
    from selenium.webdriver import ActionChains, Keys

    controls = show.controls
    for key, done in [
        (Keys.ARROW_RIGHT, lambda: controls.look == "sketch"),
        (Keys.ARROW_RIGHT, lambda: controls.look == "none"),
        (Keys.ARROW_LEFT, lambda: controls.look == "sketch"),
        ("p", lambda: controls.look == "anime"),
        ("n", lambda: controls.look == "sketch"),
        ("-", lambda: controls.strength == 0.9),
        ("=", lambda: controls.strength == 1),
        ("m", lambda: controls.mirror),
        ("M", lambda: not controls.mirror),
        ("w", lambda: controls.wipe == 0.5),
        ("w", lambda: controls.wipe is None),
        ("f", lambda: controls.frozen),
        ("f", lambda: not controls.frozen),
    ]:
        press(page, key)
        until(page, done, f"the key {key!r} did nothing")
    ActionChains(page).key_down(Keys.CONTROL).send_keys("m").key_up(Keys.CONTROL).perform()  # the browser's own
    press(page, "q")
    until(page, lambda: by_id(page, "quit").text == "Really end?")
    assert not (controls.has_ended or controls.mirror)
    press(page, "q")
    until(page, lambda: controls.has_ended)


def test_the_tab_key_reaches_every_control(page: Any) -> None:
    from selenium.webdriver import Keys

    by_id(page, "compare").click()
    until(page, lambda: by_id(page, "wipe").is_displayed())
    reached = set()
    for _ in range(30):
        press(page, Keys.TAB)
        focused = page.switch_to.active_element
        reached.add(focused.get_attribute("id") or focused.text)
    assert reached >= {*CONTROLS, "wipe", "none", "anime", "sketch"}


def test_a_screen_reader_finds_a_name_for_every_control(page: Any) -> None:
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names: dict[str, list[str]] = {}
    for node in nodes:
        names.setdefault(node.get("role", {}).get("value"), []).append(node.get("name", {}).get("value", ""))
    assert set(names["button"]) >= {"none", "anime", "Compare", "Mirror", "Freeze", "Snapshot", "End session"}
    assert all(names["button"]) and names["slider"] == ["Strength"]
    assert "Look" in names["group"] and "status" in names


def test_the_handle_wipes_between_source_and_look(page: Any, show: Show, pictures: Pairs) -> None:
    from selenium.webdriver import ActionChains, Keys

    by_id(page, "compare").click()
    handle = until(page, lambda: by_id(page, "wipe").is_displayed() and by_id(page, "wipe"))
    width = by_id(page, "picture").size["width"]
    ActionChains(page).drag_and_drop_by_offset(handle, round(0.2 * width), 0).perform()
    until(page, lambda: abs((show.controls.wipe or 0) - 0.7) < 0.02)
    assert shows(page, [wiped(source, styled, show.controls.wipe or 0) for source, styled in pictures])
    until(
        page,
        lambda: (
            abs(handle.rect["x"] + handle.rect["width"] / 2 - by_id(page, "picture").rect["x"] - 0.7 * width)
            < 0.02 * width
        ),
    )
    handle.send_keys(Keys.HOME)
    until(page, lambda: show.controls.wipe == 0)
    handle.send_keys(Keys.ARROW_RIGHT)
    until(page, lambda: show.controls.wipe == 0.02)
    by_id(page, "compare").click()
    until(page, lambda: show.controls.wipe is None and not handle.is_displayed())


def test_a_frozen_picture_stands_and_is_saved(page: Any, show: Show, tmp_path: Path) -> None:
    by_id(page, "freeze").click()
    until(page, lambda: show.controls.frozen and by_id(page, "frozen").is_displayed())
    assert shows(page, [show.sent[-1]])
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    by_id(page, "snapshot").click()
    until(page, lambda: [*tmp_path.glob("*.png")])
    (path,) = tmp_path.glob("*.png")
    assert path.name.startswith("vidstyle-2")
    until(page, lambda: path.stat().st_size)
    assert np.array_equal(decoded(path.read_bytes()), show.sent[-1])
