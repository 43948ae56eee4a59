"""An audit whose leader dies, or whose server does, goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .test_reload import reloaded
from .world import VIEW, AgentHost, Site, Times, until
from .writers import nap

pytestmark = pytest.mark.hosts

FOLDERS, FILES = 600, 4
RATE = 120  # operations a second: an audit takes half a minute
EVERY_S = 15  # and is long over before the next one begins
HOT_S = 33.0  # younger files are suspect: they are looked at once more, which is no audit
ARMED_S = 6.0  # a follower must have watched for so long before what it goes on with has begun


@pytest.fixture
def times() -> Times:
    """No session is lost for being slow."""
    return Times(timeout_s=15.0, heartbeat_s=2.0, request_s=10.0)


PLACES = ("/many/d0/d00/f0", f"/many/d{FOLDERS // 100 - 1}/d99/f0")  # first and last of a walk


def seen_us(place: Site, path: str) -> int:
    """Until when a file was seen as it is, in fusion time."""
    told = place.fusion.ask(f"/views/{VIEW}/stat", path=path)
    assert told is not None, place.tails()
    return int(told["entry"]["observed"][1])


def seen(place: Site) -> list[int]:
    """The same of the first and the last directory of an audit."""
    return [seen_us(place, path) for path in PLACES]


def status(place: Site) -> dict[str, Any]:
    told = place.fusion.ask(f"/views/{VIEW}/status")
    return told or {}


def audited(leader: AgentHost) -> None:
    """A leader looks at everything again, slowly, from now on."""
    text = leader.config.read_text()
    leader.config.write_text(text.replace('"full": 0', f'"full": {EVERY_S}'))
    assert reloaded(leader)["changed"]
    leader.seen_in(194, within_s=EVERY_S + 30.0)


def half(place: Site, before: list[int], end: Callable[[], None]) -> list[int]:
    """Break the audit off when it has looked at the first directories, and not at the last."""
    until(lambda: seen_us(place, PLACES[0]) > before[0], 60.0, place.tails)
    end()
    now = seen(place)
    assert now[-1] == before[-1], "the audit was over before it could be broken off"
    return now


def started(place: Site, *names: str) -> AgentHost:
    """Agents that know a large tree and make no audits; returns the leader."""
    for number in range(FOLDERS):
        folder = place.tree / "many" / f"d{number // 100}" / f"d{number % 100:02}"
        folder.mkdir(parents=True)
        for name in range(FILES):
            (folder / f"f{name}").touch()
    nap(HOT_S)
    tiers = {"directories": 0, "full": 0, "rate": RATE}
    for name in names:
        place.agent(name, audit_interval_sec=0, audit=tiers)
    place.start()
    leader = place.leader()
    assert leader is not None, place.tails()
    return leader


def test_the_next_leader_goes_on_with_an_audit(place: Site) -> None:
    leader = started(place, "alpha", "beta")
    follower = next(agent for agent in place.agents.values() if agent is not leader)
    follower.seen_in(70)
    until(lambda: follower.pipe().get("watched_dirs", 0) > FOLDERS, 60.0, place.tails)
    nap(ARMED_S)
    before = seen(place)
    audited(leader)
    broken = half(place, before, leader.kill)
    (place.tree / "many/d5/d50/new").write_text("while nobody led")
    follower.seen_in(66, within_s=90.0)
    after = seen(place)
    assert after[0] == broken[0] > before[0], "what was audited is not looked at again"
    assert after[-1] > broken[-1], "and the rest is"
    told = status(place)
    assert told["audits"] == 1, "it is one audit, begun by one and ended by the other"
    place.settles()


def test_an_audit_goes_on_when_the_server_is_back(place: Site) -> None:
    leader = started(place, "alpha")
    before = seen(place)
    audited(leader)

    def again() -> None:
        place.fusion.kill()
        place.fusion.begin()

    broken = half(place, before, again)
    until(lambda: status(place).get("audits", 0) >= 1, 150.0, place.tails)
    after = seen(place)
    assert after[0] == broken[0] > before[0], "what was audited is not looked at again"
    assert after[-1] > broken[-1]
    assert place.leader() is leader
