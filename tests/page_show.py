"""What the page shows in these tests: a moving person, and what a browser sees of it."""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from page_client import STATUS, decoded, difference

import vidstyle
from vidstyle.live.controls import Controls
from vidstyle.live.page import PageOutput
from vidstyle.live.pixels import blended, mirrored, wiped
from vidstyle.picture import read_picture

T = TypeVar("T")
Pairs = list[tuple[np.ndarray, np.ndarray]]  # (source, styled)
WIDTH, HEIGHT, PICTURES = 320, 180, 8
CONTROLS = ("compare", "mirror", "freeze", "snapshot", "quit", "strength")


def moving_person() -> Pairs:
    """A person who moves to the right, and the same in the bundled look."""
    import skimage

    person = read_picture(Path(skimage.__file__).parent / "data" / "astronaut.png").rgb
    sources = [
        np.ascontiguousarray(cv2.resize(person[40:310, 20 + 4 * i : 500 + 4 * i], (WIDTH, HEIGHT)))
        for i in range(PICTURES - 1, -1, -1)
    ]
    with vidstyle.open_stylizer("anime") as stylizer:
        return [(source, stylizer(source)) for source in sources]


class Show:
    """What a session does, with pictures made before: applies the controls and sends, on a thread of its own."""

    def __init__(self, pictures: Pairs, port: int = 0) -> None:
        self.controls = Controls(["none", "anime", "sketch"], "anime")
        self.page = PageOutput(self.controls, port=port)
        self.sent: list[np.ndarray] = []  # the last ones
        self._pictures, self._end = pictures, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for source, styled in itertools.cycle(self._pictures):
            if self._end.wait(0.04):
                return
            if not self.controls.frozen:
                self.sent = [*self.sent, self._shown(source, styled)][-2 * PICTURES :]
            self.page.send(self.sent[-1], STATUS | {"working": [WIDTH, HEIGHT]})

    def _shown(self, source: np.ndarray, styled: np.ndarray) -> np.ndarray:
        controls = self.controls
        result = blended(source, source if controls.look == "none" else styled, controls.strength)
        result = result if controls.wipe is None else wiped(source, result, controls.wipe)
        return mirrored(result) if controls.mirror else result

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self.page.close()


@contextmanager
def showing(pictures: Pairs, port: int = 0) -> Iterator[Show]:
    one = Show(pictures, port)
    try:
        yield one
    finally:
        one.close()


def until(browser: Any, wanted: Callable[[], T], words: str = "") -> T:
    """Wait for something that is true, and give it."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    anew = [StaleElementReferenceException]  # the page was loaded again meanwhile
    found: T = WebDriverWait(browser, 30, 0.05, anew).until(lambda _: wanted(), words)
    return found


def by_id(browser: Any, name: str) -> Any:
    return browser.find_element("id", name)


def seen(browser: Any) -> np.ndarray:
    """What the page's picture shows: uint8 [H, W, 3], waited for."""
    script = """
        const image = document.getElementById("stream");
        if (!image.naturalWidth) return null;
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        canvas.getContext("2d").drawImage(image, 0, 0);
        return canvas.toDataURL("image/png").split(",")[1];"""
    return decoded(base64.b64decode(until(browser, lambda: browser.execute_script(script), "no picture in the page")))


def moves(browser: Any) -> bool:
    first = seen(browser)
    return until(browser, lambda: difference(seen(browser), first) > 3, "the picture stands still")


def shows(browser: Any, wanted: list[np.ndarray]) -> bool:
    """Whether one of these pictures is seen in a while."""
    return until(browser, lambda: min(difference(seen(browser), one) for one in wanted) < 3, "another picture")


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()
