"""A network that fails on demand: a TCP relay whose two directions can be cut, slowed, refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

CHUNK = 16384
WAIT_S = 10.0
T = TypeVar("T")


class Direction:
    """What happens to bytes on one of the two ways; changed from the proxy's own loop only."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay_s = 0.0
        self.bytes_s = 0.0  # 0 = as fast as it goes
        self.carried = 0

    async def passing(self, data: bytes) -> None:
        """Return when a chunk may go on."""
        await self.open.wait()
        pause = self.delay_s + (len(data) / self.bytes_s if self.bytes_s else 0.0)
        if pause:
            await asyncio.sleep(pause)
        self.carried += len(data)


class Proxy:
    """Relays connections on a port of its own to `port`, in a thread of its own.

    What a cut holds up arrives late when the network heals, as with TCP; with `reset` the
    connections are lost instead.

    Args:
        port: where the server listens, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.to_server, self.to_agent = self._do(self._begin())

    def __repr__(self) -> str:
        return f"<Proxy {self.port} → {self._to}>"

    # ---- faults

    def cut(self, *, requests: bool = True, replies: bool = True) -> None:
        """From now on nothing goes through, one way or both."""

        def act() -> None:
            if requests:
                self.to_server.open.clear()
            if replies:
                self.to_agent.open.clear()

        self._act(act)

    def slow(self, *, delay_s: float = 0.0, bytes_s: float = 0.0) -> None:
        """Both ways: so late, or so many bytes a second at most."""

        def act() -> None:
            for way in (self.to_server, self.to_agent):
                way.delay_s, way.bytes_s = delay_s, bytes_s

        self._act(act)

    def refuse(self) -> None:
        """Connections break, new ones are refused."""
        self._do(self._refuse())

    def heal(self, *, reset: bool = False) -> None:
        """A sound network again; with `reset`, what was held up is lost."""
        if reset:
            self._do(self._drop())

        def act() -> None:
            for way in (self.to_server, self.to_agent):
                way.delay_s = way.bytes_s = 0.0
                way.open.set()

        self._act(act)
        if self._server is None:
            self._do(self._listen())

    def close(self) -> None:
        """End it."""
        if self._thread.is_alive():
            self._do(self._refuse())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(WAIT_S)
            self._loop.close()

    # ---- in its own thread

    async def _begin(self) -> tuple[Direction, Direction]:
        await self._listen()
        return Direction(), Direction()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._drop()

    async def _drop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        sides = [writer]
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self._to)
            sides.append(onward)
            await asyncio.gather(
                _pump(reader, onward, self.to_server), _pump(there, writer, self.to_agent)
            )
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone: so is the connection
        finally:
            for side in sides:
                side.transport.abort()
            self._tasks.discard(task)

    def _act(self, act: Any) -> None:
        async def here() -> None:
            act()

        self._do(here())

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(WAIT_S)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
    while data := await reader.read(CHUNK):
        await way.passing(data)
        writer.write(data)
        await writer.drain()
    await way.open.wait()
    if writer.can_write_eof():
        writer.write_eof()
