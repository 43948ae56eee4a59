"""One scan: directory after directory, parents first; in a cheap audit, what changed alone."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

import anyio
import msgspec

from fustor_core.claims import Cell, Key, Listing, Origin, Root, Same
from fustor_core.contracts import Scope, boottime_us, leads_to, walk_order
from fustor_core.files.listing import kind_of
from fustor_source_nfs.crew import StorageHung
from fustor_source_nfs.frames import Child, Found, Glance, Read, Stats
from fustor_source_nfs.ground import WHOLE, Ground, unread
from fustor_source_nfs.heat import below

HANGS_MOST = 3  # directories of one scan that may hang while the root answers
STATS_AT_ONCE = 500
_PAST_CACHES = (Origin.SENTINEL, Origin.ON_DEMAND)  # what is owed cannot be paid with old answers

ScanClaim = Listing | Same | Cell


class Scan:
    """One scan.

    Args:
        ground: of the source. scope: what is wanted.
    """

    def __init__(self, ground: Ground, scope: Scope) -> None:
        self._ground = ground
        self._scope = scope
        self._stack: list[tuple[bytes, Key | None, Same | None]] = []
        self._hangs = 0

    def __repr__(self) -> str:
        return f"<Scan of {self._scope.path!r}, {len(self._stack)} to do>"

    async def run(self) -> AsyncIterator[ScanClaim]:
        """Its claims.

        Raises:
            StorageHung: the root does not answer, or too many directories.
            RootVanished: the root is not there, or another one.
        """
        ground, scope = self._ground, self._scope
        await ground.prove()
        self._stack.append((scope.path, None, None))
        while self._stack:
            path, key, same = self._stack.pop()
            if same is not None:
                yield same
                continue
            known = key or ground.key_of(path)
            try:
                claims = await self._passed_by(path, known)
                if claims is None:
                    claims = await self._silent(path, known)
                if claims is None:
                    claims = await self._read(path, key)
            except StorageHung:
                if known is not None:
                    yield unread(path, known, scope.origin, "hung", errno.ETIMEDOUT)
                await self._hung(path, known)
                continue
            except OSError as err:
                if known is not None:
                    code = err.errno or errno.EIO
                    yield unread(path, known, scope.origin, "io_error", code)
                continue
            for claim in claims:
                yield claim

    async def _read(self, path: bytes, key: Key | None) -> list[ScanClaim]:
        ground, scope = self._ground, self._scope
        fresh = path == scope.path and scope.origin in _PAST_CACHES
        found = await ground.ask(Read(path, scope.origin, key, fresh))
        place = ground.heat.places.get(path)
        polled = scope.origin in WHOLE or (place is not None and place.polled)
        ground.note(path, found, polled=polled, follow=polled and not scope.recursive)
        await self._pause(found)
        if scope.recursive:
            self._push(path, found.kids)
        return [claim for claim in found.claims if not isinstance(claim, Root)]

    async def _passed_by(self, path: bytes, key: Key | None) -> list[ScanClaim] | None:
        """Nothing, for a directory on the way to where this scan goes on; None = it is behind."""
        after = self._scope.after
        if not after or walk_order(path) > walk_order(after):
            return None
        found = await self._ground.ask(Glance(path, key))
        place = self._ground.met(path, found)
        await self._pause(found)
        if place is None:
            return None  # it is another one by now: told of all the same
        self._push(path, found.kids)
        return []

    async def _silent(self, path: bytes, key: Key | None) -> list[ScanClaim] | None:
        """What a cheap audit says of a directory that is as it was sent last; None = read it."""
        ground, scope = self._ground, self._scope
        recall = scope.recall
        if recall is None or key is None or scope.whole(key):
            return None
        place = ground.heat.places.get(path)
        every = scope.tier == "names"
        folders = place is None or place.key != key or ground.has_folders(place)
        found = await ground.ask(Glance(path, key, folders, every))
        if place is not None and place.key == key:
            ground.watch_of(place, found)
        await self._pause(found)
        if found.silence is None or found.stamp is None:
            return None
        leaf = recall.silent(key, found.silence)
        if leaf is None or not (leaf or folders):
            return None
        if every and not recall.holds(key, found.names, int.from_bytes(found.inos, "little")):
            return None
        same = Same(
            dir=key, silence=found.silence, stamp=found.stamp, origin=scope.origin, path=path
        )
        if scope.recursive:
            cheapest = scope.tier == "directories"
            quiet = await self._leaves(path, key, found.kids) if cheapest else {}
            self._push(path, found.kids, quiet)
        return [same]

    async def _leaves(self, path: bytes, key: Key, kids: list[Child]) -> dict[bytes, Same]:
        """Child directories without directories that are as they were sent last, not opened."""
        ground, scope = self._ground, self._scope
        keys = {kid.name: kid.key for kid in kids if self._is_leaf(path, kid)}
        names = list(keys)
        quiet: dict[bytes, Same] = {}
        for begin in range(0, len(names), STATS_AT_ONCE):
            some = names[begin : begin + STATS_AT_ONCE]
            found = await ground.ask(Stats(path, key, some))
            await self._pause(found)
            if found.stamp is None or scope.recall is None:
                break
            for name, ino, silence in ((g.name, g.ino, g.silence) for g in found.glimpses):
                kid = keys[name]
                if ino == kid.ino and scope.recall.silent(kid, silence):
                    stamp = msgspec.structs.replace(found.stamp, kind=kind_of(kid))
                    where = below(path, name)
                    quiet[name] = Same(
                        dir=kid, silence=silence, stamp=stamp, origin=scope.origin, path=where
                    )
        return quiet

    def _is_leaf(self, path: bytes, kid: Child) -> bool:
        """Whether there were no directories in it, and it has its watch where it needs one."""
        place = self._ground.heat.places.get(below(path, kid.name))
        if kid.left_out or place is None or place.key != kid.key or self._scope.whole(kid.key):
            return False
        if self._ground.has_folders(place):
            return False
        return self._ground.ears is None or place.wd >= 0

    def _push(
        self, path: bytes, kids: list[Child], quiet: Mapping[bytes, Same] = MappingProxyType({})
    ) -> None:
        """Child directories come next, in order, those behind which this scan goes on apart."""
        after = self._scope.after
        wanted = [(below(path, k.name), k.key, quiet.get(k.name)) for k in kids if not k.left_out]
        if after:
            last = walk_order(after)
            wanted = [one for one in wanted if walk_order(one[0]) > last or leads_to(one[0], after)]
        self._stack += reversed(wanted)

    async def _pause(self, found: Found) -> None:
        await anyio.sleep(self._scope.pace(found.operations, found.took_us / 1e6))

    async def _hung(self, path: bytes, key: Key | None) -> None:
        """A directory hangs: go on without it, if the root answers.

        Raises:
            StorageHung: it does not, or too many hang.
        """
        self._hangs += 1
        if key is None or path == b"/" or self._hangs >= HANGS_MOST:
            raise StorageHung(
                f"the storage at {self._ground.config.root!r} hangs",
                remedy="see why the server does not answer; it is tried again by itself",
            )
        if self._scope.origin in WHOLE:
            self._ground.heat.add(path, key, boottime_us())
        self._ground.heat.failed(path, boottime_us())
        await self._ground.identity()
