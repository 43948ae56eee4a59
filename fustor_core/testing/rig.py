"""A pipe between a tree and a door in memory, with time in the hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from fustor_core.config.model import Pipe
from fustor_core.outbox import Limits
from fustor_core.pipe_words import Host
from fustor_core.pipeline import AgentPipeline
from fustor_core.spool import Spool
from fustor_core.testing.clock import ManualClock
from fustor_core.testing.door import MemoryDoor, MemorySink
from fustor_core.testing.tree import MemorySource

LIMIT_S = 10.0
FILES = {"a": 1, "b/c": 2, "b/d/e": 3}
QUICK = Limits(window_s=(0.0, 0.0), scan_window_s=0.0)


class Rig:
    """One pipe, its two ends, and what it went through.

    Args:
        files: at the start. leads: whether the door lets anybody lead.
        source: kind of tree. spool: file of the pipe's spool.
        config: fields of the pipe's configuration.
    """

    def __init__(
        self,
        *,
        files: dict[str, int] | None = None,
        leads: bool = True,
        source: type[MemorySource] = MemorySource,
        sink: Any = None,
        limits: Limits = QUICK,
        drain_timeout_s: float = LIMIT_S,
        spool: Path | None = None,
        **config: object,
    ) -> None:
        self.clock = ManualClock()
        self.source = source(MemorySource.Config(files=FILES if files is None else files))
        self.source.now_us = self.clock.now_us
        self.door = MemoryDoor(leads=leads)
        self.door.now_us = self.clock.now_us
        self.sink = sink or MemorySink(MemorySink.Config())
        if isinstance(self.sink, MemorySink):
            self.sink.attach(self.door)
        self.config = Pipe.model_validate(
            {
                "source": {"driver": "memory", "root": "/tree"},
                "sink": {"driver": "memory", "view": "memory"},
                **config,
            }
        )
        self.states: list[int] = []
        self.events: list[str] = []
        self._moved = anyio.Event()
        self.pipe = AgentPipeline(
            "p",
            self.config,
            self.source,
            self.sink,
            Host("agent-1", boot="boot", process="1"),
            limits=limits,
            drain_timeout_s=drain_timeout_s,
            spool=Spool(spool),
            on_move=self._note,
            now_us=self.clock.now_us,
            sleep=self.clock.sleep,
            jitter=lambda: 1.0,
        )

    def _note(self, move: Any) -> None:
        self.states.append(int(move.new))
        self.events.append(move.event)
        self._moved.set()
        self._moved = anyio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until it is so; asked again after each move."""
        with anyio.fail_after(LIMIT_S):
            while not reached():
                await self._moved.wait()

    async def reach(self, state: int) -> None:
        """Wait until the pipe is in this state."""
        try:
            await self.until(lambda: int(self.pipe.state) == state)
        except TimeoutError:
            raise AssertionError(f"{state} not reached: {self.states} {self.pipe!r}") from None

    async def arrived(self, reached: Callable[[MemoryDoor], bool]) -> None:
        """Wait until the door has got it."""
        try:
            await self.door.until(reached, LIMIT_S)
        except TimeoutError:
            raise AssertionError(f"did not come: {self.door.claims} {self.pipe!r}") from None

    async def settle(self) -> None:
        """Let everything run that can run without time passing."""
        await self.clock.advance(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        """The pipe runs inside, and is stopped cleanly at the end."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.pipe.run)
            yield self
            self.pipe.stop()
            with anyio.fail_after(LIMIT_S):
                while int(self.pipe.state) or self.states[-1:] != [0]:
                    await self._moved.wait()
