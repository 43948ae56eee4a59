"""Which tier of audit is due next."""

from __future__ import annotations

import pytest

from fustor_core.rounds import NO_TURNS, Turns, intervals

FS = frozenset({"directories", "names"})
EVERY = {"directories": 60.0, "names": 600.0, "full": 86400.0}


def test_a_source_with_tiers_has_three() -> None:
    assert intervals(600, 60, 86400, tiers=FS) == EVERY


def test_a_source_without_tiers_has_the_middle_one_alone_and_it_is_whole() -> None:
    assert intervals(600, 60, 86400) == {"full": 600}
    assert intervals(0, 60, 86400, chosen=frozenset({"directories"})) == {}


@pytest.mark.parametrize(
    ("chosen", "left"),
    [((), {}), (("directories",), {"directories": 60}), (("full",), {"full": 86400})],
)
def test_no_audits_means_none_but_those_that_were_chosen(
    chosen: tuple[str, ...], left: dict[str, float]
) -> None:
    assert intervals(0, 60, 86400, chosen=frozenset(chosen), tiers=FS) == left


def test_a_tier_is_off_at_0() -> None:
    assert intervals(600, 0, 0, tiers=FS) == {"names": 600}


def begun(every: dict[str, float] = EVERY) -> Turns:
    return NO_TURNS.changed(every, 0.0).begun(0.0)


def run(turns: Turns, until_s: float) -> list[tuple[float, str]]:
    """Each audit, with no time spent in it."""
    done = []
    while (turn := turns.next()) is not None and turn[0] <= until_s:
        tier = turns.thorough(turn[0])
        turns = turns.done(tier, turn[0])
        done.append((turn[0], tier))
    return done


def test_a_thorough_audit_counts_for_the_cheaper_ones() -> None:
    done = run(begun({"directories": 10, "names": 30, "full": 60}), 60)
    tiers = ["directories", "directories", "names", "directories", "directories", "full"]
    assert done == [(10.0 * (i + 1), tier) for i, tier in enumerate(tiers)]


def test_when_late_the_most_thorough_of_what_is_due_is_made_once() -> None:
    assert begun().thorough(700) == "names"
    assert begun().thorough(90_000) == "full"


def test_the_middle_ones_are_counted_and_so_are_those_that_include_them() -> None:
    turns = begun()
    assert turns.done("directories", 1).middle == 0
    assert turns.done("names", 1).middle == 1
    assert turns.done("full", 1).middle == 1


def test_an_interval_that_did_not_change_goes_on() -> None:
    turns = begun().changed({**EVERY, "names": 300.0}, 50.0)
    assert turns.next() == (60.0, "directories")
    assert turns.since_s["names"] == 50.0


def test_nothing_is_due_without_intervals() -> None:
    assert NO_TURNS.next() is None
