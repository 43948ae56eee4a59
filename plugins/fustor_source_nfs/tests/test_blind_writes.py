"""What another client writes is found within the cache bound and one poll, and nothing is lost."""

from __future__ import annotations

import os
import shutil

import pytest

from fustor_core.claims import Listing, Origin
from fustor_core.contracts import Scope
from fustor_core.testing.nfs_pair import NfsPair

from .conftest import CACHE_S, POLL_S, SLACK_S, watched

pytestmark = pytest.mark.anyio
BOUND_S = CACHE_S + POLL_S + SLACK_S


def make(pair: NfsPair) -> None:
    for number in range(3):
        folder = pair.server / f"folder-{number}"
        (folder / "deep").mkdir(parents=True)
        for name in ("still", "written", "gone", "moved", "deep/inside"):
            (folder / name).write_text(f"{name} of {number}")
    (pair.server / "quiet").mkdir()
    (pair.server / "quiet" / "file").write_text("content")


@pytest.mark.long
async def test_every_blind_change_is_found_within_the_bound(pair: NfsPair) -> None:
    make(pair)
    there = pair.two.at
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        await site.exact(BOUND_S)
        for number in range(3):
            still = f"/folder-{number}/still"
            site.mirror.lasting |= {still, f"/folder-{number}"}
        old = (there / "quiet" / "file").stat()
        (there / "folder-0" / "new").write_text("created")
        (there / "folder-1" / "gone").unlink()
        (there / "folder-2" / "moved").rename(there / "folder-0" / "moved-here")
        (there / "quiet" / "file").write_text("in plac")  # as long as it was
        os.utime(there / "quiet" / "file", ns=(old.st_atime_ns, old.st_mtime_ns))
        shutil.copy2(there / "folder-1" / "still", there / "folder-1" / "copied")
        (there / "folder-1" / "deep").rename(there / "folder-2" / "deep-too")
        (there / "made" / "below").mkdir(parents=True)
        (there / "made" / "below" / "file").write_text("at once")
        await site.exact(BOUND_S)
        changed = site.source.coverage()["found_within_s"]
        assert changed >= CACHE_S + POLL_S


async def test_nothing_is_removed_wrongly_while_others_write(pair: NfsPair) -> None:
    make(pair)
    there = pair.two.at / "folder-0"
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        await site.exact(BOUND_S)
        site.mirror.lasting = {"/folder-0/still", "/folder-0/deep/inside", "/folder-0/target"}
        (there / "target").write_text("replaced again and again")
        site.mirror.lasting -= {"/folder-0/target"}
        await site.exact(BOUND_S)
        site.mirror.lasting |= {"/folder-0/target"}
        for number in range(4):
            (there / "next").write_text("x" * number)
            (there / "next").rename(there / "target")
            (there / f"more-{number}").write_text("")
            await site.until(lambda n=number: f"/folder-0/more-{n}" in site.mirror.tree(), BOUND_S)
        await site.exact(BOUND_S)


async def test_files_removed_while_open_are_not_shown(pair: NfsPair) -> None:
    make(pair)
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        with (pair.one.at / "folder-0" / "gone").open():
            (pair.one.at / "folder-0" / "gone").unlink()
            (silly,) = [name for name in os.listdir(pair.server / "folder-0") if name[0] == "."]
            await site.until(
                lambda: [b"/folder-0/" + silly.encode()] == site.source.coverage()["excluded"],
                BOUND_S,
            )
            await site.until(lambda: "/folder-0/gone" not in site.mirror.tree(), BOUND_S)
            assert not [path for path in site.mirror.tree() if ".nfs" in path]
        await site.exact(BOUND_S)


async def test_a_look_sees_past_the_caches(pair: NfsPair) -> None:
    make(pair)
    pair.one.remembers(600.0)
    async with watched(pair.one.at, pair.server, cache_bound=600.0) as site:
        await site.scan()
        (pair.two.at / "folder-0" / "written").write_text("longer than it was before")
        (pair.two.at / "folder-0" / "gone").unlink()
        assert not (pair.one.at / "folder-0" / "new").exists()
        (pair.two.at / "folder-0" / "new").write_text("")
        paths = [f"/folder-0/{name}".encode() for name in ("written", "gone", "new")]
        site.mirror.take(await site.source.look(paths))
        known, there = site.mirror.tree(), pair.server / "folder-0"
        assert known["/folder-0/written"][1] == (there / "written").stat().st_size
        assert "/folder-0/gone" not in known
        assert "/folder-0/new" in known


async def test_a_directory_that_is_owed_is_listed_past_the_caches(pair: NfsPair) -> None:
    make(pair)
    pair.one.remembers(600.0)
    async with watched(pair.one.at, pair.server, cache_bound=600.0) as site:
        await site.scan()
        (pair.two.at / "quiet" / "file").write_text("longer than it was before")
        os.mkfifo(pair.two.at / "quiet" / "pipe")
        scope = Scope(b"/quiet", recursive=False, origin=Origin.SENTINEL)
        (listing,) = [one async for one in site.source.scan(scope) if isinstance(one, Listing)]
        site.mirror.take([listing])
        assert listing.stamp.f == listing.stamp.at, "nothing in it is older than the look"
        assert listing.weak == (b"pipe",), "what cannot be opened proves nothing"
        size = (pair.server / "quiet" / "file").stat().st_size
        assert site.mirror.tree()["/quiet/file"][1] == size


async def test_what_does_not_change_is_confirmed_now_and_then(
    pair: NfsPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(pair)
    monkeypatch.setattr("fustor_source_nfs.polling.CONFIRM_US", 1_000_000)
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        site.mirror.seen.clear()

        def confirmed() -> set[bytes]:
            told = (one for one in site.mirror.seen if isinstance(one, Listing))
            return {one.path for one in told if one.digest is not None and not one.rows}

        await site.until(lambda: {b"/", b"/quiet", b"/folder-0/deep"} <= confirmed(), BOUND_S)
