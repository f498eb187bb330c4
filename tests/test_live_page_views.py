"""The page in a real Chromium: several tabs, lost connections, OBS, screens of every size, another site's page."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from page_client import STATUS
from page_show import CONTROLS, HEIGHT, WIDTH, Pairs, Show, by_id, moves, press, showing, until

pytest_plugins = "page_fixtures"


def test_a_second_tab_gets_the_stream_too(page: Any, show: Show) -> None:
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    page.get(show.page.url)
    assert moves(page)
    press(page, "m")
    until(page, lambda: show.controls.mirror)
    page.close()
    page.switch_to.window(first)
    assert moves(page)
    until(page, lambda: by_id(page, "mirror").get_attribute("aria-pressed") == "true")


def test_reloading_in_the_middle_goes_on(page: Any, show: Show) -> None:
    by_id(page, "mirror").click()
    until(page, lambda: show.controls.mirror)
    for _ in range(5):
        page.refresh()
        assert moves(page)
    until(page, lambda: by_id(page, "mirror").get_attribute("aria-pressed") == "true")
    until(page, lambda: len(show.page._server._clients) <= 6, "streams that nobody reads go on")


def test_a_lost_connection_is_shown_and_found_again(browser: Any, pictures: Pairs) -> None:
    with showing(pictures) as one:
        url = one.page.url
        browser.get(url)
        assert moves(browser)
    until(browser, lambda: "Connection lost" in by_id(browser, "message").text)
    with showing(pictures, urlsplit(url).port or 0) as other:
        until(browser, lambda: by_id(browser, "message").text == "")
        assert moves(browser)
        by_id(browser, "mirror").click()  # with the new run's token
        until(browser, lambda: other.controls.mirror)
        browser.get("about:blank")


def test_an_ended_session_is_shown_as_such(browser: Any, pictures: Pairs) -> None:
    with showing(pictures) as one:
        browser.get(one.page.url)
        assert moves(browser)
        press(browser, "q")
        press(browser, "q")
        until(browser, lambda: one.controls.has_ended)
    until(browser, lambda: by_id(browser, "message").text == "The session has ended")
    browser.get("about:blank")


def test_what_failed_is_told_as_long_as_it_holds(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not by_id(page, "problems").is_displayed()
    monkeypatch.setitem(STATUS, "problems", ["the recording failed: no room", "the look two cannot be shown"])
    words = "The recording failed: no room. The look two cannot be shown."
    until(page, lambda: by_id(page, "problems").text == words)
    monkeypatch.setitem(STATUS, "problems", [])
    until(page, lambda: not by_id(page, "problems").is_displayed())


def test_a_broken_network_is_shown_and_found_again(browser: Any, show: Show) -> None:
    """The same run goes on behind it, so that nothing is loaded anew."""
    browser.get(show.page.url)
    assert moves(browser)
    browser.execute_script("window.isTheSame = true")
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **conditions})
    until(browser, lambda: "Connection lost" in by_id(browser, "message").text)
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **conditions})
    until(browser, lambda: by_id(browser, "message").text == "")
    assert moves(browser) and browser.execute_script("return window.isTheSame")
    browser.get("about:blank")


def test_a_stream_that_ends_alone_is_begun_again(page: Any, show: Show) -> None:
    """As after a computer slept: everything else answers, and no browser tells of it."""
    assert moves(page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(show.page, "jpeg", lambda _: None)
        until(page, lambda: not show.page._server.streams)
    assert moves(page)


def test_obs_finds_the_next_session(browser: Any, pictures: Pairs) -> None:
    with showing(pictures) as one:
        url = one.page.obs_url
        browser.get(url)
        assert moves(browser)
    with showing(pictures, urlsplit(url).port or 0):
        assert moves(browser)
        browser.get("about:blank")


def test_a_hidden_page_takes_no_pictures(page: Any) -> None:
    page.minimize_window()
    try:
        until(page, lambda: page.execute_script("return document.hidden"))
        until(page, lambda: not by_id(page, "stream").get_attribute("src"))
    finally:
        page.set_window_rect(0, 0, 1280, 800)
    assert moves(page)


def test_obs_gets_the_picture_alone(page: Any, show: Show) -> None:
    page.get(show.page.obs_url)
    assert moves(page)
    box = page.execute_script("""
        const { x, y, width, height } = document.getElementById("stream").getBoundingClientRect();
        const controls = document.querySelectorAll("button, input, a").length;
        return [x, y, width, height, innerWidth, innerHeight, document.body.innerText,
                controls, getComputedStyle(document.body).backgroundColor]""")
    assert box == [0, 0, box[4], box[5], box[4], box[5], "", 0, "rgba(0, 0, 0, 0)"]


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (820, 1180), (390, 844), (320, 568), (844, 390)], ids=str)
def test_everything_fits_on_one_screen(page: Any, size: tuple[int, int]) -> None:
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 900}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        until(page, lambda: page.execute_script("return innerWidth") == size[0])
        boxes = {name: by_id(page, name).rect for name in (*CONTROLS, "picture", "numbers")}
        assert page.execute_script("return document.documentElement.scrollWidth") <= size[0]
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for name, box in boxes.items():
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0] + 1, (name, box)
        assert box["y"] >= 0 and box["y"] + box["height"] <= size[1] + 1, (name, box)
    picture = boxes["picture"]
    assert abs(picture["width"] / picture["height"] - WIDTH / HEIGHT) < 0.02
    assert picture["width"] * picture["height"] > 0.19 * size[0] * size[1], "the picture is small"


def test_another_sites_page_can_neither_command_nor_look(browser: Any, show: Show) -> None:
    """A page of another origin in the same browser tries what such pages can."""
    url = show.page.url.rstrip("/")
    html = f"""<!doctype html><iframe name="frame"></iframe><img id="image">
        <form method="post" action="{url}/command" target="frame" enctype="text/plain">
        <input name='{{"name": "mirror", "x": "' value='"}}'></form>
        <script>
          document.forms[0].submit();
          document.title = "working";
          const command = {{ method: "POST", body: JSON.stringify({{ name: "mirror" }}) }};
          const tries = [
            fetch("{url}/command", {{ ...command, mode: "no-cors" }}).then(() => "sent"),
            fetch("{url}/command", {{ ...command, headers: {{ "Content-Type": "application/json", "X-Token": "x" }} }}),
            fetch("{url}/").then((answer) => answer.text()),
            fetch("{url}/status.json").then((answer) => answer.text()),
            new Promise((yes, no) => Object.assign(image, {{ onload: yes, onerror: no, src: "{url}/stream.mjpeg" }})),
          ];
          Promise.allSettled(tries).then((results) => {{
            document.title = JSON.stringify(results.map((result) => result.status));
          }});
        </script>"""

    class Evil(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Evil) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            browser.get(f"http://localhost:{site.server_address[1]}/")
            until(browser, lambda: browser.title.startswith("["))
            # No answer may be read; that a blind request was sent is no secret, and it was refused.
            assert json.loads(browser.title)[1:] == ["rejected"] * 4
            browser.get("about:blank")
        finally:
            site.shutdown()
            thread.join()
    assert not show.controls.mirror
