"""Names that share an inode: a change seen through one name makes the others stale.

The kernel tells of a write, chmod, link or unlink only under the name that was used. So when a
batch told of an inode with several links, its rows are compared: of two that differ, the one that
was looked at earlier is owed a listing of its directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fustor_core.arbitration import order
from fustor_core.claims import ROW_BYTES, Key, Row, is_dir, split_names, unpack_row
from fustor_core.contracts import Write
from fustor_core.registers import Seen
from fustor_view_file.directory import Directory
from fustor_view_file.pack import Pack
from fustor_view_file.tree import Tree

SLICE_ROWS = 200_000  # of packs that are searched in one step, some 10 ms
DIRECTORY_ROWS = 300  # what a directory costs by itself, in rows
FEW = 8

Place = tuple[Key, bytes]
_ONCE = (1).to_bytes(4, "little")  # the last column of a row: how many links


class News(NamedTuple):
    """What a batch told of one name: when, of how many links, whether that is a new number."""

    seen: Seen
    links: int
    fresh: bool


class Look(NamedTuple):
    """What is known of one name: its row, None when it is not the inode's any more.

    What a directory says that went counts as well: it was true when it was looked at.
    """

    place: Place
    row: bytes | None
    seen: Seen
    shown: bool


class HardLinks:
    """Inode → the names in this view whose row says that it has more than one link.

    These are what the rows say and nothing else, hence the same after a restart: they are taken
    from the packs again when they are needed.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._places: dict[int, set[Place]] = {}
        self._cold, self._searches = False, True
        self._searched: dict[int, int] = {}  # inode → for how many links it was searched
        self._wanted: dict[int, Look] = {}  # inodes with more links than names known
        self._news: dict[int, dict[Place, News]] = {}  # of the batch that is applied

    def __len__(self) -> int:
        return len(self._places)

    def restored(self, *, sought: bool) -> None:
        """A state was read back; `sought` as it was then."""
        self._cold, self._searches = True, sought

    @property
    def sought(self) -> bool:
        """Whether all names were searched for that rows speak of."""
        return self._searches and not self._wanted

    # ---- what rows say

    def index(self, directory: Directory, seen: Seen) -> None:
        """Note every row of a first listing that says it has more than one link."""
        for ino, place, links in _linked(directory, directory.pack):
            self._places.setdefault(ino, set()).add(place)
            self._tell(ino, place, News(seen, links, fresh=True))

    def changed(self, directory: Directory, write: Write, seen: Seen | None) -> None:
        """A register has changed.

        Args:
            seen: when that was seen; None owes nothing.
        """
        new = write.new.value
        old = write.old.value if write.old is not None else None
        if (old is None or old[44:] == _ONCE) and (new is None or new[44:] == _ONCE):
            return  # a directory's edge has 0 there
        place = (directory.key, write.name)
        before, after = _file(old), _file(new)
        same = before is not None and after is not None and before.ino == after.ino
        fresh = not same or old is None or new is None or old[44:] != new[44:]
        if before is not None and before.nlink > 1:
            if not same or after is None or after.nlink == 1:
                self._drop(before.ino, place)
            if seen is not None:
                self._tell(before.ino, place, News(seen, before.nlink, fresh))
        if after is not None and after.nlink > 1:
            self._places.setdefault(after.ino, set()).add(place)
            if seen is not None:
                self._tell(after.ino, place, News(seen, after.nlink, fresh))

    def forget(self, directory: Directory) -> None:
        """Nothing is known of a directory any more."""
        for ino, place, _ in () if self._cold else _linked(directory, directory.pack):
            self._drop(ino, place)

    def _tell(self, ino: int, place: Place, news: News) -> None:
        self._news.setdefault(ino, {})[place] = news

    def _drop(self, ino: int, place: Place) -> None:
        places = self._places.get(ino, set())
        places.discard(place)
        if not places:
            self._places.pop(ino, None)
            self._searched.pop(ino, None)

    def _warm(self) -> Iterator[None]:
        """All packs of a state that was read back are gone through."""
        self._cold = False
        missing: dict[int, tuple[Place, int]] = {}
        done = 0
        for directory in list(self._tree.dirs.values()):
            pack = directory.glance()
            done += DIRECTORY_ROWS + len(pack)
            if done >= SLICE_ROWS:
                done = 0
                yield
            for ino, place, links in _linked(directory, pack):
                places = self._places.setdefault(ino, set())
                places.add(place)
                missing[ino] = place, links
                if len(places) >= links:
                    del missing[ino]
        for ino, (place, links) in missing.items():
            if self._fresh(ino):
                continue  # nobody has searched for these
            self._searched[ino] = links
            if not self._searches:
                for look in self._looks(ino, [place]):
                    self._wanted[ino] = look
        self._searches = True

    def _fresh(self, ino: int) -> bool:
        """Whether the batch told of a new name of an inode, or of another number of them."""
        places = self._places.get(ino, ())
        return any(one.fresh and place in places for place, one in self._news.get(ino, {}).items())

    # ---- what is owed

    def settle(self, *, scanning: bool) -> None:
        """As `settling`, all of it at once."""
        for _ in self.settling(scanning=scanning):
            pass

    def settling(self, *, scanning: bool) -> Iterator[None]:
        """A batch is over. Where all packs have to be searched, others may look at what is there
        between two steps, and nobody may change it.

        Args:
            scanning: a whole scan runs: it comes by the names that are not known by itself.
        """
        if self._cold and (self._news or not (self._searches or scanning)):
            yield from self._warm()
        for ino, news in sorted(self._news.items()):
            self._compare(ino, news)
        self._news.clear()
        if self._wanted and not scanning:
            yield from self._search()

    def _compare(self, ino: int, news: dict[Place, News]) -> None:
        """Who shows another row than the one that was looked at last is owed a look."""
        looks = self._looks(ino, {*self._places.get(ino, ()), *news})
        if not looks:
            return
        last = looks[0]
        for look in looks:
            last = look if order(last.seen, look.seen) > 0 else last
        for look in looks:
            if look.row == last.row:
                continue
            self._owe(look, last.seen)
            if order(look.seen, last.seen) <= 0:  # who knows which of both is the later one
                self._owe(last, look.seen)
        there = [look for look in looks if look.row is not None]
        told = [unpack_row(look.row).nlink for look in there if look.row and look.place in news]
        # A name that went is one of those that there were, and none of those that there are.
        links = max(told or (one.links for one in news.values()))
        if sum(look.shown or look.place in news for look in (there if told else looks)) >= links:
            self._wanted.pop(ino, None)
            self._searched.pop(ino, None)
        elif self._searched.get(ino) != links or self._fresh(ino):
            # Once: those that are not found lie outside. But the inode of a new name may be a new
            # file, with the number of one that was searched for before and is gone.
            self._wanted[ino] = last
            if ino in self._places:
                self._searched[ino] = links

    def _looks(self, ino: int, places: Iterable[Place]) -> list[Look]:
        """What is known of these names."""
        looks = []
        for place in sorted(places):
            directory = self._tree.dirs.get(place[0])
            register = directory.get(place[1]) if directory is not None else None
            if directory is not None and register is not None:
                row = _file(register.value)
                value = register.value if row is not None and row.ino == ino else None
                shown = self._tree.visible(directory)
                looks.append(Look(place, value, register.seen, shown))
        return looks

    def _owe(self, look: Look, seen: Seen) -> None:
        """Its directory is listed again, later than that, where it shows the inode at all."""
        if look.shown and look.row is not None:
            self._tree.owe(self._tree.dirs[look.place[0]], seen, deep=False, reason="not_yet")

    def _search(self) -> Iterator[None]:
        """Find the names of the wanted inodes whose rows are from before they had several links."""
        wanted, self._wanted = self._wanted, {}
        found: list[tuple[int, Place]] = []
        yield from self._find(list(self._tree.dirs.values()), sorted(wanted), found)
        for ino, place in found:
            last = wanted[ino]
            for look in self._looks(ino, [place]):
                told = order(last.seen, look.seen)
                if told <= 0:
                    self._owe(look, last.seen)
                if told >= 0:  # it was looked at later, and has but one link: so the others have
                    for other in self._looks(ino, self._places.get(ino, ())):
                        self._owe(other, look.seen)

    def _find(
        self, directories: Iterable[Directory], inodes: list[int], found: list[tuple[int, Place]]
    ) -> Iterator[None]:
        """The names of these inodes that are not known: those with rows of one link."""
        targets = np.fromiter(inodes, np.uint64, len(inodes))
        done = 0
        for directory in directories:
            done += DIRECTORY_ROWS
            for part in directory.glance().parts:
                done += len(part)
                if done >= SLICE_ROWS:
                    done = 0
                    yield
                if not part.rows:
                    continue
                numbers = np.frombuffer(bytes(part.rows), np.uint64)[3::6]
                hits = np.flatnonzero(_any_of(numbers, targets))
                if not len(hits):
                    continue
                names = split_names(part.names)
                for i in hits.tolist():
                    if part.rows[i * 48 + 33] & 0xF0 == 0x40:
                        continue  # an edge: its inode column means a directory
                    ino, place = int(numbers[i]), (directory.key, names[i])
                    if place not in self._places.get(ino, ()):
                        found.append((ino, place))


def _any_of(numbers: NDArray[np.uint64], targets: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of these are among the targets, of which there are few as a rule."""
    if len(targets) > FEW:
        return np.isin(numbers, targets)
    hits: NDArray[np.bool_] = numbers == targets[0]
    for target in targets[1:]:
        hits |= numbers == target
    return hits


def _linked(directory: Directory, pack: Pack) -> Iterator[tuple[int, Place, int]]:
    """(inode, place, links) of each row of a directory that says it has more than one link."""
    packed, rows = pack.blobs()
    if _single(rows):
        return
    names = split_names(packed)
    for i, links in enumerate(memoryview(rows).cast("I")[11::12].tolist()):
        if links > 1:
            row = unpack_row(rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])
            yield row.ino, (directory.key, names[i]), links


def _single(rows: bytes | bytearray) -> bool:
    """Whether no row says that it has more than one link."""
    if rows[44::ROW_BYTES].strip(b"\0\1"):
        return False
    return not any(rows[at::ROW_BYTES].strip(b"\0") for at in (45, 46, 47))


def _file(value: bytes | None) -> Row | None:
    return unpack_row(value) if value is not None and not is_dir(value) else None
