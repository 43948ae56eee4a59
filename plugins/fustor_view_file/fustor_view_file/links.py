"""Names that share an inode: a change seen through one name makes the others stale.

The kernel tells of a write, chmod, link or unlink only under the name that was used. Rows with more
than one link are indexed by inode, so that the directories of the other names are owed a listing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fustor_core.claims import ROW_BYTES, Key, Row, is_dir, split_names, unpack_row
from fustor_core.contracts import Write
from fustor_core.registers import NO_LINE, Seen
from fustor_view_file.directory import Directory
from fustor_view_file.tree import Tree

Place = tuple[Key, bytes]
_ONCE = (1).to_bytes(4, "little")  # the last column of a row: how many links


class HardLinks:
    """Inode → the names in this view whose row says that it has more than one link.

    Attributes:
        wanted: inodes with more links than names known; `search` finds the missing ones, once.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._places: dict[int, set[Place]] = {}
        self._searched: dict[int, int] = {}  # inode → for how many links it was searched
        self.wanted: set[int] = set()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, ino: int, place: Place, links: int) -> None:
        """A row with more than one link stands here."""
        places = self._places.setdefault(ino, set())
        places.add(place)
        stale = [p for p in places if p != place and not self._stands(ino, p)]
        if stale:
            places.difference_update(stale)
            self._searched.pop(ino, None)
        if len(places) < links and self._searched.get(ino) != links:
            self._searched[ino] = links  # once: those that are not found lie outside
            self.wanted.add(ino)
        elif len(places) >= links:
            self.wanted.discard(ino)

    def _stands(self, ino: int, place: Place) -> bool:
        """Whether a name is still seen, with that inode: inodes are used again."""
        directory = self._tree.dirs.get(place[0])
        if directory is None or not self._tree.visible(directory):
            return False
        row = _file(directory.pack.get(place[1]))
        return row is not None and row.ino == ino

    def want(self, ino: int) -> None:
        """Other names of this inode are to be found, should none be known."""
        if ino not in self._places:
            self.wanted.add(ino)

    def drop(self, ino: int, place: Place) -> None:
        """The name no longer has that inode, or the inode no other link."""
        places = self._places.get(ino)
        if places is None:
            return
        places.discard(place)
        if not places:
            del self._places[ino]
            self._searched.pop(ino, None)
            self.wanted.discard(ino)

    def others(self, ino: int, place: Place) -> list[Place]:
        """The other names of the inode."""
        return sorted(self._places.get(ino, set()) - {place})

    def index(self, directory: Directory, seen: Seen) -> None:
        """Note every row of a first listing that says it has more than one link."""
        for part in directory.pack.parts:
            rows = part.rows
            if _single(rows):
                continue
            counts = memoryview(rows).cast("I")[11::12].tolist()
            if max(counts) > 1:
                names = split_names(part.names)
                for i, count in enumerate(counts):
                    if count > 1:
                        row = bytes(part.rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])
                        ino = unpack_row(row).ino
                        place = (directory.key, names[i])
                        self.add(ino, place, count)
                        self._owe(set(self.others(ino, place)), row, seen)

    def changed(self, directory: Directory, write: Write, seen: Seen | None) -> None:
        """Other names of an inode whose row this change made stale are owed a look.

        Args:
            seen: when the change was seen; None owes nothing.
        """
        new = write.new.value
        old = write.old.value if write.old is not None else None
        if (old is None or old[44:] == _ONCE) and (new is None or new[44:] == _ONCE):
            return  # a directory's edge has 0 there
        place = (directory.key, write.name)
        before = _file(old)
        after = _file(new)
        others: set[Place] = set()
        if before is not None and before.nlink > 1:
            self.want(before.ino)
            others.update(self.others(before.ino, place))
            if after is None or after.ino != before.ino or after.nlink == 1:
                self.drop(before.ino, place)
        if after is not None and after.nlink > 1:
            self.add(after.ino, place, after.nlink)
            others.update(self.others(after.ino, place))
        if seen is not None:
            self._owe(others, new, seen)

    def _owe(self, others: set[Place], row: bytes | None, seen: Seen) -> None:
        """The names that show another row than this one are owed a look."""
        for key, name in sorted(others):
            sibling = self._tree.dirs.get(key)
            if sibling is not None and sibling.pack.get(name) != row:
                self._tree.owe(sibling, seen, deep=False, reason="not_yet")

    def search(self) -> None:
        """Find the names of the wanted inodes in all packs; their directories are owed a look."""
        tree, now = self._tree, self._tree.now_us
        late = Seen(now, now, NO_LINE, 0, 0, 0, "m")
        for key, _ in self._find(list(tree.dirs.values())):
            tree.owe(tree.dirs[key], late, deep=False, reason="not_yet")

    def _find(self, directories: Iterable[Directory]) -> list[Place]:
        """The names of the wanted inodes that were not known."""
        wanted, self.wanted = self.wanted, set()
        targets = np.fromiter(sorted(wanted), np.uint64, len(wanted))
        found: list[Place] = []
        for directory in directories:
            for part in directory.pack.parts:
                if not part.rows:
                    continue
                inodes = np.frombuffer(bytes(part.rows), np.uint64)[3::6]
                hits = np.flatnonzero(np.isin(inodes, targets))
                if not len(hits):
                    continue
                names = split_names(part.names)
                for i in hits.tolist():
                    if part.rows[i * 48 + 33] & 0xF0 == 0x40:
                        continue  # an edge: its inode column means a directory
                    place = (directory.key, names[i])
                    known = self._places.setdefault(int(inodes[i]), set())
                    if place not in known:
                        known.add(place)
                        found.append(place)
        return found


def _single(rows: bytes | bytearray) -> bool:
    """Whether no row says that it has more than one link."""
    if rows[44::ROW_BYTES].strip(b"\0\1"):
        return False
    return not any(rows[at::ROW_BYTES].strip(b"\0") for at in (45, 46, 47))


def _file(value: bytes | None) -> Row | None:
    return unpack_row(value) if value is not None and not is_dir(value) else None
