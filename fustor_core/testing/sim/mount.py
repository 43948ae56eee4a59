"""What one host sees of the storage: through caches, or not; the right one, or not."""

from __future__ import annotations

import errno
from random import Random
from typing import NamedTuple

import anyio

from fustor_core.testing.sim.storage import Inode, Storage


class Attributes(NamedTuple):
    """Of one inode, as answered at one instant."""

    at_us: int
    change: int
    value: bytes  # of a register that shows it
    own: bytes  # its full row
    until_us: int


class Names(NamedTuple):
    """Of one directory, as answered at one instant."""

    change: int
    kids: dict[bytes, Inode]


class Mount:
    """One host's way to the storage.

    A client looks names up anew when the directory's change attribute moved, and then asks for the
    attributes of what stands there too; so what it shows of one name was true at one instant.

    Args:
        bound_us: no answer is older, true time; 0 = no caches.

    Attributes:
        root: what stands at the mount's path; None = nothing.
        identity: of that. errors: errno by inode, of what cannot be read.
    """

    def __init__(self, storage: Storage, bound_us: int, rng: Random, identity: str) -> None:
        self.storage, self.bound_us, self._rng = storage, bound_us, rng
        self.root: Inode | None = storage.root
        self.identity = self.own_identity = identity
        self.errors: dict[int, int] = {}
        self._attributes: dict[int, Attributes] = {}
        self._names: dict[int, Names] = {}
        self.stale = self._hangs = 0
        self._answers = anyio.Event()

    def __repr__(self) -> str:
        return f"<Mount {self.identity} bound {self.bound_us} µs>"

    def hang(self) -> None:
        """Nothing answers any more."""
        self._hangs += 1

    @property
    def hangs(self) -> bool:
        """Whether nothing answers."""
        return self._hangs > 0

    def answer(self) -> None:
        """It answers again."""
        self._hangs -= 1
        self._answers.set()
        self._answers = anyio.Event()

    async def answers(self) -> None:
        """Wait until it does."""
        while self._hangs:
            await self._answers.wait()

    def forget(self) -> None:
        """Mounted anew: nothing is remembered."""
        self._attributes.clear()
        self._names.clear()

    def written(self, inode: Inode) -> None:
        """This host has changed it: its own caches know."""
        self._attributes.pop(inode.uid, None)

    def attributes(self, inode: Inode, now_us: int, *, fresh: bool = False) -> Attributes:
        """Attributes of an open inode.

        Raises:
            OSError: ESTALE, it exists no more; or as `errors` says.
        """
        code = self.errors.get(inode.uid)
        if code:
            raise OSError(code, "planted")
        held = self._attributes.get(inode.uid)
        if held is not None and not fresh and now_us <= held.until_us:
            if held.change != inode.change:
                self.stale += 1
            return held
        if not (inode.names or inode.top) and self.bound_us:
            raise OSError(errno.ESTALE, "gone")
        until = now_us - 1
        if self.bound_us:
            until = now_us + self._rng.randrange(self.bound_us)
        held = Attributes(now_us, inode.change, inode.value, inode.own, until)
        if self.bound_us:
            self._attributes[inode.uid] = held
        return held

    def names(self, folder: Inode, now_us: int, *, fresh: bool = False) -> dict[bytes, Inode]:
        """Names in an open directory.

        Raises:
            OSError: as `attributes`.
        """
        if not self.bound_us:
            self.attributes(folder, now_us)
            return dict(folder.kids or {})
        change = self.attributes(folder, now_us, fresh=fresh).change
        held = self._names.get(folder.uid)
        if held is None or held.change != change:
            self.attributes(folder, now_us, fresh=True)
            held = self._names[folder.uid] = Names(folder.change, dict(folder.kids or {}))
            for kid in held.kids.values():
                if not kid.folder:
                    self._attributes.pop(kid.uid, None)
        return held.kids

    def lookup(
        self, folder: Inode, name: bytes, now_us: int, *, fresh: bool = False
    ) -> tuple[Inode, Attributes] | None:
        """What stands at a name; None = nothing.

        Raises:
            OSError: as `attributes`, of the directory; or what is there cannot be looked at.
        """
        if not self.bound_us:
            if folder.uid in self.errors:
                self.attributes(folder, now_us)
            kid = (folder.kids or {}).get(name)
            return (kid, self.attributes(kid, now_us)) if kid is not None else None
        kid = self.names(folder, now_us, fresh=fresh).get(name)
        if kid is None:
            return None
        held, above = self._attributes.get(kid.uid), self._attributes[folder.uid]
        if fresh or held is None or now_us > held.until_us or held.at_us > above.at_us:
            kid = self.names(folder, now_us, fresh=True).get(name)  # both of one instant
            if kid is None:
                return None
            return kid, self.attributes(kid, now_us, fresh=True)
        return kid, self.attributes(kid, now_us)
