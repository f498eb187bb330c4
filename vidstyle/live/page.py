"""The session in a browser: the picture, its controls, and a bare view that OBS takes as a browser source."""

from __future__ import annotations

import errno
import secrets
import socket
import threading
from importlib.resources import files
from typing import Any, Protocol

import numpy as np

from vidstyle.errors import SinkError, UsageError
from vidstyle.hosts import LOCAL, check_host, is_local
from vidstyle.live.page_http import Handler
from vidstyle.live.page_server import Server
from vidstyle.opencv import opencv

PORT, TRIES = 8765, 20  # the first port tried, and how many
QUALITY = 85  # of 1..100
PATIENCE = 1.0  # seconds after which a picture that stays is sent again: it tells who still watches
KINDS = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Controls(Protocol):
    """What the page needs of the session's controls; called from the page's threads."""

    def command(self, name: str, value: Any = None) -> None:
        """Raises VidstyleError or ValueError where the name or the value is none it knows."""

    def state(self) -> dict[str, Any]: ...


class PageOutput:
    """Serves the page from its construction until `close`.

    Args:
        controls: what the page's buttons command.
        host: the address to listen at. Other than this machine's own, every request needs the token that `url` has.
        port: None takes the first free one of `TRIES` from `PORT` on.
        quality: of the stream's JPEG, 1..100.

    Attributes:
        url: the page's address; ``obs_url``: that of the picture alone.
        notes: lines to show to who started it.

    Raises:
        UsageError: no such port, no such address on this machine, or no OpenCV.
        SinkError: the port is taken.
    """

    def __init__(
        self, controls: Controls, host: str = "127.0.0.1", port: int | None = None, quality: int = QUALITY
    ) -> None:
        opencv()
        host = host.strip("[]")  # as an address has IPv6
        self.token = secrets.token_urlsafe(24)
        self.is_local = is_local(host)
        own = () if self.is_local else (socket.gethostname().lower(),)
        self.names = LOCAL | {host.lower(), *own}
        self.files = {f"/{name}": _file(name) for name in FILES}
        self._controls, self._status = controls, dict[str, Any]()
        self._newest = _Newest(quality)
        self._server = _listen(host, port, self)
        bound = self._server.server_address[1]
        root = f"http://{_reached_at(host)}:{bound}/"
        query = "" if self.is_local else f"?token={self.token}"
        self.url, self.obs_url = f"{root}{query}", f"{root}obs{query}"
        self.notes = _notes(port, bound, self.is_local)
        self._server.start()

    def send(self, picture: np.ndarray, status: dict[str, Any]) -> None:
        """Show a picture, uint8 [H, W, 3] RGB. It is kept, not copied, and coded only if somebody watches."""
        self._status = status
        self._newest.put(picture)

    def jpeg(self, after: int) -> tuple[int, bytes] | None:
        return self._newest.jpeg(after)

    def png(self) -> bytes | None:
        return self._newest.png()

    def status(self) -> dict[str, Any]:
        """What the page shows beside the picture; ``page`` differs from run to run."""
        return {**self._controls.state(), **self._status, "picture": self._newest.size(), "page": self.token[:8]}

    def command(self, name: str, value: Any) -> None:
        self._controls.command(name, value)

    def close(self) -> None:
        """End every connection and thread, and free the port."""
        self._newest.close()
        self._server.stop()


class _Newest:
    """The newest picture; coded by the first that asks for it, once for all."""

    def __init__(self, quality: int) -> None:
        self._quality = quality
        self._changed = threading.Condition()
        self._coding = threading.Lock()
        self._picture: tuple[int, np.ndarray | None] = 0, None
        self._coded = 0, b""
        self._is_closed = False

    def put(self, picture: np.ndarray) -> None:
        with self._changed:
            if picture is not self._picture[1]:  # or it is sent again for want of a newer one
                self._picture = self._picture[0] + 1, picture
                self._changed.notify_all()

    def jpeg(self, after: int) -> tuple[int, bytes] | None:
        """(number, JPEG) of the newest, waiting `PATIENCE` for one later than ``after``; None: there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._picture[0] > after or self._is_closed, PATIENCE)
        with self._coding:
            number, picture = self._picture
            if picture is None or self._is_closed:
                return None
            if self._coded[0] != number:
                self._coded = number, encode(picture, ".jpg", self._quality)
            return self._coded

    def png(self) -> bytes | None:
        picture = self._picture[1]
        return None if picture is None else encode(picture, ".png")

    def size(self) -> list[int] | None:
        """[width, height] in pixels."""
        picture = self._picture[1]
        return None if picture is None else [picture.shape[1], picture.shape[0]]

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


def encode(picture: np.ndarray, extension: str, quality: int = QUALITY) -> bytes:
    """A file's bytes of uint8 [H, W, 3] RGB. OpenCV's JPEG takes a fifth of the time FFmpeg's does."""
    cv2 = opencv()
    options = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality], ".png": [cv2.IMWRITE_PNG_COMPRESSION, 3]}
    done, data = cv2.imencode(extension, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options[extension])
    if not done:
        raise SinkError(f"cannot make a {extension} of {picture.shape[1]}x{picture.shape[0]}")
    return bytes(data)


FILES = ("index.html", "obs.html", "style.css", "page.js", "stream.js", "icon.svg")


def _file(name: str) -> tuple[str, bytes]:
    return KINDS[name.rpartition(".")[2]], (files("vidstyle.live") / "page_files" / name).read_bytes()


def _listen(host: str, port: int | None, page: PageOutput) -> Server:
    check_host(host)
    if port is not None and not 0 <= port <= 65535:
        raise UsageError(f"port {port} does not exist: they go from 1 to 65535")
    for candidate in range(PORT, PORT + TRIES) if port is None else [port]:
        try:
            return Server((host, candidate), Handler, page)
        except PermissionError as error:
            raise SinkError(f"port {candidate} may not be opened by this user: name one from 1024 on") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"cannot listen at {host}: {error.strerror or error}; 127.0.0.1 always works"
                ) from error
    taken = f"port {port} is" if port is not None else f"ports {PORT} to {PORT + TRIES - 1} are"
    raise SinkError(f"{taken} taken by other programs: name a free one")


def _notes(asked: int | None, bound: int, is_local: bool) -> list[str]:
    notes = [f"port {PORT} is taken: the page is at {bound}"] if asked is None and bound != PORT else []
    if not is_local:
        notes.append(
            "the page is open to the network, unencrypted: whoever has its address sees and controls the session"
        )
    return notes


def _reached_at(host: str) -> str:
    """The host as it stands in an address that another machine can open."""
    if host in ("0.0.0.0", "::"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # sends nothing; picks the interface that leads outside
                return str(probe.getsockname()[0])
            except OSError:
                return socket.gethostname()
    return f"[{host}]" if ":" in host else host
