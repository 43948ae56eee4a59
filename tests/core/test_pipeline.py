"""The agent's pipe: its states by exact integers, its roles, its errors, its end."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator

import anyio
import pytest

from fustor_core.claims import Ack, Batch, Cell, Listing, Origin, Owe, Owed, Root, path_key
from fustor_core.contracts import Command, Scope
from fustor_core.errors import (
    DiskFull,
    IllegalTransition,
    Refused,
    SlowDown,
    Unreachable,
)
from fustor_core.outbox import Limits
from fustor_core.pipeline import FusionPipeline, PipelineState
from fustor_core.testing import ListSink, MemoryDoor, Rig

pytestmark = pytest.mark.anyio

UP = [1, 2, 258, 2]
DOWN = [1024, 512, 0]


def origins(door: MemoryDoor) -> set[Origin]:
    return {claim.origin for claim in door.claims if isinstance(claim, Listing)}


def names(door: MemoryDoor) -> list[bytes]:
    return [claim.name for claim in door.claims if isinstance(claim, Cell)]


# -- the leader


async def test_a_leader_scans_and_then_follows_messages() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        assert rig.states == [*UP, 34, 66]
    assert rig.states == [*UP, 34, 66, *DOWN]
    paths = [claim.path for claim in rig.door.claims if isinstance(claim, Listing)]
    assert paths == [b"/", b"/b", b"/b/d"]
    assert rig.door.closed == ["session-1"]


async def test_a_snapshot_stands_between_two_proofs_and_owes_everything_first() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
    first, *rest = rig.door.claims
    assert isinstance(first, Root), "claims without a proven root are refused"
    kinds = [type(claim) for claim in rest]
    assert kinds == [Root, Owe, Listing, Listing, Listing, Root]
    owe = rest[1]
    assert isinstance(owe, Owe)
    assert (owe.path, owe.deep, owe.origin) == (b"/", True, Origin.SNAPSHOT)


async def test_the_watch_is_armed_before_the_snapshot_and_its_claims_go_at_once() -> None:
    rig = Rig()
    async with rig.running():
        held = rig.source.hold()
        await held.wait()
        rig.source.write("new", 7)
        await rig.arrived(lambda door: names(door) == [b"new"])
        assert int(rig.pipe.state) == 34
        assert not origins(rig.door), "the scan stands still"
        rig.source.release()
        await rig.reach(66)


async def test_the_snapshot_is_over_when_it_is_acknowledged() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(34)
        rig.door.hold()
        await rig.settle()
        assert int(rig.pipe.state) == 34
        rig.door.release()
        await rig.reach(66)


async def test_an_audit_runs_beside_messages() -> None:
    rig = Rig(audit_interval_sec=600)
    async with rig.running():
        await rig.reach(66)
        held = rig.source.hold()
        await rig.clock.advance(600)
        await held.wait()
        assert int(rig.pipe.state) == 194
        rig.source.write("meanwhile")
        await rig.arrived(lambda door: b"meanwhile" in names(door))
        rig.source.release()
        await rig.reach(66)
        assert rig.states == [*UP, 34, 66, 194, 66]
        assert origins(rig.door) == {Origin.SNAPSHOT, Origin.AUDIT}
        assert rig.pipe.audits == 1


@pytest.mark.parametrize(
    ("own", "granted", "expected"), [(None, 5.0, True), (0, 5.0, False), (5, 0.0, True)]
)
async def test_a_pipe_s_own_audit_interval_wins(
    own: float | None, granted: float, expected: bool
) -> None:
    rig = Rig(**({} if own is None else {"audit_interval_sec": own}))
    rig.door.audit_s = granted
    async with rig.running():
        await rig.reach(66)
        await rig.clock.advance(6)
        assert (194 in rig.states) is expected


# -- roles


async def test_a_realtime_follower_sends_what_it_sees_and_scans_nothing() -> None:
    rig = Rig(leads=False)
    async with rig.running():
        await rig.reach(70)
        rig.source.write("seen")
        await rig.arrived(lambda door: b"seen" in names(door))
        assert rig.source.scans == []
        assert {batch.epoch for batch in rig.door.batches} == {0}
    assert rig.states == [*UP, 70, *DOWN]


async def test_a_standby_sends_nothing_and_keeps_what_it_sees() -> None:
    rig = Rig(leads=False, follower="standby")
    async with rig.running():
        await rig.reach(6)
        rig.source.write("seen")
        await rig.clock.advance(30)
        assert rig.door.batches == []
        rig.door.promote()
        await rig.clock.advance(11)
        await rig.reach(66)
        assert b"seen" in names(rig.door)
        assert rig.states == [*UP, 6, 34, 66]


async def test_a_follower_is_promoted_and_its_events_never_stop() -> None:
    rig = Rig(leads=False)
    async with rig.running():
        await rig.reach(70)
        rig.door.promote()
        held = rig.source.hold()
        await rig.clock.advance(11)
        await held.wait()
        assert int(rig.pipe.state) == 98
        rig.source.write("seen")
        await rig.arrived(lambda door: b"seen" in names(door))
        rig.source.release()
        await rig.reach(66)
        assert rig.states == [*UP, 70, 98, 66]


@pytest.mark.parametrize(("follower", "state"), [("realtime", 70), ("standby", 6)])
async def test_a_demotion_ends_all_leader_tasks_at_once(follower: str, state: int) -> None:
    rig = Rig(follower=follower)
    async with rig.running():
        held = rig.source.hold()
        await held.wait()
        rig.door.demote()
        await rig.clock.advance(11)
        await rig.reach(state)
        rig.source.release()
        await rig.settle()
        assert rig.source.running == 0, "the scan was cancelled"
        assert not origins(rig.door)
        assert rig.states == [*UP, 34, state]


async def test_a_demotion_in_an_audit() -> None:
    rig = Rig(audit_interval_sec=5)
    async with rig.running():
        await rig.reach(66)
        rig.source.hold()
        await rig.clock.advance(5)
        await rig.reach(194)
        rig.door.demote()
        await rig.clock.advance(11)
        await rig.reach(70)
        rig.source.release()
        await rig.clock.advance(30)
        assert rig.states == [*UP, 34, 66, 194, 70]


async def test_a_refused_epoch_costs_the_scan_and_no_number() -> None:
    rig = Rig()
    async with rig.running():
        held = rig.source.hold()
        await held.wait()
        rig.door.demote()
        rig.source.release()  # no heartbeat tells it: the next batch is refused
        await rig.reach(70)
        rig.source.write("after")
        await rig.arrived(lambda door: b"after" in names(door))
        assert not origins(rig.door)
        assert [batch.seq for batch in rig.door.batches] == list(
            range(1, len(rig.door.batches) + 1)
        )
        assert rig.pipe.document()["last_error"] is None


async def test_a_new_epoch_is_a_new_leadership() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.promote()  # it led before, but somebody else may have in between
        await rig.clock.advance(11)
        await rig.until(lambda: rig.states[-3:] == [70, 98, 66])
        assert len(rig.source.scans) == 2


# -- errors


async def test_the_back_off_table() -> None:
    rig = Rig(heartbeat_interval_sec=10_000, session_timeout_seconds=100_000)
    rig.door.heartbeat_s = 10_000
    async with rig.running():
        await rig.reach(66)
        rig.door.cut(DiskFull("full"))
        rig.source.write("kept")
        seen = []
        for delay_s in (5, 10, 20, 40):
            await rig.reach(258)
            await rig.settle()
            assert rig.pipe.document()["backoff_s"] == delay_s
            seen.append(int(rig.pipe.state))
            await rig.clock.advance(delay_s - 0.001)
            assert rig.pipe.document()["errors_in_row"] == len(seen)
            await rig.clock.advance(0.001)
        for _ in range(3):
            assert int(rig.pipe.state) == 8
            assert rig.pipe.document()["backoff_s"] == 60
            await rig.clock.advance(60)
        assert rig.states == [*UP, 34, 66, 258, 258, 258, 258, 8, 258, 8, 258, 8, 258, 8]
        rig.door.mend()
        await rig.clock.advance(60)
        await rig.reach(66)
        assert b"kept" in names(rig.door)
        assert rig.pipe.document()["errors_in_row"] == 0
        assert len(rig.source.scans) == 1, "the snapshot of this leadership still holds"


async def test_the_count_is_kept_until_something_useful_is_acknowledged() -> None:
    rig = Rig()
    rig.door.fail("open", *[Unreachable("no answer")] * 2)
    async with rig.running():
        await rig.clock.advance(5)
        await rig.clock.advance(10)
        await rig.reach(66)
        assert rig.states == [1, 2, 258, 258, 258, 2, 34, 66]
        assert rig.pipe.document()["errors_in_row"] == 0


async def test_errors_stop_the_pipe_if_it_is_told_so() -> None:
    rig = Rig(on_max_errors="stop", max_consecutive_errors=2, heartbeat_interval_sec=10_000)
    rig.door.heartbeat_s = 10_000
    rig.door.cut()
    async with rig.running():
        await rig.clock.advance(5)
        await rig.reach(8)
        await rig.clock.advance(300)
        assert int(rig.pipe.state) == 8
        rig.door.mend()
        rig.pipe.resume()
        await rig.reach(66)
        assert rig.states == [1, 2, 258, 258, 8, 258, 2, 34, 66]


async def test_a_refusal_needs_a_person() -> None:
    rig = Rig()
    rig.door.fail("open", Refused("key revoked"))
    async with rig.running():
        await rig.reach(8)
        await rig.clock.advance(300)
        assert int(rig.pipe.state) == 8
        assert "key revoked" in rig.pipe.document()["last_error"]
        rig.pipe.resume()
        await rig.reach(66)


async def test_a_person_may_cut_a_back_off_short() -> None:
    rig = Rig(max_consecutive_errors=1)
    rig.door.fail("open", Unreachable("no answer"))
    async with rig.running():
        await rig.reach(8)
        rig.pipe.resume()
        await rig.reach(66)


async def test_slow_down_is_no_error() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.fail("push", SlowDown("busy", retry_after_s=3))
        rig.source.write("late")
        await rig.clock.advance(2)
        assert b"late" not in names(rig.door)
        await rig.clock.advance(1)
        await rig.arrived(lambda door: b"late" in names(door))
        assert rig.states == [*UP, 34, 66]


async def test_heartbeats_survive_every_error_of_the_data_path() -> None:
    rig = Rig(max_consecutive_errors=1)
    async with rig.running():
        await rig.reach(66)
        rig.door.fail("push", *[DiskFull("full")] * 50)
        rig.source.write("stuck")
        await rig.reach(8)
        beats = len(rig.door.guests[0].beats)
        await rig.clock.advance(59)
        assert len(rig.door.guests[0].beats) - beats >= 5
        assert rig.door.guests[0].beats[-1].state in (8, 258)
        assert len(rig.door.opened) == 1, "the session lives on"


async def test_a_heartbeat_is_skipped_while_pushes_are_acknowledged() -> None:
    rig = Rig(heartbeat_interval_sec=10)
    async with rig.running():
        await rig.reach(66)
        quiet = len(rig.door.guests[0].beats)
        for i in range(6):
            await rig.clock.advance(9)
            rig.source.write(f"f{i}")
            await rig.arrived(lambda door, name=b"f%d" % i: name in names(door))
        busy = len(rig.door.guests[0].beats) - quiet
        await rig.clock.advance(54)
        alone = len(rig.door.guests[0].beats) - quiet - busy
        assert 0 < busy < alone, "but not for ever: role and commands ride on them"


async def test_a_silent_line_ends_the_session() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.cut()
        await rig.clock.advance(45)
        assert rig.pipe.link.session_id is None
        rig.door.mend()
        await rig.clock.advance(60)
        await rig.reach(66)
        assert len(rig.door.opened) == 2


# -- sessions


async def test_an_obsolete_session_is_replaced_at_once_and_what_was_lost_is_looked_at() -> None:
    rig = Rig(limits=Limits(window_s=(0.02, 0.02)))  # what is lost shall be in one batch
    async with rig.running():
        await rig.reach(66)
        rig.door.end("session-1", "expired")
        rig.source.write("lost", 5)
        rig.source.write("lost", 6)
        rig.source.mkdir("made")
        await rig.until(lambda: len(rig.door.opened) == 2 and rig.states[-1] == 66)
        assert rig.states == [*UP, 34, 66, 258, 2, 34, 66]
        assert rig.source.looked == [b"/lost", b"/made"]
        second = [b for b in rig.door.batches if b.seq == 1][1]
        assert isinstance(second.claims[0], Root)
        after = rig.door.claims[rig.door.claims.index(second.claims[0]) :]
        (lost,) = [c for c in after if isinstance(c, Cell) and c.name == b"lost"]
        assert lost.stamp.kind == "s", "a fresh look, nothing old is sent again"
        assert lost.origin is Origin.REALTIME
        (owe,) = [c for c in after if isinstance(c, Owe) and c.origin is Origin.REALTIME]
        assert (owe.path, owe.deep) == (b"/made", True)
        assert rig.clock.now_us() == 1_000_000_000, "no time has passed"


async def test_a_name_whose_directory_moved_leaves_it_owed() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.end("session-1", "expired")
        rig.source.write("b/lost", 5)
        rig.source.move("b", "elsewhere")
        await rig.until(lambda: rig.states[-1] == 66 and len(rig.door.opened) == 2)
        owed = [c for c in rig.door.claims if isinstance(c, Owe) and c.origin is Origin.REALTIME]
        assert [(c.path, c.deep) for c in owed] == [(b"/b", True)]


async def test_a_session_that_was_of_no_use_is_not_replaced_at_once() -> None:
    rig = Rig()
    rig.door.hold()
    async with rig.running():
        await rig.reach(34)
        rig.door.end("session-1", "expired")
        rig.door.release()
        await rig.reach(258)
        await rig.settle()
        assert len(rig.door.opened) == 1
        await rig.clock.advance(5)
        await rig.reach(66)


async def test_two_agents_with_one_id_do_not_duel() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.end("session-1", "replaced")
        rig.source.write("x")
        await rig.until(lambda: len(rig.door.opened) == 2 and rig.states[-1] == 66)
        rig.door.end("session-2", "replaced")
        rig.source.write("y")
        await rig.reach(8)
        await rig.settle()
        assert len(rig.door.opened) == 2, "twice within a timeout: back-off and alarm"


async def test_a_sink_without_sessions_leads_always() -> None:
    sink = ListSink(ListSink.Config())
    rig = Rig(sink=sink)
    sink.faults.append(Unreachable("no answer"))
    async with rig.running():
        await rig.reach(258)
        await rig.clock.advance(5)
        await rig.reach(66)
        rig.source.write("seen")
        await sink.until(lambda s: any(c.origin is Origin.REALTIME for c in s.batches[-1].claims))
        assert [batch.seq for batch in sink.batches] == list(range(1, len(sink.batches) + 1))
    assert rig.states == [1, 2, 34, 258, 2, 34, 66, *DOWN]


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
        await rig.arrived(lambda door: names(door) == [b"seen"])
        owed = [c for c in rig.door.claims if isinstance(c, Owe) and c.origin is Origin.REALTIME]
        assert {(c.path, c.deep) for c in owed} == {(b"/", True)}
        assert len(rig.source.scans) == 2


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
        assert any(isinstance(c, Root) and c.present for c in after)
        assert any(isinstance(c, Listing) for c in after)


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
    assert int(rig.pipe.state) == 0
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
        await rig.arrived(lambda door: b"a" in names(door))
        assert origins(rig.door) == {Origin.ON_DEMAND}
        assert int(rig.pipe.state) == 70


async def test_the_sentinel_can_be_switched_off() -> None:
    rig = Rig(sentinel_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        rig.door.ask(command("look", b"/a"))
        rig.door.ask(command("scan", b"/b"))
        await rig.clock.advance(11)
        await rig.arrived(lambda door: Origin.ON_DEMAND in origins(door))
        assert rig.source.looked == []


async def test_a_directory_that_an_acknowledgement_owes_is_listed_soon_and_once() -> None:
    rig = Rig(audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        owed = (Owed(path_key(b"x"), b"/b"), Owed(path_key(b"x"), b"/b"))
        rig.door.owed = lambda batch: Ack(batch.seq, owed=owed)
        rig.source.write("b/new")
        await rig.arrived(lambda door: b"new" in names(door))
        rig.door.owed = None
        assert len(rig.source.scans) == 1, "coalesced: not at the very moment"
        await rig.clock.advance(0.1)
        await rig.arrived(lambda door: Origin.SENTINEL in origins(door))
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


# -- what people want


async def test_a_paused_pipe_sends_nothing_and_goes_on_where_it_was() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.pipe.pause()
        assert int(rig.pipe.state) == 6
        rig.source.write("meanwhile")
        await rig.clock.advance(31)
        assert b"meanwhile" not in names(rig.door)
        assert rig.door.guests, "heartbeats go on"
        rig.pipe.resume()
        await rig.reach(66)
        await rig.arrived(lambda door: b"meanwhile" in names(door))
        assert rig.states == [*UP, 34, 66, 6, 2, 34, 66]
        assert len(rig.source.scans) == 1


async def test_a_pause_survives_a_lost_session() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.pipe.pause()
        rig.door.end("session-1", "expired")
        await rig.clock.advance(11)
        await rig.until(lambda: rig.states[-3:] == [258, 2, 6])


async def test_what_cannot_be_paused_or_resumed_says_so() -> None:
    rig = Rig()
    with pytest.raises(IllegalTransition):
        rig.pipe.pause()
    async with rig.running():
        await rig.reach(66)
        with pytest.raises(IllegalTransition):
            rig.pipe.resume()


async def test_a_changed_configuration_is_shown_until_a_restart() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.pipe.outdated()
        assert int(rig.pipe.state) == 82
        rig.pipe.restart()
        await rig.until(lambda: rig.states[-1] == 66 and 0 in rig.states)
        assert rig.states == [*UP, 34, 66, 82, *DOWN, *UP, 34, 66]
        assert rig.pipe.document()["generation"] == 2
        assert rig.door.closed == ["session-1"]


async def test_a_stop_sends_what_is_queued() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.hold()
        for i in range(50):
            rig.source.write(f"f{i}")
        await rig.settle()
        rig.pipe.stop()
        await rig.reach(512)
        rig.door.release()
    assert len(names(rig.door)) == 50
    assert rig.door.closed == ["session-1"]


async def test_a_stop_waits_no_longer_than_it_may() -> None:
    rig = Rig(drain_timeout_s=0.05)
    async with rig.running():
        await rig.reach(66)
        rig.door.hold()
        rig.source.write("never")
        await rig.settle()
        rig.pipe.stop()
        await rig.reach(0)
    rig.door.release()
    assert names(rig.door) == []


@pytest.mark.parametrize("state", [258, 8])
async def test_a_stop_in_trouble_does_not_wait(state: int) -> None:
    rig = Rig(max_consecutive_errors=5 if state == 258 else 1)
    rig.door.cut()
    async with rig.running():
        await rig.reach(state)
    assert rig.states[-3:] == DOWN


async def test_the_document_has_every_field_of_a_pipe() -> None:
    rig = Rig()
    rig.source.coverage_document = {
        "watched_dirs": 3,
        "watch_limit": 9,
        "uncovered": [b"/\xff", b"/b"],
    }
    async with rig.running():
        await rig.reach(66)
        told = rig.pipe.document()
    assert told == {
        "id": "p",
        "agent": "agent-1",
        "source": "memory:/tree",
        "sink": "memory",
        "view": "memory",
        "state": 66,
        "flags": ["RUNNING", "MESSAGE_PHASE"],
        "role": "leader",
        "session_id": "session-1",
        "epoch": 1,
        "queue": 0,
        "unacked_bytes": 0,
        "errors_in_row": 0,
        "backoff_s": 0.0,
        "last_error": None,
        "last_ack_at": told["last_ack_at"],
        "watched_dirs": 3,
        "watch_limit": 9,
        "uncovered": [{"path_b64": "L/8="}, "/b"],
        "generation": 1,
    }
    assert told["last_ack_at"].endswith("Z")


async def test_a_session_is_opened_with_all_that_fusion_has_to_know() -> None:
    rig = Rig(session_timeout_seconds=77)
    async with rig.running():
        await rig.reach(66)
    (hello,) = rig.door.opened
    assert (hello.agent_id, hello.pipe, hello.view) == ("agent-1", "p", "memory")
    assert hello.source == {"driver": "memory", "root_b64": "L3RyZWU=", "identity": "memory:1"}
    assert hello.line == {"boot": "boot", "process": "1", "mount": "memory:1", "cache_bound_s": 0}
    assert hello.can == {"realtime": True, "scan": True}
    assert hello.session_timeout_s == 77


async def test_heartbeats_carry_state_and_progress() -> None:
    rig = Rig(leads=True)
    async with rig.running():
        held = rig.source.hold()
        await held.wait()
        await rig.clock.advance(11)
        pulse = rig.door.guests[0].beats[-1]
        assert pulse.state == 34
        assert pulse.scan is not None
        assert set(pulse.scan) == {"started_us", "progress_us", "directories"}
        rig.source.release()
        await rig.reach(66)


async def test_a_queue_that_overflows_loses_nothing() -> None:
    rig = Rig(limits=Limits(window_s=(0, 0), scan_window_s=0, spool_bytes=20_000))
    async with rig.running():
        await rig.reach(66)
        rig.door.cut()
        for i in range(300):
            rig.source.write(f"f{i}")
        await rig.clock.advance(2)
        rig.door.mend()
        await rig.clock.advance(60)
        await rig.reach(66)
        owed = [c for c in rig.door.claims if isinstance(c, Owe) and c.reason == "overflow"]
        assert owed
        assert all(c.deep for c in owed)


def test_the_names_that_the_outside_uses() -> None:
    assert PipelineState.MESSAGE_PHASE == 64
    assert FusionPipeline.__name__ == "FusionPipeline"
