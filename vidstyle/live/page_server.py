"""The connections of the page: bounded, each on a thread of its own, all ended together."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any

CLIENTS = 32  # connections at a time; a browser opens up to six


class Server(socketserver.TCPServer):
    """A thread per connection, at most `CLIENTS`, all joined by `stop`; ``site`` is what the handler serves."""

    allow_reuse_address = os.name != "nt"  # there it would share the port with another program
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler], site: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.site = site
        self.streams: set[str] = set()  # names of those being sent
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="vidstyle-page-client", daemon=True
        )
        with self._lock:
            if is_full := len(self._clients) >= CLIENTS:
                self.shutdown_request(request)
            else:
                self._clients[request] = thread
        if not is_full:
            thread.start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            with suppress(OSError):  # the client went away
                self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)
            with self._lock:
                del self._clients[request]

    def start(self) -> None:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="vidstyle-page", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every connection, join every thread, free the port."""
        self.shutdown()
        self._thread.join()
        with self._lock:
            clients = dict(self._clients)
        for request in clients:
            with suppress(OSError):  # closed meanwhile
                request.shutdown(socket.SHUT_RDWR)
        for thread in clients.values():
            thread.join()
        self.server_close()
