"""What people want of a pipe, and what it says of itself."""

from __future__ import annotations

import pytest

from fustor_core.claims import Owe
from fustor_core.errors import (
    IllegalTransition,
    Unreachable,
)
from fustor_core.outbox import Limits
from fustor_core.pipeline import FusionPipeline, PipelineState
from fustor_core.testing import Rig

pytestmark = pytest.mark.anyio

UP = [1, 2, 258, 2]
DOWN = [1024, 512, 0]


# -- what people want


async def test_a_paused_pipe_sends_nothing_and_goes_on_where_it_was() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.pipe.pause()
        assert int(rig.pipe.state) == 6
        rig.source.write("meanwhile")
        await rig.clock.advance(31)
        assert b"meanwhile" not in rig.door.names
        assert rig.door.guests, "heartbeats go on"
        rig.pipe.resume()
        await rig.reach(66)
        await rig.arrived(lambda door: b"meanwhile" in door.names)
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


async def test_a_pipe_that_backs_off_tries_again_when_it_is_resumed() -> None:
    rig = Rig(heartbeat_interval_sec=10_000, session_timeout_seconds=100_000)
    rig.door.heartbeat_s = 10_000
    async with rig.running():
        await rig.reach(66)
        rig.door.cut(Unreachable("no answer"))
        rig.source.write("kept")
        await rig.reach(258)
        await rig.settle()
        assert rig.pipe.document()["backoff_s"] == 5
        rig.door.mend()
        rig.pipe.resume()
        await rig.reach(66)
        await rig.arrived(lambda door: b"kept" in door.names)
        assert rig.states == [*UP, 34, 66, 258, 258, 2, 34, 66]


async def test_a_paused_pipe_without_a_session_can_be_resumed() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.pipe.pause()
        rig.door.cut(Unreachable("no answer"))
        await rig.clock.advance(11)
        await rig.reach(258)
        rig.pipe.resume()
        rig.door.mend()
        await rig.clock.advance(60)
        await rig.reach(66)


async def test_what_cannot_be_paused_or_resumed_says_so() -> None:
    rig = Rig()
    with pytest.raises(IllegalTransition):
        rig.pipe.pause()
    async with rig.running():
        await rig.reach(66)
        with pytest.raises(IllegalTransition):
            rig.pipe.resume()


async def test_a_changed_configuration_is_shown_until_it_is_as_it_was() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.pipe.outdated()
        assert int(rig.pipe.state) == 82
        rig.pipe.outdated(on=False)
        assert int(rig.pipe.state) == 66
        with pytest.raises(IllegalTransition):
            rig.pipe.outdated(on=False)
        rig.pipe.outdated()
    assert rig.states == [*UP, 34, 66, 82, 66, 82, *DOWN]


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
    assert len(rig.door.names) == 50
    assert rig.door.closed == ["session-1"]


async def test_a_stop_after_a_demotion_still_sends_what_was_seen() -> None:
    rig = Rig()
    at_gate = rig.source.hold()
    async with rig.running():
        await at_gate.wait()
        rig.door.hold()
        rig.source.release()
        await rig.settle()
        rig.source.write("seen")
        rig.door.demote()
        await rig.settle()
        rig.pipe.stop()
        await rig.reach(512)
        rig.door.release()
    assert rig.door.names == [b"seen"]
    assert not rig.door.scan_origins


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
    assert rig.door.names == []


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
        "watched_by": "inotify",
        "watched_why": "`watch: inotify` is set",
        "uncovered": [b"/\xff", b"/b"],
        "warnings": ["the caches are older than they say"],
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
        "watched_by": "inotify",
        "watched_why": "`watch: inotify` is set",
        "uncovered": [{"path_b64": "L/8="}, "/b"],
        "warnings": ["the caches are older than they say"],
        "generation": 1,
        "tallies": {
            "events": {},
            "scans": {"snapshot": {"entries": 5, "seconds": 0.0, "within": [1] + [0] * 7}},
        },
    }
    assert told["last_ack_at"].endswith("Z")


async def test_a_session_is_opened_with_all_that_fusion_has_to_know() -> None:
    rig = Rig(session_timeout_seconds=77)
    async with rig.running():
        await rig.reach(66)
    (hello,) = rig.door.opened
    assert (hello.agent_id, hello.pipe, hello.view) == ("agent-1", "p", "memory")
    assert hello.source == {
        "driver": "memory",
        "root_b64": "L3RyZWU=",
        "identity": "memory:1",
        "birth": "btime",
    }
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
