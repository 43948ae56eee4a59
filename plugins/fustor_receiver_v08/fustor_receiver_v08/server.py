"""uvicorn on a socket of ours: without its signal handling, stopped by a call."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn

IDLE_CONNECTION_S = 75  # longer than the pause between two heartbeats of an agent
DATE_S = 1.0


class Server(uvicorn.Server):
    """Serves one application on one socket until `stop`.

    h11 bounds the head of a request by itself.

    Args:
        app: the ASGI application. listening: bound and listening; closed at the end.
        behind_proxy: trust the proxy's word for the address of the client.
        grace_s: how long requests may go on after `stop`.
    """

    def __init__(
        self, app: Any, listening: socket.socket, *, behind_proxy: bool, grace_s: int
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http="h11",
                ws="none",
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
        self._stop = anyio.Event()
        self.accepting = anyio.Event()

    async def run_until_stopped(self) -> None:
        """Serves; comes back when the last request is over or the grace has passed."""
        with anyio.CancelScope(shield=True):
            await self.serve(sockets=[self._listening])

    def stop(self) -> None:
        """No new requests; those that run may end."""
        self.should_exit = True
        self._stop.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the program."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept."""
        await super().startup(sockets=sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        """Waits for `stop`, and keeps the Date header young."""
        while not await self.on_tick(0):
            with anyio.move_on_after(DATE_S):
                await self._stop.wait()
