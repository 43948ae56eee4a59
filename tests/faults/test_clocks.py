"""Wall clocks that jump while everything runs: nothing is decided by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.world import Host, Site, Times, until
from tests.hosts.writers import Storms, nap

from .machine import Machine

LIBRARIES = ("/usr/lib", "/usr/lib64")
CACHED_S = 1.0  # how long the library remembers the jump
HOUR, YEARS = 3600, 10 * 365 * 86400
JUMPS = (HOUR, -HOUR, YEARS, -YEARS, 0)

pytestmark = pytest.mark.faults


@pytest.fixture
def times() -> Times:
    """Nobody is late because the machine is."""
    return Times(timeout_s=20.0, request_s=15.0)


class WallClock:
    """The wall clock of one host, changed while its program runs; its raw clocks are true."""

    def __init__(self, machine: Machine, host: Host, file: Path) -> None:
        found = [p for top in LIBRARIES for p in Path(top).rglob("libfaketimeMT.so.1")]
        if not found:
            machine.cannot("there is no libfaketime")
        self.file = file
        self.jump(0)
        settings = {
            "LD_PRELOAD": found[0],
            "FAKETIME_TIMESTAMP_FILE": file,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
            "FAKETIME_CACHE_DURATION": 1,
        }
        host.command = ("env", *(f"{name}={is_}" for name, is_ in settings.items()), *host.command)

    def jump(self, seconds: int) -> None:
        """From now on it is off by so much."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.file)


def test_wall_clocks_jump(place: Site, machine: Machine, tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        place.agent(name)
    clocks = [
        WallClock(machine, host, tmp_path / f"{host.home.name}.clock")
        for host in (place.fusion, place.agents["alpha"])
    ]
    place.start()
    sessions = {s["session_id"] for s in place.sessions()}
    storms = Storms([agent.root for agent in place.agents.values()], place.outside)
    with place.polled() as poller:
        for clock in clocks:
            for seconds in JUMPS:
                clock.jump(seconds)
                asked = poller.asked
                storms.run(60)
                nap(CACHED_S)
                until(lambda asked=asked: poller.asked > asked + 20, 60, place.tails)
        storms.calm()
        place.settles()
        poller.never_stale()
        assert len({sample.epoch for sample in poller.samples}) == 1, "the lead has changed"
    assert {s["session_id"] for s in place.sessions()} == sessions, "a session was lost"
