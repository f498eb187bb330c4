"""Whom the page's server answers, and what is left of a visitor at the end: nothing."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hub import closed_port
from media import Clip
from ui_client import GIB, Visitor, until

from vidstyle.errors import UsageError
from vidstyle.ui.house import House, HouseOptions

pytest_plugins = "ui_fixtures"


def test_everything_of_gradio_but_the_page_is_closed(visitor: Visitor) -> None:
    for path in ("/gradio_api/info", "/gradio_api/startup-events", "/config", "/docs", "/openapi.json", "/theme.css"):
        assert visitor.http.get(path).status_code == 404, path
    assert visitor.http.post("/gradio_api/upload", files={"files": b"x"}).status_code == 404
    page = visitor.http.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r'(?:src|href)="(?!/files/)', page.text)
    assert visitor.http.get("/", headers={"Host": "evil.example"}).status_code == 403
    for origin in ("http://evil.example", "http://[", "null", ""):
        assert visitor.http.post("/api/session", headers={"Origin": origin}).status_code == 403, origin


def test_a_form_of_another_site_changes_nothing(visitor: Visitor) -> None:
    answer = visitor.http.post(
        "/api/queue", content=b'{"action": "add", "path": "/"}', headers={"Content-Type": "text/plain"}
    )
    assert answer.json()["error"] == "Expected JSON"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" * 60_000, "Expected a JSON object"),
        (b'{"action": "remove", "ids": 5}', "Ids is 5, expected a list"),
        (b'{"action": "add", "path": "~nobody-of-this-name/a.mp4"}', "~nobody-of-this-name/a.mp4 is not a whole path"),
        (b'{"action": "add", "path": "/a\\u0000b"}', "No such file or folder"),
    ],
)
def test_a_request_by_hand_gets_a_sentence(visitor: Visitor, content: bytes, says: str) -> None:
    answer = visitor.http.post("/api/queue", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and says in answer.json()["error"]


def test_open_to_others_it_wants_its_token_and_closes_the_queue(home: Path) -> None:
    import httpx

    del home
    with House(HouseOptions(host="0.0.0.0")) as house:
        assert any("open to others" in note for note in house.notes)
        address, token = house.url.split("?token=")
        port = address.rsplit(":", 1)[1].strip("/")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/").status_code == 403
            assert client.post("/api/session").status_code == 403
            first = client.get("/", params={"token": token})
            assert first.status_code == 200 and "HttpOnly" in first.headers["set-cookie"]
            assert client.post("/api/session").status_code == 200
            assert "closed while others" in client.get("/api/queue").json()["error"]


def test_an_empty_address_opens_the_page_to_nobody(home: Path) -> None:
    del home
    with pytest.raises(UsageError, match=r"--host is empty: 127\.0\.0\.1 is for this machine alone"):
        House(HouseOptions(host=""))


def test_the_end_removes_everything(long_clip: Clip, home: Path) -> None:
    del home
    with House(HouseOptions(upload=GIB, port=closed_port())) as house:
        visitor = Visitor(house.url)
        folder = Path(house.sessions.folder)
        visitor.drop(long_clip.path)
        visitor.run()
        until(lambda: visitor.state()["run"]["frames"])
        session = house.sessions.get(visitor.id)
        assert session is not None and session.run is not None
        pid = session.run.work.pid
        visitor.http.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_file_cut_short_on_its_way_is_not_kept(house: House, visitor: Visitor, long_clip: Clip) -> None:
    import socket
    from urllib.parse import urlsplit

    data = long_clip.path.read_bytes()
    with socket.create_connection(("127.0.0.1", urlsplit(house.url).port or 0)) as client:
        head = (
            f"PUT {visitor.url('/file')}?name=a.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        client.sendall(head.encode() + data[: len(data) // 2])
        time.sleep(0.3)
    session = house.sessions.get(visitor.id)
    assert session is not None
    until(lambda: not [path for path in session.folder.rglob("*") if path.is_file()])
    assert visitor.state()["file"] is None


def test_a_file_that_something_else_removed_is_gone(house: House, visitor: Visitor, clip: Clip) -> None:
    """As by whoever tidies up temporary folders: it wrote a traceback."""
    visitor.drop(clip.path)
    session = house.sessions.get(visitor.id)
    assert session is not None and session.source is not None
    session.source.path.unlink()
    answer = visitor.http.get(visitor.url("/file"))
    assert answer.status_code == 404 and "not there any more" in answer.json()["error"]
