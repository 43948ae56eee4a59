"""The agent's pipe: its states by exact integers, its phases and roles."""

from __future__ import annotations

import pytest

from fustor_core.claims import Listing, Origin, Owe, Root
from fustor_core.testing import Rig

pytestmark = pytest.mark.anyio

UP = [1, 2, 258, 2]
DOWN = [1024, 512, 0]


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
    proofs = [claim.origin for claim in rest if isinstance(claim, Root)]
    assert proofs == [Origin.SNAPSHOT] * 2
    courses = [claim.course for claim in rest if isinstance(claim, Root)]
    assert courses == ["begins", "whole"]
    owe = rest[1]
    assert isinstance(owe, Owe)
    assert (owe.path, owe.deep, owe.origin) == (b"/", True, Origin.SNAPSHOT)


async def test_the_watch_is_armed_before_the_snapshot_and_its_claims_go_at_once() -> None:
    rig = Rig()
    async with rig.running():
        held = rig.source.hold()
        await held.wait()
        rig.source.write("new", 7)
        await rig.arrived(lambda door: door.names == [b"new"])
        assert int(rig.pipe.state) == 34
        assert not rig.door.scan_origins, "the scan stands still"
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
        await rig.arrived(lambda door: b"meanwhile" in door.names)
        rig.source.release()
        await rig.reach(66)
        assert rig.states == [*UP, 34, 66, 194, 66]
        assert rig.door.scan_origins == {Origin.SNAPSHOT, Origin.AUDIT}
        assert rig.pipe.audits.done == 1


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


async def test_a_realtime_follower_sends_what_it_sees_and_nothing_that_it_scans() -> None:
    """It walks the tree once, since a source watches where a scan has come by."""
    rig = Rig(leads=False)
    async with rig.running():
        await rig.reach(70)
        rig.source.write("seen")
        await rig.arrived(lambda door: b"seen" in door.names)
        await rig.clock.advance(30)
        assert rig.source.scans == [(b"/", True, Origin.ON_DEMAND)]
        assert not any(isinstance(c, Listing) for b in rig.door.batches for c in b.claims)
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
        assert b"seen" in rig.door.names
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
        await rig.arrived(lambda door: b"seen" in door.names)
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
        assert not rig.door.scan_origins
        assert rig.states == [*UP, 34, state]


async def test_a_demotion_drops_what_was_scanned_and_not_sent() -> None:
    rig = Rig()
    rig.door.hold()
    async with rig.running():
        await rig.reach(34)
        await rig.settle()
        rig.door.demote()
        await rig.clock.advance(11)
        await rig.reach(70)
        assert rig.pipe.outbox.queued == 0, "nor that the scan was whole"
        rig.door.release()


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
        await rig.arrived(lambda door: b"after" in door.names)
        assert not rig.door.scan_origins
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
