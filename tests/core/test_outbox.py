"""The queues between source and sink: order, sizes, waiting, losing."""

from __future__ import annotations

import anyio
import pytest

from fustor_core.claims import (
    LEADER_ONLY,
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Stamp,
    pack_rows,
)
from fustor_core.outbox import Limits, Outbox
from fustor_core.owing import DIRECTORIES_MAX
from fustor_core.queues import rows_of, wire_bytes
from fustor_core.testing import ManualClock

pytestmark = pytest.mark.anyio

ROOT = Key(0, 1, 1)
HALF = 2  # as many batches as a half-full limit would make


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


# -- order and numbers


async def test_what_was_watched_goes_before_what_was_scanned(box: Outbox) -> None:
    await box.put(listing(1))
    await box.put(listing(2))
    box.tell([cell(b"a"), cell(b"b")])
    assert await taken(box) == [cell(b"a"), cell(b"b"), listing(1), listing(2)]


async def test_batches_are_numbered_densely_and_carry_the_epoch(box: Outbox) -> None:
    seqs = []
    for epoch in (4, 5, 6):
        box.epoch = epoch
        box.tell([cell(b"a")])
        batch = await box.take()
        seqs.append((batch.seq, batch.epoch))
        box.acknowledged()
    assert seqs == [(1, 4), (2, 5), (3, 6)]


async def test_a_batch_is_handed_out_again_until_it_is_acknowledged(box: Outbox) -> None:
    box.tell([cell(b"a")])
    once = await box.take()
    box.tell([cell(b"b")])
    assert await box.take() is once
    box.acknowledged()
    assert (await box.take()).claims == [cell(b"b")]


async def test_the_proof_of_root_goes_first(box: Outbox) -> None:
    box.tell([cell(b"a")])
    box.tell_first(root())
    assert await taken(box) == [root(), cell(b"a")]


# -- sizes


@pytest.mark.parametrize("limits", [{"rows": 10}, {"wire_bytes": 10 * wire_bytes(cell(b"0"))}])
async def test_a_batch_ends_at_its_limit(clock: ManualClock, limits: dict[str, int]) -> None:
    box = outbox(clock, **limits)
    told = [cell(b"%d" % (i % 10)) for i in range(25)]
    box.tell(told)
    batches = [await taken(box) for _ in range(3)]
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [claim for batch in batches for claim in batch] == told


async def test_a_claim_larger_than_a_batch_is_a_batch(clock: ManualClock) -> None:
    box = outbox(clock, rows=10)
    box.tell([cell(b"a")])
    await box.put(listing(1, rows=50))
    assert await taken(box) == [cell(b"a")]
    assert await taken(box) == [listing(1, rows=50)]


async def test_bytes_are_counted_until_they_are_acknowledged(box: Outbox) -> None:
    claims = [cell(b"a"), cell(b"b")]
    box.tell(claims)
    await box.put(listing(1, rows=3))
    size = sum(map(wire_bytes, [*claims, listing(1, rows=3)]))
    assert (box.unacked_bytes, box.queued, box.idle) == (size, 3, False)
    await box.take()
    assert (box.unacked_bytes, box.queued, box.idle) == (size, 0, False)
    box.acknowledged()
    assert (box.unacked_bytes, box.queued, box.idle) == (0, 0, True)


# -- waiting


async def test_a_full_queue_slows_the_scan(clock: ManualClock) -> None:
    box = outbox(clock, rows=10, scan_batches=HALF)
    put = 0

    async def scan() -> None:
        nonlocal put
        for i in range(100):
            await box.put(listing(i + 1))
            put += 1

    async with anyio.create_task_group() as group:
        group.start_soon(scan)
        await anyio.wait_all_tasks_blocked()
        assert put == 10 * HALF
        await taken(box)
        await anyio.wait_all_tasks_blocked()
        assert put == 10 * HALF + 10
        while put < 100 or box.queued:
            await taken(box)
            await anyio.wait_all_tasks_blocked()


async def test_a_full_scan_queue_does_not_hold_up_the_watch(clock: ManualClock) -> None:
    box = outbox(clock, rows=1, scan_batches=1)
    await box.put(listing(1))
    box.tell([cell(b"a")])
    assert await taken(box) == [cell(b"a")]


async def test_take_waits_for_claims(box: Outbox) -> None:
    got: list[object] = []

    async def take() -> None:
        got.extend(await taken(box))

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        box.tell([cell(b"a")])
    assert got == [cell(b"a")]


async def test_claims_wait_for_company_within_the_window(clock: ManualClock) -> None:
    box = outbox(clock, window_s=(60.0, 60.0), rows=3)
    got: list[object] = []

    async def take() -> None:
        got.extend(await taken(box))

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        for name in (b"a", b"b", b"c"):
            await anyio.wait_all_tasks_blocked()
            assert got == []
            box.tell([cell(name)])
    assert len(got) == 3, "a full batch waits no longer"


async def test_a_lone_claim_goes_when_its_window_is_over(clock: ManualClock) -> None:
    least = 0.002
    box = outbox(clock, window_s=(least, least), scan_window_s=60.0)
    await box.put(listing(1))
    began = anyio.current_time()
    box.tell([cell(b"a")])
    assert len(await taken(box)) == 2
    assert anyio.current_time() - began >= least


async def test_a_busy_watch_widens_the_window_and_a_quiet_one_narrows_it() -> None:
    box = Outbox(Limits(), ManualClock().now_us)
    least, most = Limits().window_s
    windows = []
    for claims in (300, 300, 300, 300, 300, 1, 1, 1, 1, 1):
        box.tell([cell(b"a")] * claims)
        box._form()
        box.acknowledged()
        windows.append(box._window_s)
    assert windows[4] == most / 2
    assert windows[-1] == least
    assert windows == sorted(windows[:5]) + sorted(windows[5:], reverse=True)


@pytest.mark.parametrize(("takes_s", "window_s"), [(1.0, 0.020), (0.030, 0.015), (0.020, 0.010)])
async def test_a_watch_that_is_sent_slowly_waits_for_more_company(
    monkeypatch: pytest.MonkeyPatch, takes_s: float, window_s: float
) -> None:
    now_s = 0.0
    monkeypatch.setattr(anyio, "current_time", lambda: now_s)
    box = Outbox(Limits(), ManualClock().now_us)
    for _ in range(8):
        box.tell([cell(b"a")] * 300)
        box._form()
        now_s += takes_s
        box.acknowledged()
    assert box._window_s == pytest.approx(window_s)


async def test_flushed_waits_for_every_scan_claim(box: Outbox) -> None:
    done = False

    async def flush() -> None:
        nonlocal done
        await box.flushed()
        done = True

    await box.put(listing(1))
    async with anyio.create_task_group() as group:
        group.start_soon(flush)
        await anyio.wait_all_tasks_blocked()
        await box.take()
        await anyio.wait_all_tasks_blocked()
        assert not done, "it is not acknowledged yet"
        box.acknowledged()
    assert done


async def test_flushed_does_not_wait_for_the_watch(box: Outbox) -> None:
    box.tell([cell(b"a")])
    await box.take()
    with anyio.fail_after(20):
        await box.flushed()


# -- losing


async def test_an_overflow_owes_the_directories_that_it_lost(clock: ManualClock) -> None:
    box = outbox(clock, spool_bytes=20_000)
    box.tell_first(root())
    many = 20_000 // wire_bytes(cell(b"0"))
    clock.tick(500)
    box.tell([cell(b"%d" % i, ino=2 + i % 3) for i in range(many)])
    proof, *owed = await taken(box)
    assert proof == root()
    assert {(o.dir, o.path, o.deep) for o in owed} == {  # type: ignore[attr-defined]
        (Key(0, i, i), b"/d%d" % i, True) for i in (2, 3, 4)
    }
    for owe in owed:
        assert isinstance(owe, Owe)
        assert owe.reason == "overflow"
        assert owe.stamp.f == owe.stamp.t == clock.now_us(), "lost up to this instant"
        assert owe.origin not in LEADER_ONLY, "any role may send it"
    assert box.overflows == 1


async def test_an_overflow_of_many_directories_owes_the_root(clock: ManualClock) -> None:
    box = outbox(clock, spool_bytes=60_000)
    box.tell_first(root())
    count = max(DIRECTORIES_MAX + 1, 60_000 // wire_bytes(cell(b"0")))
    box.tell([cell(b"a", ino=i + 2) for i in range(count)])
    _, *owed = await taken(box)
    assert [(o.dir, o.path, o.deep) for o in owed] == [(ROOT, b"/", True)]  # type: ignore[attr-defined]


async def test_what_comes_after_an_overflow_is_kept(clock: ManualClock) -> None:
    box = outbox(clock, spool_bytes=20_000)
    box.tell([cell(b"a")] * 200)
    box.tell([cell(b"b")])
    owe, after = await taken(box)
    assert isinstance(owe, Owe)
    assert after == cell(b"b")


async def test_a_scan_does_not_count_against_the_spool(clock: ManualClock) -> None:
    box = outbox(clock, spool_bytes=1000)
    await box.put(listing(1, rows=1000))
    box.tell([cell(b"a")])
    assert box.overflows == 0


async def test_a_lost_session_looks_again_and_owes(box: Outbox, clock: ManualClock) -> None:
    owe = Owe(
        dir=Key(0, 3, 3),
        deep=False,
        reason="overflow",
        stamp=Stamp(1, 1, 1, "w"),
        origin=Origin.REALTIME,
        path=b"/d3",
    )
    box.tell([root(), cell(b"a"), cell(b"b"), cell(b"a"), owe])
    await box.put(listing(2))
    await box.take()
    box.tell([cell(b"not sent yet")])
    await box.put(listing(5))  # of a leadership that is over
    clock.tick(9)
    again = box.lost()
    assert [c.name for c in again] == [b"b", b"a"], "each name once"
    rest = await taken(box)
    assert [(o.dir, o.deep, o.path) for o in rest[:2]] == [  # type: ignore[attr-defined]
        (Key(0, 3, 3), True, b"/d3"),
        (Key(0, 2, 2), True, b"/d2"),
    ]
    assert all(o.stamp.t == clock.now_us() for o in rest[:2])  # type: ignore[attr-defined]
    assert rest[2:] == [cell(b"not sent yet")]


async def test_a_new_session_numbers_from_one(box: Outbox) -> None:
    for _ in range(3):
        box.tell([cell(b"a")])
        await box.take()
        box.acknowledged()
    box.lost()
    box.tell([cell(b"b")])
    assert (await box.take()).seq == 1


async def test_a_lost_leadership_drops_its_scans_and_keeps_what_was_asked_for(box: Outbox) -> None:
    await box.put(listing(1))
    await box.put(listing(2, origin=Origin.ON_DEMAND))
    await box.put(cell(b"a", origin=Origin.SENTINEL))
    box.tell([cell(b"b")])
    box.drop_scans()
    assert await taken(box) == [cell(b"b"), listing(2, origin=Origin.ON_DEMAND)]


async def test_a_stale_epoch_costs_the_scan_claims_and_no_number(box: Outbox) -> None:
    await box.put(root(Origin.SNAPSHOT))
    await box.put(listing(1))
    box.tell([cell(b"a")])
    await box.take()
    await box.put(root(Origin.SNAPSHOT))
    await box.put(listing(2))
    box.epoch = 7
    box.strip()
    batch = await box.take()
    assert (batch.seq, batch.epoch, batch.claims) == (1, 7, [cell(b"a")])
    box.acknowledged()
    assert box.idle


async def test_a_stale_batch_of_nothing_but_scans_gives_its_number_back(box: Outbox) -> None:
    await box.put(listing(1))
    await box.take()
    box.epoch = 7
    box.strip()
    box.tell([cell(b"a")])
    batch = await box.take()
    assert (batch.seq, batch.claims) == (1, [cell(b"a")])


async def test_owe_root_needs_to_know_the_root(box: Outbox) -> None:
    box.owe_root("overflow")
    assert box.idle
    await box.put(listing(1))
    await taken(box)
    box.owe_root("overflow")
    (owe,) = await taken(box)
    assert isinstance(owe, Owe)
    assert (owe.dir, owe.path, owe.deep) == (ROOT, b"/", True)


def test_rows_are_counted_as_they_are_stored() -> None:
    assert rows_of(cell(b"a")) == rows_of(listing(1, rows=0)) == 1
    assert rows_of(listing(1, rows=17)) == 17
