"""Audits in tiers: what a cheap one says, what it does not see, and when it is seen after all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest
from fustor_source_fs import FsConfig, FsSource

from fustor_core.claims import Calm, Cell, Key, Listing, Origin, Same, split_names
from fustor_core.contracts import Scope, Tiered
from fustor_core.recall import Recall

pytestmark = pytest.mark.anyio


class Site:
    """A tree without a watch, and what was sent of it."""

    def __init__(self, root: Path, **config: Any) -> None:
        self.root = root
        self.source = FsSource(FsConfig(root=str(root), watch="off", **config))
        self.recall = Recall()
        self.paths: dict[Key, bytes] = {}

    async def audit(
        self, tier: str = "full", deep: tuple[int, int] = (0, 0), path: bytes = b"/"
    ) -> dict[bytes, list[Any]]:
        """Claims by path; what is sent is remembered."""
        scope = Scope(path, origin=Origin.AUDIT, tier=tier, recall=self.recall, deep=deep)
        found: dict[bytes, list[Any]] = {}
        async for claim in self.source.scan(scope):
            if isinstance(claim, Calm):
                for one in claim.same():
                    path = self.paths[one.dir]
                    told = msgspec.structs.replace(one, path=path)
                    found.setdefault(path, []).append(told)
                continue
            found.setdefault(claim.path, []).append(claim)
            self.paths[claim.dir] = claim.path
            if isinstance(claim, Listing):
                self.recall.note(claim)
        return found

    async def calm(self) -> None:
        """Look until no listing is racy any more."""
        while True:
            found = await self.audit()
            if all(c.silence for c in flat(found) if isinstance(c, Listing) and c.complete):
                return


def flat(found: dict[bytes, list[Any]]) -> list[Any]:
    return [claim for claims in found.values() for claim in claims]


def listed(found: dict[bytes, list[Any]]) -> set[bytes]:
    return {claim.path for claim in flat(found) if isinstance(claim, Listing)}


def same(found: dict[bytes, list[Any]]) -> set[bytes]:
    return {claim.path for claim in flat(found) if isinstance(claim, Same)}


def rewrite(path: Path, content: bytes) -> None:
    """In place, with the size and the mtime as before."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
async def site(root: Path) -> Site:
    for name in ("calm/below", "busy/under"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_bytes(b"one")
    made = Site(root)
    await made.calm()
    return made


ALL = {b"/", b"/calm", b"/calm/below", b"/busy", b"/busy/under"}


def test_it_says_which_tiers_it_has(root: Path) -> None:
    source = Site(root).source
    assert isinstance(source, Tiered)
    assert source.tiers == {"directories", "names"}


@pytest.mark.parametrize("tier", ["directories", "names"])
async def test_a_cheap_tier_says_same_where_membership_did_not_change(
    site: Site, tier: str
) -> None:
    assert same(await site.audit(tier)) == ALL
    (site.root / "busy/under/new").write_bytes(b"")
    found = await site.audit(tier)
    assert listed(found) == {b"/busy/under"}
    assert same(found) == ALL - {b"/busy/under"}
    (listing,) = found[b"/busy/under"]
    assert split_names(listing.names) == [b"file", b"new"]
    (told,) = found[b"/calm"]
    st = (site.root / "calm").stat()
    assert told.silence == (st.st_ctime_ns, st.st_mtime_ns, st.st_ino, st.st_nlink)
    assert told.origin is Origin.AUDIT


async def test_the_full_tier_looks_at_everything(site: Site) -> None:
    found = await site.audit("full")
    assert listed(found) == ALL
    assert not same(found)


@pytest.mark.parametrize("tier", ["directories", "names"])
async def test_what_was_never_sent_is_listed(root: Path, site: Site, tier: str) -> None:
    site.recall.clear()
    assert listed(await site.audit(tier)) == ALL


@pytest.mark.parametrize("tier", ["directories", "names"])
async def test_a_racy_listing_is_made_again_until_it_is_not(
    site: Site, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.root / "busy/new").write_bytes(b"")
    clock = "fustor_core.files.listing.time.time_ns"
    monkeypatch.setattr(clock, lambda: 0)
    for _ in range(2):
        (listing,) = (await site.audit(tier))[b"/busy"]
        assert listing.silence is None
    monkeypatch.setattr(clock, lambda: 1 << 62)
    assert listed(await site.audit(tier)) == {b"/busy"}
    assert listed(await site.audit(tier)) == set()


@pytest.mark.parametrize("tier", ["directories", "names"])
async def test_restored_times_of_a_directory_do_not_hide_a_change(site: Site, tier: str) -> None:
    place = site.root / "busy/under"
    before = place.stat()
    (place / "file").rename(place / "other")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = await site.audit(tier)
    (listing,) = found[b"/busy/under"]
    assert split_names(listing.names) == [b"other"], "nobody can set the ctime back"


async def test_names_are_compared_where_the_attributes_are_those_of_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on storage whose directory times are coarse, or from a cache."""
    path = site.root / "busy/under"
    before = path.stat()
    (path / "new").write_bytes(b"new")
    after = path.stat()
    real = os.fstat

    def coarse(fd: int) -> os.stat_result:
        st = real(fd)
        if st.st_ino != after.st_ino or st.st_ctime_ns != after.st_ctime_ns:
            return st
        return before

    monkeypatch.setattr("fustor_source_fs.review.os.fstat", coarse)
    assert b"/busy/under" in same(await site.audit("directories"))
    assert b"/busy/under" in listed(await site.audit("names"))


async def test_a_file_that_was_replaced_is_another_inode(site: Site) -> None:
    place = site.root / "busy/under"
    (place / "file.tmp").write_bytes(b"two")
    (place / "file.tmp").rename(place / "file")
    assert listed(await site.audit("names")) == {b"/busy/under"}


async def test_a_write_in_place_is_found_within_so_many_audits(site: Site) -> None:
    file, shares = site.root / "calm/below/file", 4
    rewrite(file, b"two")
    assert listed(await site.audit("directories")) == set()
    assert listed(await site.audit("names")) == set()
    looked: list[set[bytes]] = [listed(await site.audit("names", (i, shares))) for i in range(4)]
    assert set().union(*looked) == ALL, "every directory was read whole once"
    assert sum(map(len, looked)) == len(ALL), "and once only"
    assert b"/calm/below" in set().union(*looked)


async def test_every_directory_has_its_turn_wherever_one_begins(site: Site) -> None:
    seen: list[set[bytes]] = [listed(await site.audit("names", (7 + i, 3))) for i in range(3)]
    assert set().union(*seen) == ALL


async def test_what_is_left_out_stays_so_and_is_no_reason_to_read(root: Path) -> None:
    (root / "sub/.cache").mkdir(parents=True)
    for name in ("a", "b.tmp", ".cache/x"):
        (root / "sub" / name).write_bytes(b"")
    site = Site(root, exclude=[".cache", "*.tmp"])
    await site.calm()
    for tier in ("directories", "names"):
        found = await site.audit(tier)
        assert same(found) == {b"/", b"/sub"}, tier
        (told,) = found[b"/sub/.cache"]
        assert (told.complete, told.reason) == (False, "excluded")


async def test_a_directory_that_was_renamed_is_found_where_it_is(site: Site) -> None:
    (site.root / "calm/below").rename(site.root / "calm/there")
    found = await site.audit("names")
    (listing,) = found[b"/calm"]
    assert split_names(listing.names) == [b"there"]
    assert b"/calm/there" in found
    assert b"/calm/below" not in found
    assert not [c for c in flat(found) if isinstance(c, Cell)]


async def test_names_that_are_no_text(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY)
    for name in (b"\xff", "\ue000".encode(), b"\xed\xb2\x80", "ä".encode(), b"a\n"):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    site = Site(root)
    await site.calm()
    assert same(await site.audit("names")) == {b"/"}


async def test_a_scan_pauses_as_it_is_told_and_can_be_stopped_meanwhile(site: Site) -> None:
    paused = threading.Event()

    def pace(operations: int, seconds: float) -> float:
        assert operations >= 2
        assert seconds >= 0
        paused.set()
        return 3600.0

    async def scan() -> None:
        async for _ in site.source.scan(Scope(origin=Origin.AUDIT, pace=pace)):
            pass

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scan)
            await anyio.to_thread.run_sync(paused.wait)
            tasks.cancel_scope.cancel()


async def test_operations_are_counted_by_what_the_storage_is_asked(root: Path) -> None:
    for i in range(500):
        (root / f"{i:03}").write_bytes(b"")
    site = Site(root)
    await site.calm()

    async def operations(tier: str) -> int:
        told: list[int] = []
        scope = Scope(origin=Origin.AUDIT, tier=tier, recall=site.recall)

        def pace(count: int, _seconds: float) -> float:
            told.append(count)
            return 0.0

        scope.pace = pace
        async for _ in site.source.scan(scope):
            pass
        return sum(told)

    cheap: Iterable[str] = ("directories", "names", "full")
    counts = [await operations(tier) for tier in cheap]
    assert counts == [1, 7, 502]
