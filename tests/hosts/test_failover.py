"""A leader that dies, hangs or comes back late: the next one stands in time, and alone."""

from __future__ import annotations

import signal
import time

import pytest

from .poller import Poller
from .world import AgentHost, Site, until
from .writers import Storms, many_files, nap

COVER_S = 0.5  # between two questions, and the reply


def two_agents(place: Site) -> tuple[AgentHost, AgentHost]:
    """(leader, follower)."""
    for name in ("alpha", "beta"):
        place.agent(name)
    place.start()
    leader = place.leader()
    assert leader is not None, place.tails()
    return leader, next(agent for agent in place.agents.values() if agent is not leader)


def led_anew(place: Site, poller: Poller, begun: float) -> float:
    """Seconds from `begun` until another session led."""
    old = next(s.leader for s in reversed(poller.samples) if s.at <= begun)

    def another() -> bool:
        return any(s.leader not in (None, old) for s in poller.since(begun))

    until(another, place.times.failover_s + COVER_S, place.tails)
    return next(s.at for s in poller.since(begun) if s.leader not in (None, old)) - begun


@pytest.mark.long
def test_the_next_leader_stands_within_the_timeout_and_two_seconds(place: Site) -> None:
    leader, follower = two_agents(place)
    with place.polled() as poller:
        (place.tree / "before").write_text("1")
        place.settles()
        begun = time.monotonic()
        leader.kill()
        (place.tree / "without a leader").write_text("2")
        assert led_anew(place, poller, begun) <= place.times.failover_s
        follower.seen_in(66)
        place.settles()
        assert place.leader() is follower, place.tails()
        poller.never_stale()


@pytest.mark.hosts
def test_a_killed_leader_that_is_started_again_follows(place: Site) -> None:
    leader, follower = two_agents(place)
    storms = Storms([agent.root for agent in place.agents.values()], place.outside)
    with place.polled() as poller:
        with storms.raging():
            begun = time.monotonic()
            leader.kill()
            assert led_anew(place, poller, begun) <= place.times.failover_s
            leader.begin()
            leader.seen_in(70)
        storms.calm()
        place.settles()
        assert place.leader() is follower, place.tails()
        assert len(place.sessions()) == 2, place.tails()


@pytest.mark.hosts
def test_a_leader_that_hangs_and_comes_back_late(place: Site) -> None:
    """Its scan of before is nobody's truth any more."""
    leader, follower = two_agents(place)
    storms = Storms([agent.root for agent in place.agents.values()], place.outside, 7)
    with place.polled() as poller:
        with storms.raging():
            begun = time.monotonic()
            leader.signal(signal.SIGSTOP)
            assert led_anew(place, poller, begun) <= place.times.failover_s
            nap(place.times.timeout_s)
            leader.signal(signal.SIGCONT)
            leader.seen_in(70)
        storms.calm()
        place.settles()
        assert place.leader() is follower, place.tails()
        assert leader.pipe()["epoch"] == follower.pipe()["epoch"] == poller.samples[-1].epoch
        assert "over or not known" in str(leader.pipe()["last_error"])
        assert len(place.sessions()) == 2, place.tails()


@pytest.mark.hosts
def test_a_leader_that_hangs_in_its_snapshot(place: Site) -> None:
    """What it sends of that scan when it wakes is refused; the next leader has scanned it all."""
    many_files(place.tree / "many", 800, 30)
    place.start_fusion()
    leader = place.agent("alpha")
    leader.proxy.slow(bytes_s=300_000)
    leader.begin()
    leader.seen_in(34)
    follower = place.agent("beta")
    follower.begin()
    follower.seen_in(70)
    until(lambda: place.files() > 1000, place.times.exact_s, place.tails)
    leader.signal(signal.SIGSTOP)
    assert place.files() < 800 * 30, "the snapshot was over before it could hang"
    follower.seen_in(98, 66, within_s=place.times.failover_s + COVER_S)
    follower.seen_in(66)
    with place.polled() as poller:
        for old in (place.tree / "many" / "d0" / "d1").iterdir():
            old.unlink()
        place.settles()
        leader.proxy.heal()
        leader.signal(signal.SIGCONT)
        leader.seen_in(70)
        place.settles()
        assert "over or not known" in str(leader.pipe()["last_error"])
        assert place.leader() is follower, place.tails()
        poller.never_stale()


@pytest.mark.hosts
def test_each_stop_passes_the_lead_on_at_once(place: Site) -> None:
    """A clean goodbye needs no timeout."""
    leader, follower = two_agents(place)
    with place.polled() as poller:
        for _ in range(3):
            begun = time.monotonic()
            assert leader.stop() == 0
            assert led_anew(place, poller, begun) <= place.times.heartbeat_s + 2
            follower.seen_in(66)
            leader.begin()
            leader.seen_in(70)
            leader, follower = follower, leader
        place.settles()
        epochs = [sample.epoch for sample in poller.samples]
        assert sorted(set(epochs)) == list(range(epochs[0], epochs[0] + 4))


@pytest.mark.hosts
def test_a_paused_leader_lets_the_other_lead(place: Site) -> None:
    leader, follower = two_agents(place)
    with place.polled() as poller:
        begun = time.monotonic()
        leader.told("pipe", "pause", leader.home.name)
        assert led_anew(place, poller, begun) <= place.times.failover_s
        leader.seen_in(6)
        follower.seen_in(66)
        (place.tree / "while paused").write_text("1")
        place.settles()
        leader.told("pipe", "resume", leader.home.name)
        leader.seen_in(70)
        place.settles()
