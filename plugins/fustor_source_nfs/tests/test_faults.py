"""Servers that hang or fail, mounts that vanish: said so, nothing removed, healed by itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

import anyio
import pytest
from fustor_source_nfs import NfsConfig, NfsSource, StorageHung

from fustor_core.claims import Listing
from fustor_core.contracts import Scope
from fustor_core.files.rooted import RootVanished
from fustor_core.testing.nfs_pair import NfsPair

from .conftest import CACHE_S, POLL_S, SLACK_S, truth, watched

pytestmark = pytest.mark.anyio
BOUND_S = CACHE_S + POLL_S + SLACK_S
HANG_S = 1.0


def make(pair: NfsPair) -> None:
    for number in range(3):
        folder = pair.server / f"folder-{number}"
        folder.mkdir()
        for name in ("a", "b"):
            (folder / name).write_text(name)


@pytest.mark.long
async def test_a_directory_that_hangs_is_told_and_the_others_go_on(pair: NfsPair) -> None:
    make(pair)
    async with watched(pair.one.at, pair.server, hang_after=HANG_S) as site:
        await site.scan()
        site.mirror.lasting = set(site.mirror.tree())
        pair.one.hangs("/folder-1/a")
        begun = time.monotonic()
        await site.scan()
        assert time.monotonic() - begun < HANG_S + SLACK_S
        assert site.mirror.reasons == {"/folder-1": "hung"}
        (pair.two.at / "folder-2" / "new").write_text("")
        await site.until(lambda: "/folder-2/new" in site.mirror.tree(), BOUND_S + 3 * HANG_S)
        pair.one.works()
        await site.until(lambda: not site.mirror.reasons, BOUND_S + 3 * HANG_S)
        await site.exact(BOUND_S)


@pytest.mark.long
@pytest.mark.parametrize("killable", [True, False])
async def test_a_server_that_hangs_stops_nobody(pair: NfsPair, killable: bool) -> None:
    make(pair)
    async with watched(pair.one.at, pair.server, hang_after=HANG_S) as site:
        await site.scan()
        site.mirror.lasting = set(site.mirror.tree())
        pair.one.hangs("/", killable=killable)
        await site.until(lambda: site.failure is not None, BOUND_S + 3 * HANG_S)
        assert isinstance(site.failure, StorageHung)
        assert site.failure.reason == "hung"
        with pytest.raises(StorageHung):
            await site.scan()
        with pytest.raises(StorageHung):
            await site.source.identity()
        assert not site.mirror.wrong
    pair.one.works()
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        await site.exact(BOUND_S)


@pytest.mark.long
async def test_many_looks_at_what_never_ends_leave_few_processes(pair: NfsPair) -> None:
    make(pair)
    config = NfsConfig(root=str(pair.one.at), hang_after=0.1)
    source = NfsSource(config)
    pair.one.hangs("/", killable=False)
    for _ in range(10):
        with pytest.raises(StorageHung):
            await source.identity()
    assert "processes hang" in str(await _failure(source))
    pair.one.works()
    for _ in range(round(SLACK_S / 0.1)):
        if await _failure(source) is None:
            return
        await anyio.sleep(0.1)  # between two looks at what the kernel lets go
    pytest.fail("it does not heal")


async def _failure(source: NfsSource) -> StorageHung | None:
    try:
        await source.identity()
    except StorageHung as err:
        return err
    return None


@pytest.mark.long
async def test_errors_half_way_remove_nothing_and_heal(pair: NfsPair) -> None:
    make(pair)
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        site.mirror.lasting = set(site.mirror.tree())
        pair.one.fails("/folder-1", "/folder-2/a")
        await site.until(
            lambda: (
                set(site.mirror.reasons.values()) == {"io_error"}
                and "/folder-2" in site.mirror.reasons
            ),
            BOUND_S,
        )
        (pair.two.at / "folder-1" / "new").write_text("")
        pair.one.works()
        await site.until(lambda: not site.mirror.reasons, BOUND_S)
        await site.exact(BOUND_S)


async def test_a_mount_that_vanishes_removes_nothing(pair: NfsPair, tmp_path: Path) -> None:
    make(pair)
    async with watched(pair.one.at, pair.server) as site:
        await site.scan()
        known = site.mirror.tree()
        pair.one.vanish()
        await site.until(lambda: site.failure is not None, BOUND_S)
        assert isinstance(site.failure, RootVanished)
        with pytest.raises(RootVanished):
            await site.scan()
        assert not (await site.source.identity()).present
        (tmp_path / "other").mkdir()
        pair.one.mount(tmp_path / "other")
        with pytest.raises(RootVanished):
            await site.scan()
        pair.one.vanish()
        pair.one.mount(pair.server)
        assert (await site.source.identity()).present
        assert site.mirror.tree() == known
        await site.scan()
        await site.exact(BOUND_S)


async def test_a_removed_root_is_vanished_on_any_tree(tmp_path: Path) -> None:
    source = NfsSource(NfsConfig(root=str(tmp_path / "nothing")))
    with pytest.raises(RootVanished):
        [claim async for claim in source.scan(Scope())]
    assert not (await source.identity()).present


async def test_a_file_and_strange_paths_are_no_scopes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.symlink("/etc", tmp_path / "link")
    source = NfsSource(NfsConfig(root=str(tmp_path)))
    for path in (b"/file", b"/link", b"/link/ssl", b"/../etc", b"file"):
        claims = [claim async for claim in source.scan(Scope(path=path))]
        assert not [claim for claim in claims if isinstance(claim, Listing)], path
    assert truth(tmp_path)


async def test_intervals_are_widened_by_the_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bound_s in (0.0, 30.0):
        source = NfsSource(NfsConfig(root=str(tmp_path), cache_bound=bound_s))
        (listing,) = [claim async for claim in source.scan(Scope())]
        assert listing.stamp.at - listing.stamp.f == bound_s * 1e6
        (cell,) = await source.look([b"/file"])
        assert cell.stamp.t - cell.stamp.f < 5e6


@pytest.mark.long
async def test_a_new_process_knows_what_the_root_was(pair: NfsPair, tmp_path: Path) -> None:
    make(pair)
    source = NfsSource(NfsConfig(root=str(pair.one.at), hang_after=HANG_S))
    before = await source.identity()
    assert before.present
    pair.one.hangs("/")
    with pytest.raises(StorageHung):
        await source.identity()
    (tmp_path / "other").mkdir()
    pair.one.vanish()
    pair.one.mount(tmp_path / "other")
    assert not (await source.identity()).present
    with pytest.raises(RootVanished):
        [claim async for claim in source.scan(Scope())]
    pair.one.vanish()
    pair.one.mount(pair.server)
    after = await source.identity()
    assert (after.present, after.key, after.identity) == (True, before.key, before.identity)
