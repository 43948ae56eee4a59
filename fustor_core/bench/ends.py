"""Both ends of a pipe in this process, without a wire: what each of them costs by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from fustor_core.claims import Batch, encode_batch
from fustor_core.contracts import Hello, boottime_us
from fustor_core.files.compiled import compiled
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.outbox import Limits, Outbox
from fustor_core.peers import FusionOptions
from fustor_core.post import Post
from fustor_core.registry import Registry

OPTIONS = FusionOptions("bench", 3600.0, 600.0, 120.0, 10)


class Ends:
    """An agent's half of a pipe and a view, without a wire between.

    Args:
        root: what is scanned; nothing is watched. folder: of the view's state.

    Attributes:
        owed: directories that the view has asked for again.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        registry = Registry()
        driver = registry.driver("source", "fs")
        source = driver(driver.Config(root=os.fspath(root), watch="off"))
        self.post = Post(source, Outbox(Limits(), boottime_us), boottime_us, anyio.sleep)
        file, judge = registry.driver("view", "file"), registry.driver("arbitrator", "fs")
        view, arbitrator = file(file.Config()), judge(judge.Config())
        self.server = FusionPipeline(
            OPTIONS, view, arbitrator, folder, boot="bench", stores=compiled().stores
        )
        self.session = ""
        self.owed = 0

    async def open(self) -> None:
        """A session that leads."""
        line = {"boot": "bench", "process": "1", "mount": "m", "cache_bound_s": 0}
        hello = Hello("bench", "p", "bench", {}, line, {"realtime": True, "scan": True})
        grant = await self.server.open_session(hello)
        self.session, self.post.outbox.epoch = grant.session_id, grant.epoch

    async def collect(
        self, act: Callable[[], Awaitable[object]]
    ) -> tuple[float, list[tuple[Batch, bytes]]]:
        """(CPU seconds of the agent, its batches as they go onto the wire)."""
        sent: list[tuple[Batch, bytes]] = []
        outbox = self.post.outbox

        async def send() -> None:
            while True:
                batch = await outbox.take()
                sent.append((batch, encode_batch(batch)))
                outbox.acknowledged()

        began = time.process_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await act()
            tasks.cancel_scope.cancel()
        return time.process_time() - began, sent

    async def deliver(self, sent: list[tuple[Batch, bytes]]) -> float:
        """CPU seconds of the server, until it is at rest; what it asks for again is counted."""
        began = time.process_time()
        for batch, body in sent:
            ack = await self.server.push(self.session, batch, body)
            self.owed += len(ack.owed)
        await self.server.keeping.checkpoint(lambda text: None)
        return time.process_time() - began
