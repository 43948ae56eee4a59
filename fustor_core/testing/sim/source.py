"""The source driver of the simulation: the same contract as `fs`, over virtual storage."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from pydantic import BaseModel

from fustor_core.claims import Cell, Key, Listing, Origin, Owe, Root, Same, Stamp
from fustor_core.contracts import Scope, view_names
from fustor_core.errors import FustorError
from fustor_core.testing.sim.inotify import Inotify
from fustor_core.testing.sim.reading import Entry, Eyes
from fustor_core.testing.sim.storage import Inode
from fustor_core.testing.sim.watching import Watch

WORK_S = 0.003
_NO_KEY = Key(0, 0, 0)


class RootGone(FustorError):
    """Nothing usable, or another storage, stands at the root."""

    reason = "vanished_root"


class SimSource:
    """A tree on one host of a simulated world.

    Args:
        eyes: what this host sees. inotify: makes a new instance; None: nothing is watched.
        at_once, doubtful: see `Watch`.
    """

    class Config(BaseModel):
        """Nothing can be set: a world gives everything."""

    scans_at_once = 4
    tiers = frozenset({"directories", "names"})

    def __init__(
        self,
        eyes: Eyes,
        *,
        watches: bool,
        queue: int,
        limit: int,
        at_once: int,
        doubtful: float,
        overlaps: bool = True,
    ) -> None:
        self.eyes = eyes
        self.inotify: Inotify | None = None
        self._watches, self._queue, self._limit = watches, queue, limit
        self._at_once, self._doubtful = at_once, doubtful
        self._watch: Watch | None = None
        self._stirred = anyio.Event()
        self._covers: list[bytes] = []
        self._proven: tuple[Key, str] | None = None
        self._ordinal = 0
        self.lost = self.refused = 0

    def __repr__(self) -> str:
        return f"<SimSource on {self.eyes.machine.name}>"

    # ---- the root

    async def identity(self) -> Root:
        """Which storage stands at the root just now."""
        await self.eyes.answers()
        mount, now = self.eyes.mount, self.eyes.now_us()
        root = mount.root
        at = (root.key, mount.identity) if root is not None else None
        reason = "vanished_root"
        if root is not None and mount.errors.get(root.uid):
            at, reason = None, "io_error"
        if at is not None and self._proven is None:
            self._proven = at
        present = at is not None and at == self._proven
        key, identity = self._proven or (_NO_KEY, "")
        return Root(
            key=key,
            identity=identity,
            stamp=Stamp(now, self.eyes.now_us() + 1, 0, "s"),
            present=present,
            reason="" if present else reason,
            birth="btime" if self.eyes.births else "none",
        )

    def _root(self) -> Inode:
        mount = self.eyes.mount
        root = mount.root
        if root is None or (self._proven and (root.key, mount.identity) != self._proven):
            raise RootGone("the root is not there")
        return root

    async def bear(self, kind: str) -> bool:
        """All hosts of a world have births of one kind."""
        return False

    def coverage(self) -> dict[str, Any]:
        """How well it watches."""
        watch = self._watch
        if watch is None:
            return {"watched_dirs": 0, "watch_limit": None, "uncovered": [b"/"]}
        entries = (watch.registry.entries.get(uid) for uid in sorted(watch.uncovered))
        paths = [self.eyes.mount.storage.path(e.inode) for e in entries if e is not None]
        return {
            "watched_dirs": len(watch.inotify.watched),
            "watch_limit": self._limit,
            "uncovered": [path for path in paths if path is not None],
        }

    # ---- scans

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same | Cell]:
        """Each directory of the scope, parents first."""
        await self.eyes.answers()
        self._root()
        async for claim in self._walk(scope.path, scope.origin, scope):
            yield claim
        self._root()

    async def _walk(
        self, path: bytes, origin: Origin, scope: Scope | None, *, fresh: bool = False
    ) -> AsyncIterator[Listing | Same | Cell]:
        found = self.eyes.resolve(path)
        if found is None:
            return
        above, name, _ = found
        seat = self._known(above) if name else None  # the root stands in nothing
        stack = [(above, seat, name, path.rstrip(b"/") or b"/")]
        while stack:
            above, entry, name, at = stack.pop()
            await self.eyes.answers()
            below = self._open(above, name)
            if below is None:
                for cell in self.eyes.edge(above, _parent(at), name, origin):
                    yield cell
                continue
            if isinstance(below, int):
                yield self.eyes.unread(self._shut(above, name), at, origin, below)
                continue
            if fresh and name and self._knows(below):
                continue
            here = self._cover(below, entry, name)
            via = (above.key, name) if name else None
            reading = self.eyes.unchanged(below, at, scope) if scope is not None else None
            if reading is None:
                reading = await self.eyes.read(below, at, origin, via, here)
            if here is not None:
                here.listed = True
                if self._watch is not None:
                    for kid, row in reading.rows.items():
                        self._watch.registry.saw(here, kid, row)
            if scope is not None:
                await self.eyes.machine.sleep(scope.pace(1 + len(reading.rows), WORK_S))
            yield reading.claim
            if scope is not None and not scope.recursive:
                return
            for kid, _ in reversed(reading.kids):
                stack.append((below, here, kid, at.rstrip(b"/") + b"/" + kid))

    def _open(self, above: Inode, name: bytes) -> Inode | int | None:
        """A child directory, an errno, or None when there is none."""
        try:
            inode = self.eyes.child(above, name) if name else above
            if inode is not None:
                self.eyes.mount.attributes(inode, self.eyes.true_us())
        except OSError as error:
            return None if error.errno == errno.ESTALE else error.errno or errno.EIO
        return inode

    def _shut(self, above: Inode, name: bytes) -> Inode:
        """The directory that cannot be opened."""
        return (above.kids or {}).get(name, above) if name else above

    def _known(self, inode: Inode) -> Entry | None:
        return self._watch.registry.entries.get(inode.uid) if self._watch is not None else None

    def _knows(self, inode: Inode) -> bool:
        entry = self._known(inode)
        return entry is not None and entry.listed and entry.watched

    def _cover(self, inode: Inode, above: Entry | None, name: bytes) -> Entry | None:
        watch = self._watch
        if watch is None or (name and above is None):
            return None
        return watch.cover(inode, above, name)

    # ---- looks

    async def look(
        self, paths: Sequence[bytes], origin: Origin = Origin.SENTINEL
    ) -> Sequence[Cell]:
        """Look at names, claiming every edge on the way."""
        await self.eyes.answers()
        self._root()
        return self.eyes.look(paths, origin)

    # ---- the watch

    async def cover(self, paths: Sequence[bytes]) -> None:
        """Watch and list directories that another host made."""
        self._covers += [path for path in paths if view_names(path) is not None]
        self._stirred.set()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[list[Cell | Listing | Owe]]]:
        """See changes happen."""
        self._proven = None
        if self._watches:
            self.inotify = Inotify(self._queue, self._limit, self._stir)
            watch = Watch(
                self.eyes,
                self.inotify,
                at_once=self._at_once,
                doubtful=self._doubtful,
                cached=self.eyes.claimed_bound_us > 0,
            )
            watch.ordinal = max(watch.ordinal, self._ordinal)
            root = self.eyes.mount.root
            if root is not None:
                watch.cover(root, None, b"")
            self._watch = watch
        try:
            yield self._seen()
        finally:
            if self._watch is not None:
                self._ordinal = self._watch.ordinal
            if self.inotify is not None:
                self.lost += self.inotify.lost
                self.refused += self.inotify.refused
            self._watch, self.inotify = None, None

    def _stir(self) -> None:
        self._stirred.set()

    async def _seen(self) -> AsyncIterator[list[Cell | Listing | Owe]]:
        machine = self.eyes.machine
        while True:
            watch = self._watch
            if watch is None:
                await anyio.sleep_forever()
                continue
            await self._wait(watch)
            await self.eyes.answers()
            await machine.sleep(machine.rng.uniform(0.0005, WORK_S))
            claims: list[Cell | Listing | Owe] = list(watch.drain())
            if claims:
                yield claims
            async for one in self._enter(watch):
                yield one

    async def _wait(self, watch: Watch) -> None:
        due = watch.due_us()
        if watch.ready or watch.enter or self._covers:
            return
        self._stirred = anyio.Event()
        if due is None:
            await self._stirred.wait()
        else:
            with anyio.move_on_after(max(0.0, (due - self.eyes.now_us()) / 1e6)):
                await self._stirred.wait()

    async def _enter(self, watch: Watch) -> AsyncIterator[list[Cell | Listing | Owe]]:
        """Directories that appeared, or that another host made: watch and list them."""
        mount = self.eyes.mount
        enter, watch.enter = watch.enter, []
        for entry, name, fresh in enter:
            path = None if entry.gone else mount.storage.path(entry.inode)
            if path is not None:
                async for one in self._listed(path.rstrip(b"/") + b"/" + name, fresh=fresh):
                    yield one
        covers, self._covers = self._covers, []
        for path in covers:
            async for one in self._listed(self._first_unknown(path), fresh=True):
                yield one

    def _first_unknown(self, path: bytes) -> bytes:
        """From the topmost directory of a path that is not watched yet downward."""
        at = b""
        for name in view_names(path):
            at += b"/" + name
            found = self.eyes.resolve(at)
            if found is None or found[2] is None or not self._knows(found[2]):
                break
        return at or b"/"

    async def _listed(
        self, path: bytes, *, fresh: bool
    ) -> AsyncIterator[list[Cell | Listing | Owe]]:
        try:
            self._root()
            async for claim in self._walk(path, Origin.REALTIME, None, fresh=fresh):
                if not isinstance(claim, Same):
                    yield [claim]
        except (OSError, RootGone):
            return  # who notices the root again owes a scan of all of it


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0] or b"/"
