"""What this host writes is told at once, by inotify; what others write is left to polling."""

from __future__ import annotations

import os
import struct

import pytest

from fustor_core.claims import MOVED, Cell, Listing, Origin, Owe
from fustor_core.contracts import boottime_us
from fustor_core.files.inotify import Q_OVERFLOW, Inotify
from fustor_core.testing.nfs_pair import NfsPair

from .conftest import SLACK_S, Site, watched

pytestmark = pytest.mark.anyio
NEVER_S = 3600.0  # nothing is polled while a test runs
BOUND_S = 600.0  # and no answer of the caches is known to be of now
SOON_S = 4 * SLACK_S


def make(pair: NfsPair) -> None:
    for number in range(2):
        folder = pair.server / f"folder-{number}"
        (folder / "deep" / "deeper").mkdir(parents=True)
        for name in ("still", "written", "gone", "moved", "deep/deeper/inside"):
            (folder / name).write_text(f"{name} of {number}")
    pair.one.remembers(BOUND_S)


async def armed(site: Site, folders: int) -> None:
    await site.until(lambda: site.source.coverage()["watched_dirs"] == folders, SOON_S)


async def test_own_changes_are_told_at_once(pair: NfsPair) -> None:
    make(pair)
    here = pair.one.at
    async with watched(here, pair.server, poll_interval=NEVER_S, cache_bound=BOUND_S) as site:
        await site.scan()
        await armed(site, 7)
        site.mirror.lasting = {"/folder-0/still", "/folder-1/still"}
        begun = boottime_us()
        (here / "folder-0" / "new").write_text("created")
        (here / "folder-0" / "gone").unlink()
        (here / "folder-0" / "moved").rename(here / "folder-1" / "moved-here")
        old = (here / "folder-1" / "written").stat()
        (here / "folder-1" / "written").write_text("in place, and longer")
        os.utime(here / "folder-1" / "written", ns=(old.st_atime_ns, old.st_mtime_ns))
        (here / "made" / "below").mkdir(parents=True)
        (here / "made" / "below" / "file").write_text("at once")
        await site.exact(SOON_S)
        cells = [one for one in site.mirror.seen if isinstance(one, Cell) and one.name]
        assert {cell.name for cell in cells} >= {b"new", b"gone", b"moved", b"written", b"made"}
        assert {cell.origin for cell in cells} == {Origin.REALTIME}
        slack_us = 5_000_000
        assert min(cell.stamp.f for cell in cells) > begun - slack_us, "not as old as the caches"
        ordinals = [cell.stamp.at for cell in cells]
        assert ordinals == sorted(set(ordinals))
        (listing,) = [
            one for one in site.mirror.seen if isinstance(one, Listing) and one.path == b"/made"
        ]
        assert listing.origin is Origin.REALTIME
        assert listing.stamp.f > begun, "what this host made is listed past the caches"


async def test_an_own_move_of_a_directory_is_one(pair: NfsPair) -> None:
    make(pair)
    here = pair.one.at
    async with watched(here, pair.server, poll_interval=NEVER_S, cache_bound=BOUND_S) as site:
        await site.scan()
        await armed(site, 7)
        site.mirror.seen.clear()
        (here / "folder-0" / "deep").rename(here / "folder-1" / "deep-too")
        await site.exact(SOON_S)
        halves = [one for one in site.mirror.seen if isinstance(one, Cell) and one.flags & MOVED]
        assert sorted(cell.name for cell in halves) == [b"deep", b"deep-too"]
        assert not [one for one in site.mirror.seen if isinstance(one, Listing)]
        (here / "folder-1" / "deep-too" / "deeper" / "later").write_text("under its new name")
        await site.exact(SOON_S)
        told = [one for one in site.mirror.seen if one.path == b"/folder-1/deep-too/deeper"]
        assert told, "the watch went along"


async def test_what_others_write_is_not_heard(pair: NfsPair) -> None:
    make(pair)
    here = pair.one.at
    async with watched(here, pair.server, poll_interval=NEVER_S, cache_bound=BOUND_S) as site:
        await site.scan()
        await armed(site, 7)
        (pair.two.at / "folder-0" / "blind").write_text("of another host")
        (here / "folder-0" / "own").write_text("of this one")
        await site.until(lambda: "/folder-0/own" in site.mirror.tree(), SOON_S)
        assert "/folder-0/blind" not in site.mirror.tree()


async def test_a_file_that_this_host_did_not_change_is_asked_for_again(pair: NfsPair) -> None:
    make(pair)
    here = pair.one.at / "folder-0"
    async with watched(
        pair.one.at, pair.server, poll_interval=NEVER_S, cache_bound=BOUND_S
    ) as site:
        await site.scan()
        await armed(site, 7)
        with (here / "written").open("r+"):  # its attributes are remembered from here on
            (pair.two.at / "folder-0" / "written").write_text("by another host, and longer")
            assert (here / "written").stat().st_size == len("written of 0")
        (pair.two.at / "folder-0" / "moved").write_text("by another host, too")
        (here / "moved").rename(here / "here")
        names = ("/folder-0/written", "/folder-0/here")
        sizes = [len("by another host, and longer"), len("by another host, too")]
        await site.until(
            lambda: [site.mirror.tree().get(name, (0, 0))[1] for name in names] == sizes, SOON_S
        )


async def test_who_follows_hears_without_polling(pair: NfsPair) -> None:
    make(pair)
    here = pair.one.at
    async with watched(here, pair.server, poll_interval=NEVER_S, cache_bound=BOUND_S) as site:
        await armed(site, 7)
        assert not site.mirror.claims
        (here / "folder-0" / "deep" / "own").write_text("of this host")
        (here / "folder-0" / "made").mkdir()
        (here / "folder-0" / "made" / "file").write_text("below")
        names = site.mirror.names
        await site.until(lambda: {b"own", b"made", b"file"} <= names(), SOON_S)
        assert site.source.coverage()["polled_dirs"] == 0
        (pair.two.at / "folder-1" / "others").mkdir()
        await site.source.cover([b"/folder-1/others"])
        await armed(site, 9)
        (here / "folder-1" / "others" / "mine").write_text("in what another host made")
        await site.until(lambda: b"mine" in names(), SOON_S)


async def test_without_inotify_own_writes_are_polled(pair: NfsPair) -> None:
    make(pair)
    async with watched(pair.one.at, pair.server, watch="off") as site:
        await site.scan()
        (pair.one.at / "folder-0" / "own").write_text("of this host")
        await site.exact(SOON_S)
        assert site.source.coverage()["watched_dirs"] == 0


async def test_a_queue_that_ran_over_owes_everything(
    pair: NfsPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(pair)
    ask, over = Inotify.ask, [struct.pack("iIII", -1, Q_OVERFLOW, 0, 0)]
    monkeypatch.setattr(Inotify, "ask", lambda self: over.pop() if over else ask(self))
    async with watched(pair.one.at, pair.server, poll_interval=NEVER_S) as site:
        await site.scan()
        await armed(site, 7)
        (pair.one.at / "folder-0" / "own").write_text("so that the queue is read")
        await site.until(lambda: site.mirror.owed == ["overflow"], SOON_S)
        (owed,) = [one for one in site.mirror.seen if isinstance(one, Owe)]
        assert (owed.deep, owed.dir) == (True, site.mirror.root)
