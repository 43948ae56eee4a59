"""HTTP from the asking side: connections, what they trust, what their errors mean.

The only file that imports httpx. Whoever may end without a request imports it late.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx

from fustor_core.errors import Unreachable
from fustor_core.state import socket_address

UNIX = "unix:"
CLOSE_S = 1.0
REPLY_BYTES_MAX = 4 << 20
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "fustor"}

Connection = httpx.Client
Errors = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


@dataclass(frozen=True, slots=True)
class Reach:
    """A server, and what is needed to talk to it.

    Attributes:
        url: ``https://…``, ``http://…`` or ``unix:/path/of/socket``. shown: the same for error
            texts, without what may be secret in it. runs: what is asked when it cannot be reached.
        key: bearer key, "" = none. ca, cert: PEM files, None = the system's, none.
        timeout_s: longest silence of the server within one request.
        reply_most: bytes; `cut`: a longer reply is cut there, else it is an error.
    """

    url: str
    shown: str
    runs: str = "does it run, and is the address right?"
    key: str = field(default="", repr=False)
    ca: Path | None = None
    cert: Path | None = None
    timeout_s: float = 10.0
    reply_most: int = REPLY_BYTES_MAX
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BadPem(Exception):
    """A PEM file that cannot be used.

    Attributes:
        option: ``ca`` or ``cert``. place: the file, for people. reason: why.
    """

    def __init__(self, option: str, place: str, reason: str) -> None:
        super().__init__(f"{place} cannot be used: {reason}")
        self.option, self.place, self.reason = option, place, reason


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there was no reply.

    Attributes:
        kind: ``late`` (no answer in time), ``unheard`` (no connection in time), ``trust`` (of the
            certificate), ``tls``, ``denied``, ``absent`` (nobody listens), ``other``.
        reason: in words.
    """

    kind: str
    reason: str


def trusted(ca: Path | None, cert: Path | None) -> ssl.SSLContext:
    """What certificates are checked with, and the one that is shown; read from the files now.

    Raises:
        BadPem: they cannot be read.
    """
    option, place = "ca", ca
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            option, place = "cert", cert
            # without an answer of ours, OpenSSL asks the terminal for a pass phrase
            context.load_cert_chain(cert, password=lambda: b"")
    except OSError as error:
        shown = str(place) if place is not None else "the certificates of the system"
        raise BadPem(option, shown, error.strerror or str(error)) from error
    return context


def connection(
    base: str,
    *,
    socket: str | None = None,
    key: str = "",
    timeout_s: float | None,
    verify: ssl.SSLContext | bool,
) -> Connection:
    """A connection for one request at a time, without an event loop; for people at a terminal.

    Args:
        base: address. socket: path of the Unix socket behind it. key: bearer key, "" = none.

    Raises:
        ValueError: the address is none.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # False for what has nothing to verify: loading the certificates takes 20 ms
    transport = httpx.HTTPTransport(uds=socket, verify=verify) if socket is not None else None
    try:
        return httpx.Client(
            base_url=base, timeout=timeout_s, headers=headers, verify=verify, transport=transport
        )
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error


def patience(timeout_s: float | None, silence_s: float | None) -> Any:
    """How long a connection waits: for the server, and for the next bytes of a stream."""
    return httpx.Timeout(timeout_s, read=silence_s)


def fault_of(error: BaseException) -> Fault:
    """What an error of a connection means."""
    cause = _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Fault("trust", cause.verify_message or str(cause))
    if isinstance(cause, ssl.SSLError):
        return Fault("tls", cause.reason or str(cause))
    if isinstance(error, httpx.TimeoutException):
        late = "unheard" if isinstance(error, httpx.ConnectTimeout) else "late"
        return Fault(late, str(error) or type(error).__name__)
    reason = str(error) or type(error).__name__
    if not isinstance(cause, OSError) or cause.errno is None:
        return Fault("other", reason)
    told = os.strerror(cause.errno) if cause.errno > 0 else cause.strerror or reason
    if cause.errno in (errno.EACCES, errno.EPERM):
        return Fault("denied", told)
    return Fault("absent" if cause.errno in (errno.ECONNREFUSED, errno.ENOENT) else "other", told)


class Lane:
    """A connection for one request at a time: made when it is needed, and given up when a request
    got no reply. Certificates are read anew for each connection."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._client: httpx.AsyncClient | None = None
        self._held = ExitStack()  # what a socket in a deep folder is reached through

    def __repr__(self) -> str:
        return f"<Lane to {self._reach.shown} {'open' if self._client else 'idle'}>"

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send one request.

        Args:
            path: below the address, "" = the address itself.

        Raises:
            Unreachable: there was no reply.
        """
        replied = False
        try:
            reply = await self._exchange(method, path, body, headers)
            replied = True
            return reply
        except (httpx.InvalidURL, httpx.StreamError) as error:
            raise Unreachable(f"{self._reach.shown} cannot be asked: {error}") from error
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        finally:
            if not replied:
                await self.close()

    async def close(self) -> None:
        """Give the connection up; the next request makes another."""
        client, self._client = self._client, None
        held, self._held = self._held, ExitStack()
        try:
            if client is not None:
                # also when cancelled, or the connection is left to the garbage collector
                with anyio.move_on_after(CLOSE_S, shield=True):
                    await client.aclose()
        finally:
            held.close()

    async def _exchange(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply:
        client, most = self._client or self._connected(), self._reach.reply_most
        url = f"{self._base()}{path}"
        request = client.build_request(method, url, content=body, headers=dict(headers))
        reply = await client.send(request, stream=True)
        try:
            content = bytearray()
            async for part in reply.aiter_raw():
                content += part
                if len(content) > most and self._reach.cut:
                    break  # nothing that matters stands there
                if len(content) > most:
                    raise httpx.RemoteProtocolError(f"a reply of over {most} bytes")
        finally:
            await reply.aclose()
        return Reply(reply.status_code, reply.headers, bytes(content))

    def _base(self) -> str:
        return "http://localhost" if self._reach.url.startswith(UNIX) else self._reach.url

    def _connected(self) -> httpx.AsyncClient:
        """A client.

        Raises:
            Unreachable: the certificates cannot be read. OSError: the folder of the socket cannot.
        """
        reach, local = self._reach, None
        if reach.url.startswith(UNIX):
            local = self._held.enter_context(socket_address(Path(reach.url.removeprefix(UNIX))))
        key = {"Authorization": f"Bearer {reach.key}"} if reach.key else {}
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._client = httpx.AsyncClient(
            headers=HEADERS | key,
            timeout=reach.timeout_s,
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment would see keys and names
            transport=httpx.AsyncHTTPTransport(
                verify=self._trusted(), uds=local, limits=limits, trust_env=False
            ),
        )
        return self._client

    def _trusted(self) -> ssl.SSLContext | bool:
        reach = self._reach
        if not reach.url.startswith("https:"):
            return False  # nothing to check, and loading them takes a while
        try:
            return trusted(reach.ca, reach.cert)
        except BadPem as bad:
            raise Unreachable(f"{reach.shown}: {bad}; `{bad.option}` names a PEM file") from bad

    def _unreachable(self, error: Exception) -> Unreachable:
        """What an error of the connection means, and what to do."""
        reach, fault = self._reach, fault_of(error)
        if fault.kind in ("trust", "tls"):
            return Unreachable(
                f"no trusted connection to {reach.shown}: {fault.reason}; is its certificate for"
                " this name, and signed by one of the system's or of `ca`?"
            )
        if fault.kind in ("late", "unheard"):
            return Unreachable(
                f"no answer from {reach.shown} within {reach.timeout_s:g} s; is it reachable and"
                " not overloaded? `timeout` gives it longer"
            )
        denied = "the socket belongs to the user who started the server"
        remedy = denied if fault.kind == "denied" else reach.runs
        return Unreachable(f"cannot reach {reach.shown}: {fault.reason}; {remedy}")


def _root(error: BaseException) -> BaseException:
    """The error that others were made from: httpx wraps what the operating system says."""
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        error = cause
    return error
