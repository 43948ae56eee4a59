"""Leadership of a view: who is chosen, when it may be told, how it is lost, who is fenced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fustor_core.claims import LEADER_ONLY, Origin
from fustor_core.errors import StaleEpochError
from fustor_core.leadership import (
    LEASE_LEAST_US,
    Announce,
    Deposed,
    Leadership,
    MakeDurable,
    check_lease,
    depose,
    durable,
    elect,
    fence,
    heard,
    lapse,
    lease_us,
    pushed,
    restored,
)
from fustor_core.session import Session
from fustor_core.states.leadership import LeadershipState
from fustor_core.states.session import SessionState

SECOND = 1_000_000
LEASE = 60 * SECOND
VACANT = Leadership("v", LEASE)

S = SessionState


def session(
    name: str, created_at: int = 0, *, state: SessionState = S.ACTIVE, scan: bool = True
) -> Session:
    return Session(
        session_id=name,
        agent_id=name,
        pipe="p",
        view="v",
        state=state,
        created_at=created_at,
        last_active_at=created_at,
        timeout_us=30 * SECOND,
        scan=scan,
    )


def led_by(name: str, at_us: int = 0) -> Leadership:
    step = elect(VACANT, [session(name)], at_us)
    return durable(step.leadership, step.leadership.chosen, at_us).leadership


# -- choosing


@pytest.mark.parametrize(
    ("sessions", "chosen"),
    [
        ([], None),
        ([session("a", 2), session("b", 1)], "b"),
        ([session("b", 1), session("a", 1)], "a"),
        ([session("a", 1, scan=False), session("b", 2)], "b"),
        ([session("a", 1, scan=False)], None),
        ([session("a", 1, state=S.STALE), session("b", 2)], "b"),
        ([session("a", 1, state=S.STALE)], None),
        ([session("a", 1, state=S.ESTABLISHING)], None),
        ([session("a", 1, state=S.ESTABLISHING), session("b", 2)], "b"),
        ([session("a", 1, state=S.EXPIRED), session("b", 2, state=S.OBSOLETE)], None),
    ],
)
def test_the_oldest_that_lives_and_can_scan_is_chosen(
    sessions: Sequence[Session], chosen: str | None
) -> None:
    assert elect(VACANT, sessions, 7).leadership.holder == chosen


def test_nothing_is_told_before_the_epoch_is_durable() -> None:
    step = elect(VACANT, [session("a")], 7)
    elected = step.leadership
    assert step.effects == (MakeDurable("v", 1, "a"),)
    assert elected.state is LeadershipState.ELECTED
    assert (elected.epoch, elected.leader, elected.role("a")) == (0, None, "follower")
    with pytest.raises(StaleEpochError):
        fence(elected, "a", 1, [Origin.SNAPSHOT])
    done = durable(elected, 1, 8)
    assert done.effects == (Announce("v", 1, "a"),)
    assert (done.leadership.epoch, done.leadership.leader) == (1, "a")
    assert done.leadership.role("a") == "leader"
    fence(done.leadership, "a", 1, [Origin.SNAPSHOT])


def test_moves_are_told() -> None:
    step = elect(VACANT, [session("a")], 7)
    assert [(m.machine, m.subject, m.event) for m in step.moves] == [("leadership", "v", "elect")]
    assert [m.new for m in durable(step.leadership, 1, 8).moves] == ["LEADING"]


def test_a_leader_is_not_pushed_out() -> None:
    leading = led_by("b")
    assert elect(leading, [session("a", -5), session("b")], 9).leadership == leading
    elected = elect(VACANT, [session("b")], 1).leadership
    assert elect(elected, [session("a", -5), session("b")], 9).leadership == elected


# -- losing


def test_the_next_leader_has_a_higher_epoch() -> None:
    leading = led_by("a")
    lapsed = lapse(leading, "a")
    assert lapsed.effects == (Deposed("v", 1, "a"),)
    assert lapsed.leadership.state is LeadershipState.LAPSED
    assert (lapsed.leadership.leader, lapsed.leadership.epoch) == (None, 1)
    step = elect(lapsed.leadership, [session("b")], 9)
    assert step.effects == (MakeDurable("v", 2, "b"),)
    assert durable(step.leadership, 2, 9).leadership.epoch == 2


def test_the_end_of_others_changes_nothing() -> None:
    leading = led_by("a")
    assert lapse(leading, "b").leadership is leading
    assert depose(leading, "b", 9).leadership is leading
    assert lapse(VACANT, "a").leadership is VACANT


def test_an_elected_session_that_goes_away_leaves_its_epoch_behind() -> None:
    elected = elect(led_by("a"), [], 5).leadership
    elected = elect(lapse(elected, "a").leadership, [session("b")], 5).leadership
    gone = lapse(elected, "b")
    assert gone.effects == (), "nobody had been told"
    late = durable(gone.leadership, 2, 6)
    assert late.leadership == gone.leadership, "the journal answers too late"
    again = elect(gone.leadership, [session("c")], 7)
    assert again.effects == (MakeDurable("v", 3, "c"),)
    assert durable(again.leadership, 2, 8).leadership == again.leadership
    assert durable(again.leadership, 3, 8).leadership.leader == "c"


def test_without_anybody_left_it_is_vacant() -> None:
    lapsed = lapse(led_by("a"), "a").leadership
    assert elect(lapsed, [], 9).leadership.state is LeadershipState.VACANT
    stale = [session("b", state=S.STALE)]
    assert elect(lapsed, stale, 9).leadership.state is LeadershipState.LAPSED
    assert elect(lapsed, [session("c", scan=False)], 9).leadership.state == "VACANT"


# -- the lease


def scan(progress_us: int, directories: int = 1) -> dict[str, int]:
    return {"started_us": 1, "progress_us": progress_us, "directories": directories}


def test_the_lease_is_longer_than_a_hiccup_of_the_storage() -> None:
    assert lease_us(30 * SECOND) == LEASE_LEAST_US
    assert lease_us(45 * SECOND) == 90 * SECOND


def test_progress_renews_the_lease_and_a_hung_scan_does_not() -> None:
    leading = led_by("a", at_us=0)
    for at in (10, 20, 30):
        leading = heard(leading, "a", scan(at), at * SECOND)
    assert leading.renewed_us == 30 * SECOND
    for at in (40, 60, 80, 90):
        leading = heard(leading, "a", scan(30), at * SECOND)
    assert check_lease(leading, 90 * SECOND, heard_from_us=0).leadership == leading
    step = check_lease(leading, 90 * SECOND + 1, heard_from_us=0)
    assert step.effects == (Deposed("v", 1, "a"),)
    assert step.leadership.state is LeadershipState.LAPSED


@pytest.mark.parametrize(
    ("report", "renewed"),
    [
        (None, True),
        (scan(20, directories=1), False),
        (scan(20, directories=2), True),
        (scan(21, directories=1), True),
        ({"started_us": 9, "progress_us": 20, "directories": 1}, True),
    ],
)
def test_what_counts_as_progress(report: dict[str, int] | None, renewed: bool) -> None:
    leading = heard(led_by("a"), "a", scan(20), 20 * SECOND)
    assert (heard(leading, "a", report, 30 * SECOND).renewed_us == 30 * SECOND) is renewed
    assert heard(leading, "b", report, 30 * SECOND) is leading


@pytest.mark.parametrize("origin", list(Origin))
def test_claims_of_its_scans_are_progress(origin: Origin) -> None:
    leading = led_by("a")
    after = pushed(leading, "a", [Origin.REALTIME, origin], 30 * SECOND)
    assert (after.renewed_us == 30 * SECOND) is (origin in LEADER_ONLY)
    assert pushed(leading, "b", [origin], 30 * SECOND) is leading


def test_fusion_s_own_standstill_costs_no_lease() -> None:
    leading = led_by("a")
    late = 500 * SECOND
    assert check_lease(leading, late, heard_from_us=late - LEASE).leadership == leading
    assert check_lease(leading, late, heard_from_us=late - LEASE - 1).leadership != leading


def test_who_lost_the_lease_rests_and_another_leads() -> None:
    lost = check_lease(led_by("a"), 70 * SECOND, heard_from_us=0).leadership
    both = [session("a", 1), session("b", 2)]
    assert elect(lost, both, 70 * SECOND).leadership.holder == "b"
    alone = elect(lost, both[:1], 70 * SECOND).leadership
    assert (alone.holder, alone.state) == (None, LeadershipState.LAPSED)
    rested = elect(alone, both[:1], 70 * SECOND + LEASE).leadership
    assert (rested.holder, rested.chosen) == ("a", 2)


def test_only_a_leader_has_a_lease() -> None:
    elected = elect(VACANT, [session("a")], 0).leadership
    assert check_lease(elected, 10 * LEASE, heard_from_us=0).leadership == elected
    assert check_lease(VACANT, 10 * LEASE, heard_from_us=0).leadership == VACANT


def test_a_paused_leader_can_be_deposed() -> None:
    step = depose(led_by("a"), "a", 5 * SECOND)
    assert step.effects == (Deposed("v", 1, "a"),)
    both = [session("a", 1), session("b", 2)]
    assert elect(step.leadership, both, 6 * SECOND).leadership.holder == "b"


# -- the fence


@pytest.mark.parametrize("origin", sorted(LEADER_ONLY))
@pytest.mark.parametrize(
    ("name", "epoch"), [("a", 1), ("a", 3), ("b", 2), ("b", 0), ("b", 1), ("b", 3)]
)
def test_scan_claims_of_anybody_but_the_leader_of_now_are_refused(
    origin: Origin, name: str, epoch: int
) -> None:
    second = elect(lapse(led_by("b"), "b").leadership, [session("a")], 5).leadership
    leading = durable(second, 2, 5).leadership
    fence(leading, "a", 2, [origin])
    with pytest.raises(StaleEpochError) as caught:
        fence(leading, name, epoch, [Origin.REALTIME, origin])
    assert (caught.value.epoch, caught.value.role) == (2, leading.role(name))


@pytest.mark.parametrize("origins", [[], [Origin.REALTIME], [Origin.ON_DEMAND, Origin.REALTIME]])
@pytest.mark.parametrize("now", [VACANT, led_by("a"), lapse(led_by("a"), "a").leadership])
def test_realtime_and_on_demand_are_never_fenced(origins: list[Origin], now: Leadership) -> None:
    for name in ("a", "b"):
        for epoch in (0, 1, 9):
            fence(now, name, epoch, origins)


def test_a_lapsed_leader_is_fenced_before_there_is_another() -> None:
    lapsed = lapse(led_by("a"), "a").leadership
    with pytest.raises(StaleEpochError) as caught:
        fence(lapsed, "a", 1, [Origin.AUDIT])
    assert (caught.value.epoch, caught.value.role) == (1, "follower")


# -- restart


def test_after_a_restart_the_leader_goes_on_under_its_epoch() -> None:
    back = restored("v", LEASE, 4, "a", 100)
    assert (back.leader, back.epoch, back.chosen, back.renewed_us) == ("a", 4, 4, 100)
    fence(back, "a", 4, [Origin.SNAPSHOT])


def test_after_a_restart_without_its_leader_epochs_go_on() -> None:
    back = restored("v", LEASE, 4, None, 100)
    assert (back.state, back.epoch) == (LeadershipState.VACANT, 4)
    assert elect(back, [session("b")], 101).effects == (MakeDurable("v", 5, "b"),)
    assert replace(back, epoch=0, chosen=0) == VACANT
