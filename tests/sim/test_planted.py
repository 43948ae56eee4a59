"""Bugs that are put into the core are found: a few quickly found ones here, all by the command.

All of them: `nox -s planted`, which publishes docs/planted-bugs.md.
"""

from __future__ import annotations

import pytest

from fustor_core import arbitration
from tests.sim.planted import BUGS, search
from tests.sim.planted_bugs import Bug, instead

pytestmark = pytest.mark.long
QUICK = {"receipt", "understated", "A5", "A8", "A10", "W2", "W14"}
SEEDS = 20
ROWS = {bug.row: bug for bug in BUGS}


@pytest.mark.parametrize("row", sorted(QUICK))
def test_it_is_found(row: str) -> None:
    tried, promise = search(ROWS[row], 0, SEEDS)
    assert promise, f"not in {tried} seeds"


@pytest.mark.parametrize("row", sorted(ROWS))
def test_what_it_changes_is_there(row: str) -> None:
    changes = ROWS[row].changes
    before = [getattr(change.owner, change.name) for change in changes]
    with ROWS[row].planted():
        for change, was in zip(changes, before, strict=True):
            assert getattr(change.owner, change.name) is not was


def test_what_was_changed_is_as_it_was() -> None:
    before = arbitration.order
    with Bug("", "", (instead(arbitration, "order", None),)).planted():
        assert arbitration.order is None
    assert arbitration.order is before


def test_a_bug_that_is_none_is_not_found() -> None:
    assert search(Bug("", "nothing is wrong"), 0, 2) == (2, "")
