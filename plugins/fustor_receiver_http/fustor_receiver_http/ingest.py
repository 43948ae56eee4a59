"""The way in over HTTP: sessions, heartbeats and batches, as one plain ASGI callable.

It decodes at the border, once, and hands on to `Accept`; it knows no policy beyond sizes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec
from starlette.types import Receive, Scope, Send

from fustor_core import tracing, wire
from fustor_core.admission import NAMED_MOST
from fustor_core.claims import MEDIA_TYPE
from fustor_core.client import BASE
from fustor_core.contracts import Accept, Caller
from fustor_core.errors import Forbidden, FustorError
from fustor_core.salvage import readable
from fustor_receiver_http.askers import NAMES
from fustor_receiver_http.bodies import (
    Gone,
    Incoming,
    Limits,
    Room,
    read_batch,
    read_small,
)
from fustor_receiver_http.documents import JSON
from fustor_receiver_http.problems import Answered, response_of
from fustor_receiver_http.scopes import access_of, shown_to

SESSIONS = f"{BASE}/pipe/sessions"
HELLO_BYTES_MAX = 64 << 10
PULSE_BYTES_MAX = 1 << 20

Reply = tuple[int, bytes]
Act = Callable[[Scope, Incoming, Caller, str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Template:
    """The route of a request, for the metrics."""

    path: str


@dataclass(frozen=True, slots=True)
class Hot:
    """One hot route.

    Args:
        template: its path. method: the one that it has. act: what it does.
    """

    template: Template
    method: str
    act: Act


class Ingest:
    """All routes at and below `SESSIONS`.

    Args:
        accept: the way in.
        limits: sizes and times.
    """

    def __init__(self, accept: Accept, limits: Limits) -> None:
        self.limits = limits
        self.room = Room(limits.held_bytes)
        self._accept = accept
        self._open = Hot(Template(f"{SESSIONS}/"), "POST", self._opened)
        self._close = Hot(Template(f"{SESSIONS}/{{id}}"), "DELETE", self._closed)
        self._below = {
            "heartbeat": Hot(Template(f"{SESSIONS}/{{id}}/heartbeat"), "POST", self._beaten),
            "batches": Hot(Template(f"{SESSIONS}/{{id}}/batches"), "POST", self._pushed),
        }

    def __repr__(self) -> str:
        return f"<Ingest {self.room!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        incoming = Incoming(scope, receive, self.limits.patience_s)
        try:
            route, session_id = self._chosen(scope)
            status, body = await route.act(scope, incoming, caller_of(scope), session_id)
        except Gone:
            return
        except FustorError as error:
            await _refuse(scope, incoming, send, error)
        else:
            headers = [(b"content-length", b"%d" % len(body))]
            if body:
                headers.append((b"content-type", JSON.encode()))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _chosen(self, scope: Scope) -> tuple[Hot, str]:
        rest = scope["path"].removeprefix(SESSIONS).removeprefix("/")
        session_id, slash, word = rest.partition("/")
        route = self._below.get(word) if slash else self._close if rest else self._open
        if route is None or (rest and not session_id):
            raise Answered(
                "no-such-route",
                f"nothing is at {scope['path']}",
                remedy="all routes: /docs and /openapi.json",
            )
        scope["route"] = route.template
        if scope["method"] != route.method:
            raise Answered(
                "method-not-allowed",
                f"{scope['method']} is not for {scope['path']}",
                remedy=f"allowed: {route.method}",
                headers={"Allow": route.method},
            )
        return route, session_id

    async def _opened(
        self, scope: Scope, incoming: Incoming, caller: Caller, session_id: str
    ) -> Reply:
        _require_json(scope)
        hello = wire.read_hello(await read_small(incoming, HELLO_BYTES_MAX))
        if not caller.access.covers("push", view=hello.view, pipe=hello.pipe):
            raise Forbidden(
                f"the key does not allow pipe {hello.pipe!r} to push into view {hello.view!r}",
                remedy="use a key with the scope push whose views and pipes cover these",
            )
        names = scope.get(NAMES)
        if names is not None and hello.agent_id not in names:
            raise Forbidden(
                f"the certificate is not for the agent {hello.agent_id!r}",
                remedy="use a certificate whose common name or DNS name is the agent's id, and"
                " set agent.id to it",
            )
        grant = await self._accept.open(hello, caller)
        grant = replace(
            grant,
            protocol=wire.chosen_protocol(hello.protocol),
            batch_bytes=min(grant.batch_bytes, self.limits.batch_bytes),
        )
        return 201, wire.write_grant(grant)

    async def _beaten(
        self, scope: Scope, incoming: Incoming, caller: Caller, session_id: str
    ) -> Reply:
        _require_json(scope)
        pulse = wire.read_pulse(await read_small(incoming, PULSE_BYTES_MAX))
        return 200, wire.write_answer(await self._accept.beat(session_id, pulse, caller))

    async def _pushed(
        self, scope: Scope, incoming: Incoming, caller: Caller, session_id: str
    ) -> Reply:
        _require_type(scope, MEDIA_TYPE)
        packed = _encoding(scope)
        with self.room.share() as share:
            body = await read_batch(incoming, self.limits, share, packed=packed)
            batch, body, refused = readable(body, caller.sent_us)
            with tracing.continued(_header(scope, tracing.HEADER)):
                ack = await self._accept.push(session_id, batch, body, caller)
        if refused:
            named = (*refused, *ack.quarantined)[:NAMED_MOST]
            ack = msgspec.structs.replace(ack, quarantined=named)
        return 200, wire.write_ack(ack)

    async def _closed(
        self, scope: Scope, incoming: Incoming, caller: Caller, session_id: str
    ) -> Reply:
        await self._accept.close(session_id, caller)
        return 204, b""


def caller_of(scope: Scope) -> Caller:
    """Who asks, and what it says of its clock.

    Raises:
        MalformedClaim: what it says of its clock makes no sense.
    """
    sent_us, echo = wire.read_clock(_header(scope, wire.SENT), _header(scope, wire.ECHO))
    client = scope.get("client")
    return Caller(
        access=access_of(scope),
        client_ip=client[0] if client else "",
        sent_us=sent_us,
        echo=echo,
    )


def _header(scope: Scope, wanted: str) -> str | None:
    name = wanted.lower().encode()
    found = [value for key, value in scope["headers"] if key == name]
    return b",".join(found).decode("latin-1") if found else None


def _require_json(scope: Scope) -> None:
    _require_type(scope, JSON)
    if _header(scope, "Content-Encoding") not in (None, "identity"):
        raise _unsupported("Content-Encoding", "identity")


def _require_type(scope: Scope, wanted: str) -> None:
    """Goes on if the body is said to be of this type.

    Raises:
        Answered: 415.
    """
    said = (_header(scope, "Content-Type") or "").partition(";")[0].strip().lower()
    if said != wanted:
        raise _unsupported("Content-Type", wanted)


def _encoding(scope: Scope) -> bool:
    """Whether the body is compressed.

    Raises:
        Answered: 415: in a way that is not known here.
    """
    said = (_header(scope, "Content-Encoding") or "identity").strip().lower()
    if said not in (wire.ENCODING, "identity"):
        raise _unsupported("Content-Encoding", wire.ENCODING, "identity")
    return said == wire.ENCODING


def _unsupported(header: str, *supported: str) -> Answered:
    known = " or ".join(supported)
    return Answered(
        "unsupported-media",
        f"the {header} of this body has to be {known}",
        headers={"Accept-Encoding": known.replace(" or ", ", ")} if len(supported) > 1 else {},
        fields={"supported": list(supported)},
    )


async def _refuse(scope: Scope, incoming: Incoming, send: Send, error: FustorError) -> None:
    """Answers with a problem; a body that was not wanted to its end ends the connection."""
    reply = response_of(shown_to(access_of(scope), error), scope["path"])
    if not incoming.whole:
        reply.headers["Connection"] = "close"
    await send(
        {"type": "http.response.start", "status": reply.status_code, "headers": reply.raw_headers}
    )
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
        return
    body = bytes(reply.body)
    if not incoming.whole:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await incoming.linger()
        body = b""
    await send({"type": "http.response.body", "body": body})
