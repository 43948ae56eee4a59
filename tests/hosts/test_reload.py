"""Reload under load: what is not named goes on without a gap, and a bad file changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from .world import AgentHost, Site, until
from .writers import Storms

GONE_S = 10.0


def reloaded(agent: AgentHost) -> dict[str, Any]:
    """What `fustor reload` says."""
    return agent.told("reload")


def session_of(place: Site, pipe: str) -> str | None:
    return next((s["session_id"] for s in place.sessions() if s["pipe"] == pipe), None)


@pytest.mark.long
def test_a_bad_file_changes_nothing_and_the_next_good_one_does(place: Site) -> None:
    agent = place.agent("alpha", mounted=False)
    place.start()
    before = session_of(place, "alpha")
    with place.polled():
        good = agent.config.read_text()
        agent.config.write_text(good.replace("heartbeat_interval_sec", "heart_beat"))
        done = agent.run("reload", check=False)
        assert done.returncode == 3
        assert b"heart_beat" in done.stderr
        assert b"Traceback" not in done.stderr
        (place.tree / "after a bad file").write_text("1")
        place.settles()
        assert session_of(place, "alpha") == before
        agent.config.write_text(good)
        assert reloaded(agent)["untouched"] == ["alpha"]
        assert session_of(place, "alpha") == before
        assert agent.state == 66


@pytest.mark.hosts
def test_pipes_come_and_go_and_intervals_change_in_a_storm(place: Site) -> None:
    agent = place.agent("alpha", mounted=False)
    other = place.agent("beta")
    place.start()
    session = session_of(place, "alpha")
    storms = Storms([agent.root, other.root], place.outside, 11)
    with place.polled() as poller:
        with storms.raging():
            place.configure(agent, {"alpha": {}, "more": {}})
            told = reloaded(agent)
            assert (told["started"], told["untouched"]) == (["more"], ["alpha"])
            until(lambda: agent.pipe("more").get("state") == 70, GONE_S, place.tails)
            place.configure(agent, {"alpha": {"audit_interval_sec": 2}, "more": {}})
            told = reloaded(agent)
            assert (told["changed"], told["untouched"]) == (["alpha"], ["more"])
            place.configure(agent, {"alpha": {"audit_interval_sec": 2}})
            told = reloaded(agent)
            assert (told["stopped"], told["untouched"]) == (["more"], ["alpha"])
            until(lambda: session_of(place, "more") is None, GONE_S, place.tails)
            agent.signal(signal.SIGHUP)
        storms.calm()
        place.settles()
        assert session_of(place, "alpha") == session, place.tails()
        poller.never_stale()


@pytest.mark.hosts
def test_a_changed_file_that_nobody_loads_is_flagged(place: Site) -> None:
    agent = place.agent("alpha", mounted=False)
    place.start()
    place.configure(agent, {"alpha": {"audit_interval_sec": 99}})
    agent.seen_in(66 + 16, within_s=6)
    reloaded(agent)
    agent.seen_in(66)


@pytest.mark.hosts
def test_another_root_restarts_its_pipe_alone(place: Site, tmp_path: Path) -> None:
    agent = place.agent("alpha", mounted=False)
    beta = place.agent("beta")
    place.start()
    with place.polled():
        elsewhere = place.mounts.bind(place.tree, tmp_path / "elsewhere")
        generation = agent.pipe()["generation"]
        place.configure(agent, {"alpha": {"source": {"root": str(elsewhere)}}})
        told = reloaded(agent)
        assert told["changed"] == ["alpha"]
        agent.seen_in(66, 70)
        assert agent.pipe()["generation"] > generation
        assert str(elsewhere) in agent.pipe()["source"]
        (elsewhere / "there").write_text("1")
        place.settles()
        beta.seen_in(66, 70)


@pytest.mark.hosts
def test_the_server_reloads_too(place: Site) -> None:
    """A view that is added is served; the one that was there has no gap."""
    agent = place.agent("alpha", mounted=False)
    place.start()
    session = session_of(place, "alpha")
    config = place.folder / "fusion.yaml"
    storms = Storms([agent.root], place.outside, 5)
    with place.polled():
        with storms.raging():
            config.write_text(config.read_text().replace("views:\n", "views:\n  second: {}\n", 1))
            told = place.fusion.told("reload")
            assert not told["errors"]
            views = place.fusion.told("view", "list")["views"]
            assert {view["view"] for view in views} == {"shared", "second"}
        storms.calm()
        place.settles()
        assert session_of(place, "alpha") == session, place.tails()
