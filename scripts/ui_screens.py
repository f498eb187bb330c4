"""Photograph every state of vidstyle ui, at desktop and phone width, light and dark: ui_screens.py VIDEO FOLDER.

The pictures are for looking at: does anything make one wince?
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_ui import chromium, served, until, write_camera

SCREENS = {"desktop": (1440, 900, False), "phone": (390, 844, True)}
THEMES = ("light", "dark")


class Album:
    """Takes the pictures of one width and theme."""

    def __init__(self, browser: Any, folder: Path, screen: str, theme: str) -> None:
        self.browser, self._folder, self._name = browser, folder, f"{screen}-{theme}"
        width, height, mobile = SCREENS[screen]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wish = [{"name": "prefers-color-scheme", "value": theme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})

    def take(self, state: str, after: float = 1.0) -> None:
        time.sleep(after)
        self.browser.save_screenshot(str(self._folder / f"{state}-{self._name}.png"))

    def js(self, script: str) -> Any:
        return self.browser.execute_script(script)

    def press(self, name: str) -> None:
        self.js(f"document.getElementById('{name}').click()")

    def seen(self, name: str) -> bool:
        return bool(self.browser.find_element("id", name).is_displayed())

    def open(self, url: str) -> None:
        self.browser.get("about:blank")
        self.browser.get(url)
        self.js("sessionStorage.clear()")
        self.browser.refresh()
        until(lambda: self.js("return document.documentElement.dataset.ready"))


def photograph(album: Album, url: str, video: Path, clips: Path) -> None:
    """Start, refused file, picked, running, done, side by side, camera, folder, looks."""
    album.open(url)
    album.take("start")
    bad = clips / "notes.mp4"
    album.browser.find_element("id", "file").send_keys(str(bad))
    album.take("refused", 2)
    album.browser.find_element("id", "file").send_keys(str(video))
    until(lambda: album.js("return document.getElementById('show').dataset.frames > 5"))
    album.take("picked")
    album.press("start")
    until(lambda: album.js("return document.getElementById('show').dataset.shown"))
    album.take("running")
    until(lambda: album.seen("done"))
    album.take("done", 2)
    album.press("side")
    album.take("beside")
    album.press("tab-camera")
    album.press("camera-first")
    until(lambda: album.js("return document.getElementById('camera-show').dataset.fps"))
    album.take("camera", 2)
    album.press("tab-folder")
    if not album.js("return document.querySelectorAll('.queue li').length"):
        album.browser.find_element("id", "queue-path").send_keys(f"{clips}\n")
        album.browser.find_element("id", "queue-output").send_keys(str(clips.parent / "drawn"))
        album.press("queue-start")
        until(lambda: album.js("return document.querySelector('.queue .failed, .queue .running')"))
    album.take("folder", 3)
    album.press("tab-looks")
    album.take("looks", 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        clips = place / "clips"
        clips.mkdir()
        (clips / "notes.mp4").write_bytes(b"no video " * 200)
        for other in ("a", "b", "c"):
            shutil.copy(args.video, clips / f"{other}{args.video.suffix}")
        camera = write_camera(place / "camera.y4m")
        with served(place / "home") as (url, _, _), chromium(place, camera) as browser:
            for screen in SCREENS:
                for theme in THEMES:
                    photograph(Album(browser, args.folder, screen, theme), url, args.video.absolute(), clips)
    print(f"{len(list(args.folder.glob('*.png')))} pictures in {args.folder}")


if __name__ == "__main__":
    main()
