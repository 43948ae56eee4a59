"""A long time of everything: storms, audits, kills, cuts; the view stays exact, nothing grows.

Memory, descriptors and threads are read whenever the view has become exact again. The first agent
is never killed, and the server in the first half only: those are the ones that live long.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.world import VIEW, AgentHost, Host, Site, Times
from tests.hosts.writers import Storms, nap

from .ledger import Ledger, Told

MINUTE_S = 60.0
FILES_MOST = 800  # of each writer: the tree is as large as it gets after some minutes
PART, PAUSE_S = 10, 0.2  # operations of each writer, and between them
SETTLED_S = 300.0
WARM_S = 240.0  # of a life; until then caches fill
FEWEST = 8  # looks at a life behind that, for it to be judged
GROWS_MIB, GROWS_SHARE = 12.0, 0.12
GROWS_BY = 6  # descriptors, threads
# A server keeps the last 100,000 changes, and as much of what went; a storm of hours fills that.
HISTORY_MIB = 60.0

pytestmark = pytest.mark.soak


@pytest.fixture
def times() -> Times:
    """Audits often, and sessions that a busy machine does not end by itself."""
    return Times(audit_s=10.0, timeout_s=8.0)


@dataclass(frozen=True)
class Gauge:
    """What a process holds: MiB of memory, descriptors, threads; at a time in seconds."""

    at: float
    memory: float
    descriptors: float
    threads: float


def gauge(host: Host) -> Gauge:
    """Of its process, now."""
    assert host.process is not None
    top = Path("/proc", str(host.process.pid))
    lines = dict(line.split(":", 1) for line in (top / "status").read_text().splitlines())
    memory = int(lines["VmRSS"].split()[0]) / 1024
    return Gauge(time.monotonic(), memory, len(os.listdir(top / "fd")), int(lines["Threads"]))


def growth(life: list[Gauge], name: str) -> tuple[float, float]:
    """The middle of the first quarter of these looks, and of the last."""
    values = [getattr(one, name) for one in life]
    quarter = len(values) // 4
    return statistics.median(values[:quarter]), statistics.median(values[-quarter:])


class Weather:
    """What happens to hosts, drawn from a seed.

    Args:
        place: a server and two agents, which run.
    """

    def __init__(self, place: Site, told: Told, rng: random.Random) -> None:
        self.place, self.told, self.rng = place, told, rng
        self.alpha, self.beta = place.agents.values()
        self.kinds: list[Callable[[], None]] = [
            *(self.calm, self.stop_agent, self.stop_server, self.cut, self.refuse, self.scan),
            *(self.kill_agent, self.kill_server),
        ]

    def strike(self, *, kills_server: bool) -> None:
        """One of them."""
        kind = self.rng.choice(self.kinds if kills_server else self.kinds[:-1])
        kind()
        self.told.counts[kind.__name__.replace("_", " ")] += 1

    def calm(self) -> None:
        """Nothing but storms and audits."""
        nap(self.rng.uniform(2, 8))

    def stop_agent(self) -> None:
        self._stopped(self._any())

    def stop_server(self) -> None:
        self._stopped(self.place.fusion)

    def cut(self) -> None:
        proxy = self._any().proxy
        way = self.rng.choice(("both", "requests", "replies"))
        proxy.cut(requests=way != "replies", replies=way != "requests")
        nap(self.rng.uniform(1, 2 * self.place.times.timeout_s))
        proxy.heal(reset=self.rng.random() < 0.5)

    def refuse(self) -> None:
        proxy = self._any().proxy
        proxy.refuse()
        nap(self.rng.uniform(1, 2 * self.place.times.timeout_s))
        proxy.heal()

    def scan(self) -> None:
        self.place.fusion.run("view", "scan", f"{VIEW}:/", check=False)

    def kill_agent(self) -> None:
        self.beta.kill()
        nap(self.rng.uniform(0, 2))
        self.beta.begin(SETTLED_S)

    def kill_server(self) -> None:
        self.place.fusion.kill()
        nap(self.rng.uniform(0, 2))
        self.place.fusion.begin(SETTLED_S)

    def _any(self) -> AgentHost:
        return self.rng.choice([self.alpha, self.beta])

    def _stopped(self, host: Host) -> None:
        host.signal(signal.SIGSTOP)
        nap(self.rng.uniform(1, 2 * self.place.times.timeout_s))
        host.signal(signal.SIGCONT)


def prune(place: Site) -> None:
    """A tree that grows has no flat memory: what is too much goes."""
    for writer in place.tree.glob("writer-*"):
        if sum(len(names) for _, _, names in os.walk(writer)) > FILES_MOST:
            for entry in list(os.scandir(writer))[::2]:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)


@pytest.mark.amount("--minutes")
def test_nothing_grows(place: Site, amount: int, ledger: Ledger) -> None:
    place.agent("alpha")
    place.agent("beta")
    place.start()
    storms = Storms([agent.root for agent in place.agents.values()], place.outside)
    hosts: dict[str, Host] = {"fusion": place.fusion, **place.agents}
    lives: dict[tuple[str, int], list[Gauge]] = defaultdict(list)
    begun = time.monotonic()
    with ledger.telling("soak") as told:
        weather = Weather(place, told, random.Random(amount))
        while (spent := time.monotonic() - begun) < amount * MINUTE_S:
            with storms.raging(PART, PAUSE_S):
                weather.strike(kills_server=spent < amount * MINUTE_S / 2)
            prune(place)
            told.at_most("exact after s", round(place.settles(SETTLED_S), 1))
            told.counts["exact"] += 1
            told.counts["seconds"] = round(time.monotonic() - begun)
            for name, host in hosts.items():
                assert host.process is not None
                lives[name, host.process.pid].append(gauge(host))
        storms.calm()
        told.counts["operations"] += sum(storm.done for storm in storms.storms)
        judge(lives, told)


def judge(lives: dict[tuple[str, int], list[Gauge]], told: Told) -> None:
    """No process that lived long holds more at its end than it did when it was warm.

    Raises:
        AssertionError: one does.
    """
    faults, judged = [], set()
    for (name, _), looks in lives.items():
        life = [look for look in looks if look.at - looks[0].at > WARM_S]
        if len(life) < FEWEST:
            continue
        judged.add(name)
        for what in ("memory", "descriptors", "threads"):
            was, at_last = growth(life, what)
            bound = max(GROWS_MIB, was * GROWS_SHARE) if what == "memory" else GROWS_BY
            bound += HISTORY_MIB if (name, what) == ("fusion", "memory") else 0.0
            said = f"{name}: {what} from {was:.1f} to {at_last:.1f} in {len(life)} looks"
            print(said)
            print("  ", *(f"{getattr(look, what):.0f}" for look in looks))
            told.at_most(f"{name} {what} more", round(at_last - was, 1))
            told.at_most(f"{name} {what}", round(at_last, 1))
            if at_last - was > bound:
                faults.append(said)
    print(f"{dict(told.counts)}; {told.most}")
    assert not faults, "; ".join(faults)
    assert judged, "nobody lived long enough to be judged: more minutes"
