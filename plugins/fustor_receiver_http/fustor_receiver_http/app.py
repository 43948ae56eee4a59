"""The application: hot routes first, as plain ASGI callables, then all others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from urllib.parse import unquote_to_bytes

import anyio
from anyio import to_thread
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fustor_core.contracts import Accept, Ask
from fustor_receiver_http import control, forests, health, keys, metrics, problems, queries, tickets
from fustor_receiver_http.bodies import Limits
from fustor_receiver_http.files import Files
from fustor_receiver_http.ingest import SESSIONS, Ingest
from fustor_receiver_http.live import SOCKET, Live
from fustor_receiver_http.routes import Route, Switch
from fustor_receiver_http.scopes import Gate
from fustor_receiver_http.streams import Streams

log = logging.getLogger("fustor.receiver.http")


class Front:
    """What every request passes first.

    Args:
        rest: everything that is not hot.
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


class Late:
    """An application that is made by the first request for it, in a thread.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: ASGIApp | None = None
        self._lock = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lock:
            if self._made is None:
                self._made = await to_thread.run_sync(self._make)
        await self._made(scope, receive, send)


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
    routes = routes_of(ask, streams, meter, open_tickets)

    def described() -> ASGIApp:
        # what a running server needs for few requests, and none of the usual ones
        from fustor_receiver_http.described import described as made

        return made(ask, routes)

    rest = ServerErrorMiddleware(Switch(ask, routes, Late(described)), handler=problems.failed)
    ingest = ServerErrorMiddleware(Ingest(accept, limits), handler=problems.failed)
    hot: dict[str, ASGIApp] = {place: Gate(place, ingest) for place in (SESSIONS, f"{SESSIONS}/")}
    hot |= {SOCKET: Gate(SOCKET, live)} | dict.fromkeys(files.paths, files)
    return Front(rest, meter, hot)


def routes_of(
    ask: Ask, streams: Streams, meter: metrics.Meter, open_tickets: tickets.Tickets
) -> list[Route]:
    """All routes that are not hot."""
    parts = (
        queries.routes(ask, streams),
        control.routes(ask),
        forests.routes(ask),
        keys.routes(ask),
        tickets.routes(ask, open_tickets),
        health.routes(ask, streams, meter),
    )
    return [route for part in parts for route in part.all]


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
