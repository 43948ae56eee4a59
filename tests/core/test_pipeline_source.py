"""The agent's pipe and its source: failures, bugs, and what fusion wants looked at."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator

import anyio
import pytest

from fustor_core.claims import Ack, Batch, Cell, Listing, Origin, Owe, Owed, Root, path_key
from fustor_core.contracts import Command, Scope
from fustor_core.testing import MemorySource, Rig

pytestmark = pytest.mark.anyio

UP = [1, 2, 258, 2]


# -- the source


async def test_a_scan_that_was_not_whole_is_done_again() -> None:
    rig = Rig()
    rig.source.break_scan(OSError(errno.EIO, "input/output error"))
    async with rig.running():
        await rig.reach(258)
        await rig.clock.advance(5)
        await rig.reach(66)
        assert rig.states == [*UP, 34, 258, 2, 34, 66]
        assert len(rig.source.scans) == 2


async def test_errors_of_the_source_count_until_a_whole_scan() -> None:
    rig = Rig(max_consecutive_errors=3)
    rig.source.break_scan(*[OSError(errno.EIO, "input/output error")] * 3)
    async with rig.running():
        await rig.clock.advance(5)
        await rig.clock.advance(10)
        await rig.reach(8)
        assert rig.pipe.document()["errors_in_row"] == 3
        await rig.clock.advance(20)
        await rig.reach(66)
        assert rig.pipe.document()["errors_in_row"] == 0


async def test_a_watch_that_cannot_be_had_is_an_init_failure() -> None:
    rig = Rig()
    rig.source.break_watch(OSError(errno.EMFILE, "too many instances"))
    async with rig.running():
        await rig.reach(8)
        await rig.clock.advance(5)
        await rig.reach(66)
        assert rig.states == [1, 8, 258, 2, 34, 66]


async def test_a_watch_that_fails_is_armed_again_and_everything_is_owed() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.source.break_watch(OSError(errno.EIO, "broken"))
        await rig.reach(258)
        rig.source.write("unseen")
        await rig.clock.advance(5)
        await rig.reach(66)
        rig.source.write("seen")
        await rig.arrived(lambda door: door.names == [b"seen"])
        owed = [c for c in rig.door.claims if isinstance(c, Owe) and c.origin is Origin.REALTIME]
        assert {(c.path, c.deep, c.reason) for c in owed} == {(b"/", True, "overflow")}
        assert owed[-1].stamp.t == rig.clock.now_us(), "also what happened before it was armed"
        assert len(rig.source.scans) == 2


async def test_audits_that_fail_wait_longer_each_time_though_the_snapshot_holds() -> None:
    """Seed 48: that a new one was not needed was taken for a source that works."""
    rig = Rig(audit_interval_sec=100)
    async with rig.running():
        await rig.reach(66)
        rig.source.break_scan(*[OSError(errno.EIO, "input/output error")] * 3)
        waits: list[float] = []
        for _ in range(1000):
            await rig.clock.advance(1)
            told = rig.pipe.document()
            if told["errors_in_row"] > len(waits) or (waits and told["backoff_s"] > waits[-1]):
                waits.append(told["backoff_s"])
            if len(waits) == 3:
                break
        assert waits == [5, 10, 20]
        await rig.clock.advance(20)
        await rig.clock.advance(200)
        await rig.reach(66)
        assert rig.pipe.document()["errors_in_row"] == 0


async def test_a_vanished_root_is_told_and_heals_by_itself() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.source.vanish()
        await rig.arrived(
            lambda door: any(isinstance(c, Root) and not c.present for c in door.claims)
        )
        await rig.reach(258)
        told = len(rig.door.claims)
        assert not any(isinstance(c, Cell) for c in rig.door.claims), "nothing was deleted"
        await rig.clock.advance(5)
        await rig.clock.advance(10)
        rig.source.come_back()
        await rig.clock.advance(60)
        await rig.reach(66)
        after = rig.door.claims[told:]
        assert {c.reason for c in after if isinstance(c, Owe) and c.path == b"/"} == {
            "vanished_root"
        }
        assert any(isinstance(c, Root) and c.present for c in after)
        assert any(isinstance(c, Listing) for c in after)


async def test_without_a_root_no_try_counts_as_progress() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.source.vanish()
        await rig.reach(258)
        since = rig.clock.now_us()
        for _ in range(12):
            await rig.clock.advance(5)
        beats = rig.door.guests[0].beats
        assert len(beats) > 3
        assert {beat.scan["progress_us"] if beat.scan else 0 for beat in beats[-3:]} == {since}
        rig.source.come_back()
        for _ in range(20):
            await rig.clock.advance(5)
        await rig.reach(66)
        assert rig.door.guests[0].beats[-1].scan is None


async def test_another_storage_at_the_root_is_told() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.source.come_back("memory:2")
        await rig.clock.advance(3)
        await rig.arrived(
            lambda door: any(isinstance(c, Root) and c.identity == "memory:2" for c in door.claims)
        )
        await rig.until(lambda: 258 in rig.states[6:])
        assert rig.source.watches == 1
        await rig.clock.advance(5)
        await rig.reach(66)
        assert rig.source.watches == 2, "the old watch stood on the old storage"


class _Buggy:
    """A source with a bug."""

    Config = Rig().source.Config

    def __init__(self, config: object) -> None:
        pass

    async def scan(self, scope: Scope) -> AsyncIterator[Listing]:
        raise KeyError("a bug")
        yield scope.listing(b"/", {})


async def test_a_bug_ends_the_pipe_and_its_state_says_so() -> None:
    rig = Rig()
    rig.pipe.source = rig.pipe._post.source = _Buggy(None)
    with pytest.RaisesGroup(pytest.RaisesExc(KeyError), flatten_subgroups=True):
        await rig.pipe.run()
    assert int(rig.pipe.state) == 0


async def test_a_pipe_that_a_bug_has_ended_can_run_again() -> None:
    rig = Rig()
    rig.source.break_scan(KeyError("a bug"))
    with pytest.RaisesGroup(pytest.RaisesExc(KeyError), flatten_subgroups=True):
        await rig.pipe.run()
    async with rig.running():
        await rig.reach(66)
    await rig.pipe.run()  # stopped for good: nothing happens
    assert int(rig.pipe.state) == 0


async def test_a_cancelled_pipe_is_stopped() -> None:
    rig = Rig()
    async with anyio.create_task_group() as group:
        group.start_soon(rig.pipe.run)
        await rig.reach(34)
        group.cancel_scope.cancel()
    assert rig.states == [*UP, 34, 258, 1024, 512, 0], "a bit never outlives its task"
    assert rig.source.running == 0


# -- what fusion wants


def command(kind: str, *paths: bytes, recursive: bool = False) -> Command:
    targets = tuple((None, path) for path in paths)
    return Command(f"{kind}-{paths}-{recursive}", kind, targets, recursive)


async def test_commands_are_done_and_only_once() -> None:
    rig = Rig(audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        scans = len(rig.source.scans)
        orders = [
            command("look", b"/b/c", b"/b/gone"),
            command("list", b"/b"),
            command("scan", b"/b", recursive=True),
            command("watch", b"/b/d"),
        ]
        for one in [*orders, *orders]:
            rig.door.ask(one)
        await rig.clock.advance(11)
        await rig.clock.advance(1)
        assert rig.source.looked == [b"/b/c", b"/b/gone"]
        assert rig.source.covered == [b"/b/d"]
        assert sorted(rig.source.scans[scans:]) == sorted(
            [(b"/b", True, Origin.ON_DEMAND), (b"/b", False, Origin.SENTINEL)]
        )
        gone = [c for c in rig.door.claims if isinstance(c, Cell) and c.name == b"gone"]
        assert [(c.value, c.origin) for c in gone] == [(None, Origin.SENTINEL)]
        assert not rig.source.overlapped


async def test_a_follower_does_what_it_is_asked_for_on_demand() -> None:
    rig = Rig(leads=False)
    async with rig.running():
        await rig.reach(70)
        rig.door.ask(command("look", b"/a"))
        rig.door.ask(command("list", b"/b"))
        await rig.clock.advance(11)
        await rig.clock.advance(1)
        await rig.arrived(lambda door: b"a" in door.names)
        assert rig.door.scan_origins == {Origin.ON_DEMAND}
        assert int(rig.pipe.state) == 70


class _Polled(MemorySource):
    """Its scans arm nothing."""

    polls = "everything"


async def test_a_follower_walks_the_tree_only_where_that_arms_watches() -> None:
    scans = []
    for source in (MemorySource, _Polled):
        rig = Rig(source=source, leads=False)
        async with rig.running():
            await rig.reach(70)
            await rig.clock.advance(5)
            scans.append(len(rig.source.scans))
    assert scans == [1, 0]


async def test_the_sentinel_can_be_switched_off() -> None:
    rig = Rig(sentinel_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        rig.door.ask(command("look", b"/a"))
        rig.door.ask(command("scan", b"/b"))
        await rig.clock.advance(11)
        await rig.arrived(lambda door: Origin.ON_DEMAND in door.scan_origins)
        assert rig.source.looked == []


async def test_a_directory_that_an_acknowledgement_owes_is_listed_soon_and_once() -> None:
    rig = Rig(audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        owed = (Owed(path_key(b"x"), b"/b"), Owed(path_key(b"x"), b"/b"))
        rig.door.owed = lambda batch: Ack(batch.seq, owed=owed)
        rig.source.write("b/new")
        await rig.arrived(lambda door: b"new" in door.names)
        rig.door.owed = None
        assert len(rig.source.scans) == 1, "coalesced: not at the very moment"
        await rig.clock.advance(0.1)
        await rig.arrived(lambda door: Origin.SENTINEL in door.scan_origins)
        assert rig.source.scans[1:] == [(b"/b", False, Origin.SENTINEL)]
        await rig.settle()
        assert rig.source.looked == [b"/b"], "another directory stands there: look at the way"


async def test_what_a_snapshot_owes_is_not_listed_twice() -> None:
    rig = Rig(audit_interval_sec=0)

    def owed(batch: Batch) -> Ack:
        own = [Owed(c.dir, c.path, c.deep) for c in batch.claims if isinstance(c, Owe)]
        return Ack(batch.seq, owed=tuple(own))

    rig.door.owed = owed
    async with rig.running():
        await rig.reach(66)
        await rig.clock.advance(1)
        assert len(rig.source.scans) == 1
        rig.source.lose()
        await rig.clock.advance(1)
        await rig.until(lambda: len(rig.source.scans) == 2)
        assert rig.source.scans[1] == (b"/", True, Origin.SENTINEL)
