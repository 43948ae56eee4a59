"""Names that share an inode: a change seen through one name makes the others stale.

The kernel tells of a write, chmod, link or unlink only under the name that was used. Rows with more
than one link are indexed by inode, so that the directories of the other names are owed a listing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fustor_core.claims import Key, split_names
from fustor_view_file.directory import Directory

Place = tuple[Key, bytes]


class HardLinks:
    """Inode → the names in this view whose row says that it has more than one link.

    Attributes:
        wanted: inodes with more links than names known; `search` looks for the missing ones, once.
    """

    def __init__(self) -> None:
        self._places: dict[int, set[Place]] = {}
        self._searched: set[int] = set()
        self.wanted: set[int] = set()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, ino: int, place: Place, links: int) -> None:
        """A row with more than one link stands here."""
        places = self._places.setdefault(ino, set())
        places.add(place)
        if len(places) < links and ino not in self._searched:
            self.wanted.add(ino)

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
            self._searched.discard(ino)
            self.wanted.discard(ino)

    def others(self, ino: int, place: Place) -> list[Place]:
        """The other names of the inode."""
        return sorted(self._places.get(ino, set()) - {place})

    def search(self, directories: Iterable[Directory]) -> list[Place]:
        """Find the names of the wanted inodes in all packs; returns those that were not known."""
        wanted, self.wanted = self.wanted, set()
        self._searched |= wanted
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
