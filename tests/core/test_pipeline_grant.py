"""The agent's pipe and what a session grants: sizes, births, what fusion may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from fustor_core.claims import Ack, Cell, Listing, Origin, Owe, Owed, Root
from fustor_core.contracts import Command, Scope
from fustor_core.errors import Refused, SlowDown, TooLarge
from fustor_core.outbox import Limits
from fustor_core.testing import MemorySource, Rig, WideSource

pytestmark = pytest.mark.anyio

UP = [1, 2, 258, 2]
GATHERS = Limits(window_s=(0.02, 0.02), scan_window_s=0.0)


# -- sizes


async def test_a_batch_that_is_too_large_goes_in_halves() -> None:
    rig = Rig(limits=GATHERS, audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        seq = len(rig.door.batches)
        rig.door.fail("push", TooLarge("too large"), TooLarge("too large"))
        names = [b"f%d" % i for i in range(8)]
        for name in names:
            rig.source.write(name)
        await rig.arrived(lambda door: len(door.names) == 8)
        assert rig.door.names == names, "all of it, in its order"
        assert len(rig.door.batches[seq].claims) == 2
        assert [b.seq for b in rig.door.batches] == list(range(1, len(rig.door.batches) + 1))
        assert rig.states == [*UP, 34, 66], "no error"


async def test_a_single_claim_that_is_too_large_needs_a_person() -> None:
    rig = Rig(audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        rig.door.fail("push", TooLarge("a proxy takes 1 MB"))
        rig.source.write("f")
        await rig.reach(8)
        await rig.clock.advance(120)
        assert int(rig.pipe.state) == 8
        assert rig.pipe.document()["last_error"] == "a proxy takes 1 MB"
        rig.pipe.resume()
        await rig.arrived(lambda door: door.names == [b"f"])


async def test_a_stop_halves_too() -> None:
    rig = Rig(limits=GATHERS, audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        rig.door.fail("push", TooLarge("too large"))
        for i in range(4):
            rig.source.write(f"f{i}")
        await anyio.wait_all_tasks_blocked()
        rig.pipe.stop()
    assert len(rig.door.names) == 4


# -- births


async def test_keys_are_made_as_the_view_makes_them() -> None:
    rig = Rig()
    rig.door.birth = "none"
    async with rig.running():
        await rig.reach(66)
        rig.source.write("b/seen")
        await rig.arrived(lambda door: b"seen" in door.names)
        first = rig.door.claims[0]
        assert isinstance(first, Root)
        assert first.birth == "none"
        keys = [c.dir for c in rig.door.claims if isinstance(c, Listing | Cell | Owe)]
        assert {key.birth for key in keys} == {0}
        assert rig.source.births == ["none"]
        assert rig.source.watches == 2, "watches had been entered with other keys"
        assert rig.states == [*UP, 34, 66]


async def test_what_was_seen_with_other_keys_is_not_sent() -> None:
    rig = Rig()
    rig.door.birth = "none"
    rig.door.cut()
    async with rig.running():
        await rig.reach(258)
        rig.source.write("b/early")
        await rig.settle()
        rig.door.mend()
        await rig.clock.advance(60)
        await rig.reach(66)
        assert rig.door.names == [], "the snapshot finds it"


async def test_a_view_that_makes_its_keys_otherwise_from_now_on() -> None:
    rig = Rig(leads=False)
    async with rig.running():
        await rig.arrived(lambda door: bool(door.batches))
        await rig.settle()
        rig.door.birth = "none"
        rig.door.end("session-1", "expired")
        rig.source.write("lost")
        await rig.until(lambda: len(rig.door.opened) == 2 and rig.states[-1] == 70)
        await rig.settle()
        owed = [c for c in rig.door.claims if isinstance(c, Owe)]
        assert {(c.path, c.deep, c.dir.birth) for c in owed} == {(b"/", True, 0)}
        assert not any(isinstance(c, Cell) for c in rig.door.claims)


async def test_births_that_cannot_be_had_need_a_person() -> None:
    rig = Rig()
    rig.door.birth = "handle"
    async with rig.running():
        await rig.reach(8)
        assert "'handle'" in rig.pipe.document()["last_error"]
        assert not rig.door.guests, "the session is closed: who holds it leads nothing"
        await rig.clock.advance(300)
        assert int(rig.pipe.state) == 8
        rig.door.birth = "btime"
        rig.pipe.resume()
        await rig.reach(66)
        assert isinstance(rig.door.claims[0], Root)


async def test_a_session_that_could_not_be_used_is_not_kept() -> None:
    class Shy(MemorySource):
        async def look(self, paths: object) -> list[Cell]:
            raise OSError(5, "input/output error")

    rig = Rig(source=Shy, limits=GATHERS)
    async with rig.running():
        await rig.reach(66)
        rig.door.end("session-1", "expired")
        rig.source.write("b/lost")
        await rig.until(lambda: rig.states[6:] == [258, 258])
        await rig.clock.advance(60)
        await rig.reach(66)
        opened = [c for c in rig.door.claims if isinstance(c, Root) and c.stamp.kind == "s"]
        assert opened
        last = next(b for b in reversed(rig.door.batches) if b.seq == 1)
        assert isinstance(last.claims[0], Root), "a session begins with the proof of the root"
        owed = [c for c in rig.door.claims if isinstance(c, Owe) and c.origin is Origin.REALTIME]
        assert {c.path for c in owed} == {b"/b"}


# -- what fusion may ask for

HOSTILE = [b"/../../etc", b"/b/../../etc/passwd", b"/b/./c", b"etc", b"", b"/b\0c", b"/.."]


@pytest.mark.parametrize("kind", ["look", "list", "scan", "watch"])
async def test_nothing_outside_the_root_is_looked_at(kind: str) -> None:
    rig = Rig(leads=False)
    async with rig.running():
        await rig.reach(70)
        for i, path in enumerate(HOSTILE):
            rig.door.ask(Command(f"{kind}{i}", kind, ((None, path),), recursive=True))
        rig.door.ask(Command("good", kind, ((None, b"/../x"), (None, b"/b")), recursive=True))
        await rig.clock.advance(11)
        await rig.clock.advance(1)
        paths = [path for path, _, _ in rig.source.scans[1:]]  # the first arms the watch
        assert {*paths, *rig.source.looked, *rig.source.covered} == {b"/b"}
        assert "is no path below the root" in rig.pipe.document()["last_error"]
        assert int(rig.pipe.state) == 70


async def test_an_acknowledgement_leads_nowhere_else_either() -> None:
    rig = Rig(audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        owed = tuple(Owed(rig.pipe.outbox.root, path) for path in HOSTILE)  # type: ignore[arg-type]
        rig.door.owed = lambda batch: Ack(batch.seq, owed=owed)
        rig.source.write("new")
        await rig.arrived(lambda door: b"new" in door.names)
        await rig.clock.advance(10)
        assert len(rig.source.scans) == 1


async def test_an_unknown_wish_is_told_and_left() -> None:
    rig = Rig(leads=False)
    async with rig.running():
        await rig.reach(70)
        rig.door.ask(Command("x", "upgrade", ((None, b"/b"),)))
        await rig.clock.advance(11)
        assert "'upgrade'" in rig.pipe.document()["last_error"]
        assert len(rig.source.scans) == 1  # the one that arms the watch


async def test_a_scan_on_demand_does_not_wait_for_a_snapshot() -> None:
    rig = Rig(source=WideSource)
    async with rig.running():
        held = rig.source.hold(Origin.SNAPSHOT)
        await held.wait()
        rig.door.ask(Command("job", "scan", ((None, b"/b"),), recursive=True))
        await rig.clock.advance(11)
        await rig.arrived(lambda door: Origin.ON_DEMAND in door.scan_origins)
        assert int(rig.pipe.state) == 34
        assert Origin.SNAPSHOT not in rig.door.scan_origins
        pulse = rig.pipe.pulse()
        assert pulse.scan is not None
        assert pulse.scan["directories"] == 0, "the snapshot's, which stands still"
        rig.source.release()
        await rig.reach(66)
        found = [c.path for c in rig.door.claims if isinstance(c, Listing)]
        assert sorted(found) == [b"/", b"/b", b"/b", b"/b/d", b"/b/d"]
        assert not rig.source.overlapped


async def test_a_source_that_does_one_scan_at_a_time_is_asked_for_one() -> None:
    rig = Rig()
    async with rig.running():
        held = rig.source.hold(Origin.SNAPSHOT)
        await held.wait()
        rig.door.ask(Command("job", "scan", ((None, b"/b"),), recursive=True))
        await rig.clock.advance(11)
        assert rig.door.scan_origins == set()
        rig.source.release()
        await rig.arrived(lambda door: Origin.ON_DEMAND in door.scan_origins)
        assert not rig.source.overlapped


async def test_a_busy_fusion_puts_a_heartbeat_off() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.fail("beat", SlowDown("busy", retry_after_s=2))
        beats = len(rig.door.guests[0].beats)
        await rig.clock.advance(13)
        assert len(rig.door.guests[0].beats) > beats
        assert rig.states == [*UP, 34, 66], "no error"


async def test_a_revoked_key_at_a_heartbeat_needs_a_person() -> None:
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.fail("beat", Refused("the key was revoked"))
        await rig.clock.advance(11)
        await rig.reach(8)


class _Loud(MemorySource):
    """A source that raises for ever."""

    async def scan(self, scope: Scope) -> AsyncIterator[Listing]:
        raise OSError(5, "input/output error")
        yield scope.listing(b"/", {})


async def test_heartbeats_survive_a_source_that_raises_for_ever() -> None:
    rig = Rig(source=_Loud)
    async with rig.running():
        await rig.clock.advance(600)
        assert len(rig.door.guests[0].beats) >= 45
        assert len(rig.door.opened) == 1, "the session lives on"
        assert rig.pipe.document()["errors_in_row"] >= 10
        assert {8, 258} <= set(rig.states)
