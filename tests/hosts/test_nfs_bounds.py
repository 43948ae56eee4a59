"""How soon a change on a network mount is in the view, by who made it and how."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fustor_core.testing.nfs_pair import NfsClient

from .nfs import CACHE_S, HEALED_S, OWN_S, POLL_S, absent, agent, entry
from .world import VIEW, Site, Times, until

NEVER_S = 3600.0  # polls so seldom that polling finds nothing here
AUDIT_S = 2.0
Mounts = tuple[NfsClient, NfsClient]
Holds = Callable[[], bool]

pytestmark = [pytest.mark.hosts, pytest.mark.times(Times(second_look_s=2.0))]


def drawn(seed: int) -> float:
    """For how long a client remembers, in seconds."""
    return round(random.Random(seed).uniform(CACHE_S, 60.0), 1)


def make(tree: Path) -> None:
    (tree / "folder" / "below").mkdir(parents=True)
    for name in ("deleted", "renamed", "written", "kept", "below/inside"):
        (tree / "folder" / name).write_text(f"content of {name}")


def every_kind(place: Site, there: Path) -> dict[str, Holds]:
    """One change of each kind, made blindly; how each is seen in the view."""
    folder = there / "folder"
    old = (folder / "written").stat()
    (folder / "created").write_text("new")
    (folder / "deleted").unlink()
    (folder / "renamed").rename(folder / "below" / "moved")
    with (folder / "written").open("r+b") as file:
        file.write(b"CONTENT")
    os.utime(folder / "written", ns=(old.st_atime_ns, old.st_mtime_ns))
    shutil.copy2(folder / "kept", folder / "copied")
    (folder / "below").rename(there / "carried")
    (there / "made" / "deep").mkdir(parents=True)
    (there / "made" / "deep" / "file").write_text("below what is new")
    written, copied = (place.tree / "folder" / name for name in ("written", "copied"))

    def same(path: Path) -> bool:
        seen, st = entry(place, f"/{path.relative_to(place.tree)}"), path.stat()
        return (seen.get("mtime_ns"), seen.get("ctime_ns")) == (st.st_mtime_ns, st.st_ctime_ns)

    return {
        "create": lambda: bool(entry(place, "/folder/created")),
        "delete": lambda: absent(place, "/folder/deleted"),
        "rename": lambda: absent(place, "/folder/renamed") and bool(entry(place, "/carried/moved")),
        "write in place, old mtime": lambda: same(written),
        "cp -p": lambda: same(copied),
        "rename a directory": lambda: bool(entry(place, "/carried/inside")),
        "mkdir -p": lambda: bool(entry(place, "/made/deep/file")),
    }


def shown_within(place: Site, kinds: dict[str, Holds], bound_s: float) -> None:
    """Each of these changes is in the view by then, and the view is exact."""
    ends = time.monotonic() + bound_s
    for kind, seen in kinds.items():
        until(seen, ends - time.monotonic(), lambda k=kind: f"{k}: {place.tails()}")  # type: ignore[misc]
    place.settles(max(ends - time.monotonic(), OWN_S))


@pytest.mark.parametrize(
    "cache_s",
    [
        CACHE_S,
        pytest.param(drawn(1), marks=pytest.mark.long),
        pytest.param(drawn(2), marks=pytest.mark.long),
    ],
)
def test_every_kind_of_blind_change_is_in_the_view_within_the_bound(
    place: Site, mounts: Mounts, cache_s: float
) -> None:
    one, two = mounts
    one.remembers(cache_s)
    make(place.tree)
    agent(place, "alpha", one)
    place.start()
    place.anchors += ["/folder/kept"]
    with place.polled():
        begun = time.monotonic()
        kinds = every_kind(place, two.at)
        bound_s = cache_s + POLL_S + OWN_S
        for kind, seen in kinds.items():
            until(
                seen, bound_s - (time.monotonic() - begun), lambda k=kind: f"{k}: {place.tails()}"
            )
        place.settles(bound_s)


def test_what_hosts_with_agents_write_is_told_at_once(place: Site, mounts: Mounts) -> None:
    one, two = mounts
    make(place.tree)
    agent(place, "alpha", one, poll_interval=NEVER_S)
    beta = agent(place, "beta", two, poll_interval=NEVER_S)
    place.start(place.agents["alpha"])
    beta.begin()
    folders = 1 + sum(path.is_dir() for path in place.tree.rglob("*"))
    for host in place.agents.values():
        until(lambda h=host: h.pipe().get("watched_dirs") == folders, 4 * OWN_S, place.tails)
    with place.polled():
        (one.at / "folder" / "of-alpha").write_text("by the host that leads")
        (two.at / "folder" / "of-beta").write_text("by the host that follows")
        (two.at / "folder" / "deleted").unlink()
        until(lambda: bool(entry(place, "/folder/of-alpha")), OWN_S, place.tails)
        until(lambda: bool(entry(place, "/folder/of-beta")), OWN_S, place.tails)
        until(lambda: absent(place, "/folder/deleted"), OWN_S, place.tails)
        for name in ("of-alpha", "of-beta"):
            told = entry(place, f"/folder/{name}")
            assert (told["origin"], "blind" in told["flags"]) == ("realtime", False), told
        (two.at / "made").mkdir()
        (two.at / "made" / "file").write_text("in a directory that alpha has no watch in")
        until(lambda: bool(entry(place, "/made/file")), OWN_S, place.tails)
        until(
            lambda: place.agents["alpha"].pipe().get("watched_dirs") == folders + 1,
            4 * OWN_S,
            place.tails,
        )
        (one.at / "made" / "mine").write_text("by now it has")
        until(lambda: bool(entry(place, "/made/mine")), OWN_S, place.tails)
        place.settles(HEALED_S)


def test_audits_in_tiers_find_what_nobody_polls(place: Site, mounts: Mounts) -> None:
    one, two = mounts
    make(place.tree)
    settings = {
        "audit_interval_sec": AUDIT_S,
        "audit": {"directories": "1s", "full": "1h", "deep_every": 2},
    }
    agent(place, "alpha", one, settings=settings, poll_interval=NEVER_S)
    place.start()
    with place.polled():
        begun = time.monotonic()
        kinds = every_kind(place, two.at)
        bound_s = CACHE_S + 2 * AUDIT_S + HEALED_S
        for kind, seen in kinds.items():
            until(
                seen, bound_s - (time.monotonic() - begun), lambda k=kind: f"{k}: {place.tails()}"
            )
        place.settles(bound_s)


def test_a_second_name_of_what_cannot_be_opened_is_told_of_the_first(
    place: Site, mounts: Mounts
) -> None:
    """No event speaks of the first name, and a look past the caches opens files only."""
    one, _ = mounts
    make(place.tree)
    agent(place, "alpha", one, poll_interval=NEVER_S)
    place.start()
    folder = one.at / "folder"
    with place.polled():
        (folder / "points").symlink_to("kept")
        os.mkfifo(folder / "pipe")
        place.settles(HEALED_S)
        for name in ("points", "pipe"):
            os.link(folder / name, folder / "below" / name, follow_symlinks=False)
        place.settles(HEALED_S)


@pytest.mark.long
def test_quiet_is_what_was_looked_at_since(place: Site, mounts: Mounts) -> None:
    one, _ = mounts
    make(place.tree)
    agent(place, "alpha", one, poll_interval=NEVER_S)
    place.start()

    def doubts() -> set[str]:
        told = place.fusion.ask(f"/views/{VIEW}/stable", path="/", **{"for": 40.0}) or {}
        return {reason["kind"] for reason in told.get("reasons", ())}

    until(lambda: doubts() == {"stale"}, 100.0, lambda: f"{doubts()} {place.tails()}")
    place.fusion.told("view", "scan", f"{VIEW}:/", "--wait")
    until(lambda: not doubts(), 4 * OWN_S, lambda: f"{doubts()} {place.tails()}")


@pytest.mark.long
def test_a_bound_that_is_too_low_is_told_and_widened(place: Site, mounts: Mounts) -> None:
    one, two = mounts
    one.remembers(12.0)
    (place.tree / "folder").mkdir()
    (place.tree / "folder" / "file").write_text("")
    alpha = agent(place, "alpha", one, cache_bound=0.5)
    place.start()
    with place.polled():
        for number in range(20):
            (two.at / "folder" / "news").write_text("x" * number)
            (two.at / "folder" / "file").write_text("y" * number)
            place.settles(12.0 + POLL_S + OWN_S)
            if alpha.pipe().get("warnings"):
                break
        (warning,) = alpha.pipe()["warnings"]
        assert "`cache_bound` says 0.5 s" in warning
    told = alpha.run("pipe", "show", "alpha").stdout + alpha.run("doctor", check=False).stdout
    assert told.count(b"set `cache_bound: ") == 2, told.decode()
