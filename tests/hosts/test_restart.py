"""Fusion is killed: what it acknowledged is answered afterwards, the rest comes again."""

from __future__ import annotations

import signal

import pytest

from tests.storms.oracle import differences, told, told_rollups

from .world import VIEW, Site, until
from .writers import Storms, many_files

FILES = (300, 40)


@pytest.mark.hosts
def test_killed_in_mid_snapshot(place: Site) -> None:
    """It goes on where it was; meanwhile what is not there yet is `unknown`, not absent."""
    whole = many_files(place.tree / "many", *FILES)
    agent = place.agent("alpha", mounted=False)
    place.start_fusion()
    agent.proxy.slow(bytes_s=200_000)
    agent.begin()
    until(lambda: place.files() > whole // 10, 30, place.tails)
    held, quality = place.fusion.entries(VIEW)
    assert not quality["complete"]
    last = f"/many/d{FILES[0] // 100 - 1}/d99/f{FILES[1] - 1}"
    stat = place.fusion.ask(f"/views/{VIEW}/stat", path=last) or {}
    place.fusion.kill()
    place.fusion.begin()
    after, quality = place.fusion.entries(VIEW)
    lost = set(told(held)) - set(told(after))
    assert not lost
    assert not quality["complete"] or len(after) > whole
    assert stat["existence"] in ("unknown", "present")
    agent.proxy.heal()
    place.settles()
    agent.seen_in(66)
    assert len(place.sessions()) == 1


@pytest.mark.hosts
def test_all_that_was_acknowledged_is_answered_with_all_agents_away(place: Site) -> None:
    for name in ("alpha", "beta"):
        place.agent(name)
    place.start()
    storms = Storms([agent.root for agent in place.agents.values()], place.outside)
    storms.run(800)
    storms.calm()
    place.settles()
    for agent in place.agents.values():
        agent.kill()
    before, _ = place.fusion.entries(VIEW)
    place.fusion.kill()
    place.fusion.begin()
    after, quality = place.fusion.entries(VIEW)
    assert not differences(told(before), told(after))
    assert not differences(told_rollups(before), told_rollups(after))
    assert quality["stale"]
    for agent in place.agents.values():
        agent.begin()
    place.settles()


@pytest.mark.hosts
def test_killed_again_and_again_in_a_storm(place: Site) -> None:
    for name in ("alpha", "beta"):
        place.agent(name)
    place.start()
    storms = Storms([agent.root for agent in place.agents.values()], place.outside, 3)
    with place.polled() as poller:
        for _ in range(4):
            with storms.raging():
                poller.away()
                place.fusion.kill()
                place.fusion.begin()
                poller.back()
                until(lambda: len(place.sessions()) == 2, place.times.exact_s, place.tails)
            storms.run(100)
        storms.calm()
        place.settles()
        epochs = [sample.epoch for sample in poller.samples]
        assert epochs == sorted(epochs)
    assert {s["role"] for s in place.sessions()} == {"leader", "follower"}


@pytest.mark.hosts
def test_a_stopped_and_resumed_server_ends_no_session(place: Site) -> None:
    """Its own standstill is nobody else's silence."""
    for name in ("alpha", "beta"):
        place.agent(name)
    place.start()
    with place.polled() as poller:
        poller.away()
        place.fusion.signal(signal.SIGSTOP)
        (place.tree / "meanwhile").write_text("1")
        place.agents["alpha"].seen_in(258, 8, within_s=place.times.exact_s)
        place.fusion.signal(signal.SIGCONT)
        poller.back()
        place.settles()
        for agent in place.agents.values():
            agent.seen_in(66, 70)
        assert len(place.sessions()) == 2
