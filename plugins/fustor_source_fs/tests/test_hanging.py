"""A storage that does not answer, births as a view has them, and paths that lead elsewhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from fustor_source_fs import FsConfig, FsSource
from fustor_source_fs.source import HUNG_MAX

from fustor_core.apart import Apart, apart
from fustor_core.claims import Listing, Origin, Root
from fustor_core.contracts import Scope, boottime_us
from fustor_core.errors import Refused

pytestmark = pytest.mark.anyio

DEADLINE_S = 20.0


@pytest.fixture
def free() -> Iterator[threading.Event]:
    """Set at the end: what hangs in a test goes on."""
    event = threading.Event()
    yield event
    event.set()


def source(root: Path, **options: object) -> FsSource:
    return FsSource(FsConfig(root=str(root), watch="off", **options))  # type: ignore[arg-type]


class Clock:
    """A raw clock that hangs in the scan's thread, as a stat would; `entered` says when it does."""

    def __init__(self, free: threading.Event) -> None:
        self.free, self.entered = free, threading.Event()

    def __call__(self) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.entered.set()
            self.free.wait()
        return boottime_us()


async def left_hanging(it: FsSource, free: threading.Event) -> None:
    """Begin a scan that hangs, and give it up."""
    clock = Clock(free)

    async def scan() -> None:
        async with aclosing(it.scan(Scope(now_us=clock))) as claims:  # type: ignore[type-var]
            async for _ in claims:
                pass

    task = asyncio.create_task(scan())
    assert await asyncio.to_thread(clock.entered.wait, DEADLINE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, DEADLINE_S)


# -- threads that hang


async def test_work_that_hangs_is_left_behind(free: threading.Event) -> None:
    task = asyncio.create_task(apart(free.wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, DEADLINE_S)


async def test_what_works_apart_is_told_to_all_who_wait() -> None:
    work = Apart(lambda: 7)
    assert await asyncio.gather(work.result(), work.result()) == [7, 7]
    assert work.over

    def fails() -> None:
        raise OSError(5, "input/output error")

    with pytest.raises(OSError, match="input/output"):
        await apart(fails)


async def test_a_scan_that_hangs_is_left_and_others_go_on(
    root: Path, free: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fustor_source_fs.scan.JOIN_S", 0.05)
    (root / "a").write_bytes(b"x")
    it = source(root)
    await left_hanging(it, free)
    found = [claim async for claim in it.scan(Scope(origin=Origin.ON_DEMAND))]
    assert isinstance(found[0], Listing)
    assert found[0].names == b"a"


async def test_scans_that_hang_do_not_add_up(
    root: Path, free: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fustor_source_fs.scan.JOIN_S", 0.05)
    it = source(root)
    for _ in range(HUNG_MAX):
        await left_hanging(it, free)
    with pytest.raises(OSError, match="does not answer"):
        await anext(it.scan(Scope()))
    free.set()
    for scan in it._hung:
        await asyncio.to_thread(scan.join)
    assert [claim async for claim in it.scan(Scope())]


@pytest.mark.long
async def test_a_root_that_hangs_is_looked_at_once(root: Path, free: threading.Event) -> None:
    it = source(root)
    true = it._proof.claim
    calls = []

    def claim(prober: object) -> Root:
        calls.append(prober)
        free.wait()
        return true(prober)  # type: ignore[arg-type]

    it._proof.claim = claim  # type: ignore[method-assign, assignment]
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(it.identity(), 1.1)
    assert len(calls) == 1
    free.set()
    assert (await it.identity()).present


async def test_what_is_watched_can_be_asked_while_a_look_hangs(
    root: Path, free: threading.Event
) -> None:
    (root / "d").mkdir()
    it = FsSource(FsConfig(root=str(root)))
    async with it.watch():
        assert [claim async for claim in it.scan(Scope())]
        before = it.coverage()
        assert it._watcher is not None
        lock, held = it._watcher.tree.lock, threading.Event()

        def hang() -> None:
            with lock:
                held.set()
                free.wait()

        threading.Thread(target=hang, daemon=True).start()
        assert await asyncio.to_thread(held.wait, DEADLINE_S)
        assert it.coverage() == before
        free.set()


EXITS = """
import asyncio, sys, threading
from fustor_core.contracts import Scope
from fustor_source_fs import FsConfig, FsSource
from fustor_core.apart import apart

async def main():
    it = FsSource(FsConfig(root=sys.argv[1], watch="off"))
    hang = threading.Event()
    def now():
        if threading.current_thread() is not threading.main_thread():
            hang.wait()
        return 0
    async def scan():
        async for _ in it.scan(Scope(now_us=now)):
            pass
    tasks = [asyncio.create_task(scan()), asyncio.create_task(apart(hang.wait))]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print("over", flush=True)

asyncio.run(main())
"""


@pytest.mark.long
async def test_a_process_ends_whatever_hangs(root: Path) -> None:
    run = [sys.executable, "-c", EXITS, str(root)]
    done = await asyncio.to_thread(
        subprocess.run, run, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "over\n"


# -- births


async def test_keys_are_made_with_the_births_that_it_is_told(root: Path) -> None:
    (root / "d").mkdir()
    it = source(root)
    own = await it.identity()
    assert not await it.bear(own.birth)
    seen = {own.birth: own.key.birth}
    for kind in ("handle", "none", "btime"):
        try:
            changed = await it.bear(kind)
        except Refused:
            continue  # not on this file system
        assert changed is (kind not in seen or len(seen) > 1)
        told = await it.identity()
        assert (told.birth, told.key.ino) == (kind, own.key.ino)
        assert (told.key.birth == 0) is (kind == "none")
        listings = [claim async for claim in it.scan(Scope())]
        assert {c.dir.birth == 0 for c in listings} == {kind == "none"}
        seen[kind] = told.key.birth
    assert len(set(seen.values())) == len(seen)


async def test_a_watch_makes_the_same_keys(root: Path) -> None:
    it = FsSource(FsConfig(root=str(root)))
    await it.identity()
    await it.bear("none")
    async with it.watch() as seen:
        [claim async for claim in it.scan(Scope())]
        (root / "new").mkdir()
        claims = await asyncio.wait_for(anext(seen), DEADLINE_S)
    assert {claim.dir.birth for claim in claims} == {0}


async def test_births_that_the_file_system_has_not_are_refused(root: Path) -> None:
    it = source(root)
    before = await it.identity()
    with pytest.raises(Refused, match="'colour'") as caught:
        await it.bear("colour")
    assert str(root) in str(caught.value)
    assert caught.value.remedy
    assert await it.identity() is not None
    assert (await it.identity()).key == before.key


# -- paths that lead elsewhere

OUTSIDE = [b"/../outside", b"/d/../../outside", b"/..", b"/.", b"outside", b"/d\0", b"/link/secret"]


async def test_nothing_outside_the_root_is_ever_told(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret").mkdir()
    (root / "d").mkdir()
    os.symlink(outside, root / "link")
    it = FsSource(FsConfig(root=str(root)))
    async with it.watch():
        await it.cover(OUTSIDE)
        for path in OUTSIDE:
            found = [claim async for claim in it.scan(Scope(path=path))]
            assert not [c for c in found if isinstance(c, Listing) and c.complete], path
        names = {cell.name for cell in await it.look(OUTSIDE)}
        assert names <= {b"link"}, "a link is looked at, never followed"
        watched = it.coverage()["watched_dirs"]
        assert watched <= 2, "the root and d"
