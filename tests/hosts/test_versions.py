"""An agent and a server that are a version of the protocol apart."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .world import Host, Site

AHEAD = Path(__file__).with_name("ahead.py")


def of_versions(host: Host, versions: str) -> None:
    """Let a host run a program that speaks these."""
    host.command = (sys.executable, str(AHEAD), versions)


@pytest.mark.hosts
def test_an_agent_that_speaks_the_next_version_alone_is_refused(place: Site) -> None:
    """Loudly, on both sides; an agent that speaks both is served."""
    both, newer = place.agent("both", mounted=False), place.agent("newer", mounted=False)
    of_versions(both, "1,2")
    of_versions(newer, "2")
    place.start(both)
    both.seen_in(66)
    newer.begin()
    newer.seen_in(8)
    told = newer.told("pipe", "show", "newer")
    assert "protocol" in told["last_error"]
    assert "2" in told["last_error"]
    assert told["session_id"] is None
    assert [s["pipe"] for s in place.sessions()] == ["both"]
    place.settles()


@pytest.mark.hosts
def test_a_server_that_speaks_the_next_version_too_serves_agents_of_today(place: Site) -> None:
    of_versions(place.fusion, "1,2")
    agent = place.agent("alpha", mounted=False)
    place.start()
    with place.polled():
        (place.tree / "new").write_text("1")
        place.settles()
        agent.seen_in(66)


@pytest.mark.hosts
def test_a_server_that_speaks_only_the_next_version_refuses_agents_of_today(place: Site) -> None:
    of_versions(place.fusion, "2")
    agent = place.agent("alpha", mounted=False)
    place.start_fusion()
    agent.begin()
    agent.seen_in(8)
    assert "protocol" in str(agent.pipe()["last_error"])
    assert place.sessions() == []
