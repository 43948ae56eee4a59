"""Looking at once at what this host itself writes, as its kernel tells."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import anyio
import anyio.lowlevel
import msgspec

from fustor_core.claims import MOVED, Cell, Key, Origin, Owe, Root, edge_key, is_dir
from fustor_core.contracts import boottime_us
from fustor_core.errors import FustorError
from fustor_core.files.listing import reason_of
from fustor_core.files.rooted import RootVanished
from fustor_core.owing import owe
from fustor_source_nfs.crew import StorageHung
from fustor_source_nfs.frames import Deaf, Found, Glance, Read, Touch, Touched
from fustor_source_nfs.ground import Claims, Ground
from fustor_source_nfs.hearing import Ears, Heard
from fustor_source_nfs.heat import Place, below
from fustor_source_nfs.polling import Tell

NAMES_AT_ONCE = 2000
GATHER_S = 0.01  # one writer's events come in swarms: fewer, larger looks
ENTERED_MOST = 100_000


class Listening:
    """Hears what this host writes, and looks at it.

    Args:
        ears: of the ground. tell: takes claims.
    """

    def __init__(self, ground: Ground, ears: Ears, tell: Tell) -> None:
        self._ground = ground
        self._ears = ears
        self._tell = tell
        self._ordinal = boottime_us()  # grows over all watches of a line, whoever began them
        self._unarmed: deque[bytes] = deque([b"/"])
        self._news = anyio.Event()

    def __repr__(self) -> str:
        return f"<Listening with {self._ears!r}, {len(self._unarmed)} to arm>"

    def cover(self, paths: Sequence[bytes]) -> None:
        """Watch these directories too, and what is below them."""
        if len(self._unarmed) < ENTERED_MOST:
            self._unarmed.extend(paths)
        self._news.set()

    # ---- arming

    async def arm(self) -> None:
        """Watch what was not read, name by name, at the pace of polling; until cancelled.

        Who leads reads everything in any case, and watches it then; who follows does this alone.
        """
        while True:
            while self._unarmed:
                with suppress(FustorError, OSError):  # who polls, or looks after the root, says so
                    await self._arm(self._unarmed.popleft())
                await anyio.lowlevel.checkpoint()
            news = self._news = anyio.Event()
            await news.wait()

    async def _arm(self, path: bytes) -> None:
        ground = self._ground
        place = ground.heat.places.get(path)
        if place is not None and place.wd >= 0:
            self._unarmed.extend(below(path, name) for name in place.kids)
            return
        await anyio.sleep(ground.pace.wait_s(boottime_us()))
        await ground.prove()
        found = await ground.ask(Glance(path, ground.key_of(path)))
        ground.pace.spent(boottime_us(), found.operations, found.took_us)
        place = ground.met(path, found)
        if place is None:
            return
        folder, _, name = path.rpartition(b"/")
        above = ground.heat.places.get(folder or b"/")
        if above is not None and name:
            above.kids.add(name)
        for kid in found.kids:
            if not kid.left_out:
                ground.heat.seat(below(path, kid.name), kid.key)
                place.kids.add(kid.name)
                self._unarmed.append(below(path, kid.name))

    # ---- hearing

    async def hark(self) -> None:
        """Listen whenever there is something to hear, until cancelled."""
        while True:
            await anyio.wait_readable(self._ears.fd)
            await anyio.sleep(GATHER_S)
            self._ears.listen()

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            StorageHung, RootVanished: the root cannot be looked at any more.
        """
        while True:
            await self._ears.news.wait()  # who reads a directory listens, too
            heard = self._ears.take()
            if heard:
                await self._look(heard)
            if self._ears.left:
                left, self._ears.left = self._ears.left, set()
                await self._ground.ask(Deaf(sorted(left)))

    async def _look(self, heard: Heard) -> None:
        """Look at what was heard, and tell what is seen."""
        by_place: dict[Place, list[Touched]] = {}
        for (place, name), word in heard.names.items():
            self._ordinal += 1
            one = Touched(name, word.since_us, self._ordinal, word.flags, word.fresh)
            by_place.setdefault(place, []).append(one)
        if heard.lost and self._ground.root is not None:
            await self._tell([_lost(self._ground.root.key, b"/", "overflow", deep=True)])
        came = {at for at, word in heard.names.items() if word.came}
        missed = await self._told(by_place, came, heard.moves)
        if missed:  # what has moved is found where it is, now that this is known
            for place in await self._told(missed, came, []):
                await self._tell([_lost(place.key, place.path, "not_yet")])

    async def _told(
        self,
        by_place: dict[Place, list[Touched]],
        came: set[tuple[Place, bytes]],
        moves: list[tuple[Place, bytes, Place, bytes]],
    ) -> dict[Place, list[Touched]]:
        """Look, tell, and enter what is new; directories that are not where they were."""
        seen: dict[tuple[Place, bytes], Cell] = {}
        missed: dict[Place, list[Touched]] = {}
        owed: Claims = []
        for place, names in by_place.items():
            for begin in range(0, len(names), NAMES_AT_ONCE):
                some = names[begin : begin + NAMES_AT_ONCE]
                found = await self._touch(place, some, owed)
                if found.gone:
                    missed.setdefault(place, []).extend(some)
                for cell in found.claims:
                    if isinstance(cell, Cell):
                        seen[place, cell.name] = cell
        for move in moves:
            self._pair(seen, *move)
        entered = self._settle(seen, came)
        cells = sorted(seen.values(), key=lambda cell: cell.stamp.at)
        if cells or owed:
            await self._tell([*cells, *owed])
        for path, key, polled in entered:
            await self._enter(path, key, polled=polled)
        return missed

    async def _touch(self, place: Place, names: list[Touched], owed: Claims) -> Found:
        """Look at names of one directory; what cannot be seen is owed."""
        path, key = place.path, place.key
        try:
            found = await self._ground.ask(Touch(path, key, names))
        except StorageHung:
            self._ground.heat.failed(path, boottime_us())
            await self._ground.identity()
            owed.append(_lost(key, path, "hung", code=errno.ETIMEDOUT))
            return Found()
        except RootVanished:
            raise
        except OSError as err:
            found = Found(code=err.errno or errno.EIO)
        if found.code:
            owed.append(_lost(key, path, reason_of(found.code), code=found.code))
        return found

    def _settle(
        self, seen: dict[tuple[Place, bytes], Cell], came: set[tuple[Place, bytes]]
    ) -> list[tuple[bytes, Key, bool]]:
        """Put what is known right; new directories, and whether they are to be polled."""
        heat, entered = self._ground.heat, []
        cells = [(below(place.path, name), place, cell) for (place, name), cell in seen.items()]
        named = [one for one in cells if one[2].name and heat.places.get(one[1].path) is one[1]]
        folders = {path: edge_key(c.value) for path, _, c in named if c.value and is_dir(c.value)}
        before = {p.key: path for path, _, _ in named if (p := heat.places.get(path)) is not None}
        for path, place, cell in named:
            key = folders.get(path)
            there = heat.places.get(path)
            known = there is not None and there.key == key
            new = (place, cell.name) in came and there is not None and not there.listed
            if key is None or (known and not new):  # a watch alone tells nobody what is in it
                continue
            old = before.get(key)
            if old is not None and old in heat.places and folders.get(old) != key:
                heat.move(old, path)
            else:
                entered.append((path, key, place.polled))
            place.kids.add(cell.name)
        for path, place, cell in named:
            if path not in folders and heat.places.get(place.path) is place:
                heat.drop(path)
                place.kids.discard(cell.name)
        return entered

    def _pair(
        self, seen: dict[tuple[Place, bytes], Cell], old: Place, was: bytes, new: Place, name: bytes
    ) -> None:
        """Mark both halves of a move whose target is seen to be the very directory that left."""
        gone, came = seen.get((old, was)), seen.get((new, name))
        if gone is None or came is None or came.value is None or gone.value is not None:
            return
        known = self._ground.heat.places.get(below(old.path, was))
        if known is not None and is_dir(came.value) and edge_key(came.value) == known.key:
            seen[old, was] = msgspec.structs.replace(gone, flags=MOVED)
            seen[new, name] = msgspec.structs.replace(came, flags=MOVED)

    async def _enter(self, path: bytes, key: Key, *, polled: bool) -> None:
        """List a new directory and what is below it, past the caches."""
        stack: list[tuple[bytes, Key]] = [(path, key)]
        while stack:
            path, key = stack.pop()
            try:
                found = await self._ground.ask(Read(path, Origin.REALTIME, key, fresh=True))
            except StorageHung:
                await self._tell([_lost(key, path, "hung", deep=True, code=errno.ETIMEDOUT)])
                await self._ground.identity()
                continue
            except RootVanished:
                raise
            except OSError as err:
                code = err.errno or errno.EIO
                await self._tell([_lost(key, path, reason_of(code), deep=True, code=code)])
                continue
            self._ground.note(path, found, polled=polled, follow=False)
            await self._tell([claim for claim in found.claims if not isinstance(claim, Root)])
            stack += [(below(path, kid.name), kid.key) for kid in found.kids if not kid.left_out]


def _lost(key: Key, path: bytes, reason: str, *, deep: bool = False, code: int = 0) -> Owe:
    """Evidence about a directory was lost, up to now."""
    return owe(key, path, reason, boottime_us() + 1, deep=deep, code=code)
