"""A bit of the state is another, or a file ends early: it is noticed, or nothing is lost by it."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.conftest import times as times  # noqa: PLC0414
from tests.hosts.stranger import Stranger
from tests.hosts.world import AgentHost, Site, until

from .campaign import Campaign
from .ledger import Ledger
from .warm import WarmHost

IDLE = ("lock", "api.sock", "packs.sqlite-shm")  # nothing is read from them
STATE_ERROR = 3
START_S = 60.0
EXACT_S = 180.0  # removals wait for second looks, on a machine with other things to do
LAST_FRAME_BYTES = 600
DAMAGED = ("damaged", "unreadable", "not readable", "cannot be", "newer", "format")

pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Harm:
    """What is done to a file."""

    file: Path
    what: str
    at: int = 0

    def __str__(self) -> str:
        return re.sub("[0-9]{6,}", "*", str(self.file))

    def hides(self, home: Path) -> bool:
        """Whether it looks as if the journal's last frames had never been written.

        No server can tell that; agents can, whose next batch has a number that is too high.
        """
        at = self.at // 8 if self.what == "flip" else self.at
        last = (home / self.file).stat().st_size - at < LAST_FRAME_BYTES
        return self.file.suffix == ".journal" and (self.what == "cut" or last)

    def do(self, home: Path) -> None:
        path = home / self.file
        data = bytearray(path.read_bytes())
        if self.what == "flip":
            data[self.at // 8] ^= 1 << self.at % 8
        else:
            del data[self.at :]
        path.write_bytes(bytes(data))


def harms(home: Path, flips: int) -> Iterator[Harm]:
    """So many flipped bits in each file of the state, and each cut in the middle and to nothing."""
    rng = random.Random(flips)
    for path in sorted(p for p in home.rglob("*") if p.is_file()):
        size = path.stat().st_size
        if path.name in IDLE or not size:
            continue
        file = path.relative_to(home)
        for _ in range(flips):
            yield Harm(file, "flip", rng.randrange(8 * size))
        yield Harm(file, "cut", size // 2)
        yield Harm(file, "cut", 0)


def judged(
    host: WarmHost, harm: Harm, true: dict[str, int], agent: Stranger, *, unnoticed: bool
) -> str:
    """What became of a server that was started on a harmed home."""
    if not begun(host, harm):
        return "refused"
    view = host.files()
    noticed = any(word in host.tail() for word in DAMAGED)
    if view != true and not unnoticed:
        lost = sorted(set(true.items()) ^ set(view.items()))[:4]
        assert noticed, f"{harm}: not a word of it, and {lost}: {host.tail()}"
    assert noticed or agent.open().status_code == 201, f"{harm}: a key is unknown: {host.tail()}"
    if host.stop() == STATE_ERROR:  # found by its last checkpoint; another start mends it
        assert "remedy" in host.tail(), f"{harm}: {host.tail()}"
        assert begun(host, harm), f"{harm}: {host.tail()}"
        noticed = True
        host.stop()
    assert host.process is not None
    assert host.process.returncode == 0, f"{harm}: {host.tail()}"
    return "told" if noticed else "as it was"


def begun(host: WarmHost, harm: Harm) -> bool:
    """Whether it starts; else it says why, and what to do."""
    process = host.launch()
    until(lambda: bool(process.poll() is not None or host.ask("/status")), START_S, host.tail)
    said = host.tail()
    assert "Traceback" not in said, f"{harm}: {said}"
    if process.poll() is None:
        return True
    assert process.returncode == STATE_ERROR, f"{harm}: {said}"
    assert "remedy" in said, f"{harm}: {said}"
    return False


@pytest.mark.amount("--flips")
def test_harm_to_the_servers_state(tmp_path: Path, amount: int, ledger: Ledger) -> None:
    """It says what it could not read and holds the rest, or it does not start and says why."""
    with Campaign(tmp_path / "campaign") as campaign:
        campaign.host.begin()
        campaign._at_once(15)
        assert campaign.host.stop() == 0
        campaign.host.begin()
        campaign._at_once(15)
        true = campaign.view()
        campaign.host.kill()
        refused = told = 0
        todo = list(harms(campaign.host.home, amount))
        for number, harm in enumerate(todo):
            home = tmp_path / f"harmed-{number}"
            shutil.copytree(campaign.host.home, home, ignore=shutil.ignore_patterns("*.sock"))
            unnoticed = harm.hides(home)
            harm.do(home)
            host = campaign.host.on(home)
            key = campaign.clients[0].stranger.key
            try:
                with ledger.telling("flips") as noted:
                    with Stranger(campaign.port, key) as agent:
                        outcome = judged(host, harm, true, agent, unnoticed=unnoticed)
                    noted.counts[f"{harm}: {outcome}"] += 1
            finally:
                host.end()
            refused += outcome == "refused"
            told += outcome == "told"
            shutil.rmtree(home)
    print(f"{len(todo)} harms: {refused} starts refused, {told} told, the others without effect")


@pytest.mark.amount("--flips")
def test_harm_to_the_agents_state(place: Site, amount: int, ledger: Ledger) -> None:
    """It starts all the same, or says why it does not; the view becomes exact."""
    alpha = place.agent("alpha", mounted=False)
    place.start()
    alpha.kill()
    kept = place.folder / "kept"
    shutil.copytree(alpha.home, kept, ignore=shutil.ignore_patterns("*.sock"))
    for harm in harms(kept, max(1, amount // 20)):
        shutil.rmtree(alpha.home)
        shutil.copytree(kept, alpha.home)
        harm.do(alpha.home)
        (place.tree / "meanwhile").write_text(repr(harm))
        with ledger.telling("flips") as told:
            told.counts[f"{harm}: {survived(place, alpha, harm)}"] += 1


def survived(place: Site, alpha: AgentHost, harm: Harm) -> str:
    """What became of an agent that was started on a harmed home."""
    process = alpha.launch()
    until(lambda: bool(process.poll() is not None or alpha.ask("/status")), START_S, alpha.tail)
    if process.poll() is None:
        place.settles(EXACT_S)
        noticed = any(word in alpha.tail() for word in DAMAGED)
        assert alpha.stop() == 0, alpha.tail()
        return "told" if noticed else "as it was"
    assert process.returncode == STATE_ERROR, f"{harm}: {alpha.tail()}"
    assert "remedy" in alpha.tail(), f"{harm}: {alpha.tail()}"
    return "refused"
