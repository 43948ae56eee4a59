"""The routes that are no queries: lists of what runs, and work that a person asks for.

Each is one `Ask.command(name, arguments)`; paths go in as bytes. Bodies are small JSON documents.
The names, with their arguments:

    drop {view}                       confirm {view, root: bytes | None, reject}
    scan {view, path: bytes, recursive}
    jobs {}        job {id}           cancel {id}
    sessions {view: str | None}
    pipes {}       pipe {id}          pause {id}    resume {id}    restart {id}
    machines {}    machine {name}     plugins {}    config {}
    stop {role: str | None}           reload {role: str | None, restart: bool}
    log-levels {}                     log-level {level: str | None, logger: str | None}
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from fustor_core.client import BASE
from fustor_core.contracts import Ask, Right
from fustor_receiver_http.documents import Document, body_of, body_schema
from fustor_receiver_http.parameters import Parameters, Path, PathBytes, Placed, chosen_path
from fustor_receiver_http.routes import Routes
from fustor_receiver_http.scopes import access_of, covered_of, everything


class ScanBody(Placed):
    recursive: bool = Field(True, description="everything below, too")


class ConfirmBody(Parameters):
    root: Path | None = Field(None, description="one frozen root, all of them when left out")
    root_b64: PathBytes | None = Field(None, description="base64 of a root that is no UTF-8")
    reject: bool = Field(False, description="throw the deletions away")

    @model_validator(mode="after")
    def _one_root(self) -> ConfirmBody:
        self.chosen()
        return self

    def chosen(self) -> bytes | None:
        """The frozen root's path in bytes, None for all."""
        if self.root is None and self.root_b64 is None:
            return None
        return chosen_path(self.root, self.root_b64, "root")


class RoleBody(Parameters):
    role: Literal["agent", "fusion"] | None = Field(None, description="only this part")


class ReloadBody(RoleBody):
    restart: bool = Field(True, description="restart what cannot change as it runs")


class LevelBody(RoleBody):
    level: Literal["debug", "info", "warning", "error", "critical"] | None = Field(
        None, description="from which on lines are logged; left out: as configured"
    )
    logger: str | None = Field(
        None, max_length=200, description="of this part alone, as fustor.machine"
    )


class SessionParameters(Parameters):
    view: str | None = Field(None, description="of this view only")


Shown = Callable[[Request, dict[str, Any]], dict[str, Any]]


def _whole(request: Request, document: dict[str, Any]) -> dict[str, Any]:
    """A list that tells of no view."""
    return document


def _shown(
    request: Request, document: dict[str, Any], name: str, right: Right = "read", pipe: str = ""
) -> dict[str, Any]:
    """A document with those items of a list that the key covers (see `covered_of`)."""
    access = access_of(request.scope)
    if everything(access):
        return document
    return {**document, name: covered_of(access, right, document.get(name) or (), pipe=pipe)}


def routes(ask: Ask) -> Routes:
    """The routes that are no queries."""
    router = Routes(prefix=BASE)
    _lists(router, ask)
    _views(router, ask)
    _work(router, ask)
    return router


def _lists(router: Routes, ask: Ask) -> None:
    """What there is."""

    @router.get("/views", tags=["read"], summary="All views")
    async def views(request: Request, asked: Parameters) -> Response:
        return Document({"views": covered_of(access_of(request.scope), "read", ask.views())})

    @router.get("/status", tags=["read"], summary="The whole process")
    async def status(request: Request, asked: Parameters) -> Response:
        access, document = access_of(request.scope), ask.status()
        views = covered_of(access, "read", document["views"])
        pipes = covered_of(access, "read", document.get("pipes") or (), pipe="id")
        return Document({**document, "views": views, "pipes": pipes})

    @router.get("/sessions", tags=["read"], summary="Standing of agent pipes with views")
    async def sessions(request: Request, asked: SessionParameters) -> Response:
        document = await ask.command("sessions", {"view": asked.view})
        return Document(_shown(request, document, "sessions", pipe="pipe"))

    def plain(path: str, summary: str, tag: Right = "read", shown: Shown = _whole) -> None:
        @router.get(f"/{path}", tags=[tag], summary=summary, name=path)
        async def listed(request: Request, asked: Parameters) -> Response:
            return Document(shown(request, await ask.command(path, {})))

    plain("pipes", "All pipes", shown=partial(_shown, name="pipes", pipe="id"))
    plain("machines", "The state machines")
    plain("plugins", "The plugins that are installed")
    plain("config", "The configuration in force, secrets left out", "admin")
    plain("log-levels", "How much is logged", "admin")
    plain("jobs", "Scans that were asked for", "scan", partial(_shown, name="jobs", right="scan"))

    def named(path: str, command: str, argument: str, summary: str, tag: str = "read") -> None:
        @router.get(f"/{path}/{{{argument}}}", tags=[tag], summary=summary, name=command)
        async def one(request: Request, asked: Parameters) -> Response:
            return Document(await ask.command(command, {argument: request.path_params[argument]}))

    named("pipes", "pipe", "id", "One pipe")
    named("machines", "machine", "name", "One state machine, with its rules")
    named("jobs", "job", "id", "One scan that was asked for", "scan")


def _views(router: Routes, ask: Ask) -> None:
    """What can be done to a view."""

    @router.delete("/views/{view}", tags=["admin"], summary="Forget a view and its state")
    async def drop(view: str, request: Request, asked: Parameters) -> Response:
        return Document(await ask.command("drop", {"view": view}))

    @router.post(
        "/views/{view}/scan",
        tags=["scan"],
        summary="Look at a path now",
        status_code=202,
        openapi_extra=body_schema(ScanBody),
    )
    async def scan(view: str, request: Request) -> Response:
        body = await body_of(request, ScanBody)
        arguments = {"view": view, "path": body.place(), "recursive": body.recursive}
        job = await ask.command("scan", arguments)
        return Document(job, status=202, headers={"Location": f"{BASE}/jobs/{job['id']}"})

    @router.post(
        "/views/{view}/confirm",
        tags=["admin"],
        summary="Let a frozen scan's deletions happen, or throw them away",
        openapi_extra=body_schema(ConfirmBody),
    )
    async def confirm(view: str, request: Request) -> Response:
        body = await body_of(request, ConfirmBody)
        arguments = {"view": view, "root": body.chosen(), "reject": body.reject}
        return Document(await ask.command("confirm", arguments))


def _work(router: Routes, ask: Ask) -> None:
    """What can be done to the program, its pipes and its jobs."""

    @router.delete("/jobs/{id}", tags=["scan"], summary="Cancel a scan")
    async def cancel(
        id: str,  # noqa: A002 - the name of the path parameter
        request: Request,
        asked: Parameters,
    ) -> Response:
        return Document(await ask.command("cancel", {"id": id}))

    def of_pipe(word: str, summary: str) -> None:
        @router.post(f"/pipes/{{id}}/{word}", tags=["admin"], summary=summary, name=word)
        async def act(
            id: str,  # noqa: A002 - the name of the path parameter
            request: Request,
        ) -> Response:
            await body_of(request, Parameters)
            return Document(await ask.command(word, {"id": id}))

    of_pipe("pause", "Pause a pipe")
    of_pipe("resume", "Resume a pipe")
    of_pipe("restart", "Restart a pipe")

    def of_program(word: str, summary: str, form: type[RoleBody]) -> None:
        @router.post(
            f"/{word}",
            tags=["admin"],
            summary=summary,
            name=word,
            openapi_extra=body_schema(form),
        )
        async def act(request: Request) -> Response:
            body = await body_of(request, form)
            return Document(await ask.command(word, body.model_dump()))

    of_program("stop", "Stop the program", RoleBody)
    of_program("reload", "Read the configuration again", ReloadBody)
    of_program("log-level", "Log more or less, until the next reload", LevelBody)
