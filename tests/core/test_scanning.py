"""A scan on its way into the outbox: in lists where a source makes them, each claim in its turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from fustor_core.claims import Calm, Cell, Listing, Origin, Same, Still
from fustor_core.contracts import Scope
from fustor_core.outbox import Limits, Outbox
from fustor_core.scanning import chunks, scan
from fustor_core.testing import MemorySource

from .desk import FILES, Desk, Plain

pytestmark = pytest.mark.anyio


class Lists(MemorySource):
    """Yields everything at once; what stands in `fails` is raised behind it."""

    fails: OSError | None = None
    left = 0

    async def chunks(self, scope: Scope) -> AsyncGenerator[list[Listing | Same], None]:
        try:
            yield []
            yield [claim async for claim in super().scan(scope)]
            if self.fails is not None:
                raise self.fails
        finally:
            self.left += 1

    async def scan(self, scope: Scope) -> Any:
        raise AssertionError("it was asked one by one")
        yield


@pytest.fixture
def desk() -> Desk:
    return Desk(Lists(Lists.Config(files=FILES)))


async def test_a_source_that_makes_lists_is_asked_for_them(desk: Desk) -> None:
    whole = [c async for c in MemorySource(MemorySource.Config(files=FILES)).scan(Scope())]
    top = None

    async def act() -> None:
        nonlocal top
        top = await scan(desk.post, Scope(origin=Origin.SNAPSHOT, now_us=desk.clock.now_us))

    await desk.during(act)
    assert [claim.path for claim in desk.sent] == [claim.path for claim in whole]
    assert top == whole[0].dir
    assert desk.post.recall.count == len(whole)
    assert desk.post.tallies.scans["snapshot"].entries == sum(len(c.rows) // 48 for c in whole)
    assert desk.source.left == 1


async def test_what_waits_for_room_is_not_taken_for_sent() -> None:
    desk = Desk(Lists(Lists.Config(files={f"d{i}/f": 1 for i in range(20)})))
    box = Outbox(Limits(rows=1, scan_batches=1, window_s=(0, 0)), desk.clock.now_us)
    desk.post.outbox = box
    async with anyio.create_task_group() as group:
        scope = Scope(origin=Origin.SNAPSHOT, now_us=desk.clock.now_us)
        group.start_soon(scan, desk.post, scope)
        await anyio.wait_all_tasks_blocked()
        assert desk.post.recall.count == box.queued + 1, "the next one waits, no other"
        assert desk.post.progress is not None
        assert desk.post.progress.sends, "it waits for the outbox, not for the source"
        group.cancel_scope.cancel()
    assert desk.source.left == 1, "who is cancelled leaves the source"


async def test_what_was_read_before_a_failure_is_sent(desk: Desk) -> None:
    for origin, kind in ((Origin.SNAPSHOT, Listing), (Origin.AUDIT, Still)):
        desk.source.fails = OSError("the disk is gone") if origin is Origin.AUDIT else None
        desk.sent.clear()

        async def act(origin: Origin = origin) -> None:
            await scan(desk.post, Scope(origin=origin, now_us=desk.clock.now_us))

        if desk.source.fails is None:
            await desk.during(act)
        else:
            with pytest.raises(OSError, match="the disk is gone"):
                await desk.during(act)
        assert {type(claim) for claim in desk.sent} == {kind}


async def test_a_source_without_lists_is_taken_one_by_one() -> None:
    source = Plain(Plain.Config())
    found: list[Listing | Same | Calm | Cell] = []
    async for claims in chunks(source, Scope()):
        found += claims
    assert [type(claim) for claim in found] == [Listing]
    assert source.closed == 1
