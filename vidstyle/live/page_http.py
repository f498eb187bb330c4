"""The HTTP of the page: what it answers, and whom.

Another page open in the same browser can send requests to this machine too. Against it stand: the ``Host``
header must name this machine (DNS rebinding), requests that the browser marks as another site's are refused,
and a command needs a token that only the page itself was given (CSRF). Paths are looked up in a table; no
request reaches the file system.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qs

from vidstyle.errors import VidstyleError
from vidstyle.live.page_server import Server

BODY = 4096  # bytes of a command
SILENCE = 10.0  # seconds after which a client that neither sends nor takes anything is dropped
PENDING = 1 << 17  # bytes on their way to a client: what is queued there is old when it arrives
BOUNDARY = "vidstyle-picture"
PART = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/@]+))(?::\d+)?")


class Site(Protocol):
    """What the server shows.

    Attributes:
        token: what a command must bring, and every request where the page is not local.
        is_local: reached from this machine alone.
        names: of this machine, in lower case, as a ``Host`` header may give them.
        files: path -> (content type, bytes).
    """

    token: str
    is_local: bool
    names: frozenset[str]
    files: dict[str, tuple[str, bytes]]

    def jpeg(self, after: int) -> tuple[int, bytes] | None:
        """(number, JPEG) of the newest picture, waiting a while for one later than ``after``; None at the end."""

    def png(self) -> bytes | None: ...

    def status(self) -> dict[str, Any]: ...

    def command(self, name: str, value: Any) -> None: ...


class _RefusedError(Exception):
    """Answered with this status and one line."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vidstyle", ""
    timeout = SILENCE
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        routes = {"/": self._page, "/obs": self._page, "/stream.mjpeg": self._stream}
        self._answer(routes | {"/status.json": self._status, "/snapshot.png": self._snapshot}, self._file)

    def do_POST(self) -> None:
        self._answer({"/command": self._command}, self._nothing)

    def _answer(self, routes: dict[str, Callable[[], None]], otherwise: Callable[[], None]) -> None:
        self._path, _, query = self.path.partition("?")
        given = parse_qs(query)
        self._given, self._name = (given.get(key, [""])[-1] for key in ("token", "stream"))
        try:
            self._check_sender()
            routes.get(self._path, otherwise)()
        except _RefusedError as refused:
            self._refuse(refused.status, str(refused))
        except OSError:  # the client went away
            raise
        except Exception as error:  # a mistake of this program: it must not end the session's terminal line
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected {type(error).__name__}: {error}")

    def _check_sender(self) -> None:
        hosts = self.headers.get_all("Host", [])
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None or not self._is_ours((match[1] or match[2]).lower()):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "this address is not the page's own")
        if self.headers.get("Origin") not in (None, f"http://{hosts[0]}"):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "asked by another site")
        is_foreign = self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if is_foreign and self.headers.get("Sec-Fetch-Mode") != "navigate":  # a link to the page is no harm
            raise _RefusedError(HTTPStatus.FORBIDDEN, "asked by another site")

    def _is_ours(self, name: str) -> bool:
        """Rebinding needs a name: on a network, where this machine has addresses unknown here, any address will do."""
        return name in self.server.site.names or (not self.server.site.is_local and _is_address(name))

    def _check_token(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(), self.server.site.token.encode()):
            raise _RefusedError(
                HTTPStatus.FORBIDDEN, "the token is missing or old: use the address vidstyle live printed"
            )

    def _check_viewer(self) -> None:
        if not self.server.site.is_local:
            self._check_token(self._given)

    def _nothing(self) -> NoReturn:
        raise _RefusedError(HTTPStatus.NOT_FOUND, "nothing here")

    def _file(self) -> None:
        if (file := self.server.site.files.get(self._path)) is None:
            self._nothing()
        self._reply(HTTPStatus.OK, *file)

    def _page(self) -> None:
        self._check_viewer()
        kind, text = self.server.site.files["/index.html" if self._path == "/" else "/obs.html"]
        self._reply(HTTPStatus.OK, kind, text.replace(b"{token}", self.server.site.token.encode()))

    def _status(self) -> None:
        """The state, and whether the stream of this name is being sent: its client cannot tell."""
        self._check_viewer()
        self._reply_json({**self.server.site.status(), "streaming": self._name in self.server.streams})

    def _snapshot(self) -> None:
        self._check_viewer()
        if (data := self.server.site.png()) is None:
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "no picture yet")
        self._reply(HTTPStatus.OK, "image/png", data)

    def _stream(self) -> None:
        """The newest picture, again and again; one that stays is sent every second."""
        self._check_viewer()
        if (coded := self.server.site.jpeg(0)) is None:
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "no picture yet")
        self.close_connection = True
        self.server.streams.add(self._name)
        try:
            self._send_pictures(coded)
        finally:
            self.server.streams.discard(self._name)

    def _send_pictures(self, coded: tuple[int, bytes] | None) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PENDING)
        self._start(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.wfile.write(PART)
        while coded is not None:
            number, data = coded
            # The head of the next part goes with the picture: browsers show a part when that has come.
            self.wfile.write(data + b"\r\n" + PART)
            coded = self.server.site.jpeg(number)

    def _command(self) -> None:
        body = self._body()
        self._check_token(self.headers.get("X-Token", ""))
        if self.headers.get_content_type() != "application/json":
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a command is application/json")
        try:
            self.server.site.command(*_parse(body))
        except (VidstyleError, ValueError, RecursionError) as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, " ".join(str(error).split())) from error
        self._reply_json(self.server.site.status())

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or "Transfer-Encoding" in self.headers:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "a command has a Content-Length")
        if int(length) > BODY:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a command has at most {BODY} bytes")
        return self.rfile.read(int(length))

    def _reply_json(self, content: dict[str, Any]) -> None:
        self._reply(HTTPStatus.OK, "application/json", json.dumps(_plain(content), allow_nan=False).encode())

    def _reply(self, status: int, kind: str, body: bytes) -> None:
        self._start(status, kind, len(body))
        self.wfile.write(body)

    def _refuse(self, status: int, words: str) -> None:
        self.close_connection = True  # what it may still send was not read
        self._reply(status, "text/plain; charset=utf-8", f"{words}\n".encode())

    def _start(self, status: int, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Type": kind}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the library refuses by itself: no HTML, nothing of the request in the answer."""
        self._refuse(code, HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """The terminal belongs to the session."""


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(name))
    return False


def _parse(body: bytes) -> tuple[str, Any]:
    """Name and value of a command, ``{"name": ..., "value": ...}``.

    Raises:
        ValueError: it is not one.
    """
    content = json.loads(body, parse_constant=_no_number)
    name, value = (content.get("name"), content.get("value")) if isinstance(content, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(value, str | int | float | None):  # a bool is an int
        raise ValueError('a command is {"name": ..., "value": ...}, the value a text, a number, true, false or null')
    return name, value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _plain(value: Any) -> Any:
    """As JSON has it: NumPy's numbers as Python's, what is not finite as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
