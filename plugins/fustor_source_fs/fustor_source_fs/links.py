"""Hard links: a change by one name changes the row of every other name, and no event says so.

The kernel tells the directory of the name that was used, nobody else. So the names with more than
one link are kept by inode; when a look at one of them shows another row than was last seen, the
others are looked at too. Of every directory it is kept which inode numbers it may have (inodes.py):
enough to find the first name of a file that just got its second one.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping

from fustor_core.claims import ROW, ROW_BYTES, Listing, Origin, split_names
from fustor_source_fs.inodes import Wanted, column, packed
from fustor_source_fs.tree import Node

NAMES_MAX = 200_000
WANTED_MAX = 200_000
SEARCHED_AT_ONCE = 5_000
RECHECK_US = 1_000_000
_SLACK_BYTES = 4096
_WHOLE = frozenset({Origin.SNAPSHOT, Origin.AUDIT})  # the other names are met in the same scan

_NONE: Mapping[bytes, int] = {}
Inode = tuple[int, int]  # first part of the directory's key, inode number
Place = tuple[Node, bytes]


class File:
    """A file with several links: where it was met, and what was last seen of it."""

    __slots__ = ("left", "places", "seen", "tried")

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self.seen = b""  # the row, the same for all names
        self.left = 0  # names that it had when it was last seen, without those that went since
        self.tried = False  # all was tried for its names, and none has come since

    @property
    def nlink(self) -> int:
        """How many names the file had when it was last seen."""
        return int.from_bytes(self.seen[44:48], "little")


class Links:
    """Which names share an inode. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[Inode, File] = {}
        self._wanted: dict[Inode, int] = {}  # not all names known; raw instant of the next search
        self._linked: dict[Node, dict[bytes, int]] = {}  # names with more than one link → inode
        self._met: set[Inode] = set()  # the same, found by a scan that still goes on
        self._searched: dict[Inode, int] = {}  # link count at which all was tried
        self._doubtful: set[Place] = set()
        self._grown: dict[Node, bytearray] = {}  # inode numbers that came since a listing
        self._count = 0

    def listed(self, node: Node, listing: Listing) -> None:
        """A directory was read: its rows are what is there now."""
        rows = listing.rows
        columns = memoryview(rows).cast("I") if rows else memoryview(b"")
        inos, counts = packed(columns[6::12].tobytes()), columns[11::12].tobytes()
        if self._grown:
            self._grown.pop(node, None)
        linked = bool(counts.strip(b"\0\1") or counts[1::4].strip(b"\0"))
        if not linked and node not in self._linked:
            node.inos = inos
            return
        with self._lock:
            node.inos = inos
            later = listing.origin in _WHOLE
            before = dict(self._linked.get(node, _NONE))
            for at, name in enumerate(split_names(listing.names)):
                row = rows[at * ROW_BYTES : (at + 1) * ROW_BYTES]
                _, _, _, ino, _, _, _, nlink = ROW.unpack(row)
                if nlink > 1:
                    before.pop(name, None)
                    self._meet(node, name, ino, row, later=later)
                elif before.get(name) == ino:
                    del before[name]
                    self._forget(node, name, alone=True)
            for name in before if listing.complete else ():
                self._forget(node, name)

    def saw(self, node: Node, name: bytes, row: bytes | None, *, new: bool = False) -> None:
        """A name was looked at; what that puts in doubt is kept for `doubtful`.

        Args:
            row: what was seen, None when no file is there.
            new: the name is new in this directory.
        """
        ino = nlink = 0
        if row is not None:
            _, _, _, ino, _, _, _, nlink = ROW.unpack(row)
        with self._lock:
            before = self._linked.get(node, _NONE).get(name)
            if before is not None and (before != ino or nlink < 2):
                self._forget(node, name, alone=before == ino)
            if new and nlink:
                self._grown.setdefault(node, bytearray()).extend(column((ino,)))
            if row is not None and nlink > 1:
                self._meet(node, name, ino, row, later=False)

    @property
    def size_bytes(self) -> int:
        """What inode numbers take that came since their directories were listed."""
        return sum(map(len, list(self._grown.values())))

    def names(self, node: Node) -> Collection[bytes]:
        """Names in a directory that are known to have more than one link."""
        return self._linked.get(node, ())

    def doubtful(self) -> set[Place]:
        """Names whose rows may have changed by another name; each is said once."""
        if not self._doubtful:
            return set()
        with self._lock:
            places, self._doubtful = self._doubtful, set()
        return {place for place in places if not place[0].gone}

    def news(self, node: Node, row: bytes) -> bool:
        """Whether a row shows a file otherwise than it was last seen."""
        _, _, _, ino, _, _, _, _ = ROW.unpack(row)
        with self._lock:
            file = self._files.get((node.key.dev, ino))
            return file is None or file.seen != row

    def scan_over(self, now_us: int) -> None:
        """A scan is over: what it met without all its other names has them elsewhere."""
        with self._lock:
            met, self._met = self._met, set()
            for inode in met:
                file = self._files.get(inode)
                if file is not None:
                    self._want(inode, file, now_us)

    def due_us(self) -> int | None:
        """Raw instant of the next search, None when none is due."""
        with self._lock:
            return min(self._wanted.values()) if self._wanted else None

    def search(
        self, nodes: Iterable[Node], now_us: int
    ) -> tuple[list[tuple[Node, set[int]]], set[Place]]:
        """Where the missing names may be.

        Returns:
            Directories with the wanted inodes that may have names there, and names of those
            inodes that are known, to be looked at again: a link may have gone unseen.
        """
        places: set[Place] = set()
        inos: set[int] = set()
        with self._lock:
            due = [i for i, at in self._wanted.items() if at <= now_us][:SEARCHED_AT_ONCE]
            for inode in due:
                first = not self._wanted.pop(inode)
                file = self._files.get(inode)
                if first:  # a name may be gone that counts, or a directory that moves be missed
                    self._wanted[inode] = now_us + RECHECK_US
                if file is not None and len(file.places) >= file.nlink:
                    continue
                inos.add(inode[1])
                if file is not None:
                    places |= file.places
                if file is not None and not first:
                    if len(self._searched) > WANTED_MAX:
                        self._searched.clear()
                    self._searched[inode] = file.nlink
        found, wanted = [], Wanted(inos)
        for node in nodes if wanted else ():
            here = wanted.within(node.inos, bytes(self._grown.get(node, b"")))
            if here:
                found.append((node, here))
        return found, places

    def crowded(self, node: Node) -> bool:
        """Whether so many new names came that the inode numbers should be read afresh."""
        return len(self._grown.get(node, b"")) > len(node.inos) + _SLACK_BYTES

    def refresh(self, node: Node, inos: Iterable[int]) -> None:
        """The inode numbers of a directory, read afresh."""
        node.inos = packed(column(inos))
        self._grown.pop(node, None)

    def dropped(self, nodes: Iterable[Node]) -> None:
        """These directories left the registry; other names of their files are put in doubt."""
        with self._lock:
            for node in nodes:
                for name in list(self._linked.get(node, ())):
                    self._forget(node, name)
                node.inos = b""
                self._grown.pop(node, None)

    def _meet(self, node: Node, name: bytes, ino: int, row: bytes, *, later: bool) -> None:
        if node.gone or (self._count >= NAMES_MAX and name not in self.names(node)):
            return
        if self._linked.get(node, _NONE).get(name, ino) != ino:
            self._forget(node, name)
        linked = self._linked.setdefault(node, {})
        inode = (node.key.dev, ino)
        file = self._files.setdefault(inode, File())
        if name not in linked:
            linked[name] = ino
            file.places.add((node, name))
            self._count += 1
        if file.seen != row:
            if file.seen:
                self._doubtful |= file.places - {(node, name)}
            file.seen, file.tried = row, False
        file.left = file.nlink
        if not later:
            self._want(inode, file, 0)
        elif len(file.places) < file.nlink and len(self._met) < WANTED_MAX:
            self._met.add(inode)

    def _want(self, inode: Inode, file: File, at_us: int) -> None:
        missing = len(file.places) < file.nlink
        tried = self._searched.get(inode) == file.nlink
        if missing and not tried and len(self._wanted) < WANTED_MAX:
            self._wanted.setdefault(inode, at_us)

    def _forget(self, node: Node, name: bytes, *, alone: bool = False) -> None:
        """Take one name out; the names that are left of that inode are in doubt.

        Args:
            alone: the name is still there, and the only one.
        """
        linked = self._linked.get(node, {})
        if name not in linked:
            return
        inode = (node.key.dev, linked.pop(name))
        if not linked:
            del self._linked[node]
        self._count -= 1
        file = self._files.get(inode)
        if file is None:
            return
        file.places.discard((node, name))
        file.left = 0 if alone else file.left - 1
        file.tried = file.tried or self._searched.pop(inode, 0) == file.nlink
        self._doubtful |= file.places
        if alone:
            self._wanted.pop(inode, None)
        if not file.places:
            del self._files[inode]
            # A name that nobody met yet shows what was done by this one, and nobody else tells.
            if file.left > 0 and not file.tried and len(self._wanted) < WANTED_MAX:
                self._wanted.setdefault(inode, 0)

    def __repr__(self) -> str:
        return f"Links(names={self._count}, wanted={len(self._wanted)})"
