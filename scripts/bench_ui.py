"""Measure vidstyle ui in a real Chromium: from a drop to pictures, the camera, a large upload, a cancel.

Used by scripts/bench ui. Browser and server share this machine's cores; it should be idle otherwise.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from bench import portrait
from bench_engines import Row
from sample_clip import make, read_picture, window

THUMBS, MOVING = 2.0, 5.0  # seconds after a drop
CAMERA_FPS, CAMERA_MS = 15.0, 200.0  # a second; 95 of 100 pictures
GROWTH = 100.0  # MB that an upload may add to the server's memory
CANCEL = 1.0  # seconds
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
           --disable-component-update --disable-sync --window-size=1280,800 --mute-audio
           --use-fake-device-for-media-stream --use-fake-ui-for-media-stream
           --autoplay-policy=no-user-gesture-required"""


def until(what: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for something true, and give it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise SystemExit("bench: waited in vain; is the machine idle?")


@contextmanager
def served(home: Path) -> Iterator[tuple[str, int, float]]:
    """(address, process id, seconds it took to start) of a page's server."""
    command = [sys.executable, "-m", "vidstyle", "ui", "--no-browser"]
    began = time.monotonic()
    environment = {**os.environ, "VIDSTYLE_HOME": str(home)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        found = next(filter(None, (re.search(r"http://\S+", line) for line in lines)), None)
        if found is None:
            raise SystemExit("bench: vidstyle ui did not start")
        seconds = time.monotonic() - began
        time.sleep(3)  # the engines are loaded meanwhile, as before a person has found a file
        yield found[0], process.pid, seconds
        process.terminate()
        process.stderr.read()


@contextmanager
def chromium(folder: Path, camera: Path) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    flags = [*FLAGS.split(), f"--use-file-for-fake-video-capture={camera}", f"--user-data-dir={folder / 'profile'}"]
    for flag in flags:
        options.add_argument(flag)
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def write_camera(path: Path) -> Path:
    """What the browser's fake camera shows: 640x360, everything moves."""
    image = read_picture(portrait())
    with open(path, "wb") as file:
        file.write(b"YUV4MPEG2 W640 H360 F30:1 Ip A1:1 C420jpeg\n")
        file.writelines(b"FRAME\n" + window(image, index / 30, 640, 360).to_ndarray().tobytes() for index in range(150))
    return path


def measure_drop(browser: Any, url: str, clip: Path) -> tuple[float, float]:
    """Seconds from a drop to every look's thumbnail, and to the first styled picture of the moving preview."""
    browser.get("about:blank")
    browser.get(url)
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready"))
    browser.execute_script("""window.there = null; const tiles = document.getElementById("tiles");
        new MutationObserver(() => { if (!window.there && [...tiles.querySelectorAll("img")].every(
          one => one.classList.contains("there"))) window.there = performance.now() })
        .observe(tiles, { subtree: true, attributes: true })""")
    browser.find_element("id", "file").send_keys(str(clip))
    there = until(lambda: browser.execute_script("return window.there"))
    marks = "return ['dropped', 'moving'].map(name => performance.getEntriesByName(name).at(-1)?.startTime ?? 0)"
    dropped, moving = until(lambda: all(found := browser.execute_script(marks)) and found)
    return (there - dropped) / 1000, (moving - dropped) / 1000


def measure_camera(browser: Any, url: str, seconds: float) -> dict[str, float]:
    """Pictures a second and ms from the camera's picture to its styled one on the page, over the last ones."""
    browser.get("about:blank")
    browser.get(f"{url}#camera")
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready"))
    browser.find_element("id", "camera-first").click()
    read = "return {...document.getElementById('camera-show').dataset}"
    until(lambda: "fps" in browser.execute_script(read))
    time.sleep(seconds)
    found = browser.execute_script(read)
    return {key: float(found[key]) for key in ("fps", "p50", "p95")}


class Visitor:
    """A session, without a browser."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        self.path = f"/api/s/{self.ask('POST', '/api/session')['id']}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        self._connection.request(method, path, body, headers)
        return json.loads(self._connection.getresponse().read())


def measure_upload(url: str, pid: int, size: int) -> tuple[float, float]:
    """(MB that the server's memory grew at most, seconds) of an upload of ``size`` bytes."""
    visitor, process, most = Visitor(url), psutil.Process(pid), [0]
    before, over = process.memory_info().rss, threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    chunk, began = os.urandom(1 << 20), time.monotonic()
    headers = {"Content-Length": str(size)}
    visitor.ask("PUT", f"{visitor.path}/file?name=large.mp4", (chunk for _ in range(size >> 20)), **headers)
    seconds = time.monotonic() - began
    over.set()
    thread.join()
    visitor.ask("DELETE", visitor.path)
    return (max(most[0], before) - before) / 1e6, seconds


def workers(process: psutil.Process) -> list[psutil.Process]:
    """Processes that work on a file; multiprocessing's own tracker stays."""
    found = []
    for child in process.children():
        with suppress(psutil.Error):
            found += [child] if "--multiprocessing-fork" in child.cmdline() else []
    return found


def measure_cancel(url: str, pid: int, clip: Path) -> float:
    """Seconds from the cancel until its process and its files are gone."""
    visitor, process = Visitor(url), psutil.Process(pid)
    visitor.ask("PUT", f"{visitor.path}/file?name=clip.mp4", clip.read_bytes())
    until(lambda: visitor.ask("GET", visitor.path)["file"]["status"] == "ready")
    body = json.dumps({"look": "anime"})
    visitor.ask("POST", f"{visitor.path}/run", body, **{"Content-Type": "application/json"})
    until(lambda: visitor.ask("GET", visitor.path)["run"]["frames"] > 5)
    began = time.monotonic()
    visitor.ask("POST", f"{visitor.path}/run/cancel")
    until(lambda: not workers(process))
    seconds = time.monotonic() - began
    visitor.ask("DELETE", visitor.path)
    return seconds


def measure(folder: Path, clip: Path | None, gigabytes: float, seconds: float) -> list[Row]:
    if clip is None:
        clip = folder / "clip.mp4"
        make(portrait(), clip, 10.0)
    camera = write_camera(folder / "camera.y4m")
    with served(folder / "home") as (url, pid, start):
        rows = [Row("page served after", f"{start:.1f} s")]
        with chromium(folder, camera) as browser:
            drops = [measure_drop(browser, url, clip) for _ in range(3)]
            thumbs, moving = (max(found) for found in zip(*drops, strict=True))
            looks = browser.execute_script("return document.querySelectorAll('.tile').length")
            rows.append(Row(f"drop to {looks} thumbnails", f"{thumbs:.2f} s", f"{THUMBS:.0f} s", thumbs <= THUMBS))
            rows.append(Row("drop to a moving styled picture", f"{moving:.2f} s", f"{MOVING:.0f} s", moving <= MOVING))
            found = measure_camera(browser, url, seconds)
            fps, p95 = found["fps"], found["p95"]
            rows.append(Row("camera 640x360", f"{fps:.1f} fps", f"{CAMERA_FPS:.0f}", fps >= CAMERA_FPS))
            late = f"{found['p50']:.0f} ms, p95 {p95:.0f}"
            rows.append(Row("camera to page and back", late, f"p95 {CAMERA_MS:.0f} ms", p95 <= CAMERA_MS))
        growth, taken = measure_upload(url, pid, int(gigabytes * 1024) << 20)
        name = f"memory over an upload of {gigabytes:g} GB ({taken:.0f} s)"
        rows.append(Row(name, f"{growth:+.0f} MB", f"{GROWTH:.0f} MB", growth <= GROWTH))
        cancel = max(measure_cancel(url, pid, clip) for _ in range(3))
        rows.append(Row("cancel: process and files gone", f"{cancel:.2f} s", f"{CANCEL:.0f} s", cancel <= CANCEL))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="a 1280x720 video; one is made if left out")
    parser.add_argument("--upload", type=float, default=2.0, metavar="GB")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the camera")
    args = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), args.clip, args.upload, args.seconds)
    print(f"load of the machine before: {before:.1f} on {os.cpu_count()} cores")
    for row in rows:
        verdict = {None: "", True: "ok", False: "MISSED"}[row.good]
        print(f"{row.name:<48} {row.value:>16}   {row.target:<12} {verdict}")


if __name__ == "__main__":
    main()
