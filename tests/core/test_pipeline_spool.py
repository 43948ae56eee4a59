"""The agent's pipe from one process to the next: what a stop could not send is owed."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from fustor_core.claims import Cell, Origin, Owe
from fustor_core.testing import Rig

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "p.owed"


def owed(rig: Rig) -> list[tuple[bytes, bool]]:
    """What was owed but by a snapshot."""
    claims = [c for c in rig.door.claims if isinstance(c, Owe)]
    return [(c.path, c.deep) for c in claims if c.origin is Origin.REALTIME]


async def stopped_with_something_unsent(path: Path, *, leads: bool = False) -> None:
    rig = Rig(leads=leads, spool=path, drain_timeout_s=0.05)
    async with rig.running():
        await rig.reach(66 if leads else 70)
        rig.door.hold()
        rig.source.write("b/seen")
        await rig.settle()
        rig.source.write("b/d/queued")
        rig.pipe.stop()
        await rig.reach(0)
    assert path.exists()


async def killed(path: Path, *, leads: bool = False) -> None:
    rig = Rig(leads=leads, spool=path)
    async with anyio.create_task_group() as group:
        group.start_soon(rig.pipe.run)
        await rig.reach(66 if leads else 70)
        group.cancel_scope.cancel()


async def test_a_clean_stop_leaves_nothing(path: Path) -> None:
    rig = Rig(leads=False, spool=path)
    async with rig.running():
        await rig.reach(70)
        assert path.exists(), "who kills it now leaves that behind"
        rig.source.write("seen")
    assert not path.exists()
    rig = Rig(leads=False, spool=path)
    async with rig.running():
        await rig.reach(70)
        rig.source.write("later")
        await rig.arrived(lambda door: b"later" in door.names)
    assert owed(rig) == []


async def test_what_a_stop_could_not_send_is_owed_by_the_next_start(path: Path) -> None:
    await stopped_with_something_unsent(path)
    rig = Rig(leads=False, spool=path)
    async with rig.running():
        await rig.arrived(lambda door: bool(door.batches))
        first = rig.door.batches[0]
        assert {c.path for c in first.claims if isinstance(c, Owe)} == {b"/b", b"/b/d"}
        await rig.settle()
        assert rig.pipe.outbox.idle
    assert not path.exists(), "acknowledged"
    assert not any(isinstance(c, Cell) for c in rig.door.claims), "nothing old is sent"


async def test_it_is_kept_until_somebody_hears_it(path: Path) -> None:
    await stopped_with_something_unsent(path)
    deaf = Rig(leads=False, spool=path)
    deaf.door.cut()
    async with deaf.running():
        await deaf.reach(258)
    rig = Rig(leads=False, spool=path)
    async with rig.running():
        await rig.arrived(lambda door: bool(door.batches))
    assert set(owed(rig)) == {(b"/b", True), (b"/b/d", True)}


async def test_a_follower_that_was_killed_owes_everything(path: Path) -> None:
    await killed(path)
    rig = Rig(leads=False, spool=path)
    async with rig.running():
        await rig.arrived(lambda door: bool(owed(rig)))
    assert owed(rig) == [(b"/", True)]
    assert not path.exists()


@pytest.mark.parametrize("how", [killed, stopped_with_something_unsent])
async def test_a_leader_scans_anyway(path: Path, how: object) -> None:
    assert callable(how)
    await how(path, leads=True)
    rig = Rig(spool=path)
    async with rig.running():
        await rig.reach(66)
        rig.door.demote()
        await rig.clock.advance(11)
        await rig.reach(70)
    assert owed(rig) == [], "its snapshot owes everything, once"
    assert not path.exists()


async def test_a_leader_that_does_not_get_to_its_snapshot_owes_as_a_follower(path: Path) -> None:
    await killed(path)
    rig = Rig(spool=path)
    async with rig.running():
        held = rig.source.hold()
        await held.wait()
        rig.door.demote()
        await rig.clock.advance(11)
        await rig.arrived(lambda door: (b"/", True) in owed(rig))
        rig.source.release()


async def test_a_standby_says_nothing_of_what_it_left(path: Path) -> None:
    await killed(path)
    rig = Rig(leads=False, spool=path, follower="standby")
    async with rig.running():
        await rig.reach(6)
        await rig.clock.advance(30)
        assert not rig.door.batches
    assert path.exists(), "nobody has heard it yet"


async def test_a_spool_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")
    rig = Rig(spool=tmp_path / "spool" / "p.owed")
    async with rig.running():
        await rig.reach(66)
        assert "spool" in rig.pipe.document()["last_error"]
