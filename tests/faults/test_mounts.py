"""Mounts that vanish, wrong disks in their place, while audits run: nothing is removed by it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fustor_core.phases import ROOT_LOOK_S, TELL_S
from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.world import VIEW, Site, Times, until
from tests.hosts.writers import many_files, nap

from .ledger import Ledger, Told
from .machine import Machine

ALARM_S = ROOT_LOOK_S + TELL_S + 2.0  # a look at the root, its telling, and the way
LATE_S = 30.0  # when the machine has other things to do
HEALED_S = 60.0
AUDIT_S = 1.0
FILES = (100, 20)

pytestmark = pytest.mark.faults


@pytest.fixture
def times() -> Times:
    """Audits all the time."""
    return Times(audit_s=AUDIT_S, timeout_s=10.0)


class Disk:
    """What stands at the agent's mount point; `heal` puts the right tree there again."""

    def __init__(self, machine: Machine, tree: Path, at: Path, other: Path) -> None:
        self.machine, self.tree, self.at, self.other = machine, tree, at, other
        self.faults = (self.vanish, self.wrong_disk, self.empty_disk, self.swapped)

    def vanish(self) -> None:
        """Nothing but the empty directory below."""
        self.machine.does("umount", "--lazy", self.at)

    def empty_disk(self) -> None:
        """A new disk over the right one."""
        self.machine.does("mount", "-t", "tmpfs", "-o", "size=1m", "none", self.at)

    def wrong_disk(self) -> None:
        """Another tree over the right one."""
        self.machine.does("mount", "--bind", self.other, self.at)

    def swapped(self) -> None:
        """The right one is taken away, another comes."""
        self.vanish()
        self.wrong_disk()

    def heal(self) -> None:
        """As it was."""
        self.clear()
        self.machine.does("mount", "--bind", self.tree, self.at)

    def clear(self) -> None:
        """Nothing is mounted there, however much was."""
        while f" {self.at} " in Path("/proc/mounts").read_text("utf-8"):
            self.machine.does("umount", "--lazy", self.at)


def alarms(place: Site) -> int:
    """How often the server has said that the root is not the one that was watched."""
    said = place.fusion.log.read_text(errors="replace")
    return said.count("the root is not the one that was watched")


@pytest.mark.amount("--trials")
def test_a_mount_that_vanishes_or_a_wrong_disk_removes_nothing(
    place: Site, machine: Machine, amount: int, ledger: Ledger
) -> None:
    machine.needs_root()
    whole = many_files(place.tree / "many", *FILES)
    alpha = place.agent("alpha")
    other = place.folder / "other"
    (other / "strange").mkdir(parents=True)
    disk = Disk(machine, place.tree, alpha.root, other)
    place.start()
    files = place.files()
    assert files > whole
    rng = random.Random(amount)
    alarmed: list[float] = []
    with place.polled() as poller:
        for number in range(amount):
            with ledger.telling("mounts") as told:
                since = time.monotonic()
                alarmed.append(one_trial(place, disk, disk.faults[number % 4], rng, told))
                fewest = min(sample.files for sample in poller.since(since))
                told.counts["removed"] += files - fewest
                assert fewest == files, f"{files - fewest} files went with a disk of others"
    alarmed.sort()
    middle = statistics.median(alarmed)
    print(f"{amount} trials: alarm after {middle:.1f} s, at most {alarmed[-1]:.1f} s")
    late = [f"{seconds:.1f}" for seconds in alarmed if seconds > ALARM_S]
    assert not (machine.nightly and late), f"alarms after more than {ALARM_S} s: {late}"


def one_trial(
    place: Site, disk: Disk, fault: Callable[[], None], rng: random.Random, told: Told
) -> float:
    """The right disk goes and comes again; seconds until the alarm."""
    before = alarms(place)
    nap(rng.uniform(0, AUDIT_S))  # into an audit, or between two
    fault()
    begun = time.monotonic()
    until(lambda: alarms(place) > before, LATE_S, place.tails)
    alarm_s = time.monotonic() - begun
    told.counts[fault.__name__] += 1
    told.counts["in time"] += alarm_s <= ALARM_S
    told.at_most("alarm_s", round(alarm_s, 1))
    nap(rng.uniform(0, AUDIT_S))
    assert place.fusion.existence(VIEW, "strange") != "present"
    disk.heal()
    place.settles(HEALED_S)
    until(lambda: proven(place), HEALED_S, place.tails)  # the view has lost nothing: it was exact
    return alarm_s


def proven(place: Site) -> bool:
    """Whether the agent has found the right root again, and the server knows."""
    document = place.fusion.ask(f"/views/{VIEW}/status")
    return document is not None and not document["quality"]["stale"]
