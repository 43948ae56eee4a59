"""Since when what an agent tells can have been looked at."""

from __future__ import annotations

from fustor_receiver_v08.pace import FETCH_MOST, LAG_US, STUCK_US, Pace

S = 1_000_000
FULL = FETCH_MOST


def opened(*, cache_s: int = 0) -> Pace:
    pace = Pace(cache_s * S)
    pace.opened(600 * S)
    pace.led(1000 * S)
    return pace


def test_of_the_first_events_nothing_is_known() -> None:
    assert opened().events(1) <= 0


def test_events_behind_a_push_that_emptied_the_queue_are_younger_than_the_reply_before_it() -> None:
    pace = opened()
    pace.told(1, 2, 2, 1100 * S)
    pace.told(3, 4, 2, 1200 * S)
    assert pace.events(5) == 1100 * S - LAG_US


def test_a_full_push_says_nothing_of_the_events_behind_it() -> None:
    pace = opened()
    pace.told(1, 2, 2, 1100 * S)
    before = pace.events(3)
    pace.told(3, 102, FULL, 1200 * S)
    assert pace.events(103) == before


def test_a_push_that_comes_again_keeps_what_held_for_it_first() -> None:
    pace = opened()
    pace.told(1, 2, 2, 1100 * S)
    pace.told(3, 4, 2, 1200 * S)
    first = pace.events(5)
    pace.told(5, 6, 2, 1300 * S)
    assert pace.events(5) == first
    pace.told(5, 6, 2, 1400 * S)
    # its second fetch may have been before the reply that got lost, its first was behind the other
    assert pace.events(7) == 1200 * S - LAG_US


def test_a_heartbeat_bounds_the_age_of_events_unless_they_are_stuck() -> None:
    pace = opened()
    pace.told(1, 2, 2, 1100 * S)
    pace.beat(5000 * S)
    assert pace.events(3) == 5000 * S - STUCK_US - LAG_US
    pace.failed()
    pace.beat(6000 * S)
    assert pace.events(3) <= 1100 * S


def test_events_outlive_the_session_and_heartbeats_do_not() -> None:
    pace = opened()
    pace.told(1, 2, 2, 1100 * S)
    pace.told(3, 4, 2, 1200 * S)
    pace.beat(5000 * S)
    pace.opened(600 * S)
    assert pace.events(5) == 1100 * S - LAG_US


def test_a_cache_makes_every_look_older() -> None:
    assert opened(cache_s=60).snapshot(1010 * S) == 940 * S
    assert opened(cache_s=60).events(1) == opened().events(1) - 60 * S


def test_a_snapshot_begins_after_the_lead_was_told() -> None:
    pace = opened()
    pace.led(2000 * S)  # said again with each heartbeat
    assert pace.snapshot(2100 * S) == 1000 * S
    pace.follows()
    pace.led(3000 * S)
    assert pace.snapshot(3100 * S) == 3000 * S


def test_an_audit_begins_an_interval_after_the_one_before() -> None:
    pace = opened()
    drift = 600 * S // 5000
    assert pace.audit(9000 * S) == 1600 * S - drift
    pace.audited(1700 * S)
    assert pace.audit(9000 * S) == 2300 * S - drift
    assert pace.audit(2000 * S) == 2000 * S  # never later than it came
