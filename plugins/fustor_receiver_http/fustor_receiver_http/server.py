"""uvicorn on sockets of ours: without its signal handling, stopped by a call, no polling."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import anyio
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fustor_receiver_http.askers import NAMES, UID, names_of, user_of

HEAD_BYTES_MAX = 128 << 10
HEAD_S = 15.0  # how long the head of a request may take, and how long a new connection be silent
IDLE_CONNECTION_S = 75  # longer than the pause between two heartbeats of an agent
MESSAGE_BYTES_MAX = 4096  # of what comes in over a WebSocket
DATE_S = 1.0  # how old the Date header of a reply may be


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds on a request's head, and on trailers; the parser itself has none."""

    _unused_bytes = 0  # received since a head ended or a part of a body came
    _patience: asyncio.TimerHandle | None = None  # until a head is over
    _user: int | None = None  # at the other end of a Unix socket
    _names: frozenset[str] = frozenset()  # in the client's certificate

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has connected: a head should come."""
        super().connection_made(transport)
        self._user, self._names = user_of(transport), names_of(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._head_is_over()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self.scope[UID] = self._user  # type: ignore[literal-required]
        self.scope[NAMES] = self._names  # type: ignore[literal-required]
        self._await_head()

    def _await_head(self) -> None:
        self._head_is_over()
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(HEAD_S, self.transport.close)

    def _head_is_over(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, or refuses a head that does not end."""
        if self._unused_bytes > HEAD_BYTES_MAX:
            self.send_400_response("The head of the request is too large.")
            return
        self._unused_bytes += len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is over."""
        self._unused_bytes = 0
        self._head_is_over()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unused_bytes = 0
        super().on_message_complete()


def _web_socket(**arguments: Any) -> asyncio.Protocol:
    """The protocol of a WebSocket; loaded by the first."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    return WebSocketsSansIOProtocol(**arguments)


class Server(uvicorn.Server):
    """Serves one application on one socket until `stop`.

    Args:
        app: the ASGI application.
        listening: bound and listening; closed at the end.
        behind_proxy: trust the proxy's word for the address of the client.
        grace_s: how long requests may go on after `stop`; whole seconds.
        tls: None = plain.
    """

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        *,
        behind_proxy: bool,
        grace_s: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http=BoundedProtocol,
                ws=cast(type[asyncio.Protocol], _web_socket),
                ws_max_size=MESSAGE_BYTES_MAX,
                ws_per_message_deflate=False,  # one frame is for many, each would pack it again
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=behind_proxy,
                timeout_keep_alive=IDLE_CONNECTION_S,
                timeout_graceful_shutdown=grace_s,
            )
        )
        self._listening = listening
        self._tls = tls
        self._stop = anyio.Event()
        self.accepting = anyio.Event()

    async def run_until_stopped(self) -> None:
        """Serves; comes back when the last request is over or the grace has passed."""
        await self.serve(sockets=[self._listening])

    def stop(self) -> None:
        """No new requests; those that run may end. May come before it accepts."""
        self._stop.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the program."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept."""
        self.config.ssl = self._tls
        await super().startup(sockets=sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        """Waits for `stop`, and keeps the Date header young."""
        while not self._stop.is_set() and not await self.on_tick(0):
            with anyio.move_on_after(DATE_S):
                await self._stop.wait()
