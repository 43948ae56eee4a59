"""The agent's pipe in trouble: back-off, lost sessions, heartbeats that go on."""

from __future__ import annotations

import pytest

from fustor_core.claims import Cell, Origin, Owe, Root
from fustor_core.errors import (
    DiskFull,
    Refused,
    SlowDown,
    Unreachable,
)
from fustor_core.outbox import Limits
from fustor_core.testing import ListSink, Rig

pytestmark = pytest.mark.anyio

UP = [1, 2, 258, 2]
DOWN = [1024, 512, 0]


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
        assert b"kept" in rig.door.names
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
        assert b"late" not in rig.door.names
        await rig.clock.advance(1)
        await rig.arrived(lambda door: b"late" in door.names)
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
        assert set(rig.states[6:]) == {8, 258}, "one try is one batch, not a whole new beginning"


async def test_a_heartbeat_is_skipped_while_pushes_are_acknowledged() -> None:
    rig = Rig(heartbeat_interval_sec=10)
    async with rig.running():
        await rig.reach(66)
        quiet = len(rig.door.guests[0].beats)
        for i in range(6):
            await rig.clock.advance(9)
            rig.source.write(f"f{i}")
            await rig.arrived(lambda door, name=b"f%d" % i: name in door.names)
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
        owes = [c for c in rig.door.claims if isinstance(c, Owe) and c.origin is Origin.SNAPSHOT]
        assert len(owes) == 1, "the watch went on: the second snapshot owes nothing anew"


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
