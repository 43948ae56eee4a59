"""Fusion time over restarts, offset bounds, storage time: instants come as arguments."""

from __future__ import annotations

import random

import pytest

from fustor_core.arbitration import order
from fustor_core.clock import (
    FusionClock,
    LogicalClock,
    OffsetBounds,
    PastBounds,
    SavedClock,
    WallDistance,
)
from fustor_core.registers import NO_LINE, Seen

S = 1_000_000


def test_fusion_time_begins_at_zero() -> None:
    clock = FusionClock.resume(None, boot="a", raw_us=500, wall_us=0)
    assert clock.at(500) == 0
    assert clock.at(700) == 200


def test_fusion_time_is_exact_within_one_boot() -> None:
    saved = SavedClock("a", offset_us=-500, high_us=9_000, wall_us=0)
    clock = FusionClock.resume(saved, boot="a", raw_us=100_500, wall_us=5)
    assert clock.at(100_500) == 100_000, "it advanced by the real time that fusion was down"


def test_fusion_time_advances_by_the_wall_over_a_reboot_and_never_back() -> None:
    saved = SavedClock("a", offset_us=-500, high_us=9_000, wall_us=1_000)
    assert FusionClock.resume(saved, boot="b", raw_us=40, wall_us=401_000).at(40) == 409_000
    assert FusionClock.resume(saved, boot="b", raw_us=40, wall_us=0).at(40) == 9_001


def test_looks_made_while_fusion_rebooted_are_not_ordered_by_it() -> None:
    """Its wall clock went back: the gap had no length, so that all looks in it touched."""
    saved = SavedClock("a", offset_us=0, high_us=9_000, wall_us=700_000)
    clock = FusionClock.resume(saved, boot="b", raw_us=40, wall_us=0)
    known = [(0, 50_000)]
    looks = []
    for f in (12_000, 14_000):
        bounds = OffsetBounds(start_us=clock.at(40), floor_us=saved.high_us)
        bounds.past.append(PastBounds(0, saved.high_us, known, known))
        bounds.request(sent_raw_us=20_000, received_us=clock.at(200))
        lo, hi = bounds.map(f, f + 10, clock.at(300))
        looks.append(Seen(lo, hi, NO_LINE, 0, 0, 0, "m"))
    assert order(looks[0], looks[1]) == order(looks[1], looks[0]) == 0, looks


def test_a_raw_clock_that_went_back_is_another_boot() -> None:
    saved = SavedClock("a", offset_us=0, high_us=9_000, wall_us=1_000)
    assert FusionClock.resume(saved, boot="a", raw_us=10, wall_us=1_000).at(10) >= 9_000


def test_an_exact_line_is_only_shifted_and_capped_by_the_arrival() -> None:
    bounds = OffsetBounds(exact_us=-100)
    assert bounds.map(1_000, 1_010, 5_000) == (900, 910)
    assert bounds.map(1_000, 1_010, 905) == (900, 905)


@pytest.mark.parametrize("seed", range(20))
def test_the_true_instant_lies_within_the_mapped_bounds(seed: int) -> None:
    """arbitration.md §8, with drift up to 200 ppm and one-way delays up to 0.3 s."""
    draw = random.Random(seed)
    offset, drift = draw.uniform(-1e10, 1e10), draw.uniform(-2e-4, 2e-4)

    def raw(fusion: float) -> int:
        return round((fusion - offset) / (1 + drift))

    bounds, now = OffsetBounds(), 0.0
    for _ in range(50):
        now += draw.uniform(0.1 * S, 20 * S)
        there, back = draw.uniform(0.001 * S, 0.3 * S), draw.uniform(0.001 * S, 0.3 * S)
        bounds.request(sent_raw_us=raw(now), received_us=round(now + there))
        bounds.reply(sent_us=round(now + there), received_raw_us=raw(now + there + back))
        now += there + back
        true = now - draw.uniform(0, 60 * S)
        lo, hi = bounds.map(raw(true), raw(true), round(now))
        assert lo - 2 <= true <= hi + 2
    assert max(len(bounds.lows), len(bounds.highs)) <= 9


def test_storage_time_follows_the_usual_lag_of_fresh_ctimes() -> None:
    clock = LogicalClock()
    assert clock.watermark(10 * 10**9) == 10 * 10**9
    for _ in range(10):
        clock.sample(1_000 * 10**9, 995 * 10**9)
    clock.sample(1_000 * 10**9, 3 * 10**9)  # an old file that was touched by a chmod long ago
    assert clock.watermark(1_000 * 10**9) == 995 * 10**9
    assert LogicalClock(clock.samples()).watermark(0) == clock.watermark(0)


def test_storage_time_forgets_what_left_its_window() -> None:
    clock = LogicalClock()
    for _ in range(LogicalClock.WINDOW):
        clock.sample(10 * 10**9, 5 * 10**9)
    for _ in range(LogicalClock.WINDOW):
        clock.sample(10 * 10**9, 9 * 10**9)
    assert clock.watermark(0) == -1 * 10**9
    assert len(clock.samples()) == LogicalClock.WINDOW


def test_an_instant_has_the_same_wall_time_whenever_it_is_told() -> None:
    distance = WallDistance()
    told = set()
    for now_us in range(0, 100_000_000, 997_001):
        jitter_ns = now_us % 7_919  # both clocks cannot be read at once
        wall_ns = distance.wall_ns(now_us, 10**18 + now_us * 1000 + jitter_ns)
        told.add(wall_ns - now_us * 1000)
    assert told == {10**18}


def test_a_wall_clock_that_was_set_is_followed() -> None:
    distance = WallDistance()
    distance.wall_ns(5, 10**18 + 5_000)
    assert distance.wall_ns(7, 10**18 + 3_600 * 10**9) == 10**18 + 3_600 * 10**9
    assert distance.wall_ns(8, 10**18 - 10**12) == 10**18 - 10**12, "back, too"
