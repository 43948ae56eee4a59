"""What happens at the limits: a queue that runs over, no more watches, no more instances."""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource, WatchError, watch
from fustor_source_fs.channel import Channel

from fustor_core.claims import Owe
from fustor_core.contracts import Scope, boottime_us
from fustor_core.files import inotify as kernel
from fustor_core.files.inotify import Inotify, Reader, parse

from .deaf import Numbers

CLONE_NEWUSER = 0x10000000


def queue_limit() -> int:
    """Events that a queue holds, of whichever kind."""
    files = [Path(f"/proc/sys/fs/{way}/max_queued_events") for way in ("inotify", "fanotify")]
    return max(int(file.read_text("ascii")) for file in files if file.exists())


def flood(root: Path) -> None:
    """More events than the kernel's queue holds: no two of them about one name."""
    for i in range(queue_limit() + 1):
        os.mknod(root / f"{i}")


async def test_a_queue_that_runs_over_owes_a_scan_of_all(live: Any, root: Path) -> None:
    if queue_limit() > 200_000:
        pytest.skip("the queue is too long to be filled here")
    (root / "goes/below").mkdir(parents=True)
    async with live(root) as it:
        with it.source._watcher._reader._lock:  # the reader is held up
            flood(root)
            (root / "unheard/of/tree").mkdir(parents=True)
            os.rename(root / "goes", root.parent / "gone")
            noticed = boottime_us()
        (owe,) = await it.until(lambda: [c for c in it.claims if isinstance(c, Owe)])
        assert (owe.dir, owe.path, owe.deep) == (it.root_key, b"/", True)
        assert owe.reason == "overflow"
        assert owe.stamp.f == owe.stamp.t >= noticed
        await it.settled()  # serves the owed scan, which arms what was missed
        assert it.served == 1
        it.forget()
        (root / "unheard/of/tree/file").write_bytes(b"x")
        await it.settled()
        assert it.cell(b"file")
        await it.until(lambda: it.source.coverage()["watched_dirs"] == 4)


def until_full(out: Channel[Any]) -> None:
    while not out.full:
        select.select([], [], [], 0.001)


async def test_a_slow_pipe_loses_nothing(
    root: Path, naive: Any, tree_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fustor_source_fs.source.OUT_CLAIMS_MAX", 5)
    source, fold = FsSource(FsConfig(root=str(root))), naive()
    async with source.watch() as batches:
        (listing,) = [claim async for claim in source.scan(Scope())]
        fold.add(listing)
        watcher = source._watcher
        assert watcher is not None
        for i in range(50):
            (root / f"d{i}").mkdir()
            (root / f"d{i}" / "file").write_bytes(b"x")
        async with asyncio.timeout(20):
            await asyncio.to_thread(until_full, watcher._out)
            for i in range(50):
                (root / f"d{i}" / "file").unlink()
            while fold.tree(listing.dir) != tree_of(root):
                for claim in await anext(batches):
                    fold.add(claim)
        assert not fold.owed


def test_events_that_nobody_takes_are_dropped_and_said_to_be(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "HELD_BYTES_MAX", 4096)
    inotify = Inotify()
    reader = Reader(inotify, lambda: None)
    fd = os.open(root, os.O_RDONLY)
    wd = inotify.add(fd)
    for i in range(200):
        (root / f"{i:04}").write_bytes(b"")
        reader.pull()
    chunks = reader.take()
    assert [chunk.lost for chunk in chunks].count(True) == 1
    assert chunks[0].lost
    last = [raw for chunk in chunks for raw in parse(chunk.data)][-1]
    assert (last.wd, last.name) == (wd, b"0199")
    assert sum(len(chunk.data) for chunk in chunks) <= 4096
    assert not reader.take()
    reader.close()
    inotify.close()
    os.close(fd)


class SlowQueue(Numbers):
    """A queue that takes its time to say that it is empty."""

    def __init__(self) -> None:
        self.reads = [b"", b"events", b""]
        self.asked_us: list[int] = []

    def read(self) -> bytes:
        self.asked_us.append(boottime_us())
        select.select([], [], [], 0.002)
        return self.reads.pop(0)

    def sift(self, data: bytes, known: Container[int]) -> bytes:
        return data


def test_each_read_knows_since_when_the_queue_was_empty() -> None:
    queue = SlowQueue()
    reader = Reader(queue, lambda: None)
    assert not reader.pull()
    assert reader.pull()
    (chunk,) = reader.take()
    assert chunk.data == b"events"
    assert chunk.since_us <= queue.asked_us[0], "when it was asked, not when it answered"
    reader.close()


def test_a_read_that_left_room_says_what_the_next_one_would(root: Path) -> None:
    """And nothing is said to have come after it that came before the kernel is asked again."""
    inotify = Inotify()
    fd = os.open(root, os.O_RDONLY)
    inotify.add(fd)
    reader = Reader(inotify, lambda: None)
    (root / "a").write_bytes(b"")
    before_us = boottime_us()
    assert inotify.read()
    (root / "b").write_bytes(b"")
    assert inotify.read() == b"", "nobody asked"
    assert b"b\0" in inotify.read()
    assert inotify.read() == b""
    (root / "c").write_bytes(b"")
    assert reader.pull()
    came_us = boottime_us()
    (root / "d").write_bytes(b"")
    assert reader.pull()
    first, second = reader.take()
    assert b"c\0" in first.data
    assert b"d\0" in second.data
    assert before_us <= second.since_us <= came_us
    reader.close()
    inotify.close()
    os.close(fd)


def test_a_read_that_left_no_room_is_followed_by_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "READ_BYTES", 2048)
    inotify = Inotify()
    fd = os.open(root, os.O_RDONLY)
    inotify.add(fd)
    reader = Reader(inotify, lambda: None)
    for i in range(100):
        (root / f"{i:04}").touch()
    assert reader.pull()
    chunks = reader.take()
    assert len(chunks) > 1
    assert len({raw.name for chunk in chunks for raw in parse(chunk.data)}) == 100
    assert len({chunk.since_us for chunk in chunks}) == 1, "it was never empty between them"
    reader.close()
    inotify.close()
    os.close(fd)


class LateQueue(SlowQueue):
    """Its reads say what the one before has left."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = [b"some", b"", b"more", b""]


def test_the_queue_was_empty_when_it_was_asked_the_time_before() -> None:
    queue = LateQueue()
    reader = Reader(queue, lambda: None)
    assert reader.pull()
    assert reader.pull()
    _, more = reader.take()
    assert more.since_us <= queue.asked_us[0]
    reader.close()


class EndlessQueue(Numbers):
    """A queue that is filled faster than it is read, by others."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self) -> bytes:
        self.reads += 1
        assert self.reads < 10_000, "read without end: nobody else gets at what was kept"
        return b"events"

    def sift(self, data: bytes, known: Container[int]) -> bytes:
        return data if self.reads == 1 else b""


def test_a_queue_that_is_never_empty_keeps_nobody_waiting() -> None:
    reader = Reader(EndlessQueue(), lambda: None)
    assert reader.pull()
    assert [chunk.data for chunk in reader.take()] == [b"events"]
    assert not reader.pull()
    reader.close()


async def test_events_that_came_along_with_a_removal_are_not_left_lying(
    live: Any, root: Path
) -> None:
    for i in range(30):
        (root / f"d{i}").mkdir()
    async with live(root) as it:
        watcher = it.source._watcher
        for i in range(30):
            with watcher.tree.lock:
                dropped = watcher.tree.drop(watcher.tree.root.kid(b"d%d" % i))
            (root / f"f{i}").write_bytes(b"x")
            watcher._forget(dropped)  # reads the queue, before the reader does
            await it.until(lambda i=i: it.cell(b"f%d" % i))


def in_own_namespace(limit: str, value: int) -> None:
    """A user namespace with limits of its own: those of the machine are left alone."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
        raise PermissionError("no user namespace")
    Path(f"/proc/sys/user/{limit}").write_text(str(value), "ascii")


def said_by(said: str) -> str:
    if "PermissionError" in said or "FileNotFoundError" in said:
        pytest.skip(f"no user namespace with limits of its own can be had here: {said}")
    return said


def test_at_the_watch_limit_directories_are_polled(shared: Path, in_child: Any, live: Any) -> None:
    for i in range(8):
        (shared / f"d{i}").mkdir()

    async def work() -> str:
        async with live(shared, watch="inotify") as it:
            first = it.source.coverage()
            assert first["watched_dirs"] == 5, first
            assert first["uncovered"] == [b"/d%d" % i for i in range(4, 8)]
            assert first["uncovered_dirs"] == 4
            assert not it.fold.owed, "a directory that is polled is no gap"
            (shared / "d7/unseen").write_bytes(b"x")
            (shared / "d0/seen").write_bytes(b"x")
            await it.until(lambda: it.cell(b"seen"))
            for i in range(1, 4):  # watches become free
                (shared / f"d{i}").rmdir()
            await it.until(lambda: it.source.coverage()["watched_dirs"] == 2)
            await it.scan()  # takes them up again
            again = it.source.coverage()
            assert (again["watched_dirs"], again["uncovered"]) == (5, [b"/d7"])
            await it.settled()
        return "done"

    asyncio.run(work_free(live, shared))
    said = in_child(lambda: in_own_namespace("max_inotify_watches", 5), lambda: asyncio.run(work()))
    assert said_by(said) == "done"


async def work_free(live: Any, root: Path) -> None:
    """Once without limits, so that nothing is imported late in the child."""
    async with live(root, watch="inotify") as it:
        assert not it.source.coverage()["uncovered"]


def test_without_an_instance_nothing_is_covered(shared: Path, in_child: Any) -> None:
    async def work() -> str:
        source = FsSource(FsConfig(root=str(shared)))
        async with source.watch():
            assert [claim async for claim in source.scan(Scope())]
            assert source.coverage()["uncovered"] == [b"/"]
        strict = FsSource(FsConfig(root=str(shared), watch="inotify"))
        try:
            async with strict.watch():
                return "watched"
        except WatchError as err:
            return f"{err.remedy}"

    said = in_child(
        lambda: in_own_namespace("max_inotify_instances", 0), lambda: asyncio.run(work())
    )
    assert "max_user_instances" in said_by(said)


def test_the_constants_leave_room_for_the_other_half() -> None:
    assert watch.LOOSE_US > watch.PAIRING_US > kernel.WINDOW_MS_MAX * 1000
