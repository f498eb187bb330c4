"""A small web server with the habits of good and bad ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Site:
    """What a server does, and what it was asked.

    Attributes:
        folder: whose files it has.
        breaks: how many answers it still breaks off half way.
        gone: after those it answers nothing any more.
        stalls: it sends half of an answer and then waits for `over`.
        ranges: whether it can begin in the middle of a file.
    """

    folder: Path
    breaks: int = 0
    gone: bool = False
    stalls: bool = False
    ranges: bool = True
    url: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        site, path = self.site, self.site.folder / self.path.lstrip("/").partition("?")[0]
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "") if site.ranges else None
        first = int(found[1]) if found else 0
        site.asked.append((self.path, first))
        self.close_connection = True
        if site.gone and not site.breaks:
            return
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        if site.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self._send(data[first:])

    def _send(self, data: bytes) -> None:
        site, half = self.site, data[: len(data) // 2]
        try:
            self.wfile.write(half if site.stalls or site.breaks else data)
            self.wfile.flush()
        except OSError:  # the reader has seen enough
            return
        if site.breaks:
            site.breaks -= 1
        elif site.stalls:
            site.over.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


def self_signed(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1, which nobody vouches for; skips where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@contextmanager
def serve(site: Site, certificate: tuple[Path, Path] | None = None) -> Iterator[Site]:
    """Run a server for a while; ``certificate``: (certificate, key) for https. Sets ``site.url``."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    if certificate is not None:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
