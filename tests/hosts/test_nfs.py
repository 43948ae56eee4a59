"""An agent on a network mount, and writers that no agent sees: what it polls is what is there."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from fustor_core.testing.nfs_pair import NfsClient

from .nfs import FOUND_S, HANG_S, HEALED_S, LEASE_S, agent, reasons
from .world import VIEW, AgentHost, Site, Times, until

ALARM = "the root is not the one that was watched"

pytestmark = [pytest.mark.hosts, pytest.mark.times(Times(second_look_s=2.0))]


def blind_changes(there: Path, name: str) -> None:
    """Create, delete, rename, write in place with the old time, copy with attributes."""
    folder = there / name
    (folder / "below").mkdir(parents=True)
    for one in ("deleted", "renamed", "written", "kept"):
        (folder / one).write_text(f"{one} of {name}")
    (folder / "deleted").unlink()
    (folder / "renamed").rename(folder / "below" / "renamed")
    old = (folder / "written").stat()
    (folder / "written").write_text(f"{'x' * len(name)} in place")
    os.utime(folder / "written", ns=(old.st_atime_ns, old.st_mtime_ns))
    shutil.copy2(folder / "kept", folder / "copied")


def test_blind_writes_are_in_the_view_within_the_bound(
    place: Site, mounts: tuple[NfsClient, NfsClient]
) -> None:
    one, two = mounts
    agent(place, "alpha", one)
    place.start()
    with place.polled():
        blind_changes(two.at, "first")
        place.settles(FOUND_S)
        old = (two.at / "first" / "written").stat()
        (two.at / "first" / "written").write_text("X" * old.st_size)
        os.utime(two.at / "first" / "written", ns=(old.st_atime_ns, old.st_mtime_ns))
        (two.at / "first" / "kept").unlink()
        (two.at / "first").rename(two.at / "renamed")
        place.settles(FOUND_S)


def test_errors_half_way_are_told_and_remove_nothing(
    place: Site, mounts: tuple[NfsClient, NfsClient]
) -> None:
    one, two = mounts
    blind_changes(place.tree, "folder")
    agent(place, "alpha", one)
    place.start()
    with place.polled():
        one.fails("/anchor-1", "/folder/below")
        (two.at / "folder" / "new").write_text("found all the same")
        until(lambda: "io_error" in reasons(place), FOUND_S, place.tails)
        one.works()
        until(lambda: not reasons(place), FOUND_S, place.tails)
        place.settles(FOUND_S)


def test_a_listing_that_breaks_half_way_removes_nothing(
    place: Site, mounts: tuple[NfsClient, NfsClient]
) -> None:
    one, two = mounts
    for number in range(200):
        (place.tree / "anchor-0" / f"many-{number}").write_text("")
    alpha = agent(place, "alpha", one)
    place.start()
    place.anchors += [f"/anchor-0/many-{number}" for number in range(0, 200, 40)]
    with place.polled():
        one.breaks("/anchor-0", "/")
        (two.at / "anchor-0" / "new").write_text("so that it is read again")
        until(lambda: "io_error" in reasons(place), FOUND_S, place.tails)
        (two.at / "anchor-1" / "elsewhere").write_text("all else goes on")
        until(
            lambda: place.fusion.existence(VIEW, "anchor-1/elsewhere") == "present",
            FOUND_S,
            place.tails,
        )
        one.works()
        until(lambda: not reasons(place), HEALED_S, place.tails)
        place.settles(HEALED_S)
    assert alpha.pipe()["errors_in_row"] == 0


def test_a_mount_that_vanishes_removes_nothing_and_comes_back(
    place: Site, mounts: tuple[NfsClient, NfsClient], tmp_path: Path
) -> None:
    one, two = mounts
    alpha = agent(place, "alpha", one)
    place.start()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "strange").write_text("of another disk")
    with place.polled():
        one.vanish()
        until(lambda: "vanished_root" in reasons(place), FOUND_S, place.tails)
        until(lambda: ALARM in place.fusion.log.read_text(), FOUND_S, place.tails)
        one.mount(tmp_path / "other")
        blind_changes(two.at, "meanwhile")
        until(lambda: "another" in str(alpha.pipe().get("last_error")) or _back_off(alpha), FOUND_S)
        assert place.fusion.existence(VIEW, "strange") != "present"
        one.vanish()
        one.mount(place.tree)
        place.settles(HEALED_S)
        until(lambda: not reasons(place), HEALED_S, place.tails)


def _back_off(alpha: AgentHost) -> bool:
    return int(alpha.pipe().get("errors_in_row") or 0) > 2


def test_a_server_that_hangs_is_told_and_stops_nobody(
    place: Site, mounts: tuple[NfsClient, NfsClient]
) -> None:
    one, two = mounts
    alpha = agent(place, "alpha", one)
    place.start()
    with place.polled():
        one.hangs("/", killable=False)
        until(lambda: "hung" in reasons(place), FOUND_S + 4 * HANG_S, place.tails)
        blind_changes(two.at, "meanwhile")
        until(lambda: "hangs" in str(alpha.pipe().get("last_error")), FOUND_S, place.tails)
        one.works()
        place.settles(HEALED_S + 4 * HANG_S)
        until(lambda: not reasons(place), HEALED_S, place.tails)
        one.hangs("/", killable=False)
        until(lambda: "hung" in reasons(place), FOUND_S + 4 * HANG_S, place.tails)
    begun = time.monotonic()
    assert alpha.stop() == 0
    assert time.monotonic() - begun < 40.0
    one.works()


@pytest.mark.long
def test_the_lead_goes_to_an_agent_that_the_storage_answers(
    place: Site, mounts: tuple[NfsClient, NfsClient]
) -> None:
    one, two = mounts
    alpha = agent(place, "alpha", one)
    place.start()
    beta = agent(place, "beta", two)
    beta.begin()
    until(lambda: len(place.sessions()) == 2, FOUND_S, place.tails)
    assert place.leader() is alpha
    with place.polled():
        one.hangs("/")
        until(lambda: place.leader() is beta, LEASE_S + FOUND_S + 2 * HANG_S, place.tails)
        blind_changes(place.tree, "meanwhile")
        place.settles(HEALED_S)
        one.works()
        until(lambda: "MESSAGE_PHASE" in alpha.pipe().get("flags", ()), HEALED_S, place.tails)
