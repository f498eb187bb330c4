"""Open a URL: bounded waiting, broken connections taken up again, and reasons a person can act on."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import av

from vidstyle.errors import SourceError

POLL = 0.2  # seconds: how soon whoever waits for a server is heard; Windows hears nothing in a longer wait
PATIENCE = 4  # times the timeout for one packet, however often a connection is taken up again
PARTIAL = 206  # HTTP's status of a part of a file
NOT_VALID = "the server's certificate is not valid"
_SILENCE = "no data for {:g} s: try again later"
T = TypeVar("T")
_WEB = "http,https,httpproxy,tls,tcp,crypto,data"  # FFmpeg's protocols: nothing remote may read local files
_WHITELIST = {"http": _WEB, "https": _WEB, "rtsp": "rtsp,rtp,srtp,udp,tcp,tls", "rtmp": "rtmp,rtmps,tls,tcp"}


def open_url(url: str, name: str, timeout: float) -> Any:
    """Open a URL with FFmpeg.

    Args:
        name: for messages.
        timeout: seconds without a byte before a connection counts as broken.

    Raises:
        SourceError: it cannot be reached, does not answer in time, or is no media.
    """
    scheme = urlsplit(url).scheme.lower()
    began = time.monotonic()
    try:
        container = heeding_signals(
            av.open,
            address_of(url),
            metadata_errors="replace",
            container_options=options_of(scheme, timeout),
            timeout=PATIENCE * timeout,
        )
    except av.error.InvalidDataError as error:
        if time.monotonic() - began >= timeout:  # what came until then looks damaged
            raise SourceError(f"cannot read {name}: {_SILENCE.format(timeout)}") from error
        raise SourceError(f"{name} is not a video that can be read: a page that shows one is none itself") from error
    except (OSError, av.error.FFmpegError) as error:
        why = reason(error, timeout, url)
        if why.startswith(NOT_VALID):
            why += "; if it is the server's own, and you trust it: set SSL_CERT_FILE to its .pem file"
        raise SourceError(f"cannot read {name}: {why}") from error
    if time.monotonic() - began >= PATIENCE * timeout:
        # FFmpeg was interrupted while it looked for streams, and calls that opened: some formats then seem to end.
        container.close()
        raise SourceError(f"cannot read {name}: {_SILENCE.format(timeout)}")
    return container


class Aside:
    """Calls into FFmpeg on a thread of their own, in turn: a server may keep one for as long as it likes.

    Whoever waits for an answer hears Ctrl-C meanwhile, and ``stopped``; what is then under way is left to itself.
    """

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._left = False  # whether a call is under way that nobody waits for any more
        weakref.finalize(self, self._calls.put, None)  # where nobody closes it
        threading.Thread(target=_serve, args=(self._calls,), name="vidstyle-remote", daemon=True).start()

    def __call__(self, call: Callable[..., T], *values: Any, **options: Any) -> T:
        """What ``call`` gives.

        Raises:
            SourceError: ``stopped`` was set before it came back.
        """
        answer: Future[T] = Future()
        self._left = True
        self._calls.put(lambda: _answered(answer, call, values, options))
        while not answer.done():
            if self._stopped.is_set():
                raise SourceError("reading was stopped")
            with suppress(TimeoutError):
                answer.exception(POLL)
        self._left = False
        return answer.result()

    def close(self, container: Any = None) -> None:
        """Close ``container``, if need be when the call that is left to itself has come back; and end the thread."""
        if container is not None and self._left:
            self._calls.put(container.close)
        elif container is not None:
            container.close()
        self._calls.put(None)


class AtOnce:
    """In place of an `Aside` for what no server keeps waiting."""

    def __call__(self, call: Callable[..., T], *values: Any, **options: Any) -> T:
        return call(*values, **options)

    def close(self, container: Any) -> None:
        container.close()


def _serve(calls: SimpleQueue[Callable[[], object] | None]) -> None:
    for call in iter(calls.get, None):
        call()
        del call  # or what it gave would live until the next


def _answered(answer: Future[T], call: Callable[..., T], values: tuple[Any, ...], options: dict[str, Any]) -> None:
    try:
        answer.set_result(call(*values, **options))
    except BaseException as error:
        answer.set_exception(error)


def gives_parts(url: str, timeout: float) -> bool:
    """Whether a web server can begin in the middle of a file: of one that cannot, FFmpeg reads all up to there."""
    from base64 import b64encode
    from http.client import HTTPException

    from vidstyle.download import open_url

    parts = urlsplit(address_of(url))
    login, _, host = parts.netloc.rpartition("@")
    headers = {"Range": "bytes=0-0"}
    if login:
        headers["Authorization"] = f"Basic {b64encode(unquote(login).encode()).decode()}"
    try:
        with open_url(parts._replace(netloc=host).geturl(), headers, timeout) as answer:
            return bool(answer.status == PARTIAL)
    except (OSError, ValueError, HTTPException):
        return False


def heeding_signals(call: Callable[..., T], *values: Any, **options: Any) -> T:
    """What ``call`` gives, `Aside`: Python hears no Ctrl-C while its main thread is inside of FFmpeg."""
    if threading.current_thread() is not threading.main_thread():
        return call(*values, **options)
    aside = Aside(threading.Event())
    try:
        return aside(call, *values, **options)
    finally:
        aside.close()


def address_of(url: str) -> str:
    """As FFmpeg takes it: spaces and other alphabets are written as %xx, all else stays."""
    return quote(url.partition("#")[0], safe="".join(map(chr, range(33, 127))))


def options_of(scheme: str, timeout: float) -> dict[str, str]:
    """FFmpeg's options for one of `vidstyle.inputs.SCHEMES`."""
    wait = str(int(timeout * 1_000_000))
    options = {"protocol_whitelist": _WHITELIST.get(scheme) or _WHITELIST[scheme.rstrip("s")], "rw_timeout": wait}
    if scheme.startswith("rtsp"):
        return options | {"rtsp_transport": "tcp", "timeout": wait}
    if scheme.startswith("rtmp"):
        return options
    again = dict.fromkeys(("reconnect", "reconnect_streamed", "reconnect_on_network_error"), "1")
    return options | again | {"timeout": wait, "reconnect_delay_max": "2"} | _certificates()


def _certificates() -> dict[str, str]:
    """Have FFmpeg check a server's certificate, which it does not by itself, where the system's are found."""
    import ssl

    file = ssl.get_default_verify_paths().cafile
    return {"tls_verify": "1", "ca_file": file} if file else {}


def reason(error: Any, timeout: float, url: str = "") -> str:
    """Why a URL cannot be read, and what to do, in a few words."""
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return _SILENCE.format(timeout)
    if isinstance(error, av.error.HTTPNotFoundError):
        return "the server has no such file (404)"
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return "the server wants a login: write it as https://user:password@host/path"
    if isinstance(error, ConnectionRefusedError):
        return "nothing answers there (connection refused)"
    if getattr(error, "errno", None) == errno.EIO:  # FFmpeg's word for every trouble below it
        return (_host_trouble(url, timeout) if url else "") or "the connection broke, or nothing answers in time"
    return getattr(error, "strerror", None) or str(error)


def _host_trouble(url: str, timeout: float) -> str:
    """What Python's own resolver and TLS say of a host; empty where they find no fault, or a proxy stands between."""
    import ssl

    parts = urlsplit(url)
    if any(name.lower() in ("http_proxy", "https_proxy") for name in os.environ):
        return ""
    try:
        with socket.create_connection((parts.hostname, parts.port or 443), timeout) as plain:
            if parts.scheme.lower() == "https":
                ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname).close()
    except socket.gaierror:
        return f"no host {parts.hostname} is known: is the name right, and this machine online?"
    except ssl.SSLCertVerificationError as error:
        return f"{NOT_VALID} ({error.verify_message})"
    except OSError:
        pass
    return ""
