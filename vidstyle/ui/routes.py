"""The page's addresses, and what belongs to one visitor."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from vidstyle.errors import UsageError
from vidstyle.ui import texts
from vidstyle.ui.answers import GoneError, Handler, Rooms, answered, as_jpeg, choice_of, finished, json_of, number, save
from vidstyle.ui.media import jpeg, shown
from vidstyle.ui.sessions import Session, safe_name, state
from vidstyle.ui.shared import Shared

KINDS = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PICTURE = 4 << 20  # bytes of a preview's JPEG


def add_routes(app: Any, rooms: Rooms) -> None:
    """Put every address of the page on a Starlette application."""
    for path, methods in _routes(rooms).items():
        for method, handler in methods.items():
            app.add_route(path, answered(handler), methods=[method])


def _routes(rooms: Rooms) -> dict[str, dict[str, Handler]]:
    page, own, other = _Page(rooms), _Own(rooms), Shared(rooms)
    return {
        "/": {"GET": page.index},
        "/files/{name}": {"GET": page.file},
        "/api/session": {"POST": page.session},
        "/api/look": {"POST": page.look},
        "/api/s/{id}": {"GET": own.state, "DELETE": own.end},
        "/api/s/{id}/file": {"PUT": own.upload, "GET": own.source, "DELETE": own.drop},
        "/api/s/{id}/still": {"GET": own.still},
        "/api/s/{id}/thumb/{look}": {"GET": own.thumb},
        "/api/s/{id}/proxy": {"GET": own.proxy, "POST": own.make_playable},
        "/api/s/{id}/run": {"POST": own.run},
        "/api/s/{id}/run/{what}": {"POST": own.control},
        "/api/s/{id}/shown": {"GET": own.shown},
        "/api/s/{id}/result": {"GET": own.result},
        "/api/s/{id}/result-still": {"GET": own.result_still},
        "/api/s/{id}/result-proxy": {"GET": own.result_proxy, "POST": own.make_result_playable},
        "/api/looks": {"GET": other.looks, "PUT": other.take_look},
        "/api/looks/{name}": {"DELETE": other.remove_look},
        "/api/live": {"GET": other.live},
        "/api/queue": {"GET": other.queue, "POST": other.change_queue},
        "/api/folders": {"GET": other.folders},
        "/api/school": {"GET": other.school, "POST": other.change_school},
        "/api/school/{kind}": {"PUT": other.take_photo},
    }


class _Page:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def index(self, _: Request) -> Response:
        known = {"upload": self._rooms.upload, "open": self._rooms.is_open}
        return Response(texts.page(known), media_type=KINDS["html"], headers={"Cache-Control": "no-store"})

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = files("vidstyle.ui") / "page_files" / name
        kind = KINDS.get(name.rpartition(".")[2])
        if kind is None or kind == KINDS["html"] or "/" in name or not found.is_file():
            raise GoneError
        return Response(found.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})

    async def session(self, _: Request) -> Response:
        return JSONResponse({"id": (await run_in_threadpool(self._rooms.sessions.open)).id})

    async def look(self, request: Request) -> Response:
        """A picture in a look, at once: JPEG in, JPEG out."""
        choice, body = choice_of(request.query_params), bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > PICTURE:
                raise UsageError("the picture is larger than a preview is")
        studio = self._rooms.studio
        return as_jpeg(await finished(studio.do(studio.preview, bytes(body), choice)))


class _Own:
    """What belongs to one visitor."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms, self._sessions = rooms, rooms.sessions

    def _session(self, request: Request) -> Session:
        session = self._sessions.get(request.path_params["id"])
        if session is None:
            raise GoneError
        return session

    async def state(self, request: Request) -> Response:
        session = self._session(request)
        await run_in_threadpool(self._sessions.look_at_result, session)
        return JSONResponse(state(session))

    async def end(self, request: Request) -> Response:
        await run_in_threadpool(self._sessions.end, self._session(request))
        return JSONResponse({})

    async def upload(self, request: Request) -> Response:
        session = self._session(request)
        path = session.place("file") / safe_name(request.query_params.get("name", ""))
        await save(request, path, self._rooms.upload)
        await run_in_threadpool(self._sessions.take, session, path)
        return JSONResponse(state(session))

    async def drop(self, request: Request) -> Response:
        session = self._session(request)
        await run_in_threadpool(self._sessions.drop, session)
        return JSONResponse(state(session))

    async def source(self, request: Request) -> Response:
        session = self._session(request)
        return _file(session.source.path if session.source else None)

    async def still(self, request: Request) -> Response:
        """The picture, or one of the video."""
        session = self._session(request)
        if session.source is None:
            raise GoneError
        media, sample = await finished(session.source.known)
        path = session.source.path
        image = await run_in_threadpool(shown, path) if media.kind == "picture" else sample
        return as_jpeg(await run_in_threadpool(jpeg, image))

    async def thumb(self, request: Request) -> Response:
        session, studio = self._session(request), self._rooms.studio
        if session.source is None:
            raise GoneError
        _, sample = await finished(session.source.known)
        return as_jpeg(await finished(studio.do(studio.thumb, sample, request.path_params["look"])))

    async def proxy(self, request: Request) -> Response:
        source = self._session(request).source
        return _work_file(source.proxy if source else None)

    async def make_playable(self, request: Request) -> Response:
        await run_in_threadpool(self._sessions.make_playable, self._session(request))
        return JSONResponse({})

    async def make_result_playable(self, request: Request) -> Response:
        await run_in_threadpool(self._sessions.make_playable, self._session(request), True)
        return JSONResponse({})

    async def run(self, request: Request) -> Response:
        session, data = self._session(request), await json_of(request)
        start, end = number(data, "start"), number(data, "end")
        best = data.get("best") is True
        await run_in_threadpool(self._sessions.begin, session, choice_of(data), start, end, best)
        return JSONResponse(state(session))

    async def control(self, request: Request) -> Response:
        session, what = self._session(request), request.path_params["what"]
        if session.run is None or what not in ("pause", "resume", "cancel"):
            raise GoneError
        await run_in_threadpool(getattr(session.run.work, what))
        return JSONResponse(state(session))

    async def shown(self, request: Request) -> Response:
        run = self._session(request).run
        if run is None or run.work.shown is None:
            raise GoneError
        number, seconds, data = run.work.shown
        return as_jpeg(data, **{"X-Number": str(number), "X-Seconds": f"{seconds:.3f}"})

    async def result(self, request: Request) -> Response:
        run = self._session(request).run
        answer = _work_file(run.work if run else None, download=(kept := "download" in request.query_params))
        if run is not None and kept:
            run.kept = True
        return answer

    async def result_still(self, request: Request) -> Response:
        run = self._session(request).run
        if run is None or run.work.status != "done":
            raise GoneError
        return as_jpeg(jpeg(await run_in_threadpool(shown, Path(run.work.result.output))))

    async def result_proxy(self, request: Request) -> Response:
        run = self._session(request).run
        return _work_file(run.proxy if run else None)


def _work_file(work: Any, download: bool = False) -> Response:
    if work is None or work.status != "done":
        raise GoneError
    path = Path(work.result.output)
    return _file(path, path.name if download else None)


def _file(path: Path | None, name: str | None = None) -> Response:
    if path is None or not path.is_file():  # whoever tidies up temporary folders may have taken it
        raise GoneError
    return FileResponse(path, filename=name)
