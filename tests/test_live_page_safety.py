"""Whom the page's server answers, and what it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from media import picture
from page_client import STATUS, Watcher, ask, command, raw

from vidstyle.live import page as page_module
from vidstyle.live import page_http, page_server
from vidstyle.live.controls import Controls
from vidstyle.live.page import PageOutput

SHOWN = ("/", "/obs", "/stream.mjpeg", "/status.json", "/snapshot.png")


@pytest.fixture(scope="module")
def controls() -> Controls:
    return Controls(["none", "anime", "sketch"], "anime")


@pytest.fixture(scope="module")
def page(controls: Controls) -> Iterator[PageOutput]:
    """A page with a picture."""
    output = PageOutput(controls, port=0)
    output.send(picture(0, 32, 32), STATUS)
    yield output
    output.close()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> PageOutput:
    """A page that takes itself to be open to the network."""
    monkeypatch.setattr(page_module, "is_local", lambda _: False)
    output: PageOutput = request.getfixturevalue("fresh")
    return output


@pytest.fixture
def fresh(controls: Controls) -> Iterator[PageOutput]:
    """A page with a picture, that no other test had."""
    output = PageOutput(controls, port=0)
    output.send(picture(0, 32, 32), STATUS)
    yield output
    output.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Token": ""}, 403),
        ({"X_Token": "ü"}, 403),
        ({"X_Token": "wrong"}, 403),
        ({"Content_Type": "text/plain"}, 415),  # what a form of another site can send
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
    ],
    ids=str,
)
def test_another_sites_command_is_refused(
    page: PageOutput, controls: Controls, headers: dict[str, str], status: int
) -> None:
    before = controls.state()
    assert command(page, {"name": "mirror"}, **headers)[0] == status
    assert controls.state() == before


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8765", "192.0.2.7"])
@pytest.mark.parametrize("path", SHOWN)
def test_another_host_name_is_refused(page: PageOutput, host: str, path: str) -> None:
    assert ask(page, path, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8765", "[::1]:80"])
def test_this_machines_names_are_answered_whatever_the_port(page: PageOutput, host: str) -> None:
    assert ask(page, "/", Host=host)[0] == 200


@pytest.mark.parametrize(
    "hosts", ["", "Host: localhost\r\nHost: localhost\r\n", "Host: [\r\n", "Host: a@localhost\r\n"]
)
def test_a_host_that_is_none_is_refused(page: PageOutput, hosts: str) -> None:
    assert raw(page, f"GET / HTTP/1.1\r\n{hosts}\r\n").startswith(b"HTTP/1.1 403 ")


def test_pictures_are_not_given_to_another_site(page: PageOutput) -> None:
    for path in ("/stream.mjpeg", "/snapshot.png", "/status.json"):
        assert ask(page, path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
        assert ask(page, path, Origin="http://evil.example")[0] == 403
    assert ask(page, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200


@pytest.mark.parametrize("path", [*SHOWN, "/style.css", "/page.js", "/nothing"])
def test_every_answer_has_the_headers_that_fence_it(page: PageOutput, path: str) -> None:
    _, headers, _ = ask(page, path)
    assert headers.items() >= page_http.HEADERS.items()
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Python" not in headers["Server"] and "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/../page.py",
        "/page_files/../page.py",
        "/%2e%2e/page.py",
        "/..%2fpage.py",
        "/..\\page.py",
        "//etc/passwd",
        "/page_files/index.html",
        "/index.html/",
        "/command",
        "http://[",
        "*",
    ],
)
def test_no_path_leads_to_a_file(page: PageOutput, path: str) -> None:
    answer = raw(page, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ") and b"import" not in answer


def test_requests_are_bounded(page: PageOutput) -> None:
    post = f"POST /command HTTP/1.1\r\nHost: localhost\r\nX-Token: {page.token}\r\n"
    for headers, status in [
        (f"Content-Length: {page_http.BODY + 1}\r\n", 413),
        ("Content-Length: 99999999999\r\n", 411),
        ("Content-Length: -1\r\n", 411),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("", 411),
        ("".join(f"X-{i}: 1\r\n" for i in range(200)), 431),
        (f"X-Long: {'x' * 70_000}\r\n", 431),
    ]:
        assert raw(page, f"{post}{headers}\r\n").startswith(f"HTTP/1.1 {status} ".encode()), (headers[:40], status)
    assert raw(page, "PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 501 ")
    assert raw(page, "rubbish\r\n\r\n").split(b"\r\n\r\n")[-1] == b"Bad Request\n"


def test_what_follows_a_refused_request_is_no_request(page: PageOutput) -> None:
    inner = "GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for length in ("99999", "-1"):
        answer = raw(page, f"POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{inner}")
        assert answer.count(b"HTTP/1.1 ") == 1 and b"strength" not in answer


def test_connections_are_bounded(fresh: PageOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "CLIENTS", 2)
    with Watcher(fresh) as one, Watcher(fresh) as two:
        for watcher in (one, two):
            watcher.first()
        with pytest.raises(ConnectionError):
            ask(fresh, "/status.json")
        two.socket.shutdown(socket.SHUT_RDWR)
        while len(fresh._server._clients) == 2:  # the server notices when it sends
            fresh.send(picture(1, 32, 32), STATUS)
            one.picture()
        assert ask(fresh, "/status.json")[0] == 200


# Beyond this machine


def test_on_a_network_everything_needs_the_token(remote: PageOutput, controls: Controls) -> None:
    assert remote.url.endswith(f"/?token={remote.token}") and remote.obs_url.endswith(f"/obs?token={remote.token}")
    assert "network" in remote.notes[0] and remote.token not in remote.notes[0]
    for path in SHOWN:
        assert ask(remote, path)[0] == ask(remote, f"{path}?token=wrong")[0] == 403
        assert remote.token.encode() not in ask(remote, path)[2]
        assert ask(remote, f"{path}?token={remote.token}", Host="192.0.2.7:80")[0] == 200
        assert ask(remote, f"{path}?token={remote.token}", Host="evil.example")[0] == 403
    before = controls.mirror
    assert command(remote, {"name": "mirror"})[0] == 200 and controls.mirror is not before


def test_at_all_addresses_the_token_is_needed_too(controls: Controls) -> None:
    page = PageOutput(controls, host="0.0.0.0", port=0)
    try:
        assert urlsplit(page.url).hostname not in ("0.0.0.0", None)  # an address that another machine can open
        assert ask(page, "/status.json")[0] == 403
    finally:
        page.close()
