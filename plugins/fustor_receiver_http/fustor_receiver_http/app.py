"""The application: hot routes first, as plain ASGI callables, then FastAPI's."""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Depends, FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fustor_core.contracts import Accept, Ask
from fustor_receiver_http import control, forests, health, keys, metrics, problems, queries, tickets
from fustor_receiver_http.bodies import Limits
from fustor_receiver_http.documents import Document
from fustor_receiver_http.files import Files
from fustor_receiver_http.ingest import SESSIONS, Ingest
from fustor_receiver_http.live import SOCKET, Live
from fustor_receiver_http.operations import describe
from fustor_receiver_http.scopes import Gate, hide_views, permit
from fustor_receiver_http.streams import Streams

log = logging.getLogger("fustor.receiver.http")
QUIET = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fustor API</title>
<style>body{{font:16px/1.4 sans-serif;margin:2em auto;max-width:60em}}td{{padding:.1em 1em .1em 0;
vertical-align:top}}code{{white-space:nowrap}}</style>
<h1>Fustor API {version}</h1>
<p>Everything in detail: <a href="/openapi.json">openapi.json</a> (OpenAPI).</p>
<table>{rows}</table></html>
"""
ROW = "<tr><td>{method}</td><td><code>{path}</code></td><td>{summary}</td></tr>"
# the page needs nothing from anywhere, and may load nothing
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Front:
    """What every request passes first.

    Args:
        rest: FastAPI.
        hot: path → a plain ASGI callable; a path that ends with ``/`` stands for all below it.
        meter: told of each reply.

    Attributes:
        meter: the same.
    """

    def __init__(
        self, rest: ASGIApp, meter: metrics.Meter, hot: Mapping[str, ASGIApp] | None = None
    ) -> None:
        self._rest = rest
        self.meter = meter
        self._hot = dict(hot or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                passed_s = time.perf_counter() - began
                self.meter.count(scope["method"], _template(scope), message["status"], passed_s)
                if log.isEnabledFor(logging.DEBUG):
                    fields = {"method": scope["method"], "path": scope["path"]}
                    fields |= {"status": message["status"], "ms": round(passed_s * 1e3, 3)}
                    log.debug("request", extra={"fields": fields})
            await send(message)

        app = self._chosen(scope["path"]) or self._rest
        if scope["type"] == "websocket" and scope["path"] != SOCKET:
            told = f"no WebSocket is at {scope['path']}"
            await problems.refuse(scope, receive, send, "no-such-route", told)
        elif _is_text(scope["query_string"]):
            await app(scope, receive, measured)
        else:
            await problems.refuse(
                scope,
                receive,
                measured,
                "malformed",
                "the query is no UTF-8",
                remedy="send bytes that are no text as base64: path_b64, pattern_b64, root_b64",
            )

    def _chosen(self, path: str) -> ASGIApp | None:
        for place, app in self._hot.items():
            below = place.endswith("/") and place != "/"  # the page itself has nothing below it
            if path == place or (below and path.startswith(place)):
                return app
        return None


class Api(FastAPI):
    """FastAPI, whose description tells of the hot routes, too."""

    def openapi(self) -> dict[str, Any]:
        """The description of all routes."""
        return describe(super().openapi())


def build(
    accept: Accept,
    ask: Ask,
    streams: Streams,
    limits: Limits,
    live: Live,
    files: Files,
    open_tickets: tickets.Tickets,
) -> Front:
    """The whole application.

    Args:
        accept: the way in. ask: the way to the answers.
        streams: where open streams are kept.
        limits: of what comes in.
        live: the live state. files: what browsers get. open_tickets: with which they watch.
    """
    meter = metrics.Meter(ask, streams)
    api = Api(
        title="Fustor",
        version=version("fustor"),
        summary="What is there, where it is, whether it is complete, what changed",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(permit(ask))],
        redirect_slashes=False,
        telemetry=QUIET,  # type: ignore[arg-type]  # older versions have no such argument
    )
    once = [Depends(queries.each_once)]
    api.include_router(queries.routes(ask, streams), dependencies=once)
    api.include_router(control.routes(ask), dependencies=once)
    api.include_router(forests.routes(ask), dependencies=once)
    api.include_router(keys.routes(ask), dependencies=once)
    api.include_router(tickets.routes(ask, open_tickets), dependencies=once)
    api.include_router(health.routes(ask, streams, meter))
    _describe(api)
    problems.join(api, lambda: api.openapi()["paths"])
    hide_views(api)
    ingest = ServerErrorMiddleware(Ingest(accept, limits), handler=problems.failed)
    hot: dict[str, ASGIApp] = {place: Gate(place, ingest) for place in (SESSIONS, f"{SESSIONS}/")}
    hot |= {SOCKET: Gate(SOCKET, live)} | dict.fromkeys(files.paths, files)
    return Front(api, meter, hot)


def _describe(api: FastAPI) -> None:
    """OpenAPI and the page for people."""

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return Document(api.openapi())

    @api.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        page = PAGE.format(version=html.escape(api.version), rows="".join(_rows(api.openapi())))
        return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


def _rows(schema: dict[str, Any]) -> list[str]:
    return [
        ROW.format(
            method=html.escape(method.upper()),
            path=html.escape(path),
            summary=html.escape(operation.get("summary", "")),
        )
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]


def _template(scope: Scope) -> str:
    """The route's template; what the client wrote would make a series of its own each time."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))


def _is_text(query: bytes) -> bool:
    if b"%" not in query and query.isascii():
        return True
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True
