"""What all visitors of the page share: looks, the queue, the training, the neighbour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vidstyle.errors import UsageError
from vidstyle.ui import gallery
from vidstyle.ui.answers import GoneError, Rooms, finished, json_of, number, save
from vidstyle.ui.neighbour import live_page
from vidstyle.ui.places import suggestions
from vidstyle.ui.sessions import safe_name, safe_path

PHOTO = 64 << 20  # bytes of a picture to train with


class Shared:
    """What all visitors share."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def looks(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(gallery.cards))

    async def take_look(self, request: Request) -> Response:
        rooms, name = self._rooms, safe_name(request.query_params.get("name", ""))
        path = rooms.sessions.folder / "looks" / name
        try:
            await save(request, path, gallery.MOST)
            added = await run_in_threadpool(gallery.take, path, request.query_params.get("as"))
        finally:
            path.unlink(missing_ok=True)
        await finished(rooms.studio.do(rooms.studio.forget))
        return JSONResponse({"name": added})

    async def remove_look(self, request: Request) -> Response:
        await run_in_threadpool(gallery.remove, request.path_params["name"])
        await finished(self._rooms.studio.do(self._rooms.studio.forget))
        return JSONResponse({})

    async def live(self, _: Request) -> Response:
        return JSONResponse({"url": None if self._rooms.is_open else await run_in_threadpool(live_page)})

    def _for_this_machine(self) -> None:
        if self._rooms.is_open:
            raise UsageError("the queue reads files of the machine it runs on: it is closed while others can come in")

    async def queue(self, _: Request) -> Response:
        self._for_this_machine()
        return JSONResponse(await run_in_threadpool(self._rooms.queue.state))

    async def change_queue(self, request: Request) -> Response:
        self._for_this_machine()
        data, queue = await json_of(request), self._rooms.queue
        actions: dict[str, Callable[[], Any]] = {
            "add": lambda: queue.add(str(data.get("path", ""))),
            "remove": lambda: queue.remove(_texts(data, "ids")),
            "move": lambda: queue.move(str(data.get("id")), int(number(data, "place", 0))),
            "again": lambda: queue.again(str(data.get("id"))),
            "set": lambda: queue.set(**_settings(data)),
            "start": queue.start,
            "stop": queue.stop,
        }
        action = actions.get(str(data.get("action")))
        if action is None:
            raise GoneError
        await run_in_threadpool(action)
        return JSONResponse(await run_in_threadpool(queue.state))

    async def folders(self, request: Request) -> Response:
        self._for_this_machine()
        return JSONResponse(await run_in_threadpool(suggestions, request.query_params.get("text", "")))

    async def school(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._rooms.school.state))

    async def change_school(self, request: Request) -> Response:
        data, school = await json_of(request), self._rooms.school
        actions: dict[str, Callable[[], Any]] = {
            "start": lambda: school.start(str(data.get("name", "")), str(data.get("way", ""))),
            "stop": school.stop,
            "clear": lambda: school.clear(str(data.get("kind"))),
        }
        action = actions.get(str(data.get("action")))
        if action is None:
            raise GoneError
        await run_in_threadpool(action)
        return JSONResponse(await run_in_threadpool(school.state))

    async def take_photo(self, request: Request) -> Response:
        school, kind = self._rooms.school, request.path_params["kind"]
        name = safe_path(request.query_params.get("name", ""))
        path = school.place(kind, name)
        await save(request, path, PHOTO)
        await run_in_threadpool(school.settle, kind, name, path)
        return JSONResponse(await run_in_threadpool(school.state))


def _texts(data: dict[str, Any], key: str) -> list[str]:
    if not isinstance(found := data.get(key), list):
        raise UsageError(f"{key} is {found!r}, expected a list")
    return [str(one) for one in found]


def _settings(data: dict[str, Any]) -> dict[str, Any]:
    """What of a JSON object is a setting of the queue."""
    found: dict[str, Any] = {key: str(data[key]) for key in ("output", "look", "second") if key in data}
    return found | {key: number(data, key, 1.0) for key in ("share", "strength") if key in data}
