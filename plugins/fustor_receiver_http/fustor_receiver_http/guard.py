"""What stands before the application: who asks, and what that may do.

On TCP the Host is checked, then the key. The Unix socket needs neither: the file system says who
can open it, and that may everything.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from fustor_core.contracts import Access, Ask
from fustor_core.errors import Unauthorized
from fustor_receiver_http.askers import address_of, keyed
from fustor_receiver_http.problems import refuse
from fustor_receiver_http.scopes import ACCESS, NOBODY, OPEN
from fustor_receiver_http.throttle import Throttle
from fustor_receiver_http.tickets import Tickets, is_ours, ticket_in

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Owner:
    """Lets every request pass: who can open the socket has all rights.

    Args:
        app: what follows.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ACCESS] = Access()
        await self._app(scope, receive, send)


class Guard:
    """Lets a request pass that names an allowed host and shows a good key.

    Args:
        app: what is guarded.
        host: that it listens on. allowed_hosts: names beside it and those of loopback.
        ask: knows the keys.
        throttle: counts the wrong ones.
        files: paths that are for everybody.
        tickets: those that open a WebSocket.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        allowed_hosts: Iterable[str],
        ask: Ask,
        throttle: Throttle,
        files: Collection[str],
        tickets: Tickets,
    ) -> None:
        self._app = app
        self._named = frozenset(map(host_name, allowed_hosts))
        self._hosts = LOOPBACK_NAMES | self._named | {host_name(host)}
        self._ask = ask
        self._throttle = throttle
        self._open = OPEN | frozenset(files)
        self._tickets = tickets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_name(hosts[0].decode("latin-1")) not in self._hosts:
            named = ", ".join(host.decode("ascii", "backslashreplace") for host in hosts)
            await refuse(
                scope,
                receive,
                send,
                "misdirected",
                f"this server is not {named or 'without a name'}",
                remedy="use an address that it listens on, or add the name to allowed_hosts",
            )
        elif not self._from_here(scope, hosts[0]):
            await refuse(
                scope,
                receive,
                send,
                "forbidden",
                "a page of another site may not open a WebSocket here",
                remedy="add the name under which this one is known to allowed_hosts",
            )
        elif scope["path"] in self._open:
            scope[ACCESS] = NOBODY
            await self._app(scope, receive, send)
        else:
            await self._keyed(scope, receive, send)

    def _from_here(self, scope: Scope, host: bytes) -> bool:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        return scope["type"] == "http" or is_ours(origins, host, self._named)

    async def _keyed(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [key for name, value in scope["headers"] if (key := _key(name, value))]
        wait_s = 0.0
        ticket = ticket_in(scope["query_string"]) if scope["type"] == "websocket" else None
        if ticket is not None and not given:
            access = self._tickets.take(ticket)
            if access is not None:
                scope[ACCESS] = access
                keyed(scope, access.key_id)
                return await self._app(scope, receive, send)
        # Two keys are no key: a proxy and the application might look at different ones.
        if len(given) == 1:
            try:
                scope[ACCESS] = self._ask.access(given[0].decode("latin-1"))
            except Unauthorized:
                wait_s = self._throttle.wrong(address_of(scope))
            else:
                keyed(scope, scope[ACCESS].key_id)
                return await self._app(scope, receive, send)
        if wait_s:
            return await refuse(
                scope,
                receive,
                send,
                "slow-down",
                "too many wrong keys came from this address",
                remedy="put the key right; one that is good is answered at once",
                headers={"Retry-After": str(math.ceil(wait_s))},
                fields={"retry_after_s": round(wait_s, 3)},
            )
        return await refuse(
            scope,
            receive,
            send,
            "unauthorized",
            "no key, or none that is known here, not expired and not revoked",
            remedy="send Authorization: Bearer KEY; `fustor` takes it with --key-file",
            headers={"WWW-Authenticate": "Bearer"},
        )


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    if host.count(":") > 1:
        return host.lower()
    return host.partition(":")[0].lower().rstrip(".")


def _key(name: bytes, value: bytes) -> bytes:
    if name == b"x-api-key":
        return value.strip()
    if name == b"authorization":
        kind, _, key = value.strip().partition(b" ")
        return key.strip() if kind.lower() == b"bearer" else b""
    return b""
