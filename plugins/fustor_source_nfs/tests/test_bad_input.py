"""Trees, clocks and devices that nobody expects: all of it is shown, nothing is removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fustor_source_nfs import NfsConfig, NfsSource

from fustor_core.claims import ROW_BYTES, Listing, Origin, split_names, unpack_row
from fustor_core.contracts import Scope, boottime_us
from fustor_core.testing.nfs_pair import NfsClient, NfsPair

from .conftest import CACHE_S, POLL_S, SLACK_S, watched

pytestmark = pytest.mark.anyio
BOUND_S = CACHE_S + POLL_S + SLACK_S
DAY_S = 86_400.0
YEAR_NS = 31_557_600 * 10**9
MANY = 300_000


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder for trees too deep for who usually clears up."""
    (tmp_path / "deep").mkdir()
    yield tmp_path / "deep"
    subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)


def chain(top: Path, name: str, count: int) -> int:
    """Directories in one another; a descriptor of the last."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(count):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


@pytest.mark.parametrize("ahead_s", [DAY_S, -DAY_S])
async def test_a_storage_whose_clock_is_a_day_off(pair: NfsPair, ahead_s: float) -> None:
    for client in (pair.one, pair.two):
        client.ahead(ahead_s)
    (pair.server / "folder").mkdir()
    (pair.server / "folder" / "file").write_text("first")

    def sizes() -> dict[str, int]:
        return {path: row[1] for path, row in site.mirror.tree().items() if len(row) > 1}

    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        for listing in [one for one in site.mirror.seen if isinstance(one, Listing)]:
            assert listing.silence is None, "a later change could carry the same time"
            assert abs(listing.stamp.t - boottime_us()) < 60e6, "stamps are of this host's clock"
        site.mirror.lasting = {"/folder/file"}
        (pair.two.at / "folder" / "file").write_text("longer than before")
        (pair.two.at / "folder" / "new").write_text("blind")
        await site.until(lambda: sizes().get("/folder/file") == 18, BOUND_S)
        await site.until(lambda: "/folder/new" in sizes(), BOUND_S)
        (pair.one.at / "folder" / "own").write_text("of this host")
        await site.until(lambda: "/folder/own" in sizes(), BOUND_S)
        (pair.two.at / "folder" / "new").unlink()
        await site.until(lambda: "/folder/new" not in sizes(), BOUND_S)
        assert not site.mirror.wrong
        assert site.source.coverage()["warnings"] == []


async def test_times_of_other_centuries(pair: NfsPair) -> None:
    times = {"future": 230 * YEAR_NS, "old": -20 * YEAR_NS - 1, "first": -1, "zero": 0}
    for name, ns in times.items():
        (pair.server / name).write_text(name)
        os.utime(pair.server / name, ns=(ns, ns))
    (pair.server / "folder").mkdir()
    os.utime(pair.server / "folder", ns=(230 * YEAR_NS, 230 * YEAR_NS))
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        await site.exact(BOUND_S)
        (listing,) = [
            one for one in site.mirror.seen if isinstance(one, Listing) and one.path == b"/"
        ]
        rows = [listing.rows[at : at + ROW_BYTES] for at in range(0, len(listing.rows), ROW_BYTES)]
        found = dict(zip(split_names(listing.names), map(unpack_row, rows), strict=True))
        assert {name: found[name.encode()].mtime_ns for name in times} == times
        (pair.two.at / "folder" / "new").write_text("in a directory of the future")
        (pair.two.at / "future").unlink()
        os.utime(pair.two.at / "old", ns=(230 * YEAR_NS, -YEAR_NS))
        await site.exact(BOUND_S)


async def test_a_root_on_another_device_after_a_remount(pair: NfsPair, tmp_path: Path) -> None:
    (pair.server / "file").write_text("")
    source = NfsSource(NfsConfig(root=str(pair.one.at)))
    before, device = await source.identity(), os.stat(pair.one.at).st_dev
    pair.one.vanish()
    other = NfsClient(pair.server, tmp_path / "other", CACHE_S)  # has the number that is free now
    try:
        pair.one.mount(pair.server)
        assert os.stat(pair.one.at).st_dev != device
        after = await source.identity()
        assert (after.present, after.key, after.identity) == (True, before.key, before.identity)
        (listing,) = [one async for one in source.scan(Scope())]
        assert (listing.dir, listing.path) == (before.key, b"/")
    finally:
        other.close()


@pytest.mark.long
async def test_a_directory_of_many_entries(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for number in range(MANY):
        os.mknod(f"file-{number:06}", 0o600, dir_fd=fd)
    os.close(fd)
    source = NfsSource(NfsConfig(root=str(tmp_path), hang_after=5.0))
    for origin in (Origin.SNAPSHOT, Origin.SENTINEL):
        (listing,) = [one async for one in source.scan(Scope(origin=origin))]
        assert isinstance(listing, Listing)
        assert listing.complete
        assert len(split_names(listing.names)) == MANY
    cheap = Scope(origin=Origin.AUDIT, tier="names")
    assert len([one async for one in source.scan(cheap)]) == 1


@pytest.mark.long
@pytest.mark.parametrize(("name", "count"), [("d", 1000), ("n" * 60, 200)])
async def test_a_tree_of_many_levels(deep: Path, name: str, count: int) -> None:
    last = chain(deep, name, count)
    try:
        async with watched(deep, deep, poll_interval=3600, cache_bound=0) as site:
            await site.scan()
            listings = [one for one in site.mirror.seen if isinstance(one, Listing)]
            assert len(listings) == count + 1
            assert all(one.complete for one in listings)
            await site.until(
                lambda: site.source.coverage()["watched_dirs"] == count + 1, 10 * SLACK_S
            )
            os.close(os.open("own", os.O_CREAT | os.O_WRONLY, dir_fd=last))
            await site.until(lambda: b"own" in site.mirror.names(), 4 * SLACK_S)
            path = (f"/{name}" * count + "/own").encode()
            cells = await site.source.look([path])
            assert cells[-1].name == b"own"
            os.rename(deep / name, deep / "moved")
            await site.until(
                lambda: {b"moved"} == site.mirror.dirs[listings[0].dir].keys(), 4 * SLACK_S
            )
            os.unlink("own", dir_fd=last)
            await site.until(lambda: b"own" not in site.mirror.names(), 4 * SLACK_S)
            assert not site.mirror.owed, "the watches went along"
    finally:
        os.close(last)
