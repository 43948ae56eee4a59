"""Looks at single names, as the sentinel asks for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fustor_source_fs import FsConfig, FsSource, RootVanished

from fustor_core.claims import Cell, Origin, edge_key
from fustor_core.files.listing import row_of


async def look(root: Path, *paths: bytes) -> list[Cell]:
    return list(await FsSource(FsConfig(root=str(root))).look(paths))


async def test_every_edge_on_the_way_is_claimed(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_bytes(b"x")
    top, middle, last = await look(root, b"/a/b/file")
    assert [c.name for c in (top, middle, last)] == [b"a", b"b", b"file"]
    assert [c.path for c in (top, middle, last)] == [b"/", b"/a", b"/a/b"]
    assert edge_key(top.value or b"") == middle.dir
    assert edge_key(middle.value or b"") == last.dir
    assert last.value == row_of(os.lstat(root / "a/b/file"))
    assert {(c.stamp.kind, c.flags, c.origin) for c in (top, middle, last)} == {
        ("s", 0, Origin.SENTINEL)
    }


async def test_the_first_mismatch_ends_the_walk(root: Path) -> None:
    (root / "file").write_bytes(b"x")
    (root / "link").symlink_to("dir")
    (root / "dir").mkdir()
    gone, file, link = await look(root, b"/gone/below", b"/file/below", b"/link/below")
    assert (gone.name, gone.value) == (b"gone", None)
    assert file.value == row_of(os.lstat(root / "file"))
    assert link.value == row_of(os.lstat(root / "link"))


async def test_an_edge_is_claimed_once_in_a_round(root: Path) -> None:
    (root / "a").mkdir()
    assert [c.name for c in await look(root, b"/a/x", b"/a/y")] == [b"a", b"x", b"y"]


async def test_the_root_is_claimed_by_its_own_attributes(root: Path) -> None:
    (cell,) = await look(root, b"/")
    assert (cell.name, cell.value) == (b"", row_of(os.stat(root)))


async def test_a_directory_at_the_end_is_claimed_by_its_own_attributes_too(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    a, b, own, c = await look(root, b"/a/b", b"/a/b", b"/a/b/c")
    assert [(x.name, x.path) for x in (a, b, c)] == [(b"a", b"/"), (b"b", b"/a"), (b"c", b"/a/b")]
    assert (own.name, own.path, own.dir) == (b"", b"/a/b", edge_key(b.value or b""))
    assert own.value == row_of(os.stat(root / "a/b"))
    assert own.stamp.f <= b.stamp.f < own.stamp.t


async def test_the_origin_is_the_askers(root: Path) -> None:
    source = FsSource(FsConfig(root=str(root)))
    (cell,) = await source.look([b"/x"], origin=Origin.ON_DEMAND)
    assert cell.origin is Origin.ON_DEMAND


async def test_a_root_that_is_not_proven_is_not_looked_at(root: Path) -> None:
    source = FsSource(FsConfig(root=str(root)))
    await source.identity()
    root.rmdir()
    root.mkdir()
    with pytest.raises(RootVanished):
        await source.look([b"/x"])
