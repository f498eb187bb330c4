"""How the page's server reads requests and words its answers. Every error is one sentence, as JSON."""

from __future__ import annotations

import asyncio
import errno
import functools
import json
import math
import shutil
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from vidstyle.errors import SinkError, UsageError, VidstyleError
from vidstyle.ui.folder import Queue
from vidstyle.ui.school import School
from vidstyle.ui.sessions import Sessions, capital, plain
from vidstyle.ui.studio import Choice, Studio
from vidstyle.ui.worker import FULL

SPARE = 256 << 20  # bytes that must be left on the disk after an upload

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Rooms:
    """Everything behind the page.

    Attributes:
        upload: most bytes of a file.
        is_open: others than the person at this machine may reach it.
    """

    studio: Studio
    sessions: Sessions
    queue: Queue
    school: School
    upload: int
    is_open: bool


class GoneError(Exception):
    """The session, or what was asked of it, is not there."""


def answered(handler: Handler) -> Handler:
    """With errors as sentences."""

    @functools.wraps(handler)
    async def wrapped(request: Request) -> Response:
        try:
            return await handler(request)
        except GoneError:
            return _error("this is not there any more", 404)
        except VidstyleError as error:
            return _error(plain(error), 400)
        except ClientDisconnect:
            return Response(status_code=499)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return _error(f"{FULL}: make room, then try again" if full else str(error.strerror or error), 507)
        except Exception as error:
            return _error(f"unexpected {type(error).__name__}: {error}", 500)

    return wrapped


def _error(words: str, status: int) -> Response:
    return JSONResponse({"error": capital(words)}, status)


def as_jpeg(data: bytes, **headers: str) -> Response:
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-store", **headers})


def finished(future: Future[Any]) -> Awaitable[Any]:
    return asyncio.wrap_future(future)


async def json_of(request: Request) -> dict[str, Any]:
    """A small JSON object; its type keeps forms of other sites out."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise UsageError("expected JSON")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > 1 << 16:
            raise UsageError("too much JSON")
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UsageError("expected a JSON object")
    return data


def number(data: Any, key: str, otherwise: float | None = None) -> Any:
    value = data.get(key)
    if value is None or value == "":
        return otherwise
    try:
        if math.isfinite(found := float(value)):
            return found
    except (TypeError, ValueError, OverflowError):
        pass
    raise UsageError(f"{key} is {value!r}, expected a number")


def choice_of(data: Any) -> Choice:
    """Of a query or a JSON object."""
    share, strength = number(data, "share", 0.0), number(data, "strength", 1.0)
    return Choice(str(data.get("look", "")), str(data.get("second") or ""), share, strength)


async def save(request: Request, path: Path, most: int) -> None:
    """Stream a request's body into a new file, or one that is kept for it; whole, or not at all.

    Raises:
        SinkError: it is larger than ``most`` bytes, or the disk has no room.
    """
    too_large = f"the file is larger than {most / (1 << 30):.3g} GB, the most that is taken; vidstyle file takes any"
    taken = 0
    try:
        expected = int(request.headers.get("content-length") or 0)
        if expected > most:
            raise SinkError(too_large)
        path.parent.mkdir(parents=True, exist_ok=True)
        if expected + SPARE > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, "no room")
        with open(path, "wb") as file:
            async for chunk in request.stream():
                taken += len(chunk)
                if taken > most:
                    raise SinkError(too_large)
                file.write(chunk)
        if not taken:
            raise UsageError(f"{path.name} is empty (0 bytes): copy or download it again")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
