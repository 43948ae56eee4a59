"""The driver: a directory tree that others change, looked at again and again."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio

from fustor_core.claims import Cell, Key, Listing, Origin, Owe, Root, Stamp
from fustor_core.contracts import Scope, boottime_us, view_names
from fustor_core.errors import FustorError
from fustor_core.files.rooted import RootVanished
from fustor_source_nfs.config import NfsConfig
from fustor_source_nfs.crew import Crew, StorageHung
from fustor_source_nfs.frames import Begin, Births, Found, Look, Prove, Read
from fustor_source_nfs.heat import Heat, below
from fustor_source_nfs.pace import Pace

LEFT_OUT_MOST = 1000
HANGS_MOST = 3  # directories of one scan that may hang while the root answers
_PAST_CACHES = (Origin.SENTINEL, Origin.ON_DEMAND)  # what is owed cannot be paid with old answers
_WHOLE = (Origin.SNAPSHOT, Origin.AUDIT)  # scans of who leads: what they show is polled
_KEPT_OUT = ("excluded", "other_device")

Claims = list[Cell | Listing | Owe]


class NfsSource:
    """A directory tree on Linux that is polled; it need not lie on NFS.

    Attributes:
        scans_at_once: so many scans of any scopes may run beside polling and looks.
        polls: what is polled; a pipe that has always followed polls nothing.
    """

    Config = NfsConfig
    scans_at_once = 2
    polls = "what was scanned"

    def __init__(self, config: NfsConfig) -> None:
        self._config = config
        self._crew = Crew(self._begin, config.hang_after)
        self._heat = Heat(round(config.poll_interval * 1e6))
        self._pace = Pace(None if config.rate == "auto" else config.rate)
        self._root: Root | None = None
        self._birth = ""  # as told; "" = as the root has it
        self._bound_us = 0
        self._watched = False
        self._left_out: dict[bytes, set[bytes]] = {}  # names, by the directory that they are in
        self._news = anyio.Event()

    def __repr__(self) -> str:
        return f"NfsSource({self._config.root!r}, {self._heat!r}, {self._crew!r})"

    # ---- the contract

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Cell]:
        """Each directory of the scope once, parents first; names that vanished meanwhile as cells.

        A directory that hangs is told so, and left; when the root hangs, too, this ends.

        Raises:
            StorageHung: the root does not answer, or too many directories.
            RootVanished: the root is not there, or another one.
        """
        if not _inside(scope.path):
            return
        await self._prove()
        hangs = 0
        known = self._heat.places.get(scope.path)
        stack: list[tuple[bytes, Key | None]] = [(scope.path, None)]
        while stack:
            path, key = stack.pop()
            try:
                fresh = path == scope.path and scope.origin in _PAST_CACHES
                found = await self._crew.ask(Read(path, scope.origin, key, fresh))
            except StorageHung:
                key = key or (known.key if known is not None else self._key_of(path))
                if key is not None:
                    yield _unread(path, key, scope.origin, "hung", errno.ETIMEDOUT)
                hangs += 1
                if key is None or path == b"/" or hangs >= HANGS_MOST:
                    raise
                self._heat.add(path, key, boottime_us())
                self._heat.failed(path, boottime_us())
                await self.identity()
                continue
            except OSError as err:
                if key is not None:
                    code = err.errno or errno.EIO
                    yield _unread(path, key, scope.origin, "io_error", code)
                continue
            if scope.origin in _WHOLE or path in self._heat.places:
                self._note(path, found, follow=not scope.recursive)
            await anyio.sleep(scope.pace(found.operations, found.took_us / 1e6))
            for claim in found.claims:
                if not isinstance(claim, Root):
                    yield claim
            if scope.recursive:
                kids = [(below(path, k.name), k.key) for k in found.kids if not k.left_out]
                stack += reversed(kids)

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Claims]]:
        """What polling finds, of directories that were scanned before.

        Raises:
            FustorError: it is watched already.
        """
        return self._watching()

    async def look(
        self, paths: Sequence[bytes], origin: Origin = Origin.SENTINEL
    ) -> Sequence[Cell]:
        """Look at names, revalidating, claiming every edge on the way.

        Raises:
            StorageHung, RootVanished, OSError: nothing could be seen.
        """
        await self._prove()
        found = await self._crew.ask(Look(list(filter(_inside, paths)), origin))
        return [claim for claim in found.claims if isinstance(claim, Cell)]

    async def identity(self) -> Root:
        """Which storage stands at the root's path just now.

        Raises:
            StorageHung: it does not say.
        """
        found = await self._crew.ask(Prove())
        self._bound_us = found.bound_us
        (root,) = found.claims
        assert isinstance(root, Root)
        if root.present and self._root is None:
            self._root = root
        return root

    async def bear(self, kind: str) -> bool:
        """Make keys with this kind of birth from now on, the one that the view has.

        Raises:
            Refused: the root's file system has no births of this kind.
        """
        await self._prove()
        if self._root is not None and self._root.birth == kind:
            self._birth = kind
            return False
        await self._crew.ask(Births(kind))
        self._birth = kind
        self._forget()
        return True

    def coverage(self) -> dict[str, Any]:
        """How much is polled, how soon a change is found, and what is left out by choice."""
        polled = len(self._heat.places) if self._watched else 0
        paths = (below(at, name) for at, names in self._left_out.items() for name in names)
        around_s = max(self._config.poll_interval, self._heat.cost / self._pace.rate)
        return {
            "watched_dirs": polled,
            "watch_limit": 0,
            "uncovered": [] if polled else [b"/"],
            "excluded": sorted(paths),
            "rate": round(self._pace.rate, 1),
            "cache_bound_s": self._bound_us / 1e6,
            "found_within_s": round(around_s + self._bound_us / 1e6, 1),
        }

    # ---- polling

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[AsyncIterator[Claims]]:
        if self._watched:
            raise FustorError(f"{self._config.root!r} is watched by this source already")
        self._forget()  # what stands there now is proven anew
        self._watched = True
        try:
            yield self._polled()
        finally:
            self._watched = False
            self._crew.close()

    async def _polled(self) -> AsyncIterator[Claims]:
        while True:
            await anyio.sleep(self._pace.wait_s(boottime_us()))
            path = self._heat.next(boottime_us())
            if path is None:
                await self._rest()
                continue
            place = self._heat.places[path]
            try:
                found = await self._crew.ask(Read(path, Origin.ON_DEMAND, place.key))
            except StorageHung:
                self._heat.failed(path, boottime_us())
                yield [_unread(path, place.key, Origin.ON_DEMAND, "hung", errno.ETIMEDOUT)]
                await self.identity()
                continue
            except OSError:
                self._heat.failed(path, boottime_us())
                continue
            self._pace.spent(boottime_us(), found.operations, found.took_us)
            if self._note(path, found, follow=True):
                yield [claim for claim in found.claims if not isinstance(claim, Root)]

    async def _rest(self) -> None:
        due_us = self._heat.due_us()
        news = self._news = anyio.Event()
        with anyio.move_on_after(None if due_us is None else (due_us - boottime_us()) / 1e6):
            await news.wait()

    # ---- what is known

    def _begin(self) -> Begin:
        config = self._config
        bound = config.cache_bound
        return Begin(
            root=os.fsencode(config.root),
            exclude=config.exclude,
            exclude_paths=[os.fsencode(path) for path in config.exclude_paths],
            silly=not config.show_silly_renames,
            cross=config.cross_filesystems,
            bound_us=None if bound is None else round(bound * 1e6),
            birth=self._birth,
            proven=self._root,
        )

    async def _prove(self) -> None:
        """The root is proven, now or before; all looks are compared with that.

        Raises:
            RootVanished: it is not there. StorageHung: it does not say.
        """
        if self._root is not None:
            return
        root = await self.identity()
        if not root.present:
            raise RootVanished(
                f"root {self._config.root!r} cannot be used: {root.reason}",
                reason=root.reason,
                remedy="mount or restore it; nothing is deleted meanwhile",
            )

    def _key_of(self, path: bytes) -> Key | None:
        return self._root.key if self._root is not None and path == b"/" else None

    def _forget(self) -> None:
        self._crew.close()
        self._heat.clear()
        self._left_out.clear()
        self._root = None

    def _note(self, path: bytes, found: Found, *, follow: bool) -> bool:
        """Remember what was read; whether that is news.

        Args:
            follow: child directories that were not known are to be polled at once.
        """
        now = boottime_us()
        self._bound_us = found.bound_us
        if not found.claims:
            return False
        first = found.claims[0]
        if not isinstance(first, Listing) or first.path != path:
            self._heat.drop(path)
            self._heat.hasten(path.rpartition(b"/")[0] or b"/", now)
            return True
        if first.reason in _KEPT_OUT:
            return False
        kids = [kid for kid in found.kids if not kid.left_out]
        changed = self._heat.listed(first, [k.name for k in kids], found.operations, now)
        if follow:
            for kid in kids:
                self._heat.add(below(path, kid.name), kid.key, now)
        shut = {*found.hidden, *(kid.name for kid in found.kids if kid.left_out)}
        if shut and len(self._left_out) < LEFT_OUT_MOST:
            self._left_out[path] = shut
        elif not shut:
            self._left_out.pop(path, None)
        self._news.set()
        return changed


def _unread(path: bytes, key: Key, origin: Origin, reason: str, code: int) -> Listing:
    """The listing of a directory that was not read, and why."""
    now = boottime_us()
    return Listing(
        dir=key,
        names=b"",
        rows=b"",
        stamp=Stamp(now, now + 1, now, "l" if key.birth else "k"),
        origin=origin,
        path=path,
        complete=False,
        reason=reason,
        errno=code,
    )


def _inside(path: bytes) -> bool:
    try:
        view_names(path)
    except ValueError:
        return False
    return True
