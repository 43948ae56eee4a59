"""Claims of a scan by the hundred: asked for one by one, others have their turn."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from fustor_core.claims import Claim, Key, Listing, Origin, Stamp
from fustor_core.outbox import TURN_CLAIMS, Limits, Outbox
from fustor_core.testing import ManualClock

pytestmark = pytest.mark.anyio

HALF = 2  # as many batches as a half-full limit would make


def outbox(**limits: int) -> Outbox:
    quick = {"window_s": (0.0, 0.0), "scan_window_s": 0.0}
    return Outbox(Limits(**(quick | limits)), ManualClock().now_us)  # type: ignore[arg-type]


def listing(ino: int) -> Listing:
    key, stamp = Key(0, ino, ino), Stamp(1, 2, 1, "l")
    path = b"/d%d" % ino
    return Listing(dir=key, names=b"", rows=b"", stamp=stamp, origin=Origin.SNAPSHOT, path=path)


async def taken(box: Outbox) -> list[Claim]:
    batch = await box.take()
    box.acknowledged()
    return batch.claims


async def test_what_there_is_no_room_for_is_not_asked_for() -> None:
    box = outbox(rows=10, scan_batches=HALF)
    asked: list[Listing] = []

    def claims() -> Iterator[Listing]:
        for i in range(100):
            asked.append(listing(i + 1))
            yield asked[-1]

    async with anyio.create_task_group() as group:
        group.start_soon(box.put_all, claims())
        await anyio.wait_all_tasks_blocked()
        assert len(asked) == 10 * HALF + 1, "the one that waits for room"
        sent = []
        while len(sent) < 100:
            sent += await taken(box)
            await anyio.wait_all_tasks_blocked()
    assert sent == asked


async def test_a_long_scan_lets_others_run() -> None:
    box = outbox()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        await box.put_all(listing(i + 1) for i in range(10 * TURN_CLAIMS))
        group.cancel_scope.cancel()
    assert turns >= 9


async def test_a_scan_that_breaks_off_leaves_what_it_has_put() -> None:
    def claims() -> Iterator[Listing]:
        yield listing(1)
        raise OSError

    box = outbox()
    with pytest.raises(OSError):
        await box.put_all(claims())
    assert await taken(box) == [listing(1)]
