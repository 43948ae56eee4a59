"""What the simulated source does with one directory and with single names (arbitration.md §2, §9).

The stamps are those of the real readers (`fustor_core.files.listing`, `looking`): a cached answer
begins one cache bound before the look; names looked at by the watch meanwhile are weak; a listing
with an error, or of a directory that changed meanwhile, proves no absence.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field

from fustor_core.claims import (
    Cell,
    Key,
    Listing,
    Origin,
    Row,
    Same,
    Silence,
    Stamp,
    is_dir,
    unpack_row,
)
from fustor_core.contracts import Scope, view_names
from fustor_core.files.listing import GONE, kind_of, reason_of
from fustor_core.testing.sim.host import Machine
from fustor_core.testing.sim.mount import Mount
from fustor_core.testing.sim.storage import Inode

HALVES = 3
"""A directory with at least so many names may be read in two parts."""


@dataclass(eq=False, slots=True)
class Entry:
    """A directory that the source knows: its place in the registry.

    Attributes:
        above, name: where it was last seen. reading: names that the watch looked at while it is
            read, None while nobody reads. listed: it was read. watched: a watch stands on it.
    """

    inode: Inode
    above: Entry | None
    name: bytes
    reading: set[bytes] | None = None
    listed: bool = False
    watched: bool = False
    gone: bool = False


@dataclass(slots=True)
class Reading:
    """A directory as read: the claim and its child directories."""

    claim: Listing | Same
    kids: list[tuple[bytes, Key]] = field(default_factory=list)
    rows: dict[bytes, bytes] = field(default_factory=dict)


class Eyes:
    """Reads directories and names of one mount.

    Args:
        granularity_us: changes this close may carry one ctime.
        slow_s: how long half a directory takes, drawn below this; 0 = no time.
    """

    def __init__(
        self, machine: Machine, mount: Mount, *, granularity_us: int, slow_s: float, births: bool
    ) -> None:
        self.machine, self.mount = machine, mount
        self.granularity_us, self.slow_s, self.births = granularity_us, slow_s, births
        self.claimed_bound_us = mount.bound_us
        self._ahead_us: int | None = None

    def __repr__(self) -> str:
        return f"<Eyes {self.mount!r}>"

    def begun(self) -> None:
        """A new process looks: it knows nothing of the storage's clock."""
        self._ahead_us = None

    def now_us(self) -> int:
        """The raw clock."""
        return self.machine.raw_us()

    def true_us(self) -> int:
        """True time, which only the storage knows."""
        return self.machine.clock.now_us

    async def answers(self) -> None:
        """Wait until this process runs and its storage answers."""
        await self.mount.answers()
        await self.machine.gate()

    def sight(self, folder: Inode, name: bytes, *, fresh: bool = False) -> bytes | None:
        """The value of a name; None when nothing is there.

        Raises:
            OSError: it cannot be said.
        """
        try:
            found = self.mount.lookup(folder, name, self.true_us(), fresh=fresh)
        except OSError as error:
            if error.errno == errno.ESTALE and not fresh:
                return self.sight(folder, name, fresh=True)
            if error.errno in GONE:
                return None
            raise
        return found[1].value if found is not None else None

    def child(self, folder: Inode, name: bytes) -> Inode | None:
        """The directory at a name, opened; None when there is none."""
        try:
            found = self.mount.lookup(folder, name, self.true_us())
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            found = self.mount.lookup(folder, name, self.true_us(), fresh=True)
        return found[0] if found is not None and found[0].folder else None

    def resolve(self, path: bytes) -> tuple[Inode, bytes, Inode | None] | None:
        """(directory, last name, what was opened there) of a view path, b"" for the root itself."""
        at = self.mount.root
        if at is None:
            return None
        names = view_names(path)
        if not names:
            return at, b"", at
        for name in names[:-1]:
            below = self.child(at, name)
            if below is None:
                return None
            at = below
        return at, names[-1], self.child(at, names[-1])

    async def read(
        self,
        folder: Inode,
        path: bytes,
        origin: Origin,
        via: tuple[Key, bytes] | None,
        entry: Entry | None,
    ) -> Reading:
        """One directory from beginning to end."""
        rows: dict[bytes, bytes] = {}
        after: Row | None = None
        code, since_ns = 0, -1
        if entry is not None:
            entry.reading = set()
        wall_ns, start = self.machine.wall_ns(), self.now_us()
        try:
            since_ns = self._own(folder).ctime_ns
            rows, code = await self._entries(folder)
            after = self._own(folder)
        except OSError as error:
            code = error.errno or errno.EIO
        weak: tuple[bytes, ...] = ()
        if entry is not None:
            weak, entry.reading = tuple(sorted(entry.reading or ())), None
        end = self.now_us() + 1
        changed = not code and (after is None or after.ctime_ns != since_ns)
        whole = not code and not changed
        names = sorted(rows)
        claim = Listing(
            dir=folder.key,
            names=b"\0".join(names),
            rows=b"".join(rows[name] for name in names),
            stamp=Stamp(start - self.claimed_bound_us, end, start, kind_of(folder.key)),
            origin=origin,
            path=path,
            own=after.pack() if after is not None else None,
            weak=weak,
            complete=whole,
            reason="" if whole else "not_yet" if changed else reason_of(code),
            errno=code,
            silence=self._silence(after, wall_ns, start) if whole and after is not None else None,
            via=via,
        )
        return Reading(claim, _kids(rows), rows)

    async def _entries(self, folder: Inode) -> tuple[dict[bytes, bytes], int]:
        """Rows by name, and the errno of an entry that could not be had."""
        names = sorted(self.mount.names(folder, self.true_us()))
        rest: list[bytes] = []
        if self.slow_s and len(names) >= HALVES:
            names, middle = names[: len(names) // 2], names[len(names) // 2]
            rows, code = self._rows(folder, names)
            await self.machine.sleep(self.machine.rng.uniform(0, self.slow_s))
            rest = [n for n in sorted(self.mount.names(folder, self.true_us())) if n >= middle]
            more, other = self._rows(folder, rest)
            return {**rows, **more}, code or other
        if self.slow_s:
            await self.machine.sleep(self.machine.rng.uniform(0, self.slow_s))
        return self._rows(folder, names)

    def _rows(self, folder: Inode, names: Sequence[bytes]) -> tuple[dict[bytes, bytes], int]:
        rows: dict[bytes, bytes] = {}
        code = 0
        for name in names:
            try:
                value = self.sight(folder, name)
            except OSError as error:
                code = code or error.errno or errno.EIO
                continue
            if value is not None:
                rows[name] = value
        return rows, code

    def _own(self, folder: Inode) -> Row:
        return unpack_row(self.mount.attributes(folder, self.true_us()).own)

    def _silence(self, own: Row, wall_ns: int, at_us: int) -> Silence | None:
        """None also when the storage's own clock may not be past its time: see `RootProof.past`."""
        ahead_us = own.ctime_ns // 1000 - at_us
        self._ahead_us = max(ahead_us, self._ahead_us if self._ahead_us is not None else ahead_us)
        racy = self._ahead_us - ahead_us <= self.granularity_us
        if racy or wall_ns - own.ctime_ns <= self.granularity_us * 1000:
            return None
        return Silence(own.ctime_ns, own.mtime_ns, own.ino, own.nlink)

    def unchanged(self, folder: Inode, path: bytes, scope: Scope) -> Reading | None:
        """`Same` for a directory that is as it was sent last, as the tier asks; else None."""
        recall = scope.recall
        if recall is None or scope.whole(folder.key):
            return None
        start = self.now_us()
        try:
            own = self._own(folder)
            silence = Silence(own.ctime_ns, own.mtime_ns, own.ino, own.nlink)
            leaf = recall.silent(folder.key, silence)
            if leaf is None:
                return None
            held = self.mount.names(folder, self.true_us())
        except OSError:
            return None
        if scope.tier == "names":
            inos = sum(kid.ino for kid in held.values())
            if not recall.holds(folder.key, b"\0".join(sorted(held)), inos):
                return None
        stamp = Stamp(start - self.claimed_bound_us, self.now_us() + 1, start, kind_of(folder.key))
        claim = Same(dir=folder.key, silence=silence, stamp=stamp, origin=scope.origin, path=path)
        return Reading(claim, [(n, held[n].key) for n in sorted(held) if held[n].folder])

    def unread(self, folder: Inode, path: bytes, origin: Origin, code: int) -> Listing:
        """The listing of a directory that could not be opened, and why."""
        now = self.now_us()
        return Listing(
            dir=folder.key,
            names=b"",
            rows=b"",
            stamp=Stamp(now - self.claimed_bound_us, now + 1, now, kind_of(folder.key)),
            origin=origin,
            path=path,
            complete=False,
            reason=reason_of(code),
            errno=code,
        )

    def edge(self, folder: Inode, path: bytes, name: bytes, origin: Origin) -> list[Cell]:
        """One name as a stat; nothing when it cannot be had."""
        f = self.now_us() - self.claimed_bound_us
        try:
            value = self.sight(folder, name)
        except OSError:
            return []
        stamp = Stamp(f, self.now_us() + 1, 0, "s")
        return [Cell(dir=folder.key, name=name, value=value, stamp=stamp, origin=origin, path=path)]

    def look(self, paths: Sequence[bytes], origin: Origin) -> list[Cell]:
        """The sentinel's look: every edge on the way, revalidated."""
        cells: list[Cell] = []
        seen: set[bytes] = set()
        for path in paths:
            at, above = self.mount.root, b""
            names = view_names(path)
            for name in names:
                if at is None:
                    break
                f = self.now_us()
                try:
                    value = self.sight(at, name, fresh=True)
                except OSError:
                    break
                if above + b"/" + name not in seen:
                    seen.add(above + b"/" + name)
                    stamp = Stamp(f, self.now_us() + 1, 0, "s")
                    cells.append(_cell(at, name, value, stamp, origin, above or b"/"))
                if value is None or not is_dir(value):
                    break
                at, above = self.child(at, name), above + b"/" + name
            else:  # the end of the path was reached, and it is a directory
                if at is not None and above + b"/" not in seen:
                    seen.add(above + b"/")
                    cells += self._own_look(at, origin, above or b"/")
        return cells

    def _own_look(self, folder: Inode, origin: Origin, path: bytes) -> list[Cell]:
        """The own attributes of a directory, revalidated; nothing when they cannot be had."""
        f = self.now_us()
        try:
            own = self.mount.attributes(folder, self.true_us(), fresh=True).own
        except OSError:
            return []
        return [_cell(folder, b"", own, Stamp(f, f + 1, 0, "s"), origin, path)]


def _kids(rows: dict[bytes, bytes]) -> list[tuple[bytes, Key]]:
    from fustor_core.claims import edge_key

    return [(name, edge_key(row)) for name, row in sorted(rows.items()) if is_dir(row)]


def _cell(
    folder: Inode, name: bytes, value: bytes | None, stamp: Stamp, origin: Origin, path: bytes
) -> Cell:
    return Cell(dir=folder.key, name=name, value=value, stamp=stamp, origin=origin, path=path)
