"""Two pretended NFS clients, and what a view would hold of what the driver says."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from fustor_source_nfs import NfsConfig, NfsSource

from fustor_core.claims import (
    ROW_BYTES,
    Cell,
    Key,
    Listing,
    Owe,
    edge_key,
    is_dir,
    split_names,
    unpack_row,
)
from fustor_core.contracts import Scope
from fustor_core.errors import FustorError
from fustor_core.testing.nfs_pair import NfsPair, NoPair, nfs_pair

CACHE_S = 3.0
POLL_S = 0.8
SLACK_S = 8.0  # of a machine that does other things, too


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[NfsPair]:
    try:
        with nfs_pair(tmp_path, CACHE_S) as made:
            yield made
    except NoPair as why:
        pytest.skip(f"no FUSE mounts here: {why}")


class Mirror:
    """What a view would hold: claims applied in the order in which they come.

    Attributes:
        wrong: names that were taken away though they are in `lasting`.
        reasons: why directories could not be listed, by path. owed: reasons of what was owed.
        seen: all claims, in the order in which they came.
    """

    def __init__(self) -> None:
        self.dirs: dict[Key, dict[bytes, bytes]] = {}
        self.root: Key | None = None
        self.lasting: set[str] = set()
        self.wrong: list[str] = []
        self.reasons: dict[str, str] = {}
        self.owed: list[str] = []
        self.seen: list[Cell | Listing | Owe] = []

    @property
    def claims(self) -> int:
        """How many came."""
        return len(self.seen)

    def names(self) -> set[bytes]:
        """All names that were told of, wherever they are."""
        return {name for names in self.dirs.values() for name in names}

    def take(self, claims: Sequence[Cell | Listing | Owe]) -> None:
        """Apply claims."""
        for claim in claims:
            self.seen.append(claim)
            if isinstance(claim, Listing):
                self._list(claim)
            elif isinstance(claim, Cell) and claim.name:
                names = self.dirs.setdefault(claim.dir, {})
                if claim.value is None:
                    names.pop(claim.name, None)
                else:
                    names[claim.name] = claim.value
            elif isinstance(claim, Owe):
                self.owed.append(claim.reason)
            lost = self.lasting - set(self.tree())
            self.wrong += [f"{name}: {claim}" for name in sorted(lost)]

    def _list(self, claim: Listing) -> None:
        if claim.path == b"/":
            self.root = claim.dir
        rows = (claim.rows[i : i + ROW_BYTES] for i in range(0, len(claim.rows), ROW_BYTES))
        found = dict(zip(split_names(claim.names), rows, strict=True))
        self.reasons.pop(claim.path.decode(), None)
        if claim.digest is not None:
            return  # as it is
        if claim.complete:
            self.dirs[claim.dir] = found
        else:
            self.dirs.setdefault(claim.dir, {}).update(found)
            self.reasons[claim.path.decode()] = claim.reason

    def tree(self) -> dict[str, tuple[int, ...]]:
        """Paths, and what is known of them."""
        out: dict[str, tuple[int, ...]] = {}
        stack = [("", self.root)] if self.root is not None else []
        while stack:
            prefix, key = stack.pop()
            for name, value in self.dirs.get(key, {}).items():  # type: ignore[arg-type]
                path = f"{prefix}/{os.fsdecode(name)}"
                row = unpack_row(value)
                if is_dir(value):
                    out[path] = (row.ino,)
                    stack.append((path, edge_key(value)))
                else:
                    out[path] = (row.ino, row.size, row.mtime_ns, row.ctime_ns, row.nlink)
        return out


def truth(top: Path) -> dict[str, tuple[int, ...]]:
    """What is there, as `Mirror.tree` tells it."""
    out: dict[str, tuple[int, ...]] = {}
    for path in top.rglob("*"):
        st = path.lstat()
        seen = (st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_nlink)
        out["/" + str(path.relative_to(top))] = seen[:1] if stat.S_ISDIR(st.st_mode) else seen
    return out


class Site:
    """A source that is watched, and the mirror of what it says."""

    def __init__(self, source: NfsSource, server: Path) -> None:
        self.source = source
        self.server = server
        self.mirror = Mirror()
        self.failure: BaseException | None = None
        self.took_s = 0.0

    async def scan(self) -> None:
        """Scan everything."""
        async for claim in self.source.scan(Scope()):
            self.mirror.take([claim])

    async def exact(self, within_s: float) -> float:
        """Wait until what is known is what is there; seconds that it took."""
        await self.until(lambda: self.mirror.tree() == truth(self.server), within_s)
        assert not self.mirror.wrong, self.mirror.wrong[:3]
        return self.took_s

    def differences(self) -> list[tuple[object, ...]]:
        """Paths with what is known, and what is there."""
        known, there = self.mirror.tree(), truth(self.server)
        wrong = sorted(path for path in {*known, *there} if known.get(path) != there.get(path))
        return [(path, known.get(path), there.get(path)) for path in wrong]

    async def until(self, holds: Callable[[], bool], within_s: float) -> None:
        """Wait for something."""
        begun = time.monotonic()
        while not holds():
            late = time.monotonic() - begun > within_s
            assert not late, f"{self.differences()[:9]}\n{self.source}"
            await anyio.sleep(0.05)  # between two looks
        self.took_s = time.monotonic() - begun


@asynccontextmanager
async def watched(root: Path, server: Path, **options: object) -> AsyncIterator[Site]:
    """A source at a mount, watched but not scanned yet."""
    usual = {"poll_interval": POLL_S, "rate": 1e6, "cache_bound": CACHE_S, "hang_after": 20.0}
    config = NfsConfig.model_validate({"root": str(root), **usual, **options})
    site = Site(NfsSource(config), server)

    async def pump(seen: AsyncIterator[list[Cell | Listing | Owe]]) -> None:
        try:
            async for claims in seen:
                site.mirror.take(claims)
        except (OSError, FustorError) as err:
            site.failure = err

    async with site.source.watch() as seen, anyio.create_task_group() as group:
        group.start_soon(pump, seen)
        yield site
        group.cancel_scope.cancel()
