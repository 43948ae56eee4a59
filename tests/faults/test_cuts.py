"""A network that the kernel cuts, one way or both: packets are dropped, connections do not end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.conftest import times as times  # noqa: PLC0414
from tests.hosts.world import Site, until
from tests.hosts.writers import Storms, nap

from .machine import Machine

WAYS = {"requests": ("dport",), "replies": ("sport",), "both": ("dport", "sport")}

pytestmark = pytest.mark.faults


class Network:
    """A namespace with a loopback of its own, in which packets can be dropped by their way."""

    def __init__(self, machine: Machine, port: int) -> None:
        machine.needs_root()
        machine.needs("ip", "nft")
        self.name = f"fustor-{os.getpid()}-{port}"
        self.inside = ("ip", "netns", "exec", self.name)
        self._machine, self._port = machine, port
        machine.does("ip", "netns", "add", self.name)
        try:
            machine.does(*self.inside, "ip", "link", "set", "lo", "up")
            self._nft("add table inet cut")
            self._nft("add chain inet cut in { type filter hook input priority 0 ; }")
        except BaseException:
            self.close()
            raise

    def cut(self, *ways: str) -> None:
        """From now on nothing arrives of these."""
        for way in ways:
            self._nft(f"add rule inet cut in tcp {way} {self._port} drop")

    def heal(self) -> None:
        """What was dropped is sent again, as with TCP."""
        self._nft("flush chain inet cut in")

    def close(self) -> None:
        """Remove it."""
        self._machine.does("ip", "netns", "del", self.name)

    def _nft(self, words: str) -> None:
        self._machine.does(*self.inside, "nft", *words.split())


@pytest.fixture
def network(place: Site, machine: Machine) -> Iterator[Network]:
    """The site's programs run in it; they are asked over sockets in the file system."""
    made = Network(machine, place.port)
    try:
        place.fusion.command = (*made.inside, *place.fusion.command)
        yield made
        made.heal()
    finally:
        place.close()
        made.close()


@pytest.mark.parametrize("timeouts", [0.5, 2.5], ids=["short", "long"])
@pytest.mark.parametrize("way", WAYS)
def test_packets_are_dropped(place: Site, network: Network, way: str, timeouts: float) -> None:
    url = {"url": f"http://127.0.0.1:{place.port}"}
    for name in ("alpha", "beta"):
        agent = place.agent(name, mounted=False, sink=url)
        agent.command = (*network.inside, *agent.command)
    place.start()
    storms = Storms([place.tree], place.outside)
    with place.polled():
        with storms.raging():
            network.cut(*WAYS[way])
            nap(timeouts * place.times.timeout_s)
            network.heal()
            until(lambda: len(place.sessions()) == 2, 4 * place.times.exact_s, place.tails)
        storms.calm()
        place.settles(4 * place.times.exact_s)
        assert sorted(s["role"] for s in place.sessions()) == ["follower", "leader"]
