"""A post with a source, and what is sent from it: for tests of the phases of a pipe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
from pydantic import BaseModel

from fustor_core.claims import Claim, Listing, Row
from fustor_core.contracts import Scope
from fustor_core.outbox import Limits, Outbox
from fustor_core.phases import Post
from fustor_core.testing import ManualClock, MemorySource

FILES = {"a": 1, "b/c": 2, "b/d/e": 3}


class Plain:
    """A source without any power."""

    class Config(BaseModel):
        pass

    def __init__(self, config: Config) -> None:
        self.closed = 0

    async def scan(self, scope: Scope) -> AsyncIterator[Listing]:
        try:
            yield scope.listing(b"/", {b"a": Row()})
        finally:
            self.closed += 1


class Desk:
    """A post, and what was sent from it."""

    def __init__(self, source: Any = None) -> None:
        self.clock = ManualClock()
        self.source = source or MemorySource(MemorySource.Config(files=FILES))
        self.source.now_us = self.clock.now_us
        box = Outbox(Limits(window_s=(0, 0), scan_window_s=0), self.clock.now_us)
        self.post = Post(self.source, box, self.clock.now_us, self.clock.sleep)
        self.sent: list[Claim] = []

    async def carry(self) -> None:
        """Acknowledge everything, for ever."""
        while True:
            self.sent.extend((await self.post.outbox.take()).claims)
            self.post.outbox.acknowledged()

    async def during(self, act: Callable[[], Awaitable[None]]) -> None:
        """Carry while something goes on, and until all of it is acknowledged."""
        failed: OSError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self.carry)
            try:
                with anyio.fail_after(10):
                    await act()
            except OSError as error:
                failed = error
            await self.post.outbox.delivered()
            group.cancel_scope.cancel()
        if failed is not None:
            raise failed
