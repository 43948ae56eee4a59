"""Many own writes in a short time: all of them are told, without a poll."""

from __future__ import annotations

import os
import random
import shutil
import stat
from pathlib import Path

import anyio
import pytest

from fustor_core.claims import MOVED, Cell, Key, Listing, Origin, Owe, edge_key, is_dir
from fustor_core.contracts import Scope

from .conftest import Site, truth, watched

pytestmark = pytest.mark.anyio
NEVER_S = 3600.0
OPERATIONS = 500
END_S = 60.0


class Writer:
    """Random operations in a tree."""

    def __init__(self, top: Path, seed: int) -> None:
        self.top = top
        self.random = random.Random(seed)
        self.count = 0

    def run(self) -> None:
        """All of them, as fast as it goes."""
        for _ in range(OPERATIONS):
            act = self.random.choices(
                [self.make, self.folder, self.move, self.remove, self.rewrite], [8, 3, 3, 3, 4]
            )[0]
            act()

    def _any(self, *, folder: bool) -> Path | None:
        found = [p for p in self.top.rglob("*") if stat.S_ISDIR(p.lstat().st_mode) == folder]
        return self.random.choice(sorted(found)) if found else None

    def _new(self) -> Path:
        self.count += 1
        return (self._any(folder=True) or self.top) / f"n{self.count}"

    def make(self) -> None:
        self._new().write_text("x" * self.count)

    def folder(self) -> None:
        new = self._new()
        (new / "a" / "b").mkdir(parents=True)
        (new / "a" / "b" / "file").write_text("at once")

    def move(self) -> None:
        old, new = self._any(folder=self.random.random() < 0.5), self._new()
        if old is not None and old not in new.parents:
            old.rename(new)

    def remove(self) -> None:
        old = self._any(folder=self.random.random() < 0.3)
        if old is None:
            return
        if stat.S_ISDIR(old.lstat().st_mode):
            shutil.rmtree(old)
        else:
            old.unlink()

    def rewrite(self) -> None:
        old = self._any(folder=False)
        if old is not None:
            before = old.stat()
            old.write_text("y" * self.count)
            os.utime(old, ns=(before.st_atime_ns, before.st_mtime_ns))


def path_of(site: Site, key: Key) -> bytes | None:
    """Where the view would have a directory."""
    stack = [(b"/", site.mirror.root)]
    while stack:
        path, at = stack.pop()
        if at == key:
            return path
        for name, value in site.mirror.dirs.get(at, {}).items() if at is not None else ():
            if is_dir(value):
                stack.append((path.rstrip(b"/") + b"/" + name, edge_key(value)))
    return None


def obligations(site: Site, begin: int) -> list[tuple[Key, bool]]:
    """(directory, whether all below it too) that fusion would owe a listing, by these claims."""
    claims = site.mirror.seen[begin:]
    owed = [(one.dir, one.deep) for one in claims if isinstance(one, Owe)]
    cells = [one for one in claims if isinstance(one, Cell) and one.name and one.value]
    # What came by no paired move may have changed where nobody could say so.
    owed += [(edge_key(c.value), True) for c in cells if is_dir(c.value) and not c.flags & MOVED]
    return owed


async def settle(site: Site) -> None:
    """What fusion would do: list what is owed, where it stands by now."""
    heard, owed = 0, dict[tuple[Key, bool], None]()
    while True:
        now = len(site.mirror.seen)
        owed |= dict.fromkeys(obligations(site, heard))
        heard = now
        for key, deep in list(owed):
            path = path_of(site, key)
            if path is not None:
                scope = Scope(path, recursive=deep, origin=Origin.SENTINEL)
                claims = [claim async for claim in site.source.scan(scope)]
                site.mirror.take([one for one in claims if isinstance(one, Listing)])
                del owed[key, deep]
        if heard == len(site.mirror.seen) and site.mirror.tree() == truth(site.server):
            return
        await anyio.sleep(0.1)  # between two looks at what was told


async def test_many_files_in_new_directories_are_told_by_themselves(tmp_path: Path) -> None:
    def write() -> None:
        for number in range(20):
            (tmp_path / f"made-{number}").mkdir()
            for name in range(40):
                (tmp_path / f"made-{number}" / f"file-{name}").write_text("x" * name)

    async with watched(tmp_path, tmp_path, poll_interval=NEVER_S, cache_bound=0) as site:
        await site.scan()
        await site.until(lambda: site.source.coverage()["watched_dirs"] == 1, END_S)
        await anyio.to_thread.run_sync(write)
        await site.exact(END_S)
        assert not site.mirror.owed


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_storm_of_own_writes_is_told_whole(tmp_path: Path, seed: int) -> None:
    for number in range(5):
        (tmp_path / f"first-{number}").mkdir()
    async with watched(tmp_path, tmp_path, poll_interval=NEVER_S, cache_bound=0) as site:
        await site.scan()
        await site.until(lambda: site.source.coverage()["watched_dirs"] == 6, END_S)
        await anyio.to_thread.run_sync(Writer(tmp_path, seed).run)
        with anyio.move_on_after(END_S):
            await settle(site)
        assert not site.differences()[:9]
        assert "overflow" not in site.mirror.owed
