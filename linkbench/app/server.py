"""The routes of the page, all behind the token: files in, jobs begun and watched, pictures and the archive out."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from linkbench.app.guard import Guard
from linkbench.app.session import Limits, Session, Sessions, TooMuchError, Upload
from linkbench.app.tasks import ARCHIVE, Desk, Wanted, archive, look_at, named
from linkbench.app.work import Events, Work
from linkbench.errors import InputError, LinkbenchError
from linkbench.protection.text import CAREFUL
from linkbench.report import document
from linkbench.risk.person import Ancestry
from linkbench.version import __version__

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

RISK_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
"""The page of a risk stands in a frame and has all in itself; its own policy, which holds besides this one, names the
only script that may run."""

WORDS = 1 << 16
"""Bytes of a job's description, at most."""

SWEEP = 30.0
"""Seconds between two looks for visitors who have gone."""


class Server:
    """The application's state and its answers."""

    def __init__(self, desk: Desk, folder: Path, limits: Limits) -> None:
        self.desk, self.work = desk, Work()
        self.sessions = Sessions(folder, limits)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Ready for jobs inside; no job and no file outside."""
        self.work.start()
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            self.work.stop()
            for key in [*self.sessions.open]:
                self.sessions.end(key)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            for key in self.sessions.gone():
                self._end(key)

    def _end(self, key: str) -> None:
        session = self.sessions.open.get(key)
        if session is None:
            return
        self.work.cancel(self.work.unfinished(session.events))
        self.sessions.end(key)
        # a job that has not noticed yet may write once more
        self.work.hands.submit(shutil.rmtree, session.folder, ignore_errors=True)

    def session(self, request: Request) -> Session:
        """Whose request it is. Raises HTTPException for nobody's."""
        session = self.sessions.open.get(request.path_params["key"])
        if session is None:
            raise HTTPException(404, "this visit is over; load the page again")
        session.touch()
        return session

    async def begin(self, _: Request) -> Response:
        return JSONResponse({"session": self.sessions.begin(Events()).key}, 201)

    async def end(self, request: Request) -> Response:
        self._end(self.session(request).key)
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Server-sent events: the state of each job."""
        session = self.session(request)

        async def stream() -> AsyncIterator[str]:
            yield ": listening\n\n"
            with contextlib.suppress(asyncio.CancelledError):  # the server ends, or the page has gone
                async for state in session.events.listen():
                    yield ": still here\n\n" if state is None else f"data: {json.dumps(state, allow_nan=False)}\n\n"
            session.touch()

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def _receive(self, request: Request, upload: Upload, most: int) -> None:
        """Write a request's body. Raises HTTPException where the visit ended meanwhile, its folder with it."""
        await self.sessions.receive(request.stream(), request.headers.get("content-length"), upload.path, most)
        self.session(request)

    async def add_photo(self, request: Request) -> Response:
        session, limits = self.session(request), self.sessions.limits
        upload = session.place(request.query_params.get("name", ""))
        if len(session.photos) >= limits.photos:
            raise TooMuchError(f"there are {limits.photos} photos already; remove some")
        await self._receive(request, upload, limits.photo)
        try:
            seen = await self.work.look(look_at, upload)
        except BaseException:
            upload.path.unlink(missing_ok=True)
            raise
        session.photos[upload.number] = upload
        return JSONResponse(seen, 201)

    async def remove_photo(self, request: Request) -> Response:
        self.session(request).forget(request.path_params["photo"])
        return Response(status_code=204)

    async def picture(self, request: Request) -> Response:
        upload = self.session(request).photos.get(request.path_params["photo"])
        shown = None if upload is None else upload.pictures.get(request.path_params["view"])
        if shown is None:
            raise HTTPException(404, "there is no such picture")
        return Response(shown, media_type="image/png")

    async def add_genotype(self, request: Request) -> Response:
        from linkbench.genomes.genotype_files import reader

        session = self.session(request)
        upload = session.place_genotype(request.query_params.get("name", ""))
        await self._receive(request, upload, self.sessions.limits.genotype)
        try:
            found = await self.work.look(reader.read, upload.path)
        except LinkbenchError as error:
            raise InputError(named(str(error), [upload])) from None
        finally:
            upload.path.unlink(missing_ok=True)  # what is needed of it has been read
        session.genotype = found._replace(path=Path(upload.name))
        known = sum(call.dosage is not None for call in found.calls)
        return JSONResponse(
            {"name": upload.name, "form": found.form, "known": known, "of": len(found.calls), "sex": found.sex.sex}, 201
        )

    async def remove_genotype(self, request: Request) -> Response:
        self.session(request).genotype = None
        return Response(status_code=204)

    async def begin_job(self, request: Request) -> Response:
        session = self.session(request)
        wanted = Wanted.model_validate_json(await _words(request))
        # what is asked again is no longer wanted as it was
        self.work.cancel(job for job in self.work.unfinished(session.events) if job.kind == wanted.kind)
        if wanted.kind == "protect":
            session.made.clear()  # the files are written over, and the report must not be that of others

        job = self.work.submit(
            wanted.kind, session.events, functools.partial(self.desk.do, wanted, session), session.keep
        )
        return JSONResponse({"job": job.number}, 202)

    async def cancel_job(self, request: Request) -> Response:
        own = self.work.unfinished(self.session(request).events)
        self.work.cancel(job for job in own if job.number == request.path_params["job"])
        return Response(status_code=204)

    async def risk(self, request: Request) -> Response:
        page = self.session(request).page
        if page is None:
            raise HTTPException(404, "nothing was looked for yet")
        return HTMLResponse(page, headers={"content-security-policy": RISK_POLICY})

    async def download(self, request: Request) -> Response:
        session = self.session(request)
        if not session.made:
            raise HTTPException(404, "nothing was protected yet")
        return FileResponse(await self.work.look(archive, session), filename=ARCHIVE, media_type="application/zip")

    async def page(self, _: Request) -> Response:
        schema = self.desk.background.people.schema
        values: dict[str, Any] = {
            "strengths": [f"{255 * each:.3g}" for each in self.desk.strengths],
            "phenotypes": {name: schema[name] for name in schema},
            "ancestries": get_args(Ancestry),
            "careful": CAREFUL,
            "version": __version__,
        }
        return HTMLResponse(document.fill(document.source("page.html", "linkbench.app"), "", **values))

    async def style(self, _: Request) -> Response:
        both = document.source("page.css") + document.source("page.css", "linkbench.app")
        return Response(both, media_type="text/css")

    async def script(self, _: Request) -> Response:
        return Response(document.source("page.js", "linkbench.app"), media_type="text/javascript")


async def _words(request: Request) -> bytes:
    """A short body. Raises TooMuchError for a long one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > WORDS:
            raise TooMuchError("a job is described in fewer words")
    return body


async def _too_much(_: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 413)


async def _wrong(_: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 422)


async def _not_understood(_: Request, error: Exception) -> Response:
    return PlainTextResponse("the job is not one of this page's", 422)


def application(desk: Desk, folder: Path, token: str, port: int, limits: Limits | None = None) -> ASGIApp:
    """The guarded application that serves one folder's visitors; port: the one it is reached at."""
    server = Server(desk, folder, limits or Limits())
    routes = [
        Route("/", server.page),
        Route("/page.css", server.style),
        Route("/page.js", server.script),
        Route("/sessions", server.begin, methods=["POST"]),
        Route("/sessions/{key}", server.end, methods=["DELETE"]),
        Route("/sessions/{key}/events", server.events),
        Route("/sessions/{key}/photos", server.add_photo, methods=["POST"]),
        Route("/sessions/{key}/photos/{photo:int}", server.remove_photo, methods=["DELETE"]),
        Route("/sessions/{key}/photos/{photo:int}/{view}", server.picture),
        Route("/sessions/{key}/genotype", server.add_genotype, methods=["POST"]),
        Route("/sessions/{key}/genotype", server.remove_genotype, methods=["DELETE"]),
        Route("/sessions/{key}/jobs", server.begin_job, methods=["POST"]),
        Route("/sessions/{key}/jobs/{job:int}", server.cancel_job, methods=["DELETE"]),
        Route("/sessions/{key}/risk", server.risk),
        Route("/sessions/{key}/download", server.download),
    ]
    handlers: Any = {TooMuchError: _too_much, ValidationError: _not_understood, LinkbenchError: _wrong}
    app = Starlette(routes=[Mount(f"/{token}", routes=routes)], lifespan=server.lifespan, exception_handlers=handlers)
    return Guard(app, token, port)
