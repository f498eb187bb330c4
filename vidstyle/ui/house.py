"""The server from start to end: Gradio in server mode, behind a guard."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from vidstyle.engine_options import EngineOptions
from vidstyle.errors import EngineError, SinkError, UsageError
from vidstyle.hosts import LOCAL, check_host, is_local
from vidstyle.ui.guard import COOKIE, HEADERS, Guard
from vidstyle.ui.loops import unused_loops_closed

GIB = 1 << 30
#: Gradio and what it brings must not call home
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class HouseOptions:
    """
    Attributes:
        port: None for the first free one from Gradio's own on.
        share: make it reachable through Gradio's tunnel.
        upload: most bytes of a file.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    upload: int = 8 * GIB
    engine: EngineOptions = field(default_factory=EngineOptions)


def gradio() -> Any:
    """The module, imported at the first call.

    Raises:
        EngineError: it is not installed, or too old.
    """
    os.environ.update(QUIET)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import gradio as module
    except ImportError as error:
        raise EngineError(f"vidstyle ui needs Gradio ({error}): pip install 'vidstyle[ui]'") from error
    if not hasattr(module, "Server"):
        raise EngineError(f"vidstyle ui needs Gradio 6, got {module.__version__}: pip install -U 'vidstyle[ui]'")
    return module


class House:
    """Serves the page from `__enter__` to `__exit__`, which ends every run and removes every temporary file.

    Attributes:
        url: the page's address, with the token where one is needed.
        notes: lines for who started it.
        rooms, sessions: what is behind it, once it is open.
    """

    def __init__(self, options: HouseOptions = HouseOptions()) -> None:
        host = options.host
        check_host(host)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"  # as IPv6 stands in a URL
        self.options, self.url, self.notes = replace(options, host=host), "", list[str]()
        self.is_open = options.share or not is_local(options.host)
        own = frozenset({options.host.lower().strip("[]")})
        self.guard = Guard(secrets.token_urlsafe(24) if self.is_open else "", LOCAL | own)
        self._close: list[Callable[[], None]] = []

    def __enter__(self) -> House:
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _open(self) -> None:
        module = gradio()
        from vidstyle.paths import state_dir
        from vidstyle.ui.answers import Rooms
        from vidstyle.ui.folder import Queue
        from vidstyle.ui.routes import add_routes
        from vidstyle.ui.school import School
        from vidstyle.ui.sessions import Sessions
        from vidstyle.ui.studio import Studio

        options = self.options
        studio = Studio(options.engine)
        self._close.append(studio.close)
        sessions = Sessions(studio)
        self._close.append(sessions.close)
        queue = Queue(
            state_dir() / "ui-queue.json", lambda choice: studio.do(studio.recipe, choice).result(), options.engine
        )
        self._close.append(queue.close)
        school = School(state_dir() / "ui-training")
        self._close.append(school.close)
        self.sessions = sessions
        self.rooms = Rooms(studio, sessions, queue, school, options.upload, self.is_open)
        with unused_loops_closed():
            app = _server(module, self.guard)
            add_routes(app, self.rooms)
            studio.warm()
            self._listen(app)

    def _listen(self, app: Any) -> None:
        options = self.options
        if options.port is not None and not 0 < options.port <= 65535:
            raise UsageError(f"port {options.port} does not exist: they go from 1 to 65535")
        _check_address(options.host, options.port)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _, local, shared = app.launch(
                    server_name=options.host,
                    server_port=options.port,
                    share=options.share,
                    prevent_thread_lock=True,
                    quiet=True,
                    ssr_mode=False,
                    mcp_server=False,
                    enable_monitoring=False,
                    run_history=False,
                    footer_links=[],
                )
        except OSError as error:
            raise SinkError(f"the page cannot be served at {options.host}: {error}") from error
        self._close.append(lambda: app.get_blocks().close(verbose=False))
        self.guard.launching = False
        query = f"?token={self.guard.token}" if self.is_open else ""
        self.url = f"{shared or _reached(local, options.host)}{query}"
        if self.is_open:
            self.notes.append(
                "the page is open to others: whoever has its address uses this machine and sees what is dropped there"
            )
        if options.share and not shared:
            self.notes.append("Gradio's tunnel could not be opened: the page is reached on this network alone")

    def __exit__(self, *exc: object) -> None:
        while self._close:
            self._close.pop()()


def _check_address(host: str, port: int | None) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port or 0))
        except PermissionError as error:
            raise SinkError(f"port {port} may not be opened by this user: name one from 1024 on") from error
        except OSError as error:
            if port and error.errno == errno.EADDRINUSE:
                raise SinkError(f"port {port} is taken: choose another --port, or leave it out") from error
            reason = error.strerror or error
            raise SinkError(
                f"cannot listen at {host} ({reason}): --host is to be an address of this machine, or left out"
            ) from error


def _reached(local: str, host: str) -> str:
    """The address as another machine opens it."""
    unnamed = {"0.0.0.0": "localhost", "[::]": "[::]"}.get(host)
    return local.replace(unnamed, socket.gethostname(), 1) if unnamed else local


def _server(module: Any, guard: Guard) -> Any:
    class Page(module.Server):
        """Gradio's server, of which only the page's own addresses are open."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                return
            if scope["type"] == "http":
                headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
                query = parse_qs(scope["query_string"].decode("latin-1"))
                given = query.get("token", [""])[-1] if scope["path"] == "/" else ""
                refused = guard.refusal(scope["path"], headers, (scope.get("client") or ("",))[0], given)
                if refused is not None:
                    return await _refuse(send, *refused)
                kept = f"{COOKIE}={given}; Path=/; HttpOnly; SameSite=Strict"
                send = _with_headers(send, {**HEADERS, **({"Set-Cookie": kept} if given and guard.token else {})})
            await super().__call__(scope, receive, send)

    return Page(title="vidstyle", docs_url=None, redoc_url=None, openapi_url=None)


def _with_headers(send: Any, extra: dict[str, str]) -> Any:
    more = [(key.lower().encode(), value.encode("latin-1")) for key, value in extra.items()]

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return sending


async def _refuse(send: Any, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
