"""Who asks, for the audit log: set for each request before anything else sees it.

Who opens the Unix socket is known by the kernel's word for it; who comes over the network by its
address, and by its key as soon as that was found to be good.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fustor_core.contracts import ASKER, Ask, Asker

UID = "fustor.uid"
"""Where a request's scope has the user who opened the Unix socket."""
NAMES = "fustor.names"
"""Where it has the names in the client's certificate, when an agent's id has to be one of them."""
_CREDENTIALS = struct.Struct("3i")  # of unix(7): process, user, group
REFUSALS = {401: "unauthorized", 403: "forbidden", 421: "misdirected"}
REQUEST_MAX = 200


def user_of(transport: asyncio.BaseTransport) -> int | None:
    """The user at the other end of a Unix socket; None for other sockets."""
    found = transport.get_extra_info("socket")
    if found is None or found.family != socket.AF_UNIX:
        return None
    told = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1])


def names_of(transport: asyncio.BaseTransport) -> frozenset[str]:
    """Common name and DNS names of the certificate that a client has shown and we have checked."""
    tls = transport.get_extra_info("ssl_object")
    shown = (tls.getpeercert() if tls is not None else None) or {}
    told = [pair for part in shown.get("subject", ()) for pair in part]
    told += shown.get("subjectAltName", ())
    return frozenset(value for key, value in told if key in ("commonName", "DNS"))


def address_of(scope: Scope) -> str:
    """Where a request comes from; "" for a socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def keyed(scope: Scope, key_id: str) -> None:
    """The request has shown a good key."""
    ASKER.set(Asker("key", key_id, address_of(scope)))


class Askers:
    """Says who asks, and tells of those who are refused.

    Args:
        app: what follows. ask: takes the refusals. local: it serves the Unix socket.
        bound: certificates have to name their agents.
    """

    def __init__(self, app: ASGIApp, ask: Ask, *, local: bool, bound: bool = False) -> None:
        self._app, self._ask, self._local = app, ask, local
        self._bound = bound and not local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._local:
            ASKER.set(Asker("socket", uid=scope.get(UID)))
        else:
            ASKER.set(Asker("network", address=address_of(scope)))

        if not self._bound:
            scope.pop(NAMES, None)

        async def watched(message: Message) -> None:
            why = REFUSALS.get(message.get("status", 0))
            if message["type"] == "http.response.start" and why is not None:
                method = scope.get("method") or "WebSocket"
                self._ask.refused(f"{method} {scope['path']}"[:REQUEST_MAX], why)
            await send(message)

        await self._app(scope, receive, watched)
