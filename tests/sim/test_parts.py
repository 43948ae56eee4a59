"""The parts of the simulator: what they promise to each other."""

from __future__ import annotations

from pathlib import Path
from random import Random

import anyio
import pytest

from fustor_core.claims import Key
from fustor_core.pipeline import AgentPipeline
from fustor_core.testing.sim import runs
from fustor_core.testing.sim.campaign import Outcome, run_seed, smaller
from fustor_core.testing.sim.faults import Fault
from fustor_core.testing.sim.loop import Clock, Standstill, VirtualLoop
from fustor_core.testing.sim.mount import Mount
from fustor_core.testing.sim.options import draw
from fustor_core.testing.sim.runs import Ledger, Part, parts
from fustor_core.testing.sim.storage import Storage
from fustor_core.testing.sim.times import Times
from fustor_core.testing.sim.world import run_world


def storage() -> Storage:
    return Storage(births=True, tick_us=1, skew_us=0, reuse=False)


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_seed_that_never_ends_is_one_that_breaks(
    monkeypatch: pytest.MonkeyPatch, swallowed: bool
) -> None:
    def run(seed: int) -> Outcome:
        try:
            while seed == 7:
                pass
        except AssertionError:
            if not swallowed:
                raise
        return Outcome(draw(seed), [], [])

    monkeypatch.setattr(runs, "ENDLESS_S", 0.1)
    monkeypatch.setattr(runs, "run_seed", run)
    part = runs.run_part(6, 3)
    assert [(seed, promise) for seed, promise, _ in part.broken] == [(7, "endless")]


def test_time_passes_only_when_nobody_can_run() -> None:
    clock = Clock(5_000_000)

    async def sleep() -> int:
        await anyio.sleep(3600)
        return clock.now_us

    loop = VirtualLoop(clock)
    assert loop.run_until_complete(sleep()) == 5_000_000 + 3_600_000_000
    with pytest.raises(Standstill):
        loop.run_until_complete(anyio.Event().wait())
    loop.close()


def test_the_history_knows_what_was_when() -> None:
    tree = storage()
    tree.begin(100)
    tree.create(tree.root, b"a")
    inode = (tree.root.kids or {})[b"a"]
    old = inode.value
    tree.begin(200)
    tree.rename(tree.root, b"a", tree.root, b"b")
    key = tree.root.key
    assert tree.held(key, b"a", old, 150, 160) is not None
    assert tree.held(key, b"a", old, 201, 300) is None
    assert tree.held(key, b"a", None, 201, 300) is not None
    assert tree.held(key, b"b", old, 0, 999) is None, "the move has changed its ctime"
    assert tree.held(key, b"b", inode.value, 200, 200) is not None
    assert tree.path(tree.root) == b"/"


def test_a_mount_shows_nothing_older_than_its_bound() -> None:
    tree = storage()
    tree.begin(0)
    tree.create(tree.root, b"a")
    inode = (tree.root.kids or {})[b"a"]
    mount = Mount(tree, 1000, Random(1), "disk")
    stale = 0
    for now in range(0, 100_000, 70):
        tree.begin(now)
        tree.write(inode, now, None, closes=True)
        found = mount.lookup(tree.root, b"a", now)
        assert found is not None
        value = found[1].value
        stale += value != inode.value
        assert tree.held(tree.root.key, b"a", value, now - 1000, now) is not None
    assert stale > 100


def test_fusion_time_between_two_boots_is_somewhere_in_the_gap() -> None:
    times = Times()
    times.runs(0, 1000)
    times.ends(500)
    times.runs(900, 3000)
    assert (times.earliest(1400), times.latest(1400)) == (400, 400)
    assert (times.earliest(2000), times.latest(2000)) == (500, 900)
    assert (times.earliest(4000), times.latest(4000)) == (1000, 1000)


def test_what_fails_becomes_smaller() -> None:
    assert sorted(smaller(list(range(40)), lambda some: {3, 17, 31} <= set(some))) == [3, 17, 31]


def test_what_was_begun_and_not_ended_is_not_forgotten(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    for first in (10, 20, 50):
        ledger.add("one", Part(first, 10))
    assert list(ledger.missing()) == [(0, 10), (30, 10), (40, 10)]
    ledger.add("two", Part(30, 10))
    ledger.add("two", Part(0, 10))
    assert (list(ledger.missing()), ledger.next) == ([(40, 10)], 60)


def test_the_ledger_goes_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.add("one", Part(0, 10))
    ledger.add("one", Part(10, 10))
    ledger.add("two", Part(20, 5, broken=[(21, "honesty", "…")]))
    again = Ledger(tmp_path / "ledger.json")
    assert (again.done, again.next) == (25, 25)
    assert again.runs[0] == {"commit": "one", "seeds": 20, "ranges": [[0, 20]]}
    assert again.broken == [[21, "honesty", "two"]]


def test_a_broken_seed_that_is_clean_again_is_fixed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.json")
    told = [(3, "tree", "…"), (7, "honesty", "…")]
    ledger.add("one", Part(0, 10, broken=told))
    assert ledger.doubtful() == [(3, 1), (7, 1)]
    ledger.again("two", Part(3, 1))
    ledger.again("two", Part(7, 1, broken=told[1:]))
    ledger = Ledger(ledger.path)
    assert (ledger.done, ledger.fixed) == (10, {3: "two"})
    assert ledger.broken == [[3, "tree", "one"], [7, "honesty", "one"]]
    ledger.again("three", Part(3, 1, broken=told[:1]))
    ledger.again("three", Part(7, 1))
    assert Ledger(ledger.path).fixed == {7: "three"}


def test_a_part_is_a_few_seeds() -> None:
    assert list(parts(5, 23)) == [(5, 10), (15, 10), (25, 3)]


def test_a_bound_that_is_understated_is_found() -> None:
    lies = {"bound_s": 1.5, "understated": 0.05, "blind": 0.6, "rate": 6.0, "hosts": 1}
    found = [run_seed(seed, fixed=lies).promise for seed in range(4)]
    assert {"honesty", "step_back"} & set(found), found


def test_a_pipe_that_ends_by_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    live = AgentPipeline.run

    async def run(pipe: AgentPipeline) -> None:
        with anyio.move_on_after(7):
            await live(pipe)

    monkeypatch.setattr(AgentPipeline, "run", run)
    assert run_seed(0).promise == "exit"


def test_histories_are_by_key() -> None:
    assert storage().story(Key(0, 1, 1), b"a") == []


def test_what_was_gone_for_an_instant_was_gone() -> None:
    """The kernel tells both halves of `rm x; mkdir x`, however quick it was."""
    tree = storage()
    tree.begin(100)
    tree.create(tree.root, b"a")
    tree.begin(200)
    tree.remove(tree.root, b"a")
    tree.create(tree.root, b"a")
    again = (tree.root.kids or {})[b"a"].value
    key = tree.root.key
    assert tree.held(key, b"a", None, 150, 250) is not None
    assert tree.held(key, b"a", None, 101, 199) is None
    assert tree.held(key, b"a", None, 201, 250) is None
    assert tree.held(key, b"a", again, 201, 250) is not None


def test_an_agent_that_is_killed_twice_starts_once_more() -> None:
    options = draw(0, hosts=1, length_s=4.0, features=frozenset({"kill"}))
    kills = [Fault(1_000_000, "kill", 0, 900_000, "", 1)] * 2
    world = run_world(options, [], kills)
    assert world.counts["fault.kill"] == 2
    assert world.agents[0].starts == 2
