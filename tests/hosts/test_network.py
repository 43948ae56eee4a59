"""A network that fails one way, both ways, or slowly: nothing is lost, nothing is there twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .proxy import Proxy
from .world import Site, until
from .writers import Storms, nap

Fault = Callable[[Proxy], None]
FAULTS: dict[str, Fault] = {
    "requests arrive, replies do not": lambda proxy: proxy.cut(requests=False),
    "replies arrive, requests do not": lambda proxy: proxy.cut(replies=False),
    "nothing arrives": lambda proxy: proxy.cut(),
    "connections are refused": lambda proxy: proxy.refuse(),
    "late by half a second": lambda proxy: proxy.slow(delay_s=0.5),
    "20 kB a second": lambda proxy: proxy.slow(bytes_s=20_000),
}


def one_session_each(place: Site) -> None:
    sessions = place.sessions()
    assert sorted(s["pipe"] for s in sessions) == sorted(place.agents), place.tails()


def fails(place: Site, fault: Fault, lasts_s: float, *, reset: bool) -> None:
    """A storm from all hosts, while the network of the leader, then of the other, fails."""
    for name in ("alpha", "beta"):
        place.agent(name)
    place.start()
    storms = Storms([agent.root for agent in place.agents.values()], place.outside)
    with place.polled() as poller:
        for agent in place.agents.values():
            with storms.raging():
                fault(agent.proxy)
                nap(lasts_s)
                agent.proxy.heal(reset=reset)
                until(lambda: len(place.sessions()) == 2, place.times.exact_s, place.tails)
        storms.calm()
        place.settles()
        for agent in place.agents.values():
            agent.seen_in(66, 70)
        one_session_each(place)
        poller.never_stale()


@pytest.mark.hosts
def test_replies_that_do_not_arrive(place: Site) -> None:
    agent = place.agent("alpha")
    place.start()
    with place.polled():
        storms = Storms([agent.root], place.outside)
        agent.proxy.cut(requests=False)
        storms.run(300)
        nap(place.times.request_s)
        storms.run(300)
        agent.proxy.heal()
        storms.calm()
        place.settles()
        agent.seen_in(66)
        one_session_each(place)


@pytest.mark.hosts
@pytest.mark.parametrize("reset", [False, True], ids=["late", "lost"])
@pytest.mark.parametrize("what", FAULTS)
def test_shorter_than_a_session(place: Site, what: str, reset: bool) -> None:
    fails(place, FAULTS[what], place.times.timeout_s / 2, reset=reset)


@pytest.mark.hosts
@pytest.mark.parametrize("reset", [False, True], ids=["late", "lost"])
@pytest.mark.parametrize("what", FAULTS)
def test_longer_than_two_sessions(place: Site, what: str, reset: bool) -> None:
    fails(place, FAULTS[what], 2.5 * place.times.timeout_s, reset=reset)


@pytest.mark.hosts
def test_the_only_agent_is_cut_off(place: Site) -> None:
    """The view stays, says that it is stale, and is exact when the network is back."""
    agent = place.agent("alpha")
    place.start()
    storms = Storms([agent.root], place.outside)
    with place.polled() as poller:
        agent.proxy.cut()
        with storms.raging():
            nap(2 * place.times.failover_s)
        assert poller.samples[-1].stale
        assert poller.samples[-1].sessions == 0
        agent.seen_in(258, 8)
        agent.proxy.heal(reset=True)
        storms.calm()
        place.settles()
        agent.seen_in(66)
        one_session_each(place)
    assert not poller.samples[-1].stale
