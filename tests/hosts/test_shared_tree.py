"""Several hosts on one tree: their view is the tree, whoever writes, and it stays when few do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .world import VIEW, Site, Times, until
from .writers import BlindWriter, SlowWriter, Storms, nap

LEADS, FOLLOWS = (66, 194), (70,)
PARTS = 4


@pytest.fixture
def times(request: pytest.FixtureRequest) -> Times:
    marker = request.node.get_closest_marker("times")
    return replace(Times(), **(marker.kwargs if marker else {}))


def two_agents(place: Site) -> None:
    for name in ("alpha", "beta"):
        place.agent(name)
    place.start()


@pytest.mark.long
def test_two_hosts_on_one_tree(place: Site) -> None:
    two_agents(place)
    with place.polled() as poller:
        storms = Storms([agent.root for agent in place.agents.values()], place.outside)
        storms.run(600)
        storms.calm()
        place.settles()
        states = {agent.state for agent in place.agents.values()}
        assert states == {66, 70}
        assert {s["role"] for s in place.sessions()} == {"leader", "follower"}
    assert len({s["pipe"] for s in place.sessions()}) == len(place.sessions()) == 2
    poller.never_stale()


@pytest.mark.hosts
def test_an_agent_on_the_machine_of_the_server_needs_no_key(place: Site) -> None:
    """Over the Unix socket; one that comes over TCP stands beside it."""
    socket = place.fusion.home / "fusion" / "api.sock"
    near = place.agent("near", sink={"url": f"unix:{socket}", "key": None})
    far = place.agent("far")
    place.start()
    with place.polled():
        storms = Storms([near.root, far.root], place.outside, 2)
        storms.run(300)
        storms.calm()
        place.settles()
    keys = {s["pipe"]: bool(s["key_id"]) for s in place.sessions()}
    assert keys == {"near": False, "far": True}


@pytest.mark.hosts
@pytest.mark.times(audit_s=6.0)
@pytest.mark.parametrize("seed", range(3))
def test_storms_of_several_writers_and_a_blind_one(place: Site, seed: int) -> None:
    blind = BlindWriter(place.tree, place.outside, 20)
    two_agents(place)
    with place.polled():
        mounts = [agent.root for agent in place.agents.values()]
        storms = Storms([*mounts, *mounts, place.tree], place.outside, seed * 10)
        for _ in range(PARTS):
            storms.run(800)
        blind.write()
        storms.calm()
        place.settles()
        told = place.fusion.told("view", "blind-spots", "/blind", "--view", VIEW)
        found = {entry["path"] for entry in told["entries"]}
        assert found == {f"/blind/{path.name}" for path in blind.paths}, place.tails()


@pytest.mark.hosts
@pytest.mark.times(audit_s=4.0)
def test_hosts_without_watches_find_all_by_audits(place: Site) -> None:
    """As on a network file system that only others write: every change is a blind spot."""
    for name in ("alpha", "beta"):
        place.agent(name, source={"watch": "off"})
    place.start()
    with place.polled():
        storms = Storms([place.tree], place.outside)
        storms.run(500)
        storms.calm()
        place.settles()
        marks = place.tree / "after"
        marks.write_text("seen by nobody")
        place.settles()
        told = place.fusion.told("view", "blind-spots", "/", "--view", VIEW)
        assert "/after" in {entry.get("path") for entry in told["entries"]}


@pytest.mark.hosts
def test_a_follower_sees_what_the_leader_cannot(place: Site) -> None:
    """As on a network file system: each host sees only its own writes, and there is no audit."""
    place.agent("alpha", source={"watch": "off"})
    place.start()
    follower = place.agent("beta")
    follower.begin()
    follower.seen_in(70)
    with place.polled():
        for number in range(3):
            (place.tree / f"anchor-{number}" / "new").write_text("seen by the follower alone")
        deep = place.tree / "deep" / "er" / "still"
        deep.mkdir(parents=True)
        (deep / "new").write_text("1")
        place.settles()
        storms = Storms([follower.root], place.outside, 4)
        storms.run(400)
        storms.calm()
        place.settles()
        told = place.fusion.told("view", "blind-spots", "/", "--view", VIEW)
        assert not [e["path"] for e in told["entries"] if e["path"].startswith("/anchor")]


@pytest.mark.hosts
def test_steady_slow_writes_empty_nothing(place: Site) -> None:
    """The earlier system let the session of a writer that is never quiet run out."""
    two_agents(place)
    before = {s["session_id"] for s in place.sessions()}
    with place.polled() as poller, SlowWriter(place.tree / "steady.log", pause_s=0.9) as writer:
        nap(4 * place.times.timeout_s)
    assert writer.lines > 3 * place.times.timeout_s
    place.settles()
    assert {s["session_id"] for s in place.sessions()} == before, place.tails()
    assert {sample.sessions for sample in poller.samples} == {2}
    assert len({sample.leader for sample in poller.samples}) == 1
    assert all(sample.complete and not sample.stale for sample in poller.samples)


@pytest.mark.hosts
def test_a_view_without_agents_stays_and_is_stale(place: Site) -> None:
    two_agents(place)
    entries, _ = place.fusion.entries(VIEW)
    with place.polled() as poller:
        for agent in place.agents.values():
            assert agent.stop() == 0
        until(lambda: poller.samples[-1].stale, place.times.failover_s, place.tails)
        nap(place.times.timeout_s)
        after, quality = place.fusion.entries(VIEW)
    assert len(after) == len(entries)
    assert quality["stale"]
    assert quality["age_s"] >= place.times.timeout_s
    assert poller.samples[-1].sessions == 0
