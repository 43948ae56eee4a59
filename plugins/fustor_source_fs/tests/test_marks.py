"""A mark of the whole file system: what is heard, what is left out, and where none can be."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource, WatchError
from fustor_source_fs.ears import GROUPS_MOST, ears, groups
from fustor_source_fs.tree import Tree

from fustor_core.claims import Cell, Key, Listing, Owe
from fustor_core.contracts import Scope
from fustor_core.files.fanotify import refused
from fustor_core.files.inotify import (
    Inotify,
)

from .deaf import Numbers
from .mounts import TMPFS, need_marks, run
from .rights import CAP_SYS_ADMIN, without


@pytest.fixture
def way() -> str:
    """Only here: what is not about marks is tested both ways elsewhere."""
    return "fanotify"


@pytest.fixture(autouse=True)
def marks(tmp_path: Path) -> None:
    """They can be had, or there is nothing to test."""
    need_marks(tmp_path)


def test_the_number_of_a_directory_goes_to_who_has_its_inode_now() -> None:
    tree = Tree(Numbers())
    root = tree.cover(-1, Key(0, 2, 2), None, b"", lambda: True)
    first = tree.cover(-1, Key(0, 5, 100), root, b"old", lambda: True)
    second = tree.cover(-1, Key(0, 5, 200), root, b"new", lambda: True)
    assert first is not None
    assert tree.by_wd[5] is second, "the end of the first is still to be heard"
    assert not tree.uncovered
    assert tree.drop(first) == [first]
    assert tree.by_wd[5] is second
    elsewhere = tree.cover(-1, Key(77, 5, 200), root, b"mounted", lambda: True)
    assert tree.by_wd[5] is second, "one inode under two mounts is heard at one of them"
    assert tree.uncovered == {elsewhere}


async def test_inodes_that_are_used_again_are_heard(live: Any, root: Path) -> None:
    async with live(root) as it:
        for i in range(60):
            (root / "old").mkdir()
            (root / "old").rmdir()
            (root / f"new{i}").mkdir()
            (root / f"new{i}/file").write_bytes(b"x")
            await it.scan()
            (root / f"new{i}/more").write_bytes(b"x")
        await it.settled()
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 61)
        assert not it.source.coverage()["uncovered"]


async def test_state_that_is_kept_below_the_root_makes_no_claims(live: Any, root: Path) -> None:
    (root / "state/deep").mkdir(parents=True)
    async with live(root, exclude_paths=[str(root / "state")]) as it:
        for i in range(50):
            (root / f"state/deep/{i}").write_bytes(b"journal")
        (root / "state/deep/more").mkdir()
        (root / "end").write_bytes(b"x")
        await it.until(lambda: it.cell(b"end"))
        assert {claim.name for claim in it.claims if isinstance(claim, Cell)} <= {b"", b"end"}


async def test_a_file_system_below_the_root_has_its_own_mark(
    live: Any, root: Path, mounted: Any
) -> None:
    mounted(root / "disk", *TMPFS)
    (root / "disk/sub").mkdir()
    async with live(root, cross_filesystems=True) as it:
        (root / "disk/sub/file").write_bytes(b"x")
        os.rename(root / "disk/sub", root / "disk/moved")
        (root / "here").write_bytes(b"x")
        await it.settled()
        assert it.source.coverage()["watched_dirs"] == 3
        assert len(it.source._watcher._ears._places) == 2
        assert run("umount", root / "disk")
        owe = await it.until(lambda: [c for c in it.claims if isinstance(c, Owe)])
        assert (owe[0].dir, owe[0].reason) == (it.root_key, "io_error")
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 1)


async def test_a_file_system_that_is_not_entered_is_not_heard(
    live: Any, root: Path, mounted: Any
) -> None:
    mounted(root / "disk", *TMPFS)
    async with live(root) as it:
        assert len(it.source._watcher._ears._places) == 1
        (root / "disk/file").write_bytes(b"x")
        (root / "end").write_bytes(b"x")
        await it.until(lambda: it.cell(b"end"))
        assert not it.cells(b"file")


async def test_where_no_mark_can_be_made_directories_are_watched(
    live: Any, root: Path, tmp_path: Path, mounted: Any
) -> None:
    layers = {name: tmp_path / name for name in ("lowerdir", "upperdir", "workdir")}
    for path in layers.values():
        path.mkdir()
    options = ",".join(f"{name}={path}" for name, path in layers.items())
    mounted(root / "over", "-t", "overlay", "overlay", "-o", options)
    (root / "over/sub").mkdir()
    async with live(root, cross_filesystems=True) as it:
        (root / "over/sub/file").write_bytes(b"x")
        os.rename(root / "over/sub", root / "over/moved")
        (root / "over/moved/more").write_bytes(b"x")
        await it.until(lambda: it.cell(b"more"))
        assert it.source.coverage()["watched_dirs"] == 3
        assert not it.source.coverage()["uncovered"]
    assert "cannot be marked" in refused_at(root / "over")[0]
    with pytest.raises(WatchError, match="cannot be marked"):
        ears("fanotify", bytes(root / "over"))


def refused_at(path: Path) -> tuple[str, str]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return refused(fd)
    finally:
        os.close(fd)


async def test_a_root_that_is_mounted_again_is_heard_again(
    live: Any, root: Path, tmp_path: Path, mounted: Any
) -> None:
    """The kernel drops the mark with the file system, and fanotify does not tell."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if not run("mkfs.ext4", "-q", image):
        pytest.skip("no file system can be made in a file here")
    mounted(root, "-o", "loop", image)
    (root / "sub").mkdir()
    async with live(root) as it:
        (root / "sub/first").write_bytes(b"x")
        await it.settled()
        assert run("umount", root)
        owed = await it.until(lambda: [c.reason for c in it.claims if isinstance(c, Owe)])
        assert set(owed) == {"vanished_root"}
        assert not it.source.coverage()["watched_dirs"]
        assert it.source.coverage()["uncovered"] == [b"/"]
        assert run("mount", "-o", "loop", image, root)
        await it.scan()
        assert it.source.coverage()["watched_dirs"] == len(["/", "/sub", "/lost+found"])
        (root / "sub/second").write_bytes(b"x")
        await it.until(lambda: it.cell(b"second"))


def test_without_the_right_it_is_an_error_with_a_remedy(shared: Path, in_child: Any) -> None:
    async def work() -> str:
        try:
            async with FsSource(FsConfig(root=str(shared), watch="fanotify")).watch():
                return "watched"
        except WatchError as err:
            return f"{err.message}: {err.remedy}"

    assert asyncio.run(work()) == "watched"
    said = in_child(lambda: without(CAP_SYS_ADMIN), lambda: asyncio.run(work()))
    assert "CAP_SYS_ADMIN" in said
    assert "AmbientCapabilities=CAP_SYS_ADMIN" in said
    assert "watch: auto" in said


async def test_a_directory_that_leaves_is_forgotten_with_all_below(live: Any, root: Path) -> None:
    (root / "a/b/c").mkdir(parents=True)
    async with live(root) as it:
        outside = root.parent / "outside"
        os.rename(root / "a", outside)
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 1)
        (outside / "b/c/unheard").write_bytes(b"x")
        os.rename(outside, root / "again")
        await it.settled()
        assert it.source.coverage()["watched_dirs"] == 4
        assert not it.cells(b"unheard")
        assert [c.path for c in it.claims if isinstance(c, Listing)][-1] == b"/again/b/c"
        shutil.rmtree(root / "again")
        await it.settled()
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 1)


def test_not_each_of_many_roots_hears_everybody(root: Path) -> None:
    made: list[Any] = []
    try:
        while groups() < GROUPS_MOST:
            made.append(ears("auto", bytes(root)))
            assert made[-1].way == "fanotify"
        made.append(ears("auto", bytes(root)))
        assert made[-1].way == "inotify"
        assert "4 marks" in made[-1].why
        made.append(ears("fanotify", bytes(root)))
        assert made[-1].way == "fanotify"
    finally:
        for each in made:
            each.close()


def test_without_the_right_auto_watches_each_directory(shared: Path, in_child: Any) -> None:
    async def work() -> str:
        source = FsSource(FsConfig(root=str(shared)))
        async with source.watch():
            assert [claim async for claim in source.scan(Scope())]
            said = source.coverage()
            return f"{said['watched_by']} {said['watched_dirs']} {said['watched_why']}"

    assert asyncio.run(work()) == "fanotify 1 "
    said = in_child(lambda: without(CAP_SYS_ADMIN), lambda: asyncio.run(work()))
    assert said.startswith("inotify 1 ")
    assert "CAP_SYS_ADMIN" in said


def test_the_words_of_a_refusal_name_a_remedy(root: Path) -> None:
    from fustor_core.files.fanotify import refusal

    for code in (errno.EPERM, errno.EMFILE, errno.ENOSPC, errno.EINVAL, errno.ENODEV):
        why, remedy = refusal(OSError(code, os.strerror(code)))
        assert why
        assert remedy
    assert refused_at(root) == ("", "")
    assert isinstance(ears("inotify", bytes(root)), Inotify)
    assert ears("off", bytes(root)) is None


async def test_a_root_that_is_not_there_yet_is_marked_when_it_comes(root: Path) -> None:
    root.rmdir()
    source = FsSource(FsConfig(root=str(root), watch="fanotify"))
    async with source.watch():
        assert source.coverage()["watched_by"] == "fanotify"
        root.mkdir()
        assert [claim async for claim in source.scan(Scope())]
        assert source.coverage()["watched_dirs"] == 1
        watcher = source._watcher
        assert watcher is not None
        assert watcher._ears.way == "fanotify"
