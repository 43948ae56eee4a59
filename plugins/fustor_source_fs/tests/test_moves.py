"""Directories that move: within the tree, out of it, into it, and through each other."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from fustor_core.claims import MOVED, Cell, Listing, Owe, edge_key
from fustor_core.files.inotify import Chunk, parse

RENAME_EXCHANGE = 2
AT_FDCWD = -100


def planted(root: Path) -> None:
    for path in ("a/b/c", "x/y"):
        (root / path).mkdir(parents=True)
    (root / "a/b/file").write_bytes(b"1")
    (root / "a/b/c/deep").write_bytes(b"2")


async def test_a_move_within_the_tree_is_two_cells_and_no_listing(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        key = it.key("a/b")
        os.rename(root / "a/b", root / "x/moved")
        await it.settled()
        half, other = it.cell(b"b"), it.cell(b"moved")
        assert (half.value, half.flags) == (None, MOVED)
        assert (edge_key(other.value), other.flags) == (key, MOVED)
        assert half in it.batches[0]
        assert other in it.batches[0]
        assert not [c for c in it.claims if isinstance(c, (Listing, Owe))]
        own = [c.dir for c in it.cells(b"")]
        assert key in own, "a move changes the ctime of what was moved"
        it.forget()
        (root / "x/moved/c/after").write_bytes(b"its watch went along")
        await it.settled()
        assert it.cell(b"after").path == b"/x/moved/c"


async def test_a_rename_in_place_keeps_the_watch(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        with it.source._watcher._reader._lock:  # all of it comes in one drained queue
            for i in range(5):
                os.rename(root / f"a{i or ''}", root / f"a{i + 1}")
            (root / "a5/b/new").write_bytes(b"x")
        await it.settled()
        assert it.cell(b"a5").flags == MOVED
        assert not [c for c in it.claims if isinstance(c, (Listing, Owe))]


async def test_a_move_out_of_the_tree_takes_the_watches_along(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        outside = root.parent / "outside"
        os.rename(root / "a", outside)
        (outside / "b" / "on_its_way").write_bytes(b"x")
        (outside / "b" / "file").unlink()
        await it.settled()
        assert (it.cell(b"a").value, it.cell(b"a").flags) == (None, 0)
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 3)
        assert not [c for c in it.claims if isinstance(c, Owe)]
        it.forget()
        (outside / "b" / "unseen").write_bytes(b"x")
        (root / "seen").write_bytes(b"x")
        await it.until(lambda: it.cell(b"seen"))
        assert not it.cells(b"unseen")


async def test_a_move_into_the_tree_is_entered(live: Any, root: Path) -> None:
    outside = root.parent / "outside"
    (outside / "p/q").mkdir(parents=True)
    (outside / "p/q/file").write_bytes(b"x")
    async with live(root) as it:
        os.rename(outside, root / "came")
        await it.settled()
        assert it.cell(b"came").flags == 0
        paths = [c.path for c in it.claims if isinstance(c, Listing)]
        assert paths == [b"/came", b"/came/p", b"/came/p/q"]
        it.forget()
        (root / "came/p/q/more").write_bytes(b"x")
        await it.settled()
        assert it.cell(b"more")


async def test_out_and_in_again_under_another_name(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        outside = root.parent / "outside"
        os.rename(root / "a", outside)
        (outside / "b" / "while_away").write_bytes(b"x")
        os.rename(outside, root / "back")
        await it.settled()
        assert [c.path for c in it.claims if isinstance(c, Listing)][:1] == [b"/back"]


async def test_a_file_moved_out_and_in(live: Any, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    async with live(root) as it:
        os.rename(root / "file", root.parent / "out")
        await it.until(lambda: it.cell(b"file"))
        assert it.cell(b"file").value is None
        os.rename(root.parent / "out", root / "again")
        await it.settled()


async def test_changes_below_a_directory_while_it_moves(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        (root / "a/b/c/one").write_bytes(b"x")
        os.rename(root / "a", root / "x/a")
        (root / "x/a/b/c/two").write_bytes(b"x")
        os.rename(root / "x", root / "z")
        (root / "z/a/b/c/three").write_bytes(b"x")
        (root / "z/a/b/c/deep").unlink()
        await it.settled()
        assert not [c for c in it.claims if isinstance(c, Owe)]


async def test_directories_that_change_places_above_and_below(live: Any, root: Path) -> None:
    (root / "a/b/leaf").mkdir(parents=True)
    async with live(root) as it:
        os.rename(root / "a/b", root / "b")
        os.rename(root / "a", root / "b/a")
        (root / "b/a/here").write_bytes(b"x")
        (root / "b/leaf/there").write_bytes(b"x")
        await it.settled()
        assert it.source.coverage()["watched_dirs"] == 4


async def test_a_directory_moved_over_an_empty_one(live: Any, root: Path) -> None:
    (root / "full/sub").mkdir(parents=True)
    (root / "empty").mkdir()
    async with live(root) as it:
        os.rename(root / "full", root / "empty")
        (root / "empty/sub/file").write_bytes(b"x")
        await it.settled()
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 3)


async def test_two_directories_exchanged(live: Any, root: Path) -> None:
    (root / "one/first").mkdir(parents=True)
    (root / "two/second").mkdir(parents=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        pytest.skip("no renameat2 here")
    async with live(root) as it:
        done = libc.renameat2(
            AT_FDCWD, bytes(root / "one"), AT_FDCWD, bytes(root / "two"), RENAME_EXCHANGE
        )
        assert done == 0, os.strerror(ctypes.get_errno())
        (root / "one/second/file").write_bytes(b"x")
        (root / "two/first/file").write_bytes(b"x")
        await it.settled()
        assert it.source.coverage()["watched_dirs"] == 5


async def test_a_new_tree_moved_before_it_was_heard_of(live: Any, root: Path) -> None:
    async with live(root) as it:
        for i in range(10):
            (root / f"n{i}/p").mkdir(parents=True)
            (root / f"n{i}/p/file").write_bytes(b"x")
            os.rename(root / f"n{i}/p", root / f"p{i}")
            os.rename(root / f"n{i}", root / f"p{i}/n")
        await it.settled()


async def test_the_halves_of_a_move_are_judged_by_what_is_there(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        os.rename(root / "a", root / "m")
        os.rename(root / "m", root / "a")
        await it.settled()
        cells = [c for c in it.claims if isinstance(c, Cell) and c.name in (b"a", b"m")]
        assert {c.name: c.value is None for c in cells} == {b"a": False, b"m": True}


async def test_halves_of_a_move_in_two_reads_are_paired(live: Any, root: Path) -> None:
    planted(root)
    async with live(root, watch="inotify") as it:
        watcher = it.source._watcher
        reader = watcher._reader
        with reader._lock:
            since = reader._empty_us
            os.rename(root / "a/b", root / "x/moved")
            data = watcher._ears.read()
        cut = len(data) // 2
        assert [len(list(parse(part))) for part in (data[:cut], data[cut:])] == [1, 1]
        with reader._lock:
            reader._chunks.append(Chunk(since, data[:cut]))
        watcher._stir()
        await it.until(lambda: watcher._halves)
        assert not it.cells(b"b"), "it waits for the other half"
        with reader._lock:
            reader._chunks.append(Chunk(since, data[cut:]))
        watcher._stir()
        await it.settled()
        assert (it.cell(b"b").flags, it.cell(b"moved").flags) == (MOVED, MOVED)
        assert not [c for c in it.claims if isinstance(c, (Listing, Owe))]


async def test_what_cannot_be_found_to_be_entered_is_tried_again(live: Any, root: Path) -> None:
    planted(root)
    async with live(root) as it:
        watcher = it.source._watcher
        tree = watcher.tree
        node = tree.root.kid(b"a")
        with tree.lock:  # as if a rename had not been heard of yet
            tree.seat(node, tree.root, b"elsewhere")
        watcher._agenda.enter(node, b"b", fresh=False)
        watcher._stir()
        await it.until(lambda: watcher._agenda._later)
        with tree.lock:
            tree.seat(node, tree.root, b"a")
        await it.until(lambda: it.listings(b"/a/b/c"))
        assert not [c for c in it.claims if isinstance(c, Owe)]
