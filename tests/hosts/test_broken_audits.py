"""An audit whose leader dies, or whose server does, goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .test_reload import reloaded
from .world import VIEW, AgentHost, Site, until
from .writers import nap

pytestmark = pytest.mark.hosts

FOLDERS, FILES = 600, 4
RATE = 400  # operations a second: an audit takes some ten seconds
EVERY_S = 15  # and is long over before the next one begins
ARMED_S = 6.0  # a follower must have watched for so long before what it goes on with has begun
SOME = 6  # of the folders, from the first to the last


class Watched:
    """Until when directories were seen as they are, from the first to the last of a walk."""

    def __init__(self, place: Site) -> None:
        self._place = place
        step = FOLDERS // SOME
        self._paths = [f"/many/d{i // 100}/d{i % 100:02}/f0" for i in range(0, FOLDERS, step)]
        self._paths.append(f"/many/d{FOLDERS // 100 - 1}/d99/f0")

    def seen_us(self) -> list[int]:
        """Of one file in each, in fusion time."""
        found = []
        for path in self._paths:
            told = self._place.fusion.ask(f"/views/{VIEW}/stat", path=path)
            assert told is not None, self._place.tails()
            found.append(int(told["entry"]["observed"][1]))
        return found


def status(place: Site) -> dict[str, Any]:
    told = place.fusion.ask(f"/views/{VIEW}/status")
    return told or {}


def audited(leader: AgentHost) -> None:
    """A leader looks at everything again, slowly, from now on."""
    text = leader.config.read_text()
    leader.config.write_text(text.replace('"full": 0', f'"full": {EVERY_S}'))
    assert reloaded(leader)["changed"]
    leader.seen_in(194, within_s=EVERY_S + 30.0)


def half(seen: Callable[[], list[int]], before: list[int], place: Site) -> list[int]:
    """Wait until the first directories are audited, and the last ones are not."""
    until(lambda: seen()[1] > before[1], 60.0, place.tails)
    now = seen()
    assert now[-1] == before[-1], "the audit was over before it could be broken off"
    return now


def started(place: Site, *names: str) -> AgentHost:
    """Agents that know a large tree and make no audits; returns the leader."""
    for number in range(FOLDERS):
        folder = place.tree / "many" / f"d{number // 100}" / f"d{number % 100:02}"
        folder.mkdir(parents=True)
        for name in range(FILES):
            (folder / f"f{name}").touch()
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
    seen = Watched(place).seen_us
    before = seen()
    audited(leader)
    broken = half(seen, before, place)
    (place.tree / "many/d5/d50/new").write_text("while nobody led")
    leader.kill()
    follower.seen_in(66, within_s=60.0)
    after = seen()
    assert after[0] == broken[0] > before[0], "what was audited is not looked at again"
    assert after[-1] > broken[-1], "and the rest is"
    told = status(place)
    assert told["audits"] == 1, "it is one audit, begun by one and ended by the other"
    place.settles()


def test_an_audit_goes_on_when_the_server_is_back(place: Site) -> None:
    leader = started(place, "alpha")
    seen = Watched(place).seen_us
    before = seen()
    audited(leader)
    half(seen, before, place)
    place.fusion.kill()
    place.fusion.begin()
    broken = seen()
    assert broken[-1] == before[-1]
    until(lambda: status(place).get("audits", 0) >= 1, 60.0, place.tails)
    after = seen()
    assert after[0] == broken[0] > before[0], "what was audited is not looked at again"
    assert after[-1] > broken[-1]
    assert place.leader() is leader
