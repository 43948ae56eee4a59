"""Health, version and metrics: what a watchdog, an orchestrator and Prometheus ask.

Live: the process answers. Started: the engine has its views. Ready: they answer, with their
quality stated; a view without a leader, or in its first scan, is ready, since its answers say so.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from fustor_core.claims import PROTOCOL
from fustor_core.contracts import Access, Ask
from fustor_core.errors import FustorError
from fustor_receiver_http.documents import Document
from fustor_receiver_http.scopes import access_of, covered_of
from fustor_receiver_http.streams import Streams

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
OF_VIEW = ("files", "dirs", "bytes", "entries", "sessions", "journal_bytes", "memory_bytes")
OF_QUALITY = (
    "suspects",
    "debts",
    "blind",
    "unscanned_total",
    "age_s",
    "complete",
    "stale",
    "frozen",
)
OF_PIPE = ("state", "queue", "unacked_bytes", "errors_in_row", "backoff_s", "watched_dirs")


class Meter:
    """Counts requests, and gives out all metrics.

    Args:
        ask: where the figures of views and pipes come from.
        streams: those that are open.
    """

    def __init__(self, ask: Ask, streams: Streams) -> None:
        self._ask = ask
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fustor_http_requests",
            "Requests by route and status",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "fustor_http_first_byte_seconds",
            "Time to the first byte of the reply",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        open_streams = Gauge(
            "fustor_http_open_streams", "Streams that are open", registry=self._registry
        )
        open_streams.set_function(lambda: len(streams))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            route: its template, never what the client wrote. seconds: to the first byte.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self, access: Access) -> bytes:
        """The metrics in the text format; of views and pipes those that a key covers."""
        figures = CollectorRegistry()
        figures.register(Figures(self._ask, access))
        return generate_latest(self._registry) + generate_latest(figures)


class Figures(Collector):
    """The figures of those views and pipes that a key covers, read when they are asked for."""

    def __init__(self, ask: Ask, access: Access) -> None:
        self._ask = ask
        self._access = access

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known when the figures are."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """One family a figure."""
        try:
            status = self._ask.status()
        except FustorError:
            return  # /readyz tells why
        seen = covered_of(self._access, "read", status.get("views") or ())
        views = {str(view["view"]): view for view in seen}
        qualities = {name: view.get("quality") or {} for name, view in views.items()}
        fed = covered_of(self._access, "read", status.get("pipes") or (), pipe="id")
        pipes = {str(pipe["id"]): pipe for pipe in fed}
        yield from _families("view", OF_VIEW, views)
        yield from _families("view", OF_QUALITY, qualities)
        yield from _families("pipe", OF_PIPE, pipes)


def _families(
    kind: str, names: tuple[str, ...], documents: dict[str, dict[str, Any]]
) -> Iterator[Metric]:
    for name in names:
        family = GaugeMetricFamily(
            f"fustor_{kind}_{name}", f"`{name}` of a {kind}, as its status says", labels=[kind]
        )
        for label, document in documents.items():
            value = document.get(name)
            if isinstance(value, int | float):
                family.add_metric([label], float(value))
        if family.samples:
            yield family


def routes(ask: Ask, streams: Streams, meter: Meter) -> APIRouter:
    """The routes at the root of the server, outside of the API's base."""
    router = APIRouter(tags=["health"])

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
