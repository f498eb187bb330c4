"""A client of the page's server: single requests, and one that watches the stream."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from vidstyle.live.page import PageOutput
from vidstyle.live.page_http import BOUNDARY, PART

STATUS = {"latency": {"p50": 31.0, "p95": 42.0}, "fps_in": 30.0, "fps_out": 29.9, "dropped": 2, "running": True}

Answer = tuple[int, dict[str, str], bytes]


def port_of(page: PageOutput) -> int:
    return urlsplit(page.url).port or 0


def ask(page: PageOutput, path: str = "/", method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """One request; ``Host_`` and others with underscores for dashes."""
    connection = HTTPConnection("127.0.0.1", port_of(page), timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        streams = answer.headers["Content-Type"].startswith("multipart")
        return answer.status, dict(answer.headers), b"" if streams else answer.read()
    finally:
        connection.close()


def command(page: PageOutput, content: Any, **headers: str) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    known = {"X_Token": page.token, "Content_Type": "application/json"}
    return ask(page, "/command", "POST", body, **(known | headers))


def raw(page: PageOutput, request: str) -> bytes:
    """What comes back for these very bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=20) as client:
        client.sendall(request.encode())
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


class Watcher:
    """A client of the stream, which reads when it is told to."""

    def __init__(self, page: PageOutput, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port_of(page)))
        self.socket.sendall(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self.socket.close()

    def first(self) -> np.ndarray:
        """The first picture, after the answer's head."""
        head = b"".join(iter(self._file.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 200 ") and f"boundary={BOUNDARY}".encode() in head
        assert self._file.read(len(PART)) == PART
        return self.picture()

    def picture(self) -> np.ndarray:
        """The next picture, read up to the end of the head of the part behind it."""
        part = bytearray()
        while not part.endswith(PART):
            part += self._file.readline()
        return decoded(part[: -len(PART)])


def decoded(data: bytes | bytearray) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "no picture, or a damaged one"
    return picture[..., ::-1]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean of the levels' differences."""
    return float(np.abs(one.astype(int) - other).mean())


def noise(index: int, side: int = 512) -> np.ndarray:
    """A picture whose JPEG is large, and that tells its index (up to 60) to `index_of`."""
    noise = np.random.default_rng(index).integers(0, 256, (side, side, 3), np.uint8)
    noise[:16, :16] = 4 * index
    return noise


def index_of(picture: np.ndarray) -> int:
    return round(picture[:16, :16].mean() / 4)
