"""The driver as a whole: the kit, its configuration, the proof of its root, its coverage."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource, RootVanished
from pydantic import ValidationError

from fustor_core.claims import Key
from fustor_core.contracts import (
    Covering,
    Looking,
    Reporting,
    Rooted,
    Scope,
    Source,
    Watching,
)
from fustor_core.testing import source_kit


def source(root: Path, **config: Any) -> FsSource:
    return FsSource(FsConfig(root=str(root), **config))


async def exhausted(claims: AsyncIterator[Any]) -> int:
    return len([claim async for claim in claims])


def planted(root: Path) -> Path:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"x")
    (root / "a" / "empty").mkdir()
    (root / "top").write_bytes(b"y")
    return root


def test_it_keeps_what_a_source_promises(root: Path) -> None:
    planted(root)
    changes = iter(range(10))
    source_kit(
        FsSource,
        FsConfig(root=str(root)),
        stir=lambda _: (root / "a" / f"new{next(changes)}").write_bytes(b"z"),
    )


def test_it_has_all_optional_powers(root: Path) -> None:
    it = source(root)
    for power in (Source, Watching, Looking, Covering, Rooted, Reporting):
        assert isinstance(it, power), power


@pytest.mark.parametrize(
    "wrong", [{}, {"root": ""}, {"root": "/", "watch": "poll"}, {"root": "/", "rot": 1}]
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FsConfig(**wrong)


def test_a_glob_that_makes_no_sense_is_named(root: Path) -> None:
    with pytest.raises(ValidationError, match=r"\[z-a\]"):
        FsConfig(root=str(root), exclude=["ok", "[z-a]"])


async def test_the_root_has_the_same_identity_each_time(root: Path) -> None:
    one, two = await source(root).identity(), await source(root).identity()
    assert one.present
    assert (one.key, one.identity) == (two.key, two.identity)
    assert one.key.dev == 0
    assert one.key.ino == root.stat().st_ino
    assert str(one.key.ino) in one.identity


async def test_the_marker_file_belongs_to_the_proof(root: Path) -> None:
    (root / ".fustor-root").write_bytes(b"storage 7")
    it = source(root)
    assert (await it.identity()).marker == b"storage 7"
    (root / ".fustor-root").unlink()
    gone = await it.identity()
    assert (gone.present, gone.reason) == (False, "vanished_root")


async def test_another_directory_at_the_root_is_no_proof(root: Path) -> None:
    it = source(root)
    first = await it.identity()
    root.rename(root.parent / "old")
    root.mkdir()
    other = await it.identity()
    assert (other.present, other.reason) == (False, "vanished_root")
    assert (other.key, other.identity) == (first.key, first.identity)
    (root).rmdir()
    (root.parent / "old").rename(root)
    assert (await it.identity()).present


@pytest.mark.parametrize("what", ["missing", "file"])
async def test_a_root_that_is_no_directory_is_said(root: Path, what: str) -> None:
    root.rmdir()
    if what == "file":
        root.write_bytes(b"")
    said = await source(root).identity()
    assert (said.present, said.reason, said.key) == (False, "vanished_root", Key(0, 0, 0))
    with pytest.raises(RootVanished) as told:
        await exhausted(source(root).scan(Scope()))
    assert told.value.remedy


async def test_a_root_that_vanishes_makes_the_scan_void(root: Path) -> None:
    planted(root)
    for i in range(2000):  # more than one chunk, so that the scan is still under way
        (root / f"d{i}").mkdir()
    claims = source(root).scan(Scope())
    assert await anext(claims)
    root.rename(root.parent / "elsewhere")
    with pytest.raises(RootVanished):
        await exhausted(claims)


async def test_a_scan_that_is_left_ends_its_thread(root: Path) -> None:
    for i in range(3000):
        (root / f"d{i}").mkdir()
    async with aclosing(source(root).scan(Scope())) as claims:  # type: ignore[type-var]
        async for _ in claims:
            break
    assert "fustor-scan" not in {thread.name for thread in threading.enumerate()}


async def test_leaving_the_watch_ends_its_threads_and_gives_descriptors_back(
    live: Any, root: Path
) -> None:
    planted(root)
    before = len(os.listdir("/proc/self/fd"))
    async with live(root) as it:
        names = {thread.name for thread in threading.enumerate()}
        assert {"fustor-watch", "fustor-inotify"} <= names
        (root / "a" / "more").write_bytes(b"x")
        await it.until(lambda: it.cell(b"more"))
    assert not {"fustor-watch", "fustor-inotify"} & {t.name for t in threading.enumerate()}
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_source_is_watched_once_at_a_time(live: Any, root: Path) -> None:
    async with live(root) as it:
        with pytest.raises(Exception, match="watched by this source already"):
            async with it.source.watch():
                pass
    async with live(root):
        pass


async def test_coverage_counts_what_is_watched(live: Any, root: Path, way: str) -> None:
    planted(root)
    async with live(root, exclude=["empty"]) as it:
        said = it.source.coverage()
        assert said["watched_dirs"] == 3
        assert said["uncovered"] == []
        assert said["excluded"] == [b"/a/empty"]
        assert said["watched_by"] == way
        assert (said["watch_limit"] or 0) > 0 if way == "inotify" else said["watch_limit"] is None


async def test_without_a_watch_all_is_uncovered(live: Any, root: Path) -> None:
    assert source(root).coverage()["uncovered"] == [b"/"]
    async with live(root, watch="off") as it:
        assert it.source.coverage()["uncovered"] == [b"/"]


async def test_a_root_that_comes_back_is_watched_from_its_next_scan(live: Any, root: Path) -> None:
    planted(root)
    away = root.parent / "away"
    root.rename(away)
    it_source = source(root)
    async with it_source.watch():
        assert it_source.coverage()["uncovered"] == [b"/"]
        away.rename(root)
        assert await exhausted(it_source.scan(Scope()))
        assert it_source.coverage()["watched_dirs"] == 4


async def test_a_scope_below_a_root_that_came_back_is_armed_from_the_root(root: Path) -> None:
    planted(root)
    away = root.parent / "away"
    root.rename(away)
    it = source(root)
    async with it.watch():
        away.rename(root)
        assert await exhausted(it.scan(Scope(path=b"/a/b"))) == 1
        assert it.coverage()["watched_dirs"] == 3


async def test_a_root_that_is_deleted_deletes_nothing_unsaid(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        shutil.rmtree(root)
        await it.until(lambda: not it.source.coverage()["watched_dirs"])
        assert not (await it.source.identity()).present
        assert all(claim.value is None for claim in it.cells(b"top"))
