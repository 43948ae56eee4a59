"""What stands before the application: who asks, and what that may do.

On TCP the Host is checked, then the key. The Unix socket needs neither: the file system says who
can open it, and that may everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from fustor_core.contracts import Access, Ask
from fustor_core.errors import Unauthorized
from fustor_receiver_http.askers import address_of, keyed
from fustor_receiver_http.problems import Answered, response_of
from fustor_receiver_http.quotas import Exceeded, Quotas
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
        quotas: count what is asked for. refused: told of each refusal here, by its slug.
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
        quotas: Quotas,
        refused: Callable[[str], None] = lambda slug: None,
    ) -> None:
        self._app = app
        self._named = frozenset(map(host_name, allowed_hosts))
        self._hosts = LOOPBACK_NAMES | self._named | {host_name(host)}
        self._ask = ask
        self._throttle = throttle
        self._open = OPEN | frozenset(files)
        self._tickets = tickets
        self._quotas = quotas
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            refusal = await self._admit(scope, receive, send)
        except Exceeded as error:
            remedy = "ask less often; the limits stand in the receiver's `limits`"
            refusal = slow_down(error.told, error.wait_s, remedy=remedy)
        if refusal is not None:
            self._refused(refusal.slug)
            await response_of(refusal, scope["path"])(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> Answered | None:
        """Have a request answered; what refuses it, where something does.

        Raises:
            Exceeded: its address or its key asks for too much.
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_name(hosts[0].decode("latin-1")) not in self._hosts:
            named = ", ".join(host.decode("ascii", "backslashreplace") for host in hosts)
            return Answered(
                "misdirected",
                f"this server is not {named or 'without a name'}",
                remedy="use an address that it listens on, or add the name to allowed_hosts",
            )
        if not self._from_here(scope, hosts[0]):
            return Answered(
                "forbidden",
                "a page of another site may not open a WebSocket here",
                remedy="add the name under which this one is known to allowed_hosts",
            )
        self._quotas.arrives(scope, address_of(scope))
        if scope["path"] in self._open:
            scope[ACCESS] = NOBODY
            await self._app(scope, receive, send)
            return None
        access = self._access(scope)
        if isinstance(access, Answered):
            return access
        scope[ACCESS] = access
        keyed(scope, access.key_id)
        with self._quotas.asks(scope, access.key_id):
            await self._app(scope, receive, send)
        return None

    def _from_here(self, scope: Scope, host: bytes) -> bool:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        return scope["type"] == "http" or is_ours(origins, host, self._named)

    def _access(self, scope: Scope) -> Access | Answered:
        """What a request may do, by its key or its ticket; or why nothing."""
        given = [key for name, value in scope["headers"] if (key := _key(name, value))]
        ticket = ticket_in(scope["query_string"]) if scope["type"] == "websocket" else None
        if ticket is not None and not given:
            access = self._tickets.take(ticket)
            if access is not None:
                return access
        # Two keys are no key: a proxy and the application might look at different ones.
        if len(given) == 1:
            try:
                return self._ask.access(given[0].decode("latin-1"))
            except Unauthorized:
                wait_s = self._throttle.wrong(address_of(scope))
                if wait_s:
                    told = "too many wrong keys came from this address"
                    remedy = "put the key right; one that is good is answered at once"
                    return slow_down(told, wait_s, remedy=remedy)
        return Answered(
            "unauthorized",
            "no key, or none that is known here, not expired and not revoked",
            remedy="send Authorization: Bearer KEY; `fustor` takes it with --key-file",
            headers={"WWW-Authenticate": "Bearer"},
        )


def slow_down(told: str, wait_s: float, *, remedy: str) -> Answered:
    """The answer to who asks for too much: when to come again."""
    fields = {"retry_after_s": round(wait_s, 3)}
    return Answered("slow-down", told, remedy=remedy, fields=fields)


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
