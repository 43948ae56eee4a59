"""The power goes: of what was not synced, the disk has any part. What was acknowledged is there.

One run is followed by strace; the disk of each of its moments can then be made, as often as wanted.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.conftest import times as times  # noqa: PLC0414
from tests.hosts.world import END_S, VIEW, Site, free_port, until
from tests.hosts.writers import Storms, nap

from .campaign import CHECKPOINT_S, CONFIG
from .ledger import Ledger, Told
from .machine import Machine
from .power import FATES, IGNORED, Disk
from .pushing import Pusher
from .tape import WORDS, Call, calls
from .tracing import Traced
from .warm import WarmHost

ENDS = ("fsync", "fdatasync", "openat")  # count when they have ended
BATCHES = 25
EXACT_S = 180.0
AGENT_SHARE = 20  # one cut of an agent to so many of the server

pytestmark = pytest.mark.faults


@dataclass
class Run:
    """What one run did to its home.

    Attributes:
        disk: as it was before. done: what was done, in the order in which it counts.
    """

    name: str
    disk: Disk
    done: list[Call] = field(default_factory=list)

    def read(self, tape: Path) -> None:
        """From the tape; calls that make safe count when they have ended."""
        inside = [call for call in calls(tape) if call.result is not None or call.name != "openat"]
        inside.sort(key=lambda call: call.ended if call.name in ENDS else call.begun)
        self.done = inside

    def images(self, count: int, folder: Path) -> Iterator[tuple[Path, float, str, int]]:
        """Disks after cuts: where, wall clock until which things were told, fate, place."""
        rng = random.Random(f"{self.name} {count}")
        touches = [n for n, call in enumerate(self.done) if self.disk.touched(call)]
        cuts = sorted(rng.choices(touches, k=count))
        done = 0
        for number, cut in enumerate(cuts):
            while done < cut:
                self.disk.does(self.done[done])
                done += 1
            fate = rng.choices(FATES, (4, 1, 5))[0]
            at = folder / f"{self.name}-{number}".replace(" ", "-")
            self.disk.image(at, fate, rng)
            yield at, self.done[cut].at, fate, cut
        for call in self.done[done:]:
            self.disk.does(call)

    def proves(self, folder: Path) -> None:
        """All calls together make what is really there.

        Raises:
            AssertionError: something writes there in a way that the tape does not know.
        """
        self.disk.image(folder, "kept", random.Random(0))
        assert _contents(folder) == _contents(self.disk.root), f"{self.name}: another disk"


def _contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if not path.name.endswith(IGNORED))
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.is_file()}


class Server:
    """A server that is followed, its clients, and the runs that it made."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = free_port()
        config = folder / "fusion.yaml"
        config.write_text(CONFIG.format(view=VIEW, port=self.port))
        self.host = WarmHost(folder / "home", "fusion", "-c", str(config))
        self.clients: list[Pusher] = []
        self.key = ""

    def follow(self, name: str, *, kills: bool = False) -> Run:
        """One run: it starts, is pushed to, makes a checkpoint, is pushed to, ends."""
        run = Run(name, Disk(self.host.home))
        traced = Traced(self.host, self.folder / f"tape-{name.replace(' ', '-')}", WORDS)
        traced.launch()
        until(lambda: self.host.ask("/status") is not None, 4 * END_S, self.host.tail)
        if not self.clients:
            self.key = str(self.host.told("key", "create", "--scope", "push")["key"])
            self.clients = [Pusher(self.port, self.key, f"c{number}") for number in range(2)]
            self.clients[0].lists_root = True
        for pause_s in (0.0, CHECKPOINT_S):
            nap(pause_s)  # a server that has something to keep has kept it by then
            for client in self.clients:
                client.push(BATCHES)
        if kills:
            traced.end()
        else:
            assert traced.stop() == 0, self.host.tail()
        run.read(traced.trace)
        return run

    def close(self) -> None:
        """End all."""
        for client in self.clients:
            client.close()
        self.host.close()

    def check(self, home: Path, at: float, told: Told) -> None:
        """A server on such a disk starts, and has what was acknowledged by then; takes more."""
        host = self.host.on(home)
        host.launch()
        try:
            until(lambda: host.ended() or host.ask("/status") is not None, EXACT_S, host.tail)
            assert not host.ended(), f"{home.name}: no start after it: {host.tail()}"
            view = host.files()
            known = {path for c in self.clients for part in c.known(at) for path in part}
            strange = sorted(p for p in view if p not in known)
            lost = [fault for client in self.clients for fault in client.faults(view, at)]
            told.counts["lost"] += len(lost)
            assert not strange, f"{home.name}: {strange[:5]}: nobody pushed that"
            assert not lost, "\n".join([f"{home.name}: {lost[0]}", *lost[:10], host.tail()])
            acked = sum(when < at for client in self.clients for when, _ in client.told_at)
            if acked:
                self._takes_more()
            assert "Traceback" not in host.tail(), host.tail()
            assert host.stop() == 0, f"{home.name}: {host.tail()}"
            told.counts["batches looked for"] += acked
        finally:
            host.end()
            self.host.starter = host.starter

    def _takes_more(self) -> None:
        """The key is known, too, and a session can be had."""
        more = Pusher(self.port, self.key, "more")
        try:
            more.push(1)
            assert more.acked == 1, f"nothing more is acknowledged: {more.told}"
        finally:
            more.close()


@pytest.mark.amount("--cuts")
def test_what_was_acknowledged_outlives_a_power_cut(
    machine: Machine, tmp_path: Path, amount: int, ledger: Ledger
) -> None:
    machine.traces(tmp_path)
    server = Server(tmp_path / "server")
    total = Told()
    try:
        for name in ("first start", "second start", "start after a kill"):
            run = server.follow(name, kills=name == "second start")
            with ledger.telling("power") as told:
                for home, at, fate, place in run.images(-(-amount // 3), tmp_path):
                    server.check(home, at, told)
                    told.counts["cuts"] += 1
                    told.counts[f"unsynced {fate}"] += 1
                    told.points[name].add(place)
                    shutil.rmtree(home)
                run.proves(tmp_path / f"{name}-whole")
            total.counts.update(told.counts)
    finally:
        server.close()
    print(", ".join(f"{count} {name}" for name, count in sorted(total.counts.items())))


@pytest.mark.amount("--cuts")
def test_an_agent_outlives_a_power_cut(
    place: Site, machine: Machine, tmp_path: Path, amount: int, ledger: Ledger
) -> None:
    machine.traces(tmp_path)
    alpha = place.agent("alpha", mounted=False)
    place.start()
    storms = Storms([place.tree], place.outside)
    run = Run("agent", Disk(alpha.home))
    alpha.stop()
    traced = Traced(alpha, tmp_path / "tape", WORDS)
    traced.launch()
    alpha.seen_in(*range(256))
    for _ in range(3):
        storms.run(150)
        nap(CHECKPOINT_S / 2)
    storms.calm()
    place.settles(EXACT_S)
    assert traced.stop() == 0, alpha.tail()
    run.read(traced.trace)
    with ledger.telling("agent power") as told, place.polled():
        for home, _, fate, cut in run.images(max(1, amount // AGENT_SHARE), tmp_path):
            shutil.rmtree(alpha.home)
            home.rename(alpha.home)
            (place.tree / "meanwhile").write_text(f"{fate} {cut}")
            alpha.begin(EXACT_S)
            place.settles(EXACT_S)
            assert alpha.stop() == 0, alpha.tail()
            told.counts["cuts"] += 1
            told.counts[f"unsynced {fate}"] += 1
            told.points["agent"].add(cut)
