"""A hub that serves published files over real HTTP on this machine, and misbehaves as told."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Hub(ThreadingHTTPServer):
    """``files`` by name; everything else is how it behaves. ``requests`` holds (file, Range header)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.listing: object = "sha256"  # "sha256": true digests; None: 404; else sent as JSON
        self.cuts: list[int] = []  # the next answers break off after so many bytes
        self.ignores_range = False
        self.says_length = True
        self.status = 200
        self.hold: threading.Event | None = None  # waits for it after the first half
        self.held = threading.Event()
        self.requests: list[tuple[str, str | None]] = []
        self.models: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def listed(self) -> object:
        if self.listing != "sha256":
            return self.listing
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        entries = [{"Name": n, "Path": n, "Type": "blob", "Sha256": d} for n, d in digests.items()]
        return {"Code": 200, "Data": {"Files": [{"Name": "res", "Path": "res", "Type": "tree"}, *entries]}}

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        model = re.fullmatch("/api/v1/models/(.+?/.+?)/repo(/files)?", path)
        if not model:
            return self.send_error(404)
        self.server.models.add(f"{model[1]}@{query['Revision'][0]}")
        if model[2]:
            return self._listing()
        name = query["FilePath"][0]
        self.server.requests.append((name, self.headers.get("Range")))
        if self.server.status != 200:
            return self.send_error(self.server.status)
        if name not in self.server.files:
            return self.send_error(404)
        return self._file(self.server.files[name])

    def _listing(self) -> None:
        if self.server.listing is None:
            return self.send_error(404)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.listed()).encode())
        return None

    def _file(self, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and not self.server.ignores_range else 0
        if start and start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.server.says_length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._body(data[start:])
        return None

    def _body(self, data: bytes) -> None:
        if self.server.hold:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.server.held.set()
            self.server.hold.wait(30)
            data = data[len(data) // 2 :]
        if self.server.cuts:
            self.wfile.write(data[: self.server.cuts.pop(0)])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
