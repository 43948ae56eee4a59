"""The table of sessions: opening, life, expiry, stalls, ends and what is said afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fustor_core.claims import Ack
from fustor_core.contracts import Hello
from fustor_core.errors import IllegalTransition, SessionObsoletedError, SlowDown
from fustor_core.session import Session
from fustor_core.sessions import Contested, Ended, Opened, Sessions, Step
from fustor_core.states.session import SessionState

SECOND = 1_000_000
TIMEOUT = 30 * SECOND
START = 5_000 * SECOND


def hello(agent: str = "a1", pipe: str = "p", **more: Any) -> Hello:
    said: dict[str, Any] = {
        "agent_id": agent,
        "pipe": pipe,
        "view": "v",
        "source": {},
        "line": {},
        "can": {"realtime": True, "scan": True},
    }
    return Hello(**(said | more))


def table(most: int = 3) -> Sessions:
    return Sessions("v", timeout_us=TIMEOUT, most=most, now_us=START)


def opened(sessions: Sessions, session_id: str, at_us: int = START, **more: Any) -> Step:
    """Open and grant; the step of the opening."""
    step = sessions.open_session(session_id, hello(**more), at_us)
    sessions.apply(step)
    sessions.apply(sessions.granted(session_id))
    return step


def swept(sessions: Sessions, until_us: int, every_us: int = SECOND) -> list[Step]:
    """Sweep without a stall up to an instant; the steps that did something."""
    steps = []
    now = sessions._swept_us
    while now < until_us:
        now = min(until_us, now + every_us)
        step = sessions.sweep(now)
        sessions.apply(step)
        if step.sessions or step.stalled:
            steps.append(step)
    return steps


def reason(sessions: Sessions, session_id: str, at_us: int) -> str:
    with pytest.raises(SessionObsoletedError) as caught:
        sessions.admit(session_id, at_us)
    return caught.value.reason


def state(sessions: Sessions, session_id: str) -> SessionState:
    session = sessions.get(session_id)
    assert session is not None
    return session.state


# -- opening


def test_a_session_is_establishing_until_it_is_durable() -> None:
    sessions = table()
    step = sessions.open_session("s1", hello(), START, key_id="k", client_ip="10.0.0.9")
    assert len(sessions) == 0, "nothing changes before apply"
    sessions.apply(step)
    session = sessions.admit("s1", START)
    assert step.effects == (Opened(session),)
    assert session.state is SessionState.ESTABLISHING
    assert (session.key_id, session.client_ip) == ("k", "10.0.0.9")
    granted = sessions.granted("s1")
    sessions.apply(granted)
    assert [(m.subject, m.event, m.new) for m in granted.moves] == [("s1", "grant", "ACTIVE")]
    with pytest.raises(IllegalTransition):
        sessions.granted("s1")


@pytest.mark.parametrize(
    ("hint_s", "timeout_s"), [(None, 30), (0, 30), (29.9, 30), (31.5, 31.5), (90, 90)]
)
def test_the_timeout_is_the_longer_of_hint_and_configuration(
    hint_s: float | None, timeout_s: float
) -> None:
    sessions = table()
    opened(sessions, "s1", session_timeout_s=hint_s)
    assert sessions.admit("s1", START).timeout_us == timeout_s * SECOND


@pytest.mark.parametrize(
    ("can", "realtime", "scan"),
    [({"realtime": True, "scan": False}, True, False), ({"scan": True}, False, True)],
)
def test_what_is_not_said_cannot_be_done(can: dict[str, bool], realtime: bool, scan: bool) -> None:
    sessions = table()
    opened(sessions, "s1", can=can)
    session = sessions.admit("s1", START)
    assert (session.realtime, session.scan) == (realtime, scan)


def test_a_full_view_asks_for_patience_but_takes_a_replacement() -> None:
    sessions = table(most=2)
    opened(sessions, "s1")
    opened(sessions, "s2", agent="a2")
    with pytest.raises(SlowDown):
        sessions.open_session("s3", hello("a3"), START)
    opened(sessions, "s3", agent="a2")
    assert [s.session_id for s in sessions] == ["s1", "s3"]


def test_an_id_in_use_is_a_mistake() -> None:
    sessions = table()
    opened(sessions, "s1")
    with pytest.raises(ValueError, match="in use"):
        sessions.open_session("s1", hello("a2"), START)


# -- one live session per agent pipe


def test_a_new_session_of_the_same_agent_pipe_makes_the_old_one_obsolete() -> None:
    sessions = table()
    opened(sessions, "s1")
    step = opened(sessions, "s2")
    old = step.sessions[0]
    assert old.state is SessionState.OBSOLETE
    assert [type(effect) for effect in step.effects] == [Ended, Opened]
    assert step.effects[0] == Ended(old, "replace")
    assert [s.session_id for s in sessions] == ["s2"]
    assert reason(sessions, "s1", START) == "replaced"


def test_other_pipes_and_other_agents_stand_beside_it() -> None:
    sessions = table()
    opened(sessions, "s1")
    opened(sessions, "s2", pipe="q")
    opened(sessions, "s3", agent="a2")
    assert len(sessions) == 3


@pytest.mark.parametrize(("gap_s", "contested"), [(0, True), (30, True), (31, False)])
def test_replaced_twice_within_a_timeout_is_an_alarm(gap_s: int, contested: bool) -> None:
    sessions = table()
    opened(sessions, "s1", START)
    once = opened(sessions, "s2", START + SECOND)
    assert not any(isinstance(effect, Contested) for effect in once.effects)
    again = opened(sessions, "s3", START + (1 + gap_s) * SECOND)
    assert (Contested("a1", "p") in again.effects) is contested


# -- life


def test_pushes_and_heartbeats_prove_life_alike() -> None:
    proofs: list[Callable[[Sessions, int], Step]] = [
        lambda t, at: t.beaten("s1", at),
        lambda t, at: t.taken("s1", 1, at),
    ]
    for prove in proofs:
        sessions = table()
        opened(sessions, "s1")
        swept(sessions, START + TIMEOUT)
        proof = START + TIMEOUT
        sessions.apply(prove(sessions, proof))
        assert sessions.admit("s1", proof).last_active_at == proof
        assert not [s for s in swept(sessions, proof + TIMEOUT) if s.effects]


def test_an_acknowledgement_proves_life_too() -> None:
    sessions = table()
    opened(sessions, "s1")
    sessions.apply(sessions.taken("s1", 1, START))
    sessions.apply(sessions.acknowledged("s1", Ack(acked=1), START + 3 * SECOND))
    session = sessions.admit("s1", START + 3 * SECOND)
    assert session.last_active_at == START + 3 * SECOND
    assert session.batches.acked == 1


def test_a_quiet_session_is_stale_and_comes_back() -> None:
    sessions = table()
    opened(sessions, "s1")
    swept(sessions, START + 20 * SECOND)
    assert state(sessions, "s1") is SessionState.ACTIVE
    swept(sessions, START + 21 * SECOND)
    assert state(sessions, "s1") is SessionState.STALE
    step = sessions.beaten("s1", START + 21 * SECOND)
    sessions.apply(step)
    assert [move.event for move in step.moves] == ["proof"]
    assert state(sessions, "s1") is SessionState.ACTIVE


@pytest.mark.parametrize("hint_s", [None, 45])
def test_it_expires_when_silent_for_longer_than_its_timeout(hint_s: int | None) -> None:
    sessions = table()
    opened(sessions, "s1", session_timeout_s=hint_s)
    end = START + (hint_s or 30) * SECOND
    assert not [s for s in swept(sessions, end) if s.effects]
    assert sessions.admit("s1", end).live
    step = sessions.sweep(end + 1)
    sessions.apply(step)
    assert [type(effect) for effect in step.effects] == [Ended]
    assert step.sessions[-1].state is SessionState.EXPIRED
    assert len(sessions) == 0
    assert reason(sessions, "s1", end + 1) == "expired"


def test_it_is_refused_at_its_end_even_if_nobody_swept_yet() -> None:
    sessions = table()
    opened(sessions, "s1")
    swept(sessions, START + TIMEOUT)
    for ask in (sessions.admit, sessions.beaten, lambda s, at: sessions.taken(s, 1, at)):
        with pytest.raises(SessionObsoletedError) as caught:
            ask("s1", START + TIMEOUT + 1)
        assert caught.value.reason == "expired"


# -- fusion's own stalls


def test_fusion_s_own_standstill_expires_nobody() -> None:
    sessions = table()
    opened(sessions, "s1")
    swept(sessions, START + 25 * SECOND)
    awake = START + 500 * SECOND
    assert sessions.admit("s1", awake).live, "a request that is read before the first sweep"
    step = sessions.sweep(awake)
    assert step.stalled
    assert step.sessions == ()
    sessions.apply(step)
    assert not [s for s in swept(sessions, awake + TIMEOUT) if s.effects]
    expired = swept(sessions, awake + TIMEOUT + SECOND)
    assert [type(effect) for step in expired for effect in step.effects] == [Ended]


def test_a_pause_that_is_no_stall_changes_nothing() -> None:
    sessions = table()
    opened(sessions, "s1")
    swept(sessions, START + 25 * SECOND)
    step = sessions.sweep(START + 35 * SECOND)
    assert not step.stalled
    assert [move.event for move in step.moves] == ["expire"]


# -- ends


def test_close_ends_it_and_unknown_ids_do_nothing() -> None:
    sessions = table()
    opened(sessions, "s1")
    step = sessions.closed("s1")
    sessions.apply(step)
    assert step.sessions[0].state is SessionState.CLOSED
    assert step.effects == (Ended(step.sessions[0], "close"),)
    assert sessions.closed("s1") == sessions.closed("never") == Step()
    assert reason(sessions, "s1", START) == "unknown"


def test_a_revoked_key_ends_all_its_sessions_and_no_other() -> None:
    sessions = table()
    for number, key in enumerate(["k1", "k2", "k1"]):
        said = hello(agent=f"a{number}")
        sessions.apply(sessions.open_session(f"s{number}", said, START, key_id=key))
    sessions.apply(sessions.revoked("k1"))
    assert [s.session_id for s in sessions] == ["s1"]
    assert reason(sessions, "s0", START) == reason(sessions, "s2", START) == "revoked"


def test_reasons_are_remembered_for_as_many_sessions_as_there_may_be() -> None:
    sessions = table(most=2)
    for number in range(4):
        opened(sessions, f"s{number}")
    told = [reason(sessions, f"s{number}", START) for number in range(3)]
    assert told == ["unknown", "replaced", "replaced"]


def test_an_opening_that_could_not_be_made_durable_is_closed() -> None:
    sessions = table()
    sessions.apply(sessions.open_session("s1", hello(), START))
    sessions.apply(sessions.closed("s1"))
    with pytest.raises(SessionObsoletedError):
        sessions.granted("s1")


def test_a_batch_of_a_session_that_was_replaced_meanwhile_is_not_answered() -> None:
    sessions = table()
    opened(sessions, "s1")
    sessions.apply(sessions.taken("s1", 1, START))
    opened(sessions, "s2")
    answers: list[Callable[[], Step]] = [
        lambda: sessions.acknowledged("s1", Ack(acked=1), START),
        lambda: sessions.released("s1"),
    ]
    for late in answers:
        with pytest.raises(SessionObsoletedError) as caught:
            late()
        assert caught.value.reason == "replaced"
    assert sessions.admit("s2", START).batches.acked == 0


# -- restart


def test_after_a_restart_sessions_are_stale_until_heard_of() -> None:
    before = table()
    opened(before, "s1")
    before.apply(before.taken("s1", 1, START))
    before.apply(before.acknowledged("s1", Ack(acked=1, server_time=7), START))
    before.apply(before.taken("s1", 2, START))
    before.apply(before.open_session("s2", hello("a2"), START + 1))
    back = START + 4_000 * SECOND
    after = Sessions("v", timeout_us=TIMEOUT, most=3, now_us=back)
    after.restore(reversed(list(before)))
    assert [(s.session_id, s.state) for s in after] == [
        ("s1", SessionState.STALE),
        ("s2", SessionState.STALE),
    ]
    batches = after.admit("s1", back).batches
    assert (batches.acked, batches.taken) == (1, 1)
    assert batches.replies == (Ack(acked=1, server_time=7),)
    after.apply(after.beaten("s1", back))
    assert state(after, "s1") is SessionState.ACTIVE
    swept(after, back + TIMEOUT)
    assert len(after) == 2
    swept(after, back + TIMEOUT + SECOND)
    assert len(after) == 0


def test_an_ended_session_cannot_be_restored() -> None:
    sessions = table()
    opened(sessions, "s1")
    ended: Session = sessions.closed("s1").sessions[0]
    sessions.restore([ended])
    assert len(sessions) == 0
