"""Disks that fail and disks that are full: no acknowledgement that is none, nothing thrown away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.conftest import times as times  # noqa: PLC0414
from tests.hosts.world import VIEW, Site, until
from tests.hosts.writers import many_files

from .campaign import MODES, Campaign
from .machine import Machine

BY_NAME = {mode.name: mode for mode in MODES}
DISK_ERROR = 3  # exit code (interfaces.md §2)
NOTICED_S = 60.0
TMPFS_MIB = 12

pytestmark = pytest.mark.faults


@pytest.fixture
def campaign(machine: Machine, tmp_path: Path) -> Iterator[Campaign]:
    machine.traces(tmp_path)
    with Campaign(tmp_path / "campaign") as made:
        yield made


@pytest.mark.parametrize("nth", [2, 9, 40])
@pytest.mark.parametrize("kind", ["fdatasync", "pwrite64"])
def test_an_error_of_the_journals_disk_ends_the_server(
    campaign: Campaign, kind: str, nth: int
) -> None:
    journal = campaign.host.home / "fusion" / "views" / VIEW / "journal"
    only = [word for path in sorted(journal.iterdir()) for word in ("-P", str(path))]
    code = campaign.fails(BY_NAME["pushed"], *only, "-e", f"inject={kind}:error=EIO:when={nth}")
    assert code == DISK_ERROR, campaign.host.tail()
    assert "cannot be made durable" in campaign.host.tail()
    campaign.finish()


@pytest.mark.parametrize("kind", ["fdatasync", "pwrite64"])
def test_an_error_in_a_checkpoint_ends_the_server_too(campaign: Campaign, kind: str) -> None:
    store = campaign.host.home / "fusion" / "views" / VIEW / "packs.sqlite-wal"
    words = ("-P", str(store), "-e", f"inject={kind}:error=EIO:when=1")
    code = campaign.fails(BY_NAME["checkpoint"], *words)
    assert code == DISK_ERROR, campaign.host.tail()
    assert "packs.sqlite cannot be made durable" in campaign.host.tail()
    campaign.finish()


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_start_without_a_disk_to_write_on_throws_nothing_away(
    campaign: Campaign, error: str
) -> None:
    assert campaign.fails(BY_NAME["stopped"]) is None
    store = campaign.host.home / "fusion" / "views" / VIEW
    words = [word for end in ("", "-wal", "-shm") for word in ("-P", f"{store}/packs.sqlite{end}")]
    code = campaign.fails(BY_NAME["started"], *words, "-e", f"inject=pwrite64:error={error}")
    assert code == DISK_ERROR, campaign.host.tail()
    assert not list(store.glob("*.damaged-*"))
    campaign.finish()


def fill(ballast: Path) -> None:
    """Until there is no room for one byte more."""
    with ballast.open("wb", buffering=0) as file:
        for step in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while file.write(bytes(step)):
                    pass


def test_a_full_disk_under_the_server(place: Site, machine: Machine) -> None:
    """No acknowledgement, but answers; when there is room again it goes on by itself."""
    machine.needs_root()
    home = place.fusion.home
    home.mkdir()
    machine.does("mount", "-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "none", home)
    try:
        place.agent("alpha", mounted=False)
        place.start()
        with place.polled() as poller:
            ballast = home / "ballast"
            fill(ballast)
            many_files(place.tree / "many", 30, 50)
            until(lambda: "disk" in place.fusion.tail(), NOTICED_S, place.tails)
            asked = poller.asked
            until(lambda: poller.asked > asked + 20, NOTICED_S, place.tails)
            poller.check()
            ballast.unlink()
            place.settles(NOTICED_S)
        assert place.fusion.stop() == 0, place.fusion.tail()
        place.fusion.begin()
        place.settles(NOTICED_S)
    finally:
        place.close()
        machine.does("umount", "--lazy", home)


def test_a_full_disk_under_the_agent(place: Site, machine: Machine) -> None:
    """It goes on without; what it cannot write down is looked at anew after the next start."""
    machine.needs_root()
    alpha = place.agent("alpha", mounted=False)
    alpha.home.mkdir()
    machine.does("mount", "-t", "tmpfs", "-o", "size=1m", "none", alpha.home)
    try:
        place.start()
        with place.polled() as poller:
            ballast = alpha.home / "ballast"
            fill(ballast)
            many_files(place.tree / "many", 10, 20)
            place.settles(NOTICED_S)
            poller.away()
            place.fusion.signal(signal.SIGSTOP)
            many_files(place.tree / "more", 10, 20)
            alpha.stop()
            place.fusion.signal(signal.SIGCONT)
            poller.back()
            ballast.unlink()
            alpha.begin()
            place.settles(NOTICED_S)
    finally:
        place.close()
        machine.does("umount", "--lazy", alpha.home)
