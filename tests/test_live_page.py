"""The page's server, without a browser: what it shows, what it takes, and how it ends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import av
import cv2
import numpy as np
import pytest
from media import picture
from page_client import STATUS, Watcher, ask, command, decoded, difference, index_of, noise, port_of

from vidstyle.errors import SinkError, UsageError
from vidstyle.live import page as page_module
from vidstyle.live.controls import Controls
from vidstyle.live.page import PageOutput
from vidstyle.live.page_http import Handler


@pytest.fixture
def controls() -> Controls:
    return Controls(["none", "anime", "sketch"], "anime")


@pytest.fixture
def opened(controls: Controls) -> Iterator[Callable[..., PageOutput]]:
    """Pages, closed at the end."""
    pages: list[PageOutput] = []

    def open_page(**options: Any) -> PageOutput:
        pages.append(PageOutput(controls, **({"port": 0} | options)))
        return pages[-1]

    yield open_page
    for one in pages:
        one.close()


@pytest.fixture
def page(opened: Callable[..., PageOutput]) -> PageOutput:
    return opened()


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The index of every picture that is coded."""
    indices: list[int] = []

    def encode(shown: np.ndarray, extension: str, *more: Any) -> bytes:
        indices.append(index_of(shown))
        return real(shown, extension, *more)

    real = page_module.encode
    monkeypatch.setattr(page_module, "encode", encode)
    return indices


# The picture


def test_the_stream_shows_what_was_sent(page: PageOutput) -> None:
    shown = cv2.GaussianBlur(picture(0, 96, 64), (9, 9), 0)
    page.send(shown, STATUS)
    with Watcher(page) as watcher:
        assert difference(watcher.first(), shown) < 3
        page.send(255 - shown, STATUS)
        while difference(watcher.picture(), 255 - shown) > 3:
            pass


def test_a_picture_that_stays_is_sent_again(page: PageOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "PATIENCE", 0.05)
    page.send(noise(7, 32), STATUS)
    with Watcher(page) as watcher:
        assert [index_of(watcher.first()), index_of(watcher.picture()), index_of(watcher.picture())] == [7, 7, 7]


def test_a_picture_is_coded_once_and_only_for_who_watches(page: PageOutput, coded: list[int]) -> None:
    for index in range(5):
        page.send(noise(index, 32), STATUS)
    assert coded == []
    with Watcher(page) as one, Watcher(page) as two, Watcher(page) as three:
        assert [index_of(watcher.first()) for watcher in (one, two, three)] == [4, 4, 4]
        assert coded == [4]
        page.send(noise(9, 32), STATUS)
        for watcher in (one, two, three):
            while index_of(watcher.picture()) != 9:
                pass
    assert coded == [4, 9]


def test_a_picture_sent_again_is_none_anew(page: PageOutput, coded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The session repeats the last one ten times a second while there is no other."""
    monkeypatch.setattr(page_module, "PATIENCE", 0.05)
    shown = noise(3, 32)
    with Watcher(page) as watcher:
        for fps in range(5):
            page.send(shown, STATUS | {"fps_in": fps})
            watcher.picture() if fps else watcher.first()
    assert coded == [3]
    assert json.loads(ask(page, "/status.json")[2])["fps_in"] == 4


def test_a_slow_client_gets_the_newest_and_holds_up_nobody(page: PageOutput) -> None:
    page.send(noise(0), STATUS)
    with Watcher(page, buffer=4096) as slow, Watcher(page) as quick:
        quick.first()
        for index in range(1, 61):  # 60 pictures of 300 kB: far more than lies between server and client
            page.send(noise(index), STATUS)
            while index_of(quick.picture()) != index:
                pass
        seen = [index_of(slow.first())]
        while seen[-1] != 60:
            seen.append(index_of(slow.picture()))
    assert seen == sorted(seen)
    assert len(set(seen)) <= 6, f"old pictures waited for the slow client: {seen}"


def test_other_programs_read_the_stream(page: PageOutput) -> None:
    """As FFmpeg does, which VLC, OpenCV and OBS's media source use."""
    shown = cv2.GaussianBlur(picture(0, 96, 64), (9, 9), 0)
    page.send(shown, STATUS)
    with av.open(f"{page.url}stream.mjpeg", format="mpjpeg", timeout=20) as stream:
        frame = next(stream.decode(video=0))
        assert difference(frame.to_ndarray(format="rgb24"), shown) < 4


def test_the_snapshot_is_the_picture_itself(page: PageOutput) -> None:
    page.send(noise(1, 40), STATUS)
    status, headers, data = ask(page, "/snapshot.png")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert np.array_equal(decoded(data), noise(1, 40))


def test_before_the_first_picture(page: PageOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "PATIENCE", 0.05)
    assert ask(page, "/stream.mjpeg")[0] == ask(page, "/snapshot.png")[0] == 503
    assert json.loads(ask(page, "/status.json")[2])["picture"] is None


def test_quality_is_what_was_asked(opened: Callable[..., PageOutput]) -> None:
    losses, shown = [], cv2.GaussianBlur(noise(0, 64), (5, 5), 0)
    for quality in (30, 95):
        page = opened(quality=quality)
        page.send(shown, STATUS)
        with Watcher(page) as watcher:
            losses.append(difference(watcher.first(), shown))
    assert losses[1] < losses[0] / 2


# State and commands


def test_the_state_is_the_controls_and_the_sessions(page: PageOutput, controls: Controls) -> None:
    page.send(picture(0, 64, 48), STATUS | {"fps_in": np.float32(12.5), "fps_out": float("nan"), "size": (320, 180)})
    state = json.loads(ask(page, "/status.json")[2])
    assert {key: state[key] for key in controls.state()} == controls.state()
    assert (state["fps_in"], state["fps_out"], state["size"]) == (12.5, None, [320, 180])
    assert state["picture"] == [64, 48]


def test_a_command_reaches_the_controls(page: PageOutput, controls: Controls) -> None:
    for name, value in [("look", "sketch"), ("strength", 0.25), ("mirror", True), ("wipe", 0.3), ("freeze", None)]:
        status, _, body = command(page, {"name": name, "value": value}, Origin=page.url.rstrip("/"))
        assert status == 200
    assert json.loads(body) | controls.state() == json.loads(body)
    assert (controls.look, controls.strength, controls.mirror) == ("sketch", 0.25, True)
    assert (controls.wipe, controls.frozen) == (0.3, True)


@pytest.mark.parametrize(
    "content",
    [
        {"name": "explode"},
        {"name": "strength", "value": 7},
        {"name": "look", "value": "no such"},
        {"name": "look", "value": ["anime"]},
        {"name": 5},
        {},
        [],
        b"",
        b"{",
        b"\xff\xfe",
        b'{"name": "strength", "value": NaN}',
        b"[" * 4000,
    ],
    ids=lambda content: str(content)[:40],
)
def test_what_is_no_command_is_refused_in_one_line(page: PageOutput, controls: Controls, content: Any) -> None:
    before = controls.state()
    status, headers, body = command(page, content)
    assert (status, headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert body.count(b"\n") == 1 and len(body) > 10
    assert controls.state() == before


# Opening and closing


def test_a_taken_port_gives_way_to_the_next(opened: Callable[..., PageOutput], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = port_of(opened())
    monkeypatch.setattr(page_module, "PORT", taken)
    page = opened(port=None)
    assert taken < port_of(page) < taken + page_module.TRIES
    assert page.notes == [f"port {taken} is taken: the page is at {port_of(page)}"]
    monkeypatch.setattr(page_module, "TRIES", 1)
    with pytest.raises(SinkError, match=r"^ports \d+ to \d+ are taken by other programs: name a free one$"):
        opened(port=None)


def test_a_taken_port_that_was_named_is_an_error(opened: Callable[..., PageOutput]) -> None:
    taken = port_of(opened())
    with pytest.raises(SinkError, match=f"^port {taken} is taken by other programs: name a free one$"):
        opened(port=taken)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": 70000}, "port 70000 does not exist"),
        ({"port": -1}, "port -1 does not exist"),
        ({"host": "192.0.2.7"}, "cannot listen at 192.0.2.7"),
        ({"host": ""}, "--host is empty: 127.0.0.1 is for this machine alone"),
        ({"host": "no such host"}, "cannot listen at no such host"),
    ],
)
def test_what_cannot_be_opened_is_said(opened: Callable[..., PageOutput], options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        opened(**options)


def test_an_ipv6_address_may_be_written_as_in_a_url(opened: Callable[..., PageOutput]) -> None:
    try:
        page = opened(host="[::1]")
    except UsageError as error:  # a machine without IPv6
        assert "cannot listen at ::1:" in str(error)
    else:
        assert page.is_local and page.url.startswith("http://[::1]:")


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "page" in thread.name}


def test_closing_ends_every_connection_and_thread(
    opened: Callable[..., PageOutput], controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "PATIENCE", 600)  # nothing ends by itself
    monkeypatch.setattr(Handler, "timeout", 600)
    assert threads() == set()
    page = PageOutput(controls, port=0)
    page.send(noise(0), STATUS)
    idle = HTTPConnection("127.0.0.1", port_of(page))
    idle.request("GET", "/status.json")
    idle.getresponse().read()
    with Watcher(page, buffer=4096) as stuck, Watcher(page) as watching, Watcher(page) as silent:
        silent.socket.shutdown(socket.SHUT_WR)
        watching.first()
        assert len(threads()) > 1
        closing = threading.Thread(target=page.close, daemon=True)
        closing.start()
        closing.join(30)
        assert threads() == set()
        while stuck.socket.recv(1 << 16):  # what was on its way, then the end
            pass
    idle.close()
    assert port_of(opened(port=port_of(page))) == port_of(page)
