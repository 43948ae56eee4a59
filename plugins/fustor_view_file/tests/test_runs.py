"""First listings in a row: taken together, and as one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fustor_view_file.directory import Directory

from fustor_core.claims import PROTOCOL, Batch, Claim, Origin
from fustor_core.contracts import Moment
from fustor_core.frames import BatchHead, pack_stamps

from .sides import WALL_NS, Side, same
from .test_short_ways import PLAIN, edge, file, key, listed, proof
from .world import check

MANY = 250  # more than a slice of the fold has
TOP = listed(1, {b"%03d" % n: edge(n) for n in range(2, MANY + 2)}, 5, 6)
EVERY: list[Claim] = [listed(n, PLAIN, 10 + n) for n in range(2, MANY + 2)]


def begun(folder: Path, *, asked: bool) -> Side:
    side = Side(folder, asked=asked, budget=None)
    side.take(1000, 1, [proof()])
    side.take(2000, 1, [TOP])
    return side


def both(tmp_path: Path, claims: list[Claim], aside: tuple[int, ...] = ()) -> Side:
    """The claims by both ways, which nobody can tell from each other."""
    fast, slow = (begun(tmp_path / name, asked=name == "slow") for name in ("fast", "slow"))
    stamps = pack_stamps([(c.stamp.f, c.stamp.t) for c in claims])
    for side in (fast, slow):
        head = BatchHead("s", "a", 1, 3000, WALL_NS, [], stamps, proven=True)
        moment = Moment(3000, WALL_NS, WALL_NS, 3000, False, 1)
        for _ in side.fold.batch(head, Batch(PROTOCOL, 3, 1, claims), moment, aside):
            pass
        check(side.view)
    same(fast, slow)
    slow.view.close()
    return fast


def test_a_long_run_needs_no_judgement(tmp_path: Path) -> None:
    side = both(tmp_path, EVERY)
    assert side.arbitrator.asked == {"Listing": 1}, "about the root alone"
    assert not side.view.registers.tree.dirs[key(1)].count[7], "no gaps are left"


@pytest.mark.parametrize("place", [0, 1, 60, 99, 100, 101, MANY - 1])
def test_what_is_more_than_plain_is_judged_where_it_stands(tmp_path: Path, place: int) -> None:
    claims = list(EVERY)
    claims[place] = listed(place + 2, PLAIN | {b"d": edge(900), b"l": file(7, nlink=2)}, 300)
    claims.insert(place + 1, listed(900, PLAIN, 400))  # of which only that one tells
    side = both(tmp_path, claims)
    assert side.arbitrator.asked == {"Listing": 2}


@pytest.mark.parametrize("aside", [(0,), (3, 4, 5), (99, 100), (MANY - 1,)])
def test_what_is_set_aside_is_passed_over(tmp_path: Path, aside: tuple[int, ...]) -> None:
    side = both(tmp_path, EVERY, aside)
    dirs = side.view.registers.tree.dirs
    assert {n for n in range(MANY) if not dirs[key(n + 2)].heard} == set(aside)


def test_each_has_its_own_origin(tmp_path: Path) -> None:
    origins = (Origin.SNAPSHOT, Origin.ON_DEMAND, Origin.SENTINEL)
    claims: list[Claim] = [
        listed(n, PLAIN, 10 + n, origin=origins[n // 2 % 3]) for n in range(2, MANY + 2)
    ]
    side = both(tmp_path, claims)
    for claim in claims:
        assert side.view.registers.tree.dirs[claim.dir].origin is claim.origin


@pytest.mark.parametrize("place", [0, 1, 77, 100, 249])
def test_who_fails_in_a_run_is_known(
    tmp_path: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = begun(tmp_path / "v", asked=False)
    budget = side.view.registers.tree.budget
    met = budget.met

    def fails(directory: Directory) -> None:
        if directory.key == EVERY[place].dir:
            raise ZeroDivisionError
        met(directory)

    monkeypatch.setattr(budget, "met", fails)
    with pytest.raises(ZeroDivisionError):
        side.take(3000, 1, EVERY)
    assert side.fold.at == place
    assert side.fold.touched
    side.view.close()
