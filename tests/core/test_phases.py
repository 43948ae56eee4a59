"""Snapshot, audit, message, sentinel: what each of them puts into the outbox."""

from __future__ import annotations

import errno
from typing import Any

import anyio
import pytest

from fustor_core.claims import MOVED, Cell, Claim, Listing, Origin, Owe, Root
from fustor_core.contracts import Command
from fustor_core.orders import FIRST_US
from fustor_core.phases import (
    ROOT_LOOK_S,
    attend,
    audit,
    message,
    prove,
    sentinel,
    snapshot,
    stand,
)

from .desk import Desk, Plain

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk() -> Desk:
    return Desk()


def kinds(claims: list[Claim]) -> list[type]:
    return [type(claim) for claim in claims]


# -- whole scans


async def test_a_snapshot_is_a_proof_what_is_owed_the_listings_and_a_proof(desk: Desk) -> None:
    await desk.during(lambda: snapshot(desk.post, owe=True))
    assert kinds(desk.sent) == [Root, Owe, Listing, Listing, Listing, Root]
    assert {c.origin for c in desk.sent[:-1]} == {Origin.SNAPSHOT}
    owe, first = desk.sent[1], desk.sent[2]
    assert isinstance(owe, Owe)
    assert owe.stamp.t <= first.stamp.f, "each listing looked later than what it settles"
    assert desk.source.scans == [(b"/", True, Origin.SNAPSHOT)]


async def test_an_audit_owes_nothing(desk: Desk) -> None:
    await desk.during(lambda: audit(desk.post))
    assert kinds(desk.sent) == [Root, Listing, Listing, Listing, Root]
    assert {c.origin for c in desk.sent[:-1]} == {Origin.AUDIT}


async def test_the_root_of_a_source_without_an_identity_always_holds() -> None:
    desk = Desk(Plain(Plain.Config()))
    await desk.during(lambda: snapshot(desk.post, owe=True))
    assert kinds(desk.sent) == [Root, Owe, Listing, Root]
    proof, _, listing, _ = desk.sent
    assert isinstance(proof, Root)
    assert isinstance(listing, Listing)
    assert proof.key == listing.dir, "its key is the one that `Scope.listing` makes"
    assert desk.source.closed == 1


async def test_a_scan_is_over_when_it_is_acknowledged(desk: Desk) -> None:
    over = False

    async def scan() -> None:
        nonlocal over
        await snapshot(desk.post, owe=False)
        over = True

    async with anyio.create_task_group() as group:
        group.start_soon(scan)
        await desk.clock.advance(0)
        assert not over
        group.start_soon(desk.carry)
        await desk.clock.advance(0)
        assert over
        group.cancel_scope.cancel()


async def test_a_cancelled_scan_closes_its_source_and_gives_its_turn_back() -> None:
    desk = Desk(Plain(Plain.Config()))
    with anyio.move_on_after(0.01):
        await snapshot(desk.post, owe=False)
    assert desk.source.closed == 1
    assert desk.post.progress is None
    assert not desk.post.turn.locked()


async def test_a_missing_root_is_told_and_not_scanned(desk: Desk) -> None:
    desk.source.vanish()
    with pytest.raises(OSError, match="not there") as caught:
        await desk.during(lambda: snapshot(desk.post, owe=True))
    assert caught.value.errno == errno.ENODEV
    assert [(type(c), getattr(c, "present", None)) for c in desk.sent] == [(Root, False)]
    assert desk.source.scans == []


async def test_a_storage_that_changes_during_the_scan_is_told(desk: Desk) -> None:
    at_gate = desk.source.hold()

    async def scan() -> None:
        with pytest.raises(OSError, match="another storage") as caught:
            await snapshot(desk.post, owe=False)
        assert caught.value.errno == errno.ESTALE

    async def swap() -> None:
        await at_gate.wait()
        desk.source.come_back("memory:2")
        desk.source.release()

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(swap)
            await scan()

    await desk.during(both)
    last = desk.sent[-1]
    assert isinstance(last, Root)
    assert last.identity == "memory:2"


async def test_a_watch_that_begins_on_another_storage_is_told(desk: Desk) -> None:
    async def begins() -> None:
        await stand(desk.post)  # nothing was proven yet: what stands there is the right one
        await snapshot(desk.post, owe=False)
        await stand(desk.post)
        desk.source.come_back("memory:2")
        with pytest.raises(OSError, match="another storage"):
            await stand(desk.post)
        desk.source.vanish()
        await stand(desk.post)  # `attend` tells of it

    await desk.during(begins)
    last = desk.sent[-1]
    assert isinstance(last, Root)
    assert (last.identity, last.present) == ("memory:2", True)


async def test_progress_is_seen_while_a_scan_runs(desk: Desk) -> None:
    seen: list[dict[str, int]] = []
    at_gate = desk.source.hold()

    async def look() -> None:
        await at_gate.wait()
        desk.clock.tick(50)
        assert desk.post.progress is not None
        seen.append(desk.post.progress.document())
        desk.source.release()

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await snapshot(desk.post, owe=False)

    began = desk.clock.now_us()
    await desk.during(both)
    assert seen == [{"started_us": began, "progress_us": began, "directories": 0}]
    assert desk.post.progress is None


# -- messages and the root


async def test_messages_pass_on_what_is_seen_in_its_order(desk: Desk) -> None:
    async with desk.source.watch() as seen, anyio.create_task_group() as group:
        group.start_soon(desk.carry)
        group.start_soon(message, desk.post, seen)
        desk.source.mkdir("new")
        desk.source.move("a", "new/a")
        await desk.clock.advance(0)
        group.cancel_scope.cancel()
    assert kinds(desk.sent) == [Cell, Listing, Cell, Cell]
    assert [c.flags for c in desk.sent if isinstance(c, Cell)] == [0, MOVED, MOVED]


async def test_the_root_is_looked_at_again_and_again(desk: Desk) -> None:
    raised: list[OSError] = []

    async def watch_root() -> None:
        try:
            await attend(desk.post)
        except OSError as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(desk.carry)
        group.start_soon(watch_root)
        await desk.clock.advance(10 * ROOT_LOOK_S)
        assert not raised
        desk.source.vanish()
        await desk.clock.advance(ROOT_LOOK_S)
        assert [error.errno for error in raised] == [errno.ENODEV]
        group.cancel_scope.cancel()


async def test_who_was_ended_while_it_told_that_the_root_is_gone_tells_that_it_is_back(
    desk: Desk,
) -> None:
    desk.source.vanish()
    async with anyio.create_task_group() as group:
        group.start_soon(prove, desk.post)
        await desk.clock.advance(0)
        group.cancel_scope.cancel()  # as a pipe whose session breaks before that is delivered
    desk.source.come_back()
    await desk.during(lambda: prove(desk.post))
    assert [getattr(claim, "present", None) for claim in desk.sent] == [False, True]


async def test_a_source_without_an_identity_has_no_root_to_look_at() -> None:
    desk = Desk(Plain(Plain.Config()))
    await attend(desk.post)
    assert (await prove(desk.post)).present


# -- the sentinel


async def obeyed(desk: Desk, *commands: Command, leads: bool = True) -> list[Claim]:
    """What comes of some commands."""
    async with anyio.create_task_group() as group:
        group.start_soon(desk.carry)
        group.start_soon(sentinel, desk.post, lambda: leads)
        await desk.clock.advance(0)
        for command in commands:
            desk.post.orders.take_command(command, desk.clock.now_us())
        desk.post.news.set()
        await desk.clock.advance(2 * FIRST_US / 1e6)
        group.cancel_scope.cancel()
    return desk.sent


def command(kind: str, path: bytes, *, key: Any = None, recursive: bool = False) -> Command:
    return Command(kind + path.decode(), kind, ((key, path),), recursive)


@pytest.mark.parametrize(("leads", "origin"), [(True, Origin.SENTINEL), (False, Origin.ON_DEMAND)])
async def test_looks_claim_the_way_and_the_name(desk: Desk, leads: bool, origin: Origin) -> None:
    sent = await obeyed(desk, command("look", b"/b/d/e"), leads=leads)
    assert [c.name for c in sent if isinstance(c, Cell)] == [b"b", b"d", b"e"]
    assert {c.origin for c in sent} == {origin}


async def test_a_list_is_one_directory_and_a_deep_one_all_below(desk: Desk) -> None:
    sent = await obeyed(desk, command("list", b"/b"))
    assert [c.path for c in sent] == [b"/b"]
    desk = Desk()
    sent = await obeyed(desk, command("list", b"/b", recursive=True))
    assert [c.path for c in sent] == [b"/b", b"/b/d"]


async def test_a_scan_on_demand_says_so(desk: Desk) -> None:
    sent = await obeyed(desk, command("scan", b"/", recursive=True))
    assert [(c.path, c.origin) for c in sent if isinstance(c, Listing)] == [
        (b"/", Origin.ON_DEMAND),
        (b"/b", Origin.ON_DEMAND),
        (b"/b/d", Origin.ON_DEMAND),
    ]


async def test_a_directory_that_is_gone_is_looked_for(desk: Desk) -> None:
    sent = await obeyed(desk, command("list", b"/b/gone"))
    assert [(c.name, c.value is None) for c in sent if isinstance(c, Cell)] == [
        (b"b", False),
        (b"gone", True),
    ]


async def test_another_directory_at_the_place_is_claimed_by_its_edge(desk: Desk) -> None:
    sent = await obeyed(desk, command("list", b"/b", key=(0, 99, 99)))
    assert kinds(sent) == [Listing, Cell, Cell]
    assert [c.name for c in sent[1:]] == [b"b", b""], "the edge, and what stands there by itself"


async def test_directories_to_watch_are_passed_on(desk: Desk) -> None:
    await obeyed(desk, command("watch", b"/b/d"))
    assert desk.source.covered == [b"/b/d"]


async def test_a_source_without_powers_is_asked_for_none() -> None:
    desk = Desk(Plain(Plain.Config()))
    sent = await obeyed(desk, command("look", b"/a"), command("watch", b"/a"))
    assert sent == []


async def test_the_sentinel_waits_for_its_turn(desk: Desk) -> None:
    at_gate = desk.source.hold()
    async with anyio.create_task_group() as group:
        group.start_soon(desk.carry)
        group.start_soon(lambda: snapshot(desk.post, owe=False))
        await at_gate.wait()
        group.start_soon(sentinel, desk.post, lambda: True)
        desk.post.orders.take_command(command("scan", b"/b"), desk.clock.now_us())
        await desk.clock.advance(1)
        assert len(desk.source.scans) == 1
        desk.source.release()
        await desk.clock.advance(1)
        assert len(desk.source.scans) == 2
        assert not desk.source.overlapped
        group.cancel_scope.cancel()
