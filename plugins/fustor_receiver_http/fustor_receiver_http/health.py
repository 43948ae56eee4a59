"""Health, version and metrics: what a watchdog, an orchestrator and Prometheus ask.

Live: the process answers. Started: the engine has its views. Ready: they answer, with their
quality stated; a view without a leader, or in its first scan, is ready, since its answers say so.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from fustor_core.claims import PROTOCOL
from fustor_core.contracts import Access, Ask
from fustor_core.errors import FustorError
from fustor_receiver_http.documents import Document
from fustor_receiver_http.metrics import Meter
from fustor_receiver_http.routes import Routes
from fustor_receiver_http.scopes import access_of, covered_of
from fustor_receiver_http.streams import Streams


def routes(ask: Ask, streams: Streams, meter: Meter) -> Routes:
    """The routes at the root of the server, outside of the API's base."""
    router = Routes(tags=["health"], each_once=False)

    @router.get("/livez", summary="The process answers")
    async def livez() -> Response:
        return Document({"status": "ok"})

    @router.get("/startupz", summary="The engine has its views")
    async def startupz() -> Response:
        return _judged([_views(ask)], verbose=False)

    @router.get("/readyz", summary="Every view answers; ?verbose lists the checks")
    async def readyz(request: Request) -> Response:
        seen = _each_view(ask, access_of(request.scope))
        checks = [_views(ask), _open(streams), *seen]
        return _judged(checks, verbose="verbose" in request.query_params)

    @router.get("/version", summary="Versions of the program and of its protocol")
    async def versions() -> Response:
        document = {
            "version": version("fustor"),
            "protocol": [PROTOCOL],
            "python": platform.python_version(),
        }
        return Document(document)

    @router.get("/metrics", summary="Metrics in the text format of Prometheus")
    async def metrics(request: Request) -> Response:
        return Response(meter.page(access_of(request.scope)), media_type=CONTENT_TYPE_LATEST)

    return router


def _judged(checks: list[dict[str, Any]], *, verbose: bool) -> Response:
    failed = [check for check in checks if not check["ok"]]
    document: dict[str, Any] = {"status": "not ready" if failed else "ok"}
    if verbose or failed:
        document["checks"] = checks if verbose else failed
    return Document(document, status=503 if failed else 200)


def _views(ask: Ask) -> dict[str, Any]:
    try:
        count = len(ask.views())
    except FustorError as error:
        return {"name": "views", "ok": False, "detail": error.message}
    return {"name": "views", "ok": True, "detail": f"{count} of them"}


def _open(streams: Streams) -> dict[str, Any]:
    detail = "the server stops" if streams.stopped else "requests are taken"
    return {"name": "server", "ok": not streams.stopped, "detail": detail}


def _each_view(ask: Ask, access: Access) -> list[dict[str, Any]]:
    """What each view that a key covers says of itself; it answers either way."""
    try:
        known = covered_of(access, "read", ask.views())
    except FustorError:
        return []
    checks = []
    for view in known:
        quality = view.get("quality") or {}
        words = [word for word in ("stale", "frozen") if quality.get(word)]
        words.insert(0, "complete" if quality.get("complete") else "incomplete")
        checks.append({"name": f"view:{view['view']}", "ok": True, "detail": ", ".join(words)})
    return checks
