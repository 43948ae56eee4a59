"""A mark beside others: disks alike, tops that go, rights that are missing, floods."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource

from fustor_core.claims import Owe
from fustor_core.contracts import Scope
from fustor_core.files.fanotify import refusal

from .mounts import TMPFS, need_marks, run
from .rights import CAP_SYS_ADMIN, without

DAC = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@pytest.fixture
def way() -> str:
    """Only here."""
    return "fanotify"


@pytest.fixture(autouse=True)
def marks(tmp_path: Path) -> None:
    """They can be had, or there is nothing to test."""
    need_marks(tmp_path)


async def test_two_disks_with_one_id_are_told_apart(
    live: Any, root: Path, tmp_path: Path, mounted: Any
) -> None:
    """A copy of a disk, mounted below the disk itself: both have the same inodes, too."""
    image, copy = tmp_path / "image", tmp_path / "copy"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if not run("mkfs.ext4", "-q", image):
        pytest.skip("no file system can be made in a file here")
    mounted(root, "-o", "loop", image)
    (root / "sub").mkdir()
    (root / "copy").mkdir()
    assert run("umount", root)
    shutil.copyfile(image, copy)
    mounted(root, "-o", "loop", image)
    mounted(root / "copy", "-o", "loop", copy)
    assert os.stat(root / "sub").st_ino == os.stat(root / "copy/sub").st_ino
    async with live(root, cross_filesystems=True) as it:
        (root / "sub/first").write_bytes(b"x")
        (root / "copy/sub/second").write_bytes(b"x")
        await it.settled()
        assert {c.path for c in it.cells(b"first") if c.value} == {b"/sub"}
        assert {c.path for c in it.cells(b"second") if c.value} == {b"/copy/sub"}


async def test_a_top_that_is_removed_takes_no_other_place_of_its_disk_along(
    live: Any, root: Path, tmp_path: Path, mounted: Any
) -> None:
    disk = tmp_path / "disk"
    mounted(disk, *TMPFS)
    (disk / "one").mkdir()
    (disk / "two").mkdir()
    mounted(root / "a", "--bind", disk / "one")
    mounted(root / "b", "--bind", disk / "two")
    async with live(root, cross_filesystems=True) as it:
        assert it.source.coverage()["watched_dirs"] == 3
        (root / "b/first").write_bytes(b"x")
        await it.until(lambda: it.cell(b"first"))
        (disk / "one").rmdir()
        assert run("umount", root / "a")  # who held it last
        await it.until(lambda: b"/" in [owe.path for owe in it.claims if isinstance(owe, Owe)])
        (root / "b/second").write_bytes(b"x")
        await it.until(lambda: b"/b/second" in it.fold.tree(it.root_key), serve=True)
        (root / "b/third").write_bytes(b"x")
        await it.until(lambda: it.cell(b"third"), serve=True)


def flood(folder: Path) -> None:
    """More changes than the kernel's queue holds: no two of them of one name."""
    limit = int(Path("/proc/sys/fs/fanotify/max_queued_events").read_text("ascii"))
    if limit > 200_000:
        pytest.skip("the queue is too long to be filled here")
    for i in range(limit + 1):
        os.mknod(folder / f"{i}")


async def test_where_others_flood_the_queue_each_directory_gets_a_watch(
    live: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fustor_core.files.crowd.OVERRUNS_MOST", 1)
    (root / "sub").mkdir()
    (tmp_path / "theirs").mkdir()
    async with live(root, watch="auto") as it:
        assert it.source.coverage()["watched_by"] == "fanotify"
        with it.source._watcher._reader._lock:  # the reader is held up
            flood(tmp_path / "theirs")
            (root / "sub/unheard").write_bytes(b"x")
        await it.until(lambda: it.source.coverage()["watched_by"] == "inotify")
        assert "others" in it.source.coverage()["watched_why"]
        assert not it.source.coverage()["warnings"]
        await it.settled()  # serves the owed scan, which arms all of it
        assert it.source.coverage()["watched_dirs"] == len(["/", "/sub"])
        assert not it.source.coverage()["uncovered"]
        it.forget()
        (root / "sub/heard").write_bytes(b"x")
        await it.until(lambda: it.cell(b"heard"))
        (root / "new/below").mkdir(parents=True)
        (root / "new/below/file").write_bytes(b"x")
        os.rename(root / "sub", root / "moved")
        await it.settled()
        assert not it.source._watcher._ears._places, "no mark is left"


async def test_a_mark_that_was_asked_for_is_kept_with_a_warning(
    live: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fustor_core.files.crowd.OVERRUNS_MOST", 1)
    (tmp_path / "theirs").mkdir()
    async with live(root) as it:
        with it.source._watcher._reader._lock:
            flood(tmp_path / "theirs")
        (warning,) = await it.until(lambda: it.source.coverage()["warnings"])
        assert "set `watch: inotify`" in warning
        assert it.source.coverage()["watched_by"] == "fanotify"
        (root / "heard").write_bytes(b"x")
        await it.settled()


async def test_words_that_lost_their_order_lead_to_the_truth(live: Any, root: Path) -> None:
    """While nobody reads, the kernel puts what is alike together: a move, too."""
    for name in ("there/below", "one", "two", "again", "out"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_bytes(b"x")
    (root / "a").write_bytes(b"a")
    (root / "b").write_bytes(b"bb")
    outside = root.parent / "outside"
    async with live(root) as it:
        with it.source._watcher._reader._lock:
            for one, two in (("there", "back"), ("back", "there"), ("there", "back")):
                os.rename(root / one, root / two)
                (root / two / "below/file").write_bytes(two.encode())
            for one, two in (("one", "x"), ("two", "one"), ("x", "two"), ("a", "y"), ("b", "a")):
                os.rename(root / one, root / two)
            for i in range(3):  # another directory with the inode of the last one
                shutil.rmtree(root / "again")
                (root / "again").mkdir()
                (root / f"again/new{i}").write_bytes(b"x")
            os.rename(root / "out", outside)
            (outside / "while it was out").write_bytes(b"x")
            (outside / "file").unlink()
            os.rename(outside, root / "out")
        await it.settled()
        it.forget()
        for name in ("back/below", "one", "two", "again", "out"):
            (root / name / "last").write_bytes(name.encode())
        await it.settled()
        assert len({cell.dir for cell in it.cells(b"last")}) == 5


async def test_what_is_thrown_away_as_unknown_is_found_by_who_comes_to_know_it(
    live: Any, root: Path
) -> None:
    async with live(root) as it:
        watcher = it.source._watcher
        for i in range(20):
            with watcher.tree.lock:  # nobody can make a directory known meanwhile
                (root / f"new{i}/below").mkdir(parents=True)
                (root / f"new{i}/below/first").write_bytes(b"x")
                (root / f"new{i}/gone").write_bytes(b"x")
                watcher._reader.pull()
                watcher._stir()
                (root / f"new{i}/gone").unlink()
                os.rename(root / f"new{i}/below", root / f"new{i}/moved")
                watcher._reader.pull()
                watcher._stir()
            (root / f"new{i}/moved/second").write_bytes(b"x")
        await it.settled()


async def test_an_inode_on_the_way_to_another_directory(live: Any, root: Path) -> None:
    """Words of an earlier life, which wait to be folded, say nothing of a later one."""
    async with live(root) as it:
        watcher = it.source._watcher
        for i in range(30):
            (root / "old").mkdir()
            (root / "old/file").write_bytes(b"x")
            await it.settled()
            with watcher.tree.lock:
                (root / "old/file").unlink()
                (root / "old").rmdir()
                watcher._reader.pull()
                watcher._stir()
                (root / f"new{i}").mkdir()
                (root / f"new{i}/file").write_bytes(b"y")
                watcher._reader.pull()
                watcher._stir()
            await it.scan()
            os.rename(root / f"new{i}", root / f"moved{i}")
        await it.settled()


def test_what_inotify_refuses_beside_a_mark_is_said_to_be_its() -> None:
    for code, limit in ((errno.ENOSPC, "watches"), (errno.EMFILE, "instances")):
        why, remedy = refusal(OSError(code, f"inotify_…: {os.strerror(code)}"))
        assert limit in why
        assert remedy == f"raise fs.inotify.max_user_{limit}"
    why, remedy = refusal(OSError(errno.EACCES, "inotify_add_watch: Permission denied"))
    assert "CAP_SYS_ADMIN" not in why + remedy


def test_a_mark_that_turns_out_to_be_refused_is_warned_of(shared: Path, in_child: Any) -> None:
    async def work(watch: Any) -> str:
        source = FsSource(FsConfig(root=str(shared / "late"), watch=watch))
        async with source.watch():  # there is nothing yet that could be refused
            (shared / "late").mkdir()
            assert [claim async for claim in source.scan(Scope())]
            said = source.coverage()
        (shared / "late").rmdir()
        return f"{said['watched_by']} {said['warnings']}"

    assert asyncio.run(work("fanotify")) == "fanotify []"
    said = in_child(lambda: without(CAP_SYS_ADMIN), lambda: asyncio.run(work("fanotify")))
    assert said.startswith("inotify")
    assert "CAP_SYS_ADMIN" in said
    said = in_child(lambda: without(CAP_SYS_ADMIN), lambda: asyncio.run(work("auto")))
    assert said == "inotify []"


def test_a_directory_that_becomes_readable_is_entered(
    shared: Path, in_child: Any, live: Any
) -> None:
    """Who may mark need not have the right to read everything."""
    folder = shared / "closed"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")

    async def work() -> str:
        async with live(shared) as it:
            os.chmod(folder, 0o755)
            await it.until(lambda: b"/closed/file" in it.fold.tree(it.root_key))
            (folder / "more").write_bytes(b"x")
            await it.until(lambda: it.cell(b"more"))
        return "done"

    asyncio.run(work())  # nothing is imported late in the child
    (folder / "more").unlink()
    os.chmod(folder, 0)
    said = in_child(lambda: without(*DAC), lambda: asyncio.run(work()))
    assert said == "done"
