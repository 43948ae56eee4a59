"""What stands before the application on TCP: the Host check, then the key.

The Unix socket needs neither: the file system says who can open it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from fustor_receiver_http.problems import refuse

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_TO_ALL = frozenset({"/livez", "/readyz", "/startupz", "/version"})


class Guard:
    """Lets a request pass that names an allowed host and carries the key.

    Args:
        app: what is guarded.
        hosts: allowed names beside those of loopback, without port.
        key: the bearer key.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], key: str) -> None:
        if not key:
            raise ValueError("an empty key guards nothing")
        self._app = app
        self._hosts = LOOPBACK_NAMES | {host_name(host) for host in hosts}
        self._key = key.encode()

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
        elif scope["path"] not in OPEN_TO_ALL and not self._admits(scope):
            await refuse(
                scope,
                receive,
                send,
                "unauthorized",
                "no key, or not the right one",
                remedy="send Authorization: Bearer KEY; `fustor` takes it with --key-file",
                headers={"WWW-Authenticate": "Bearer"},
            )
        else:
            await self._app(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        given = [key for name, value in scope["headers"] if (key := _key(name, value))]
        # two keys are no key: a proxy and the application might look at different ones
        return len(given) == 1 and hmac.compare_digest(given[0], self._key)


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
