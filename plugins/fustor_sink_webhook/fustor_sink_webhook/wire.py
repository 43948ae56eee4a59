"""The connection to the server, for one request at a time. The only file that knows httpx."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping

import anyio
import httpx

from fustor_core.errors import Unreachable
from fustor_sink_webhook.options import Options
from fustor_sink_webhook.replies import error_for

REPLY_BYTES_MAX = 64 << 10
CLOSE_S = 1.0


class Wire:
    """Makes a connection when it is needed, and gives it up when a request got no reply.

    Args:
        options: of the sink.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"<Wire to {self._options.server} {'open' if self._client else 'idle'}>"

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send one request; it was taken when this returns.

        Raises:
            PipeError: as the reply says, or there was none.
        """
        replied = False
        try:
            status, told, content = await self._exchange(body, headers)
            replied = True
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise self._unreachable(error) from error
        finally:
            if not replied:
                await self.close()
        if not 200 <= status < 300:
            raise error_for(self._options.server, status, told, content)

    async def close(self) -> None:
        """Give the connection up; the next request makes another."""
        client, self._client = self._client, None
        if client is not None:
            # also when cancelled, or the connection is left to the garbage collector
            with anyio.move_on_after(CLOSE_S, shield=True):
                await client.aclose()

    async def _exchange(
        self, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        client = self._client or self._connected()
        request = client.build_request(
            "POST", self._options.url, content=body, headers=dict(headers)
        )
        reply = await client.send(request, stream=True)
        try:
            content = bytearray()
            async for part in reply.aiter_raw():
                content += part
                if len(content) > REPLY_BYTES_MAX:
                    break  # nothing that matters stands there
        finally:
            await reply.aclose()
        return reply.status_code, reply.headers, bytes(content)

    def _connected(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", "User-Agent": "fustor"},
            timeout=self._options.timeout,
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment would see all names
            transport=httpx.AsyncHTTPTransport(
                verify=self._trusted(), limits=limits, trust_env=False
            ),
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
        try:
            return ssl.create_default_context(cafile=options.ca)
        except OSError as error:
            raise Unreachable(
                f"{options.ca or 'the certificates of the system'} cannot be used:"
                f" {error.strerror or error}; `ca` names a PEM file"
            ) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        """What an error of the connection means, and what to do."""
        server, timeout = self._options.server, self._options.timeout
        cause = _root(error)
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
            return Unreachable(
                f"no trusted connection to {server}: {reason}; is its certificate for this name,"
                " and signed by one of the system's or of `ca`?"
            )
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(
                f"no answer from {server} within {timeout:g} s; is it up and not overloaded?"
                " `timeout` gives it longer"
            )
        reason = str(error) or type(error).__name__
        if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
            reason = os.strerror(cause.errno)
        return Unreachable(
            f"cannot reach {server}: {reason}; does it run, and is the address right?"
        )


def _root(error: BaseException) -> BaseException:
    """The error that others were made from: httpx wraps what the operating system says."""
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        error = cause
    return error
