"""Each kind of change on a real tree, and the claims that come of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fustor_core.claims import (
    CLOSED,
    WRITING,
    Cell,
    Listing,
    Origin,
    Owe,
    edge_key,
    unpack_row,
)
from fustor_core.contracts import boottime_us
from fustor_core.files.listing import row_of
from fustor_core.soundness import fault


def row(path: Path) -> bytes:
    return row_of(os.lstat(path))


async def test_a_new_file_is_claimed_as_lstat_saw_it(live: Any, root: Path) -> None:
    async with live(root) as it:
        before = boottime_us()
        (root / "new").write_bytes(b"12345")
        cell = await it.until(lambda: it.cell(b"new"))
        assert cell.value == row(root / "new")
        assert (cell.dir, cell.path, cell.flags) == (it.root_key, b"/", CLOSED)
        assert cell.origin is Origin.REALTIME
        assert cell.stamp.kind == "e"
        assert before <= cell.stamp.f < cell.stamp.t <= boottime_us()
        own = await it.until(lambda: it.cell(b""))
        assert (own.dir, own.value) == (it.root_key, row(root))
        await it.settled()
        assert {type(claim) for claim in it.claims} == {Cell}
        assert {claim.name for claim in it.claims} == {b"new", b""}


async def test_a_burst_about_one_name_is_one_cell(live: Any, root: Path) -> None:
    async with live(root) as it:
        with it.source._watcher._reader._lock:  # all of it comes in one drained queue
            for i in range(200):
                (root / "hot").write_bytes(b"x" * i)
        await it.settled()
        assert [c.flags for c in it.cells(b"hot")] == [CLOSED]
        assert len(it.cells(b"")) == 1


async def test_a_file_that_is_written_is_said_to_be(live: Any, root: Path) -> None:
    async with live(root) as it:
        fd = os.open(root / "log", os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"one")
        cell = await it.until(lambda: (c := it.cell(b"log")) and c.flags == WRITING and c)
        assert unpack_row(cell.value).size == 3
        os.close(fd)
        await it.until(lambda: it.cell(b"log").flags == CLOSED)
        os.truncate(root / "log", 1)
        await it.until(lambda: it.cell(b"log").flags == WRITING)
        await it.settled()


async def test_attributes_of_a_file(live: Any, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    async with live(root) as it:
        os.chmod(root / "file", 0o600)
        os.utime(root / "file", ns=(0, 7))
        await it.settled()
        cell = it.cell(b"file")
        assert (cell.flags, unpack_row(cell.value).mtime_ns) == (0, 7)
        assert not it.cells(b"")  # the directory itself did not change


async def test_attributes_of_a_directory(live: Any, root: Path) -> None:
    (root / "d").mkdir()
    async with live(root) as it:
        key = it.key("d")
        os.chmod(root / "d", 0o701)
        await it.settled()
        own = it.cell(b"")
        assert (own.dir, own.value) == (key, row(root / "d"))
        assert stat.S_IMODE(unpack_row(it.cell(b"d").value).mode) == 0o701
        os.utime(root / "d", ns=(0, 9))
        await it.settled()
        assert unpack_row(it.cell(b"").value).mtime_ns == 9


async def test_a_deleted_file_is_absent(live: Any, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    async with live(root) as it:
        (root / "file").unlink()
        await it.settled()
        cell = it.cell(b"file")
        assert (cell.value, cell.flags, cell.stamp.kind) == (None, 0, "e")


async def test_a_file_renamed_over_another(live: Any, root: Path) -> None:
    (root / "old").write_bytes(b"old")
    (root / "name").write_bytes(b"to be replaced")
    async with live(root) as it:
        os.rename(root / "old", root / "name")
        await it.settled()
        assert it.cell(b"old").value is None
        assert it.cell(b"name").value == row(root / "name")


async def test_save_by_rename_and_rotation(live: Any, root: Path) -> None:
    (root / "doc").write_bytes(b"1")
    (root / "log").write_bytes(b"1")
    async with live(root) as it:
        (root / "doc.tmp").write_bytes(b"22")
        os.rename(root / "doc.tmp", root / "doc")
        os.rename(root / "log", root / "log.1")
        (root / "log").write_bytes(b"fresh")
        await it.settled()


async def test_special_files_and_links(live: Any, root: Path) -> None:
    async with live(root) as it:
        os.mkfifo(root / "fifo")
        (root / "link").symlink_to("..")
        (root / "dangling").symlink_to("nowhere")
        with socket.socket(socket.AF_UNIX) as sock:
            here = os.open(root, os.O_RDONLY)
            sock.bind(f"/proc/self/fd/{here}/socket")
            os.close(here)
        if os.geteuid() == 0:
            os.mknod(root / "device", stat.S_IFBLK | 0o600, os.makedev(7, 0))
        await it.settled()
        assert not it.listings(b"/link")  # never followed


@pytest.mark.parametrize("name", [b"\xff\xfe", b"new\nline", b"x" * 255, b"\xe2\x80\xae", b" "])
async def test_odd_names(live: Any, root: Path, name: bytes) -> None:
    path = os.fsencode(root) + b"/" + name
    async with live(root) as it:
        os.mkdir(path)
        os.close(os.open(path + b"/" + name, os.O_CREAT | os.O_WRONLY))
        await it.settled()
        os.unlink(path + b"/" + name)
        os.rmdir(path)
        await it.settled()
        assert not any(fault(claim) for claim in it.claims)


async def test_a_new_directory_comes_as_edge_then_listing(live: Any, root: Path) -> None:
    async with live(root) as it:
        (root / "a").mkdir()
        listing = (await it.until(lambda: it.listings(b"/a")))[0]
        edge = it.cell(b"a")
        assert edge_key(edge.value) == listing.dir
        assert listing.via == (it.root_key, b"a")
        assert (listing.origin, listing.complete) == (Origin.REALTIME, True)
        assert it.claims.index(edge) < it.claims.index(listing)
        assert edge.stamp.t <= listing.stamp.t
        it.forget()
        (root / "a" / "later").write_bytes(b"seen by its own watch")
        await it.settled()
        assert it.cell(b"later").dir == listing.dir


async def test_a_chain_of_directories_with_a_file_at_once(live: Any, root: Path) -> None:
    async with live(root) as it:
        for i in range(20):
            deep = root / f"n{i}/a/b/c/d/e"
            deep.mkdir(parents=True)
            (deep / "file").write_bytes(b"at once")
        await it.settled()
        told: set[bytes] = set()
        for claim in it.claims:
            if isinstance(claim, Listing):
                parent = claim.path.rpartition(b"/")[0]
                assert parent in told or parent == b"", "a listing before its parent's"
                told.add(claim.path)
        assert it.source.coverage()["watched_dirs"] == 1 + 20 * 6


async def test_an_unpacked_archive_and_a_copied_tree(live: Any, root: Path) -> None:
    outside = root.parent / "made"
    for i in range(10):
        (outside / f"d{i}" / "sub").mkdir(parents=True)
        for j in range(20):
            (outside / f"d{i}" / "sub" / f"f{j}").write_bytes(b"x" * j)
            os.utime(outside / f"d{i}" / "sub" / f"f{j}", ns=(5, j))
    archive = root.parent / "it.tar"
    with tarfile.open(archive, "w") as file:
        file.add(outside, "unpacked")
    async with live(root) as it:
        with tarfile.open(archive) as file:
            file.extractall(root, filter="tar")
        copy = subprocess.Popen(["cp", "-a", outside, root / "copied"])  # noqa: ASYNC220
        await it.until(lambda: copy.poll() is not None)
        await it.settled()


async def test_a_removed_tree_is_unwatched(live: Any, root: Path) -> None:
    for i in range(30):
        (root / f"a/b{i}/c").mkdir(parents=True)
    async with live(root) as it:
        assert it.source.coverage()["watched_dirs"] == 62
        shutil.rmtree(root / "a")
        await it.settled()
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 1)
        assert it.cell(b"a").value is None
        assert not [claim for claim in it.claims if isinstance(claim, Owe)]


async def test_a_directory_made_again_under_the_same_name(live: Any, root: Path) -> None:
    (root / "d").mkdir()
    async with live(root) as it:
        before = it.key("d")
        (root / "d").rmdir()
        (root / "d").mkdir()
        (root / "d" / "inside").write_bytes(b"x")
        await it.settled()
        after = it.key("d")
        assert before != after
        it.forget()
        (root / "d" / "more").write_bytes(b"x")
        await it.settled()
        assert it.cell(b"more").dir == after


@pytest.mark.parametrize("first", ["file", "directory"])
async def test_a_name_that_changes_its_type(live: Any, root: Path, first: str) -> None:
    def make(kind: str) -> None:
        if kind == "file":
            (root / "it").write_bytes(b"x")
        else:
            (root / "it/below").mkdir(parents=True)

    def remove() -> None:
        shutil.rmtree(root / "it") if (root / "it").is_dir() else (root / "it").unlink()

    second = "directory" if first == "file" else "file"
    make(first)
    async with live(root) as it:
        for kind in (second, first, second):
            remove()
            make(kind)
        await it.settled()
        remove()
        await it.settled()


async def test_ordinals_are_dense_and_in_the_order_of_the_looks(live: Any, root: Path) -> None:
    async with live(root) as it:
        for i in range(300):
            (root / f"f{i}").write_bytes(b"x")
        await it.settled()
        stamps = [c.stamp for c in it.claims if isinstance(c, Cell) and c.stamp.kind in "ew"]
        first = stamps[0].at
        assert [stamp.at for stamp in stamps] == list(range(first, first + len(stamps)))
        assert all(a.f <= b.f for a, b in itertools.pairwise(stamps))


async def test_what_is_left_out_makes_no_noise(live: Any, root: Path) -> None:
    (root / "cache").mkdir()
    (root / "state").mkdir()
    config = {"exclude": ["cache", "*.tmp"], "exclude_paths": [str(root / "state")]}
    async with live(root, **config) as it:
        (root / "x.tmp").write_bytes(b"left out")
        (root / "cache" / "inside").write_bytes(b"unseen")
        (root / "state" / "inside").write_bytes(b"unseen")
        (root / "sub").mkdir()
        (root / "sub" / "cache").mkdir()
        (root / "sub" / "y.tmp").write_bytes(b"left out")
        (root / "end").write_bytes(b"x")
        shut = (await it.until(lambda: it.listings(b"/sub/cache")))[0]
        await it.until(lambda: it.cell(b"end"))
        assert (shut.reason, shut.complete, shut.rows) == ("excluded", False, b"")
        names = {claim.name for claim in it.claims if isinstance(claim, Cell)}
        assert names <= {b"", b"sub", b"end", b"cache"}
        assert all(b"tmp" not in c.names for c in it.claims if isinstance(c, Listing))
        assert sorted(it.source.coverage()["excluded"]) == [b"/cache", b"/state", b"/sub/cache"]


async def test_covering_lists_what_another_host_made(
    live: Any, root: Path, tree_of: Callable[[Path], Any]
) -> None:
    async with live(root) as it:
        tree = it.source._watcher.tree
        (root / "new/below").mkdir(parents=True)
        await it.settled()
        with tree.lock:  # as if this host had never heard of it
            dropped = tree.drop(tree.root.kid(b"new"))
        it.source._watcher._forget(dropped)
        it.forget()
        (root / "new/below/file").write_bytes(b"unseen")
        await it.source.cover([b"/new/below", b"/gone", b"/"])
        await it.until(lambda: it.listings(b"/new/below"))
        told = [c for c in it.claims if isinstance(c, Listing)]
        assert [c.path for c in told] == [b"/new", b"/new/below"]
        assert {c.origin for c in told} == {Origin.ON_DEMAND}, "nobody here saw that happen"
        assert it.source.coverage()["watched_dirs"] == 3
        await it.settled()


async def test_where_the_parent_cannot_be_proven_a_delete_keeps_the_kernels_word(
    live: Any, root: Path
) -> None:
    for name in ("deleted", "d/deleted", "d/written"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    async with live(root) as it:
        tree, key = it.source._watcher.tree, it.key("d")
        with tree.lock:  # as if a rename had not been heard of
            tree.seat(tree.root.kid(b"d"), tree.root, b"elsewhere")
        before = boottime_us()
        (root / "d/deleted").unlink()
        cell = await it.until(lambda: it.cell(b"deleted"))
        assert (cell.dir, cell.value, cell.stamp.kind) == (key, None, "w")
        assert cell.stamp.f <= before < cell.stamp.t <= boottime_us()
        assert cell.path == b"/elsewhere"
        assert not [c for c in it.claims if isinstance(c, Owe)]
        os.utime(root / "d/written")
        (owe,) = await it.until(lambda: [c for c in it.claims if isinstance(c, Owe)])
        assert (owe.dir, owe.deep, owe.reason) == (key, False, "not_yet")
        assert owe.stamp.t <= boottime_us()
        await it.scan()  # finds it again
        it.forget()
        os.utime(root / "d/written")
        await it.settled()
        assert it.cell(b"written").stamp.kind == "e"


async def test_entering_lists_only_what_is_not_watched_yet(live: Any, root: Path) -> None:
    (root / "a/known/below").mkdir(parents=True)
    async with live(root) as it:
        watcher = it.source._watcher
        for fresh, expected in ((True, [b"/a"]), (False, [b"/a", b"/a/known", b"/a/known/below"])):
            it.forget()
            watcher._agenda.enter(watcher.tree.root, b"a", fresh=fresh)
            watcher._stir()
            await it.until(lambda last=expected[-1]: it.listings(last))
            (root / "end").write_bytes(b"x")
            await it.until(lambda: it.cell(b"end"))
            assert [c.path for c in it.claims if isinstance(c, Listing)] == expected


async def test_a_listing_that_is_being_read_hears_of_a_look(live: Any, root: Path) -> None:
    async with live(root) as it:
        node = it.source._watcher.tree.root
        node.reading = set()
        (root / "seen").write_bytes(b"x")
        await it.until(lambda: it.cell(b"seen"))
        assert b"seen" in node.reading


async def test_an_event_while_a_directory_is_listed_makes_its_name_weak(
    live: Any, root: Path
) -> None:
    fd = os.open(root, os.O_RDONLY)
    for i in range(2000):
        os.close(os.open(b"%d" % i, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    async with live(root) as it:
        over = threading.Event()

        def touch() -> None:
            while not over.is_set():
                os.utime(b"7", dir_fd=fd)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(touch))
            async with asyncio.timeout(20):
                weak: tuple[bytes, ...] = ()
                while not weak:
                    (listing,) = await it.scan()
                    weak = listing.weak
            over.set()
        assert weak == (b"7",)
        assert b"7" in listing.names.split(b"\0")
        assert listing.complete
        await it.settled()
    os.close(fd)
