"""Fixtures of the tests in a real Chromium; a test module names this one in ``pytest_plugins``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from page_show import Pairs, Show, moving_person, seen, showing

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
           --disable-component-update --disable-sync --window-size=1280,800"""


def find(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def missing(what: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {what}, which drives the Chromium that is here")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, driven by Selenium; skips where there is no Chromium."""
    program, driver = find("chromium", "chromium-browser", "google-chrome"), find("chromedriver")
    if program is None:
        pytest.skip("no Chromium: install Debian's packages chromium and chromium-driver")
    if driver is None:
        missing("chromedriver (Debian's package chromium-driver)")
    try:
        from selenium import webdriver
    except ImportError:
        missing("selenium (pip install selenium)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options, webdriver.ChromeService(driver))
    chromium.set_page_load_timeout(30)
    yield chromium
    chromium.quit()


@pytest.fixture(scope="session")
def pictures() -> Pairs:
    return moving_person()


@pytest.fixture
def show(pictures: Pairs) -> Iterator[Show]:
    with showing(pictures) as one:
        yield one


@pytest.fixture
def page(browser: Any, show: Show) -> Iterator[Any]:
    """The browser with the page open and a picture in it; nothing may be wrong in its console at the end."""
    browser.get_log("browser")
    browser.get(show.page.url)
    seen(browser)
    yield browser
    assert [line["message"] for line in browser.get_log("browser") if "favicon" not in line["message"]] == []
    browser.get("about:blank")
