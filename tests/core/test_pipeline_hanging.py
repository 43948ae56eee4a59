"""The agent's pipe when something does not answer: a push, a heartbeat, the storage."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.to_thread
import pytest

from fustor_core.claims import Ack, Batch, Listing, Origin, Owe, Root, Row
from fustor_core.contracts import Answer, Pulse, Scope
from fustor_core.link import PUSH_LIMIT_S
from fustor_core.outbox import Limits
from fustor_core.phases import ROOT_LIMIT_S
from fustor_core.testing import MemorySink, MemorySource, Rig

pytestmark = pytest.mark.anyio

UP = [1, 2, 258, 2]


# -- the way to fusion


async def test_heartbeats_go_on_while_a_push_hangs_and_the_session_lives() -> None:
    rig = Rig(session_timeout_seconds=30)
    async with rig.running():
        await rig.reach(66)
        rig.door.hold()
        rig.source.write("slow")
        beats = len(rig.door.guests[0].beats)
        await rig.clock.advance(45)
        assert len(rig.door.guests[0].beats) - beats >= 4
        assert int(rig.pipe.state) == 66, "longer than the session's timeout, and no error"
        rig.door.release()
        await rig.arrived(lambda door: b"slow" in door.names)
        assert len(rig.door.opened) == 1


async def test_a_push_that_hangs_is_given_up_and_sent_again_under_its_number() -> None:
    rig = Rig(session_timeout_seconds=30)
    async with rig.running():
        await rig.reach(66)
        rig.door.hold()
        rig.source.write("slow")
        await rig.clock.advance(PUSH_LIMIT_S + 2)
        await rig.reach(258)
        told = rig.pipe.document()["last_error"]
        assert "no answer to batch" in told
        rig.door.release()
        await rig.clock.advance(5)
        await rig.reach(66)
        assert rig.door.names == [b"slow"]
        assert [b.seq for b in rig.door.batches] == list(range(1, len(rig.door.batches) + 1))
        assert len(rig.door.opened) == 1


class _Mute(MemorySink):
    """Heartbeats are never answered while `mute`."""

    mute = False

    async def beat(self, pulse: Pulse) -> Answer:
        if self.mute:
            await anyio.sleep_forever()
        return await super().beat(pulse)


async def test_a_heartbeat_that_hangs_is_an_error_and_then_the_session_is_over() -> None:
    sink = _Mute(_Mute.Config())
    rig = Rig(sink=sink, session_timeout_seconds=30)
    async with rig.running():
        await rig.reach(66)
        sink.mute = True
        await rig.clock.advance(25)
        assert "no answer to a heartbeat" in rig.pipe.document()["last_error"]
        await rig.clock.advance(40)
        assert rig.pipe.link.session_id != "session-1"
        sink.mute = False
        await rig.clock.advance(60)
        await rig.reach(66)


class _Slow(MemorySink):
    """Batches are never answered."""

    async def send(self, batch: Batch) -> Ack:
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_stop_does_not_wait_for_a_push_that_hangs() -> None:
    rig = Rig(sink=_Slow(_Slow.Config()), drain_timeout_s=0.05)
    async with rig.running():
        await rig.reach(34)
        rig.source.write("never")
        await rig.settle()
    assert rig.states[-3:] == [1024, 512, 0]


# -- the storage


class Stuck(MemorySource):
    """Looks that hang in a thread, as in a system call that no signal ends, while `stuck`."""

    def __init__(self, config: MemorySource.Config) -> None:
        super().__init__(config)
        self.stuck: set[str] = set()
        self.free = threading.Event()
        self.entered = anyio.Event()

    async def _hang(self, what: str) -> None:
        if what in self.stuck:
            self.entered.set()
            await anyio.to_thread.run_sync(self.free.wait, abandon_on_cancel=True)

    async def scan(self, scope: Scope) -> AsyncIterator[Listing]:  # type: ignore[override]
        async for claim in super().scan(scope):
            assert isinstance(claim, Listing)
            yield claim
            await self._hang("scan")

    async def identity(self) -> Root:
        await self._hang("identity")
        return await super().identity()


@pytest.fixture
def freed() -> Iterator[list[Stuck]]:
    """Sources whose threads end with the test."""
    sources: list[Stuck] = []
    yield sources
    for source in sources:
        source.free.set()


def rig_of(freed: list[Stuck], **config: object) -> tuple[Rig, Stuck]:
    rig = Rig(source=Stuck, **config)  # type: ignore[arg-type]
    assert isinstance(rig.source, Stuck)
    freed.append(rig.source)
    return rig, rig.source


async def test_a_leader_whose_storage_hangs_shows_it_and_loses_the_lead(freed: list[Stuck]) -> None:
    rig, source = rig_of(freed)
    source.stuck.add("scan")
    async with rig.running():
        await source.entered.wait()
        await rig.clock.advance(31)
        pulses = [p.scan for p in rig.door.guests[0].beats[-2:]]
        assert pulses[0] == pulses[1], "alive, but no progress: fusion takes the lead away"
        assert pulses[0] is not None
        rig.door.demote()
        await rig.clock.advance(11)
        await rig.reach(70)
        told = rig.pipe.document()
        assert "the storage has not answered for" in told["last_error"]
        assert told["uncovered"] == ["/"]
        await rig.clock.advance(11)
        assert rig.door.guests[0].beats[-1].uncovered == (b"/",)
        rig.source.write("seen")
        await rig.arrived(lambda door: b"seen" in door.names)
        source.stuck.clear()
        rig.door.promote()
        await rig.clock.advance(11)
        await rig.reach(66)
        assert rig.pipe.document()["uncovered"] == [], "it was scanned whole since"


async def test_a_demotion_of_a_leader_that_works_says_nothing(freed: list[Stuck]) -> None:
    rig, _ = rig_of(freed)
    async with rig.running():
        held = rig.source.hold()
        await held.wait()
        rig.door.demote()
        await rig.clock.advance(4)
        rig.source.release()
        await rig.reach(70)
        assert rig.pipe.document()["last_error"] is None


async def test_a_stop_does_not_wait_for_a_storage_that_hangs(freed: list[Stuck]) -> None:
    rig, source = rig_of(freed)
    source.stuck.add("scan")
    with anyio.fail_after(5):
        async with rig.running():
            await source.entered.wait()
    assert rig.states[-3:] == [1024, 512, 0]


async def test_a_root_that_does_not_answer_is_an_error_and_no_evidence(freed: list[Stuck]) -> None:
    rig, source = rig_of(freed)
    source.stuck.add("identity")
    async with rig.running():
        await source.entered.wait()
        await rig.clock.advance(ROOT_LIMIT_S)
        await rig.until(lambda: rig.states.count(258) >= 2)
        assert "the root has not answered" in rig.pipe.document()["last_error"]
        source.stuck.clear()
        source.free.set()
        await rig.clock.advance(5)
        await rig.reach(66)
        assert not any(isinstance(c, Root) and not c.present for c in rig.door.claims)


async def test_a_root_that_stops_answering_ends_nothing(freed: list[Stuck]) -> None:
    rig, source = rig_of(freed)
    async with rig.running():
        await rig.reach(66)
        source.stuck.add("identity")
        await rig.clock.advance(100)
        rig.source.write("seen")
        await rig.arrived(lambda door: b"seen" in door.names)
        assert rig.states == [*UP, 34, 66], "it may come back as it was"


# -- a standby that watches for long


async def test_what_a_standby_watches_is_bounded_and_nothing_is_lost() -> None:
    limits = Limits(window_s=(0, 0), scan_window_s=0, spool_bytes=20_000)
    rig = Rig(leads=False, follower="standby", limits=limits)
    async with rig.running():
        await rig.reach(6)
        for i in range(2000):
            rig.source.write(f"f{i}")
            if not i % 100:
                await rig.settle()
        await rig.settle()
        assert rig.pipe.outbox.queued < 100
        rig.door.promote()
        await rig.clock.advance(11)
        await rig.reach(66)
        listed = [c for c in rig.door.claims if isinstance(c, Listing) and c.path == b"/"]
        assert len(listed[-1].rows) >= 2000 * len(Row().pack())
        assert any(isinstance(c, Owe) and c.deep for c in rig.door.claims)
        assert rig.door.scan_origins == {Origin.SNAPSHOT}


async def test_a_promotion_in_a_heartbeat_starts_the_snapshot_at_once() -> None:
    rig = Rig(leads=False)
    async with rig.running():
        await rig.reach(70)
        rig.door.promote()
        before = rig.clock.now_us()
        await rig.clock.advance(10)
        await rig.until(lambda: bool(rig.source.scans))
        assert rig.clock.now_us() - before == 10_000_000, "with the very heartbeat"
