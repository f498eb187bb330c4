"""The page in a real Chromium: fixtures, and what a person does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from page_fixtures import FLAGS, find, missing
from ui_client import until

READ = """const read = (name) => {
const canvas = document.getElementById(name);
const copy = new OffscreenCanvas(canvas.width, canvas.height), pen = copy.getContext("2d");
pen.drawImage(canvas, 0, 0);
return [canvas.width, canvas.height, ...pen.getImageData(0, 0, canvas.width, canvas.height).data] };
return Array.from(arguments, read)"""


@contextmanager
def chromium(folder: Path, camera: Path | None = None, refuse: bool = False) -> Iterator[Any]:
    """A browser of its own. ``camera``: a .y4m its camera shows; ``refuse``: the person does not allow it."""
    program, driver = find("chromium", "chromium-browser", "google-chrome"), find("chromedriver")
    if program is None:
        pytest.skip("no Chromium: install Debian's packages chromium and chromium-driver")
    if driver is None:
        missing("chromedriver (Debian's package chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    media = ["--mute-audio", "--autoplay-policy=no-user-gesture-required", "--use-fake-device-for-media-stream"]
    media += [f"--use-file-for-fake-video-capture={camera}"] if camera else []
    media += ["--deny-permission-prompts"] if refuse else ["--use-fake-ui-for-media-stream"]
    for flag in [*FLAGS.split(), *media, f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.set_page_load_timeout(30)
    try:
        yield browser
        assert asked_outside(browser) == []
        assert complaints(browser) == []
    finally:
        browser.quit()


def complaints(browser: Any) -> list[str]:
    """What is wrong in the browser's console; answers that are errors are told in the page."""
    lines = [line["message"] for line in browser.get_log("browser")]
    return [line for line in lines if "Failed to load resource" not in line]


def asked_outside(browser: Any) -> list[str]:
    """Addresses beyond this machine that the page asked for anything."""
    asked = []
    for line in browser.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    local = ("http://127.0.0.1", "blob:http://127.0.0.1", "data:", "about:", "chrome:", "chrome-untrusted:")
    return [address for address in asked if not address.startswith(local)]


class Page:
    """The page, as a person uses it."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        browser.get(url)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until(lambda: self.js("return document.documentElement.dataset.ready"))

    def js(self, script: str, *args: Any) -> Any:
        return self.browser.execute_script(script, *args)

    def __getitem__(self, name: str) -> Any:
        return self.browser.find_element("id", name)

    def press(self, name: str) -> None:
        self[name].click()

    def seen(self, name: str) -> bool:
        return bool(self[name].is_displayed())

    def drop(self, path: Path) -> None:
        self["file"].send_keys(str(path))

    def throttle(self, rate: int) -> None:
        """Take so many bytes of an upload a second; -1 for all there are."""
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
        self.browser.execute_cdp_cmd("Network.enable", {})
        self.browser.execute_cdp_cmd("Network.emulateNetworkConditions", limits)

    def pick(self, look: str) -> None:
        self.browser.find_element("css selector", f'.tile[data-look="{look}"]').click()

    def slide(self, name: str, value: int) -> None:
        self.js("const one = arguments[0]; one.value = arguments[1]; one.oninput()", self[name], value)

    def canvas(self, name: str) -> np.ndarray:
        """uint8 [H, W, 3] of what it shows."""
        return self.canvases(name)[0]

    def canvases(self, *names: str) -> list[np.ndarray]:
        """What they show at one moment: between two calls a video plays on."""
        found = self.js(READ, *names)
        return [np.array(levels, np.uint8).reshape(height, width, 4)[..., :3] for width, height, *levels in found]

    def apart(self) -> float:
        """Mean levels between the source and its look, as the page shows them."""
        source, look = self.canvases("under", "over")
        return float(np.abs(source.astype(int) - look).mean())

    def thumbs(self) -> int:
        return len(self.browser.find_elements("css selector", ".tile img.there"))

    def looks(self) -> int:
        return len(self.browser.find_elements("css selector", ".tile"))

    def mean(self, name: str) -> np.ndarray:
        return self.canvas(name).reshape(-1, 3).mean(0)

    def is_over(self) -> bool:
        return self.seen("done") or self.seen("problem")


def camera_clip(path: Path, frames: int = 30, size: tuple[int, int] = (320, 180)) -> Path:
    """A .y4m in which a light square wanders over a dark ground."""
    width, height = size
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(frames):
            image = np.full((height, width, 3), 60, np.uint8)
            left = (index * 8) % (width - 60)
            image[60:120, left : left + 60] = (240, 200, 160)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            file.write(b"FRAME\n" + picture.to_ndarray().tobytes())
    return path
