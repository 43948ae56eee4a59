"""Two clients of a network storage, writers through both, and faults of it: all from a seed.

Caches are remembered for a drawn time, which changes; looks end in errors, break off, hang; mounts
vanish; agents are killed. What nobody touches is present in every answer; in the end all heals, and
the view is the tree. `--worlds 50` makes so many; `--world 7 --worlds 1` makes one again.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fustor_core.testing.nfs_pair import NfsClient
from tests.hosts.conftest import mounts as mounts  # noqa: PLC0414
from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.nfs import agent
from tests.hosts.world import AgentHost, Site, Times
from tests.hosts.writers import nap
from tests.storms.weather import Storm

from .ledger import Ledger, Told

HEALED_S = 300.0  # what hung is asked again after a while, on a machine with other things to do
ASKED_HZ = 2.0
ERRORS = (errno.EIO, errno.ESTALE, errno.EACCES, errno.ETIMEDOUT, errno.ENXIO)
HANG_S = 3.0
JOINED_S = 120.0

pytestmark = pytest.mark.faults


@pytest.fixture
def times(request: pytest.FixtureRequest) -> Times:
    """Some worlds have audits, some have none; guards let go soon."""
    rng = random.Random(request.getfixturevalue("seed"))
    return Times(timeout_s=8.0, second_look_s=2.0, audit_s=rng.choice((0.0, 3.0)))


@dataclass
class Host:
    """One mount, who writes through it, and the agent on it, if there is one."""

    client: NfsClient
    storm: Storm
    agent: AgentHost | None


class World:
    """What happens in it.

    Args:
        place: whose server runs. hosts: at both mounts. rng: decides everything.
    """

    def __init__(self, place: Site, hosts: list[Host], told: Told, rng: random.Random) -> None:
        self.place, self.hosts, self.told, self.rng = place, hosts, told, rng
        self.faults: list[Callable[[Host], None]] = [
            *(self.errors, self.broken, self.hung, self.vanished, self.remembers, self.killed),
            *(self.calm, self.calm),
        ]

    def phase(self) -> None:
        """Something is wrong at each mount, or nothing, while both are written through."""
        with self._written():
            for host in self.hosts:
                fault = self.rng.choice(self.faults)
                fault(host)
                if fault != self.calm:
                    self.told.counts[f"fault {fault.__name__}"] += 1
            nap(self.rng.uniform(0.5, 2 * HANG_S))
            self.heal()

    def heal(self) -> None:
        """All is as it should be."""
        for host in self.hosts:
            if host.client.process.poll() is not None:
                host.client.mount(self.place.tree)
            host.client.works()
            process = host.agent.process if host.agent is not None else None
            if host.agent is not None and process is not None and process.poll() is not None:
                host.agent.begin(HEALED_S)

    # ---- faults

    def calm(self, host: Host) -> None:
        """None."""

    def errors(self, host: Host) -> None:
        host.client.fails(*self._paths(), error=self.rng.choice(ERRORS))

    def broken(self, host: Host) -> None:
        host.client.breaks(*self._paths())

    def hung(self, host: Host) -> None:
        host.client.hangs(*self._paths(), killable=self.rng.random() < 0.5)

    def vanished(self, host: Host) -> None:
        host.client.vanish()

    def remembers(self, host: Host) -> None:
        """For another time; never longer than its agent was told."""
        host.client.remembers(self.rng.uniform(0.0, host.client.cache_s))

    def killed(self, host: Host) -> None:
        if host.agent is not None:
            host.agent.kill()

    def _paths(self) -> tuple[str, ...]:
        """Of the whole tree, or of a part."""
        below = [Path(top) for top, _, _ in os.walk(self.place.tree)][1:]
        chosen = self.rng.sample(below, min(len(below), self.rng.randint(1, 4)))
        paths = [f"/{path.relative_to(self.place.tree)}" for path in chosen]
        return ("/",) if self.rng.random() < 0.25 else tuple(paths)

    # ---- writers

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Both storms do their part meanwhile; who is held up by a mount goes on when it heals."""
        threads = []
        for host in self.hosts:
            operations = self.rng.randint(10, 120)
            self.told.counts["operations"] += operations
            threads.append(threading.Thread(target=host.storm.run, args=(operations,)))
        for thread in threads:
            thread.daemon = True
            thread.start()
        yield
        for thread in threads:
            thread.join(JOINED_S)
            assert not thread.is_alive(), "a writer hangs although its mount works"


def swept(tree: Path) -> None:
    """What a client that vanished had removed while it was open stays, until somebody sweeps."""
    for top, _, names in os.walk(os.fsencode(tree)):
        for name in names:
            if name.startswith(b".nfs"):
                os.unlink(os.path.join(top, name))


def test_after_healing_the_view_is_the_tree(
    place: Site, mounts: tuple[NfsClient, NfsClient], ledger: Ledger, seed: int
) -> None:
    rng = random.Random(seed)
    hosts = []
    for number, (client, name) in enumerate(zip(mounts, ("alpha", "beta"), strict=True)):
        client.remembers(rng.choice((0.5, 3.0, rng.uniform(0.5, 12.0))))
        here = None
        if number == 0 or rng.random() < 0.5:
            here = agent(place, name, client, poll_interval=rng.choice((0.5, 1.0, 3.0)))
        folder, parked = client.at / f"writer-{number}", place.outside / f"writer-{number}"
        folder.mkdir()
        parked.mkdir()
        hosts.append(Host(client, Storm(folder, parked, 2 * seed + number), here))
    place.start()
    with ledger.telling("nfs") as told, place.polled(ASKED_HZ):
        told.points["seed"].add(seed)
        world = World(place, hosts, told, rng)
        for _ in range(rng.randint(2, 5)):
            world.phase()
        for host in hosts:
            host.storm.calm()
        swept(place.tree)
        told.at_most("exact after s", round(place.settles(HEALED_S), 1))
        told.counts["exact"] += 1
