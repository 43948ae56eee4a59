"""Back-off, heartbeats and duels as tables of cases."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.pacing import JITTER_LEAST, Backoff, Duel, Rhythm, Streak, heartbeat_interval_s
from fustor_core.states.pipeline import PIPELINE, PipelineState

PLAN = Backoff(first_s=5.0, multiplier=2, cap_s=60.0, limit=5)

jitters = st.floats(JITTER_LEAST, 1.0)


def test_delays_double_up_to_the_cap() -> None:
    delays = [PLAN.delay_s(errors, 1.0) for errors in range(1, 8)]
    assert delays == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


@given(errors=st.integers(1, 10**9), jitter=jitters)
def test_every_delay_is_within_half_and_whole_of_the_formula(errors: int, jitter: float) -> None:
    whole = min(60.0, 5.0 * 2.0 ** min(errors - 1, 10))
    assert math.isclose(PLAN.delay_s(errors, jitter), whole * jitter)
    assert whole / 2 <= PLAN.delay_s(errors, jitter) <= whole


def test_a_constant_delay_and_a_first_delay_above_the_cap() -> None:
    assert Backoff(3.0, 1, 60.0, 5).delay_s(10**9, 1.0) == 3.0
    assert Backoff(90.0, 2, 60.0, 5).delay_s(1, 1.0) == 60.0


@pytest.mark.parametrize(("errors", "jitter"), [(0, 1.0), (1, 0.49), (1, 1.01)])
def test_arguments_out_of_range_are_refused(errors: int, jitter: float) -> None:
    with pytest.raises(ValueError):
        PLAN.delay_s(errors, jitter)


def test_from_the_limit_on_the_pipe_is_in_error_and_the_count_is_kept() -> None:
    streak = Streak(PLAN)
    events = []
    for _ in range(7):
        streak = streak.failed()
        events.append(streak.event)
    assert events == ["failed"] * 4 + ["alarm"] * 3
    assert not streak.waits_for_person
    assert streak.delay_s(1.0) == PLAN.cap_s


def test_the_events_of_a_streak_walk_the_table() -> None:
    state, streak, seen = PipelineState(66), Streak(PLAN), []
    for _ in range(6):
        streak = streak.failed()
        state = PIPELINE.next(state, streak.event)
        seen.append(int(state))
        if streak.alarmed:
            state = PIPELINE.next(state, "retry")
            seen.append(int(state))
    assert seen == [258, 258, 258, 258, 8, 258, 8, 258]


def test_only_a_useful_acknowledgement_ends_a_streak() -> None:
    streak = Streak(PLAN).failed().failed()
    assert streak.acknowledged(claims=0) == streak
    assert streak.acknowledged(claims=7, repeat=True) == streak
    assert streak.acknowledged(claims=1) == Streak(PLAN)


def test_on_max_errors_stop_waits_for_a_person_from_the_limit_on() -> None:
    plan = Backoff(5.0, 2, 60.0, limit=2, stops=True)
    assert not Streak(plan, 1).waits_for_person
    assert Streak(plan, 2).waits_for_person


@pytest.mark.parametrize(
    ("own", "reply", "timeout", "used"),
    [
        (10.0, None, None, 10.0),
        (10.0, 12.0, 60.0, 10.0),
        (10.0, 4.0, 30.0, 4.0),
        (10.0, 10.0, 6.0, 2.0),
        (1.0, 10.0, 30.0, 1.0),
    ],
)
def test_the_shortest_heartbeat_interval_wins(
    own: float, reply: float | None, timeout: float | None, used: float
) -> None:
    assert heartbeat_interval_s(own, reply, timeout) == used


def test_a_heartbeat_is_due_after_an_interval_of_silence() -> None:
    rhythm = Rhythm.opened(10.0, 30.0, now_s=100.0)
    assert rhythm.wait_s(100.0) == 10.0
    assert rhythm.wait_s(109.0) == 1.0
    assert rhythm.wait_s(115.0) == 0.0
    assert rhythm.beaten(115.0).due_s == 125.0


def test_a_push_acknowledged_within_the_interval_takes_its_place() -> None:
    rhythm = Rhythm.opened(10.0, 30.0, now_s=100.0).pushed(108.0)
    assert rhythm.due_s == 118.0
    assert rhythm.pushed(117.0).due_s == 127.0


def test_pushes_cannot_starve_role_and_commands() -> None:
    rhythm = Rhythm.opened(10.0, 30.0, now_s=100.0)
    for now in range(100, 160):
        rhythm = rhythm.pushed(float(now))
    assert rhythm.due_s == 130.0
    assert rhythm.beaten(130.0).pushed(131.0).due_s == 141.0


@given(
    interval=st.floats(0.1, 100),
    longest=st.floats(0.1, 100),
    steps=st.lists(st.tuples(st.floats(0, 50), st.booleans())),
)
def test_life_is_shown_at_least_once_an_interval(
    interval: float, longest: float, steps: list[tuple[float, bool]]
) -> None:
    now = 0.0
    rhythm = Rhythm.opened(interval, longest, now)
    for wait, push in steps:
        now += wait
        proof = max(rhythm.beat_s, rhythm.push_s)
        assert rhythm.due_s <= proof + interval
        assert rhythm.due_s >= min(proof + interval, rhythm.beat_s + interval)
        rhythm = rhythm.pushed(now) if push else rhythm.beaten(now)


@pytest.mark.parametrize(
    ("told", "on"),
    [
        ([0.0], [False]),
        ([0.0, 30.0], [False, True]),
        ([0.0, 31.0], [False, False]),
        ([0.0, 31.0, 40.0], [False, False, True]),
        ([0.0, 10.0, 100.0], [False, True, False]),
    ],
)
def test_replaced_twice_within_one_timeout_is_a_duel(told: list[float], on: list[bool]) -> None:
    duel, seen = Duel(timeout_s=30.0), []
    for now in told:
        duel = duel.replaced(now)
        seen.append(duel.on)
    assert seen == on
