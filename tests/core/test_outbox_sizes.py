"""The queues between source and sink: batches that the other end refuses, and what is left."""

from __future__ import annotations

import anyio
import pytest

from fustor_core.claims import Cell, Key, Listing, Origin, Owe, Root, Row, Stamp, pack_rows
from fustor_core.outbox import WIRE_LEAST, Limits, Outbox
from fustor_core.owing import DIRECTORIES_MAX
from fustor_core.queues import wire_bytes
from fustor_core.testing import ManualClock

pytestmark = pytest.mark.anyio

ROOT = Key(0, 1, 1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def box(clock: ManualClock) -> Outbox:
    return outbox(clock)


def outbox(clock: ManualClock, **limits: object) -> Outbox:
    quick = {"window_s": (0.0, 0.0), "scan_window_s": 0.0}
    return Outbox(Limits(**(quick | limits)), clock.now_us)  # type: ignore[arg-type]


def cell(name: bytes, ino: int = 1, origin: Origin = Origin.REALTIME) -> Cell:
    path = b"/" if ino == 1 else b"/d%d" % ino
    value = Row(size=7).pack()
    stamp = Stamp(1, 1, 1, "e")
    key = Key(0, ino, ino)
    return Cell(dir=key, name=name, value=value, stamp=stamp, origin=origin, path=path)


def listing(ino: int = 1, rows: int = 1, origin: Origin = Origin.SNAPSHOT) -> Listing:
    names, blob = pack_rows({b"%06d" % i: Row(size=i) for i in range(rows)})
    path = b"/" if ino == 1 else b"/d%d" % ino
    stamp = Stamp(1, 2, 1, "l")
    key = Key(0, ino, ino)
    return Listing(dir=key, names=names, rows=blob, stamp=stamp, origin=origin, path=path)


def root(origin: Origin = Origin.REALTIME) -> Root:
    return Root(key=ROOT, identity="x", stamp=Stamp(1, 1, 0, "s"), origin=origin)


async def taken(box: Outbox) -> list[object]:
    batch = await box.take()
    box.acknowledged()
    return list(batch.claims)


# -- batches that are too large for the other end


async def all_taken(box: Outbox) -> list[list[object]]:
    batches = []
    while not box.idle:
        batches.append(await taken(box))
    return batches


async def test_a_session_may_allow_less_than_the_own_limits(box: Outbox) -> None:
    box.allow(10, 8 << 20)
    box.tell([cell(b"%d" % i) for i in range(25)])
    assert [len(batch) for batch in await all_taken(box)] == [10, 10, 5]
    box.allow(1000, 2 * 10 * wire_bytes(cell(b"00")))
    box.tell([cell(b"%02d" % i) for i in range(99)])
    assert max(map(len, await all_taken(box))) <= WIRE_LEAST // wire_bytes(cell(b"00"))


async def test_no_session_makes_batches_larger_than_the_own_limits(clock: ManualClock) -> None:
    box = outbox(clock, rows=5)
    box.allow(1000, 1 << 30)
    box.tell([cell(b"%d" % i) for i in range(10)])
    assert [len(batch) for batch in await all_taken(box)] == [5, 5]


async def test_a_batch_that_is_too_large_goes_in_halves_under_the_same_number(box: Outbox) -> None:
    told = [cell(b"%d" % i) for i in range(7)]
    box.tell(told)
    await box.put(listing(2))
    whole = await box.take()
    box.tell([cell(b"late")])
    assert box.split()
    half = await box.take()
    assert (half.seq, half.claims) == (whole.seq, told[:4])
    assert box.split()
    quarter = await box.take()
    assert (quarter.seq, quarter.claims) == (whole.seq, told[:2])
    assert box.queued == 7
    sent, seqs = [], []
    while not box.idle:
        batch = await box.take()
        sent += batch.claims
        seqs.append(batch.seq)
        box.acknowledged()
    assert sent == [*told, listing(2), cell(b"late")], "all of it, in the same order"
    assert seqs == list(range(1, len(seqs) + 1))


async def test_one_claim_cannot_be_split(box: Outbox) -> None:
    await box.put(listing(1, rows=100))
    batch = await box.take()
    assert not box.split()
    assert await box.take() is batch


async def test_batches_get_smaller_after_one_was_too_large(box: Outbox) -> None:
    box.tell([cell(b"%03d" % i) for i in range(200)])
    await box.take()
    assert box.split()
    box.tell([cell(b"%03d" % i) for i in range(200)])
    assert max(map(len, await all_taken(box))) <= 100
    box.lost()
    box.tell([cell(b"%03d" % i) for i in range(200)])
    assert [len(batch) for batch in await all_taken(box)] == [200], "another session, another limit"


async def test_a_scan_is_not_over_while_half_of_it_waits(box: Outbox) -> None:
    for ino in range(1, 5):
        await box.put(listing(ino))
    await box.take()
    assert box.split()
    over = []

    async def flush() -> None:
        await box.flushed()
        over.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(flush)
        box.acknowledged()
        await anyio.wait_all_tasks_blocked()
        assert not over
        await all_taken(box)
    assert over == [True]


async def test_a_demotion_reaches_the_half_that_waits(box: Outbox) -> None:
    for ino in range(1, 5):
        await box.put(listing(ino))
    await box.take()
    assert box.split()
    box.strip()
    assert box.idle


async def test_a_lost_session_takes_the_half_that_waits_along(box: Outbox) -> None:
    box.tell([cell(b"a"), cell(b"b"), listing(2, origin=Origin.REALTIME)])
    await box.take()
    assert box.split()
    assert {c.name for c in box.lost()} == {b"a", b"b"}
    box.tell_first(root())
    first, second = (await box.take()).claims
    assert first == root(), "nothing goes before the proof of a new session"
    assert isinstance(second, Owe)


async def test_events_without_an_end_do_not_hold_a_scan_up(clock: ManualClock) -> None:
    box = outbox(clock, rows=10)
    await box.put(listing(1, rows=50))
    for _ in range(3):
        box.tell([cell(b"a"), cell(b"b")])
        batch = await box.take()
        box.acknowledged()
        if batch.claims == [listing(1, rows=50)]:
            break
    else:
        pytest.fail("a listing that fits into no batch with others never goes")


async def test_several_tasks_may_put_at_once(clock: ManualClock) -> None:
    box = outbox(clock, rows=10, scan_batches=1)

    async def put(ino: int) -> None:
        for _ in range(20):
            await box.put(listing(ino))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(put, 1)
            group.start_soon(put, 2)
            group.start_soon(put, 3)
            sent = 0
            while sent < 60:
                sent += len(await taken(box))


# -- what a stop leaves


async def test_what_is_left_is_every_directory_that_is_not_acknowledged(box: Outbox) -> None:
    box.tell([root(), cell(b"a", 2)])
    await box.take()
    box.tell([cell(b"", 3)])
    await box.put(listing(4, origin=Origin.ON_DEMAND))
    await box.put(listing(5, origin=Origin.SNAPSHOT))
    assert [(o.path, o.deep) for o in box.left()] == [
        (b"/d2", True),
        (b"/d3", False),
        (b"/d4", True),
    ]
    box.tell([cell(b"a", ino) for ino in range(10, 10 + DIRECTORIES_MAX)])
    assert [(o.path, o.deep) for o in box.left()] == [(b"/", True)]


async def test_what_is_void_is_never_sent(box: Outbox) -> None:
    box.tell([root(), cell(b"a")])
    await box.put(listing(2))
    box.void()
    assert box.idle
    assert box.root is None
