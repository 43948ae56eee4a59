"""One connection to the server, for one request at a time. The only file that knows httpx."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx

from fustor_core.errors import Unreachable
from fustor_core.state import socket_address
from fustor_sink_fusion.options import UNIX, Options

REPLY_BYTES_MAX = 4 << 20
CLOSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lane:
    """A connection that is made when it is needed, and given up when a request got no reply.

    Args:
        options: of the sink.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: httpx.AsyncClient | None = None
        self._held = ExitStack()  # what a socket in a deep folder is reached through

    def __repr__(self) -> str:
        return f"<Lane to {self._options.url} {'open' if self._client else 'idle'}>"

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Sends one request.

        Args:
            path: below the address of the server.

        Raises:
            Unreachable: there was no reply.
        """
        replied = False
        try:
            reply = await self._exchange(method, path, body, headers)
            replied = True
            return reply
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except (httpx.InvalidURL, httpx.StreamError) as error:
            raise Unreachable(f"{self._options.url} cannot be asked: {error}") from error
        except OSError as error:
            raise self._unreachable(error) from error
        finally:
            if not replied:
                await self.close()

    async def close(self) -> None:
        """Gives the connection up; the next request makes another."""
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
        client = self._client or self._connected()
        url = client.base_url.raw_path.decode().rstrip("/") + path
        request = client.build_request(method, url, content=body, headers=dict(headers))
        reply = await client.send(request, stream=True)
        try:
            content = bytearray()
            async for part in reply.aiter_raw():
                content += part
                if len(content) > REPLY_BYTES_MAX:
                    raise httpx.RemoteProtocolError(f"a reply of over {REPLY_BYTES_MAX} bytes")
        finally:
            await reply.aclose()
        return Reply(reply.status_code, reply.headers, bytes(content))

    def _connected(self) -> httpx.AsyncClient:
        """A client.

        Raises:
            Unreachable: the certificates cannot be read. OSError: the folder of the socket cannot.
        """
        options = self._options
        headers = {"Accept-Encoding": "identity", "User-Agent": "fustor"}
        if options.key is not None:
            headers["Authorization"] = f"Bearer {options.key.get_secret_value()}"
        local, base = None, options.url
        if options.url.startswith(UNIX):
            path = Path(options.url.removeprefix(UNIX))
            local, base = self._held.enter_context(socket_address(path)), "http://localhost"
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._client = httpx.AsyncClient(
            base_url=base,
            headers=headers,
            timeout=options.timeout,
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment would see the key
            transport=httpx.AsyncHTTPTransport(verify=self._trusted(), uds=local, limits=limits),
        )
        return self._client

    def _trusted(self) -> ssl.SSLContext | bool:
        """What certificates are checked with; read anew for each connection.

        Raises:
            Unreachable: they cannot be read.
        """
        options = self._options
        if not options.url.startswith("https:"):
            return False  # nothing to check, and loading them takes a while
        place, name = options.ca, "ca"
        try:
            context = ssl.create_default_context(cafile=options.ca)
            if options.cert is not None:
                place, name = options.cert, "cert"
                # without an answer of ours, OpenSSL asks the terminal for a pass phrase
                context.load_cert_chain(options.cert, password=lambda: b"")
        except OSError as error:
            raise Unreachable(
                f"{options.url}: {place or 'the certificates of the system'} cannot be used:"
                f" {error.strerror or error}; `{name}` names a PEM file"
            ) from error
        return context

    def _unreachable(self, error: Exception) -> Unreachable:
        """What an error of the connection means, and what to do."""
        url = self._options.url
        cause = _root(error)
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
            return Unreachable(
                f"no trusted connection to {url}: {reason}; is its certificate for this name, and"
                " signed by one of the system's or of `ca`?"
            )
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(
                f"no answer from {url} within {self._options.timeout:g} s; is it reachable and not"
                " overloaded? `timeout` gives it longer"
            )
        reason = _reason(cause) or str(error) or type(error).__name__
        denied = isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM)
        remedy = (
            "the socket belongs to the user who started the server"
            if denied
            else "does fusion run there, and is the address right?"
        )
        return Unreachable(f"cannot reach {url}: {reason}; {remedy}")


def _root(error: BaseException) -> BaseException:
    """The error that others were made from: httpx wraps what the operating system says."""
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        error = cause
    return error


def _reason(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno) if cause.errno > 0 else (cause.strerror or "")
    return ""
