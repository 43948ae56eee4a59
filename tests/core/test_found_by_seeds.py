"""What the simulator has found in the core, in its shortest form."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from fustor_core.admission import Admission, admit
from fustor_core.claims import (
    PROTOCOL,
    Batch,
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Stamp,
    edge_row,
)
from fustor_core.clock import OffsetBounds, PastBounds
from fustor_core.config.model import Pipe
from fustor_core.errors import StateError, Unreachable
from fustor_core.lines import LineName, LineRow, aged
from fustor_core.registry import Registry
from fustor_core.stage import Stage
from fustor_core.states.pipeline import PipelineState
from fustor_core.testing import Rig
from fustor_core.testing.clock import ManualClock
from fustor_core.trouble import Trouble

ROOT = Key(0, 2, 0)
PIPE = {"source": {"driver": "fs"}, "sink": {"driver": "view", "view": "v"}}


async def test_an_acknowledgement_on_its_way_does_not_end_an_error() -> None:
    """Seed 100 of the first evening: the wait after an error that was none any more."""
    clock = ManualClock()
    config = Pipe.model_validate(PIPE)
    trouble = Trouble(config, now_us=clock.now_us, sleep=clock.sleep, jitter=lambda: 1.0)
    trouble.begin(Unreachable("cut"))
    trouble.acknowledged(3)
    trouble.source_works()
    assert trouble.errors == 1


def test_what_a_watch_saw_on_another_storage_is_refused() -> None:
    """Seed 58: a disk whose root has the key that the right one has."""
    stamp = Stamp(1, 2, 0, "s")
    root = Root(key=ROOT, identity="other", stamp=stamp, birth="none")
    cell = Cell(dir=ROOT, name=b"a", value=None, stamp=stamp, origin=Origin.REALTIME)
    owe = Owe(dir=ROOT, deep=True, reason="overflow", stamp=stamp, origin=Origin.REALTIME)
    batch = Batch(PROTOCOL, 1, 0, [root, cell, owe])
    bounds = OffsetBounds(exact_us=0)
    taken = admit(batch, bounds, 10, identity="right", root=ROOT, root_proven=True)
    assert taken.foreign
    assert taken.skipped == [1], "what is owed may always be owed"
    later = Batch(PROTOCOL, 2, 0, [cell])
    more = {"identity": "right", "root": ROOT, "root_proven": False}
    assert admit(later, bounds, 10, **more, foreign=True).skipped == [0]
    assert admit(later, bounds, 10, **more).skipped == []


def test_a_scan_that_stood_behind_what_a_later_look_found_proves_nothing() -> None:
    """Seed 21761: in one batch the events come first, and then the scan from before them."""

    def root(identity: str, at: int) -> Root:
        return Root(key=ROOT, identity=identity, stamp=Stamp(at, at + 1, 0, "s"), birth="none")

    def taken(*roots: Root, **held: Any) -> Admission:
        batch = Batch(PROTOCOL, 1, 0, list(roots))
        state = {"identity": "right", "root": ROOT, "root_proven": True, **held}
        return admit(batch, OffsetBounds(exact_us=0), 100, **state)

    late = taken(root("other", 50), root("right", 20))
    assert (late.root_proven, late.foreign, late.denied) == (False, True, 51)
    assert late.skipped == [1], "nor has that scan begun"
    next_one = {"root_proven": False, "foreign": True, "denied": late.denied}
    assert taken(root("right", 49), **next_one).foreign, "the next batch does not forget it"
    assert taken(root("right", 51), **next_one).root_proven
    again = taken(root("right", 60), root("other", 50), root("right", 60))
    assert again.root_proven, "the newest word holds, whatever stands before it"
    assert again.skipped == []
    held = taken(root("right", 20), root_proven=True, denied=51)
    assert held.root_proven, "an old proof takes nothing away, either"


def test_what_was_denied_before_a_later_proof_denies_nothing() -> None:
    """Seed 78780: behind the proof that opens a session stood a scan of the disk of before; nobody
    proves anew what is proven, so all listings of that agent were refused from then on."""
    stamps = {at: Stamp(at, at + 1, 0, "s") for at in (20, 50, 60, 61)}
    right, other = (
        {at: Root(key=ROOT, identity=name, stamp=s, birth="none") for at, s in stamps.items()}
        for name in ("right", "other")
    )
    cells = [
        Cell(dir=ROOT, name=b"a", value=None, stamp=stamps[at], origin=Origin.ON_DEMAND)
        for at in (20, 61)
    ]

    def taken(*claims: Root | Cell, **held: Any) -> Admission:
        state = {"identity": "right", "root": ROOT, "root_proven": True, **held}
        return admit(Batch(PROTOCOL, 1, 0, list(claims)), OffsetBounds(exact_us=0), 100, **state)

    both = taken(right[60], other[50], *cells)
    assert (both.root_proven, both.foreign, both.alarm) == (True, False, "")
    assert (both.denied, both.proved) == (51, 60)
    assert both.skipped == [2], "what was looked at before it does not count, all the same"
    assert not taken(other[50], proved=60).foreign, "the next batch does not forget it"
    assert taken(other[60], proved=60).foreign, "the same moment: nothing is proven"
    assert taken(right[50], proved=60).proved == 60


@pytest.mark.parametrize("origin", [Origin.SENTINEL, Origin.REALTIME])
def test_what_was_seen_before_a_denial_does_not_count_after_it(origin: Origin) -> None:
    """Seed 39182: a look at another disk with the same keys came when the right one was back."""
    stamps = {at: Stamp(at, at + 1, 0, "s") for at in (20, 51)}
    cells = [Cell(dir=ROOT, name=b"a", value=None, stamp=s, origin=origin) for s in stamps.values()]
    lists = [Listing(dir=ROOT, names=b"", rows=b"", stamp=stamps[20], origin=origin)]
    owed = [Owe(dir=ROOT, deep=True, reason="unproven", stamp=stamps[20], origin=origin)]
    batch = Batch(PROTOCOL, 3, 0, [*cells, *lists, *owed])
    held = {"identity": "right", "root": ROOT, "root_proven": True}
    taken = admit(batch, OffsetBounds(exact_us=0), 100, **held, denied=51)
    assert taken.skipped == [0, 2], "neither the old look nor the old listing"
    assert admit(batch, OffsetBounds(exact_us=0), 100, **held).skipped == []


def test_bounds_of_a_boot_that_is_over_are_past() -> None:
    """Seed 1026: two reboots of fusion's machine, no checkpoint between them."""
    row = LineRow(LineName("a", "p", "b", "1", "m"), 3, False, [(5, 1)], [(7, 1)], [])
    once = aged(row, 10, 20)
    assert (once.lows, once.highs) == ([], [])
    assert once.past == [PastBounds(10, 20, [(5, 1)], [(7, 1)])]
    assert aged(once, 20, 30) == once, "nothing was heard in the boot between"


def test_attributes_of_a_directory_are_compared_whole() -> None:
    """Seed 109: two changes within one tick of the storage's clock."""
    old = Row(0, 1, 5, 9, 0o40755, 0, 0, 2).pack()
    new = Row(0, 1, 5, 9, 0o40755, 0, 0, 3).pack()
    kind = Registry().driver("arbitrator", "fs")
    arbitrator = kind(kind.Config())
    assert not arbitrator.equal(old, new), "the same key, were they edges"
    edges = [edge_row(Key(0, 9, 5), mode) for mode in (0o40755, 0o40700)]
    assert arbitrator.equal(*edges)


async def test_no_phase_begins_for_who_was_cancelled() -> None:
    """Seeds 1761 and 3941: an audit was due at the instant at which its session broke."""
    stage = Stage("pipe", lambda move: None)
    for event in ("start", "ready", "session_lost"):
        stage.move(event)
    state = stage.state
    with anyio.CancelScope() as work:
        work.cancel()
        async with stage.phase(PipelineState.AUDIT_PHASE, pytest.fail):
            pytest.fail("it has begun")
    assert work.cancelled_caught
    assert stage.state is state
    with anyio.CancelScope() as work:
        work.cancel()
        await stage.until(lambda: True)
        pytest.fail("it went on")


async def test_a_session_that_fusion_cannot_end_is_no_failure_of_its_pipe() -> None:
    """Seed 2419: the disk of fusion failed as an agent said goodbye."""
    rig = Rig()
    rig.door.fail("close", StateError("the disk failed"))
    async with rig.running():
        await rig.reach(66)
    assert int(rig.pipe.state) == 0
    assert "the disk failed" in rig.pipe.document()["last_error"]


async def test_a_heartbeat_that_fusion_cannot_answer_is_an_error_like_any_other() -> None:
    """World 20007: the disk of fusion failed as a new leader was made durable."""
    rig = Rig()
    async with rig.running():
        await rig.reach(66)
        rig.door.fail("beat", StateError("the disk failed"))
        await rig.clock.advance(rig.door.heartbeat_s)
        await rig.reach(258)
        assert "the disk failed" in rig.pipe.document()["last_error"]
        await rig.clock.advance(60)
        await rig.reach(66)
