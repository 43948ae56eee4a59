"""Both kinds of followers, and the states of pipes as exact integers on the way."""

from __future__ import annotations

import threading
import time

import pytest

from .world import AgentHost, Site, until
from .writers import many_files, nap


class States:
    """Every state of a pipe that `/pipes` has told, in order, without repeats."""

    def __init__(self, agent: AgentHost) -> None:
        self.agent = agent
        self.seen: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> States:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            state = self.agent.state
            if state is not None and self.seen[-1:] != [state]:
                self.seen.append(state)
            self._over.wait(0.01)


def told(agent: AgentHost) -> dict[str, object]:
    """What `pipe show` says of its pipe."""
    return agent.told("pipe", "show", agent.home.name)


@pytest.mark.hosts
def test_a_follower_in_real_time_is_70_and_is_promoted_through_98_to_66(place: Site) -> None:
    many_files(place.tree / "many", 400, 25)
    leader = place.agent("alpha", mounted=False)
    place.start()
    follower = place.agent("beta", mounted=False)
    follower.begin()
    follower.seen_in(70)
    assert told(leader)["state"] == 66
    assert told(leader)["flags"] == ["RUNNING", "MESSAGE_PHASE"]
    assert told(follower)["state"] == 70
    assert told(follower)["flags"] == ["RUNNING", "PAUSED", "MESSAGE_PHASE"]
    with place.polled(), States(follower) as states:
        leader.kill()
        (place.tree / "event of a follower").write_text("1")
        follower.seen_in(66)
        place.settles()
    assert states.seen[0] == 70
    assert [s for s in states.seen if s in (98, 66)] == [98, 66], states.seen


@pytest.mark.hosts
def test_a_follower_on_standby_is_6_and_is_promoted_through_34_to_66(place: Site) -> None:
    many_files(place.tree / "many", 400, 25)
    leader = place.agent("alpha", mounted=False)
    place.start()
    follower = place.agent("beta", mounted=False, follower="standby")
    follower.begin()
    follower.seen_in(6)
    assert told(follower)["flags"] == ["RUNNING", "PAUSED"]
    sent = next(s["acked"] for s in place.sessions() if s["pipe"] == "beta")
    (place.tree / "event").write_text("1")
    place.settles()
    assert next(s["acked"] for s in place.sessions() if s["pipe"] == "beta") == sent == 0
    with place.polled(), States(follower) as states:
        leader.kill()
        (place.tree / "between").write_text("1")
        follower.seen_in(66)
        place.settles()
    assert [s for s in states.seen if s in (6, 34, 66)] == [6, 34, 66], states.seen


@pytest.mark.hosts
def test_the_states_of_a_leader(place: Site) -> None:
    """1 and 258 without a server, 34 while it scans, 66, 194 while it audits, 258 and 8 again."""
    many_files(place.tree / "many", 600, 40)
    place.start_fusion()
    agent = place.agent("alpha", mounted=False, audit_interval_sec=2, max_consecutive_errors=3)
    agent.proxy.refuse()
    with States(agent) as states:
        agent.begin()
        agent.seen_in(258)
        agent.proxy.heal()
        agent.seen_in(66)
        agent.seen_in(194)
        agent.seen_in(66)
        agent.proxy.refuse()
        agent.seen_in(258)
        agent.seen_in(8)
        assert told(agent)["last_error"]
        agent.proxy.heal()
        agent.seen_in(66)
        assert told(agent)["errors_in_row"] == 0
    assert {34, 66, 194, 258, 8} <= set(states.seen), states.seen
    assert set(states.seen) <= {0, 1, 2, 34, 66, 194, 258, 8}, states.seen


@pytest.mark.hosts
def test_a_pipe_that_stops_at_its_errors_waits_for_a_person(place: Site) -> None:
    agent = place.agent("alpha", on_max_errors="stop", max_consecutive_errors=2)
    place.start()
    with place.polled() as poller:
        agent.proxy.refuse()
        agent.seen_in(8)
        agent.proxy.heal()
        nap(2 * place.times.backoff_s)
        assert agent.state == 8
        begun = time.monotonic()
        agent.told("pipe", "resume", agent.home.name)
        agent.seen_in(66)
        place.settles()
        until(lambda: not poller.samples[-1].stale, place.times.failover_s, place.tails)
    assert time.monotonic() - begun < place.times.exact_s
