"""Keeping the state: a consistent image of what is dirty, and the state of an image back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from fustor_core.claims import ROW_BYTES, Key, edge_key
from fustor_view_file.apply import Registers
from fustor_view_file.blocks import BLOCK_BYTES, SLOTS, Places
from fustor_view_file.budget import Folded, Shelf
from fustor_view_file.cold import ColdStore, Image
from fustor_view_file.directory import Directory
from fustor_view_file.kept_looks import KeptLooks
from fustor_view_file.pack import Pack
from fustor_view_file.records import record_of
from fustor_view_file.sealed import Damaged
from fustor_view_file.sightings import Sighting
from fustor_view_file.tally import DEBTS, GAPS, LEFT_OUT, NEWEST_NS, SUMS, TOUCHED_NS
from fustor_view_file.tree import Place

COPIED_AT_ONCE = 5000  # rows and own marks, more or less; others have their turn after so many
DIRECTORY_COPIES = 100  # what a directory costs by itself
ROWS_A_MARK = 8  # that are copied in the time in which a mark is


class Life(msgspec.Struct, array_like=True, frozen=True):
    """The view's own meta data."""

    incarnation: str
    head: int
    ready: bool
    root: Key | None
    next_place: int
    lsn: int
    sightings: list[tuple[int, Sighting]] = []
    sought: bool = True  # see `HardLinks`
    removed: tuple[int, int, int] = (0, 0, 0)  # see `Guard.counts`
    looks: int = 0  # see `KeptLooks`
    directories: int = 0  # at least so many are kept


class Keeper:
    """Moves directories between `Registers` and `ColdStore`.

    Attributes:
        lost: what could not be read back, as sentences for people.
    """

    def __init__(self, registers: Registers, cold: ColdStore) -> None:
        self.registers = registers
        self.cold = cold
        self.lost: list[str] = []
        self._looks = KeptLooks(registers.tree)
        self._places = Places()
        self._bare: set[int] = set()  # places of directories without a pack
        self._unsaved: set[Key] = set()  # in an image that is not durable yet
        self._fed = 0
        budget = registers.tree.budget
        budget.shelf, budget.kept = Shelf(self.load, budget), self.kept
        self._again: Image | None = None
        self._broken: dict[Key, Directory] = {}  # their entries are lost, to be mended
        self._mending = False
        registers.tree.mend = self._mend

    # ---- out

    def image(self, lsn: int, meta: bytes) -> Iterator[Image]:
        """A copy of all that changed since the last image; to be made between two batches.

        It grows from one step to the next, and is whole with the last one. One that does not get
        that far is part of the next.
        """
        tree, image, whole = self.registers.tree, Image({"fusion": meta}), False
        self._take_again(image)
        dirty, touched, fed = tree.dirty.copy(), tree.sums.touched.copy(), self._fed
        self._unsaved.update(dirty)
        tree.dirty.clear()
        tree.sums.touched.clear()
        image.dropped += tree.dropped
        self._bare.difference_update(tree.dropped)
        tree.dropped.clear()
        looks = tree.looks
        try:
            for _ in self._looks.into(image):
                yield image
            yield from self._directories_into(image, dirty, touched)
            self._life_into(image, lsn)
            yield image
            whole, self._looks.failed = True, ([], 0)
        finally:
            if not whole:
                tree.dirty |= dirty
                tree.sums.touched |= touched
                tree.dropped += image.dropped
                tree.looks = looks
                self._fed = fed

    def _directories_into(
        self, image: Image, dirty: dict[Key, None], touched: dict[Key, None]
    ) -> Iterator[Image]:
        tree, looks = self.registers.tree, self._looks.last
        contested, waiting, cost = tree.contested(), tree.waiting, 0
        self._places.begin()
        for key in dirty | touched:
            if cost >= COPIED_AT_ONCE:
                cost = 0
                yield image
            directory = tree.dirs.get(key)
            if directory is None:
                continue
            cost += DIRECTORY_COPIES + len(directory.own)
            if not directory.place or (key in dirty and not isinstance(directory.held, Shelf)):
                cost += self._pack_into(image, directory)
            claims = contested.get(key)
            named = sorted(claims) if claims is not None else None
            record = record_of(directory, named, key in waiting, looks)
            image.records.append((directory.place, record))

    def _pack_into(self, image: Image, directory: Directory) -> int:
        """Add its pack, and give it a place where it has none; what that costs."""
        place = directory.place
        if place and place not in self._bare:
            pack = _copy_of(directory)
            image.packs.append((place, pack))
            return 0 if isinstance(pack, bytes) else len(pack[1]) // (ROW_BYTES * ROWS_A_MARK)
        if not directory.heard and not directory.own:
            if not place:
                directory.place = self._places.take(0)
                self._bare.add(directory.place)
            return 0
        if place:  # it was only heard of, and its pack goes where those of others go
            self._bare.discard(place)
            image.dropped.append(place)
        pack = _copy_of(directory)
        weight = 0 if isinstance(pack, bytes) else len(pack[0]) + len(pack[1])
        if isinstance(pack, bytes) or weight > BLOCK_BYTES // 2:
            directory.place = self._places.take(0)
            image.packs.append((directory.place, pack))
        else:
            directory.place = self._places.take(weight)
            number, slot = divmod(directory.place, SLOTS)
            image.blocks.setdefault(number, []).append((slot, pack))
        return weight // (ROW_BYTES * ROWS_A_MARK)

    def _life_into(self, image: Image, lsn: int) -> None:
        registers, feed, tree = self.registers, self.registers.feed, self.registers.tree
        since = max(self._fed, feed.floor)
        image.feed, image.feed_floor = feed.since(since), feed.floor
        self._fed = feed.head
        root = tree.root.key if tree.root is not None else None
        life = Life(
            feed.incarnation,
            feed.head,
            registers.ready,
            root,
            self._places.next,
            lsn,
            registers.sightings.rows(),
            registers.links.sought,
            registers.guard.counts,
            self._looks.last,
            len(tree.dirs),
        )
        image.meta["life"] = msgspec.msgpack.encode(life)

    def _take_again(self, image: Image) -> None:
        """A checkpoint that failed is part of the next one."""
        failed, self._again = self._again, None
        if failed is None:
            return
        tree = self.registers.tree
        by_place = {directory.place: key for key, directory in tree.dirs.items()}
        full = failed.full()
        for place, _ in failed.records:
            if place in by_place:
                (tree.dirty if place in full else tree.sums.touched)[by_place[place]] = None
        image.dropped.extend(failed.dropped)
        self._looks.failed = failed.looks, failed.looks_floor
        self._fed = min([self._fed, *(change.number - 1 for change in failed.feed[:1])])

    def checkpoint(self, lsn: int, meta: bytes) -> Iterator[Callable[[], None]]:
        """Work that makes the present state durable, for a worker thread: the last item is it."""
        for image in self.image(lsn, meta):
            yield partial(self._write, image)

    def _write(self, image: Image) -> None:
        try:
            self.cold.write(image)
        except BaseException:
            self._again = image  # nothing was kept: the next image holds all of this again
            raise
        self._unsaved = set()  # what has changed since is dirty

    def kept(self, directory: Directory) -> bool:
        """Whether the cold store has the very pack of a directory."""
        key = directory.key
        return key not in self._unsaved and key not in self.registers.tree.dirty

    # ---- in

    def restore(self) -> tuple[int, bytes]:
        """Read the last checkpoint into the registers.

        Returns:
            (its journal position, the meta data that fusion gave to it); (0, b"") at a first start.
        """
        meta = self.cold.meta()
        if self.cold.set_aside is not None:
            self.lost.append(f"the state was unreadable and lies in {self.cold.set_aside.name}")
        if "life" not in meta:
            return 0, b""
        life = msgspec.msgpack.decode(meta["life"], type=Life)
        registers, tree = self.registers, self.registers.tree
        registers.feed.incarnation, registers.feed.head = life.incarnation, life.head
        registers.ready, self._places.next = life.ready, life.next_place
        registers.sightings.restore(life.sightings)
        self._fed = life.head
        late = self._directories(life)
        tree.root = tree.dirs.get(life.root) if life.root is not None else None
        self._seat(late)
        if self.lost:
            self._part()
        registers.links.restored(sought=life.sought)
        registers.guard.counts = life.removed
        registers.feed.restore(self.cold.feed())
        return life.lsn, meta.get("fusion", b"")

    def _directories(self, life: Life) -> list[tuple[Directory, Key | None]]:
        """Read all of them; those whose parent was not read before them are still to be seated."""
        tree, budget = self.registers.tree, self.registers.tree.budget
        late: list[tuple[Directory, Key | None]] = []
        damaged, read, known = 0, 0, dict[Key, int]()
        contested: list[tuple[Key, list[Place], bool]] = []
        self._looks.last = life.looks  # whatever can be read of them: records know of such numbers
        try:
            for place, kept in self.cold.index():
                read += 1
                if kept is None:
                    damaged += 1
                    tree.dropped.append(place)
                    continue
                directory, parent, listed, number, claims, waiting = kept
                key = directory.key
                directory.place = place
                if number:
                    known[key] = number
                if listed:  # else it was only heard of
                    budget.shelve(directory)
                else:
                    self._bare.add(place)
                tree.dirs[key] = directory
                above = tree.dirs.get(parent) if parent is not None else None
                directory.parent = above
                if above is None:
                    late.append((directory, parent))
                if claims is not None:
                    contested.append((key, claims, waiting))
            if runs := self._looks.restore(self.cold.looks(), known):
                self.lost.append(
                    f"{runs} runs of unchanged listings were damaged; older ones count"
                )
        except Damaged as err:
            self.lost.append(f"the index of the state ends early: {err}")
        for key, claims, waiting in contested:
            tree.restore_claims(key, {one for one in claims if one[0] in tree.dirs}, waiting)
        damaged += max(0, life.directories - read)
        if damaged:
            self.lost.append(f"{damaged} directories of the state were damaged; they are read anew")
        return late

    def _seat(self, late: list[tuple[Directory, Key | None]]) -> None:
        tree = self.registers.tree
        for directory, key in late:
            parent = tree.dirs.get(key) if key is not None else None
            directory.parent = parent
            loose = parent is None and directory is not tree.root
            if loose and not tree.contested().get(directory.key):
                tree.gone[directory.key] = 0
        tree.restore_hidden()

    def _part(self) -> None:
        """Of directories that are lost, those that name them count what nobody knows: they are lost
        as well. To find them all packs are read, once."""
        tree, self._mending = self.registers.tree, True
        for directory in list(tree.dirs.values()):
            if any(edge_key(row) not in tree.dirs for _, row in directory.glance().edges()):
                self._damaged(directory)
        self._mending = False
        self._mend()

    def load(self, directory: Directory) -> Pack:
        """The pack of a directory that lies in the cold store."""
        try:
            return self.cold.load(directory.place)
        except Damaged as err:
            self.lost.append(f"the entries of {directory.path()!r} were damaged: {err}")
            return self._damaged(directory)

    def _damaged(self, directory: Directory) -> Pack:
        """The entries are lost: unknown from now on, never absent."""
        empty = Pack()
        directory.pack = empty
        directory.look(None, directory.origin)
        directory.set_silent(None)
        directory.owed = None
        directory.drop_marks()
        for name in list(directory.suspects):
            directory.set_suspect(name, None)
        directory.blind = directory.frozen = None
        directory.because("io_error", directory.errno, deep=directory.deep)
        self._broken[directory.key] = directory
        self._mend()
        return empty

    def _mend(self) -> None:
        """Nothing hangs or counts any more where entries were lost.

        That reads other packs, of which some may be damaged as well: these are mended after it, not
        inside, and none of them while directories change their seats.
        """
        tree = self.registers.tree
        while self._broken and not self._mending and not tree.seating:
            self._mending = True
            broken, self._broken = self._broken, {}
            lost = {(d.key, (d.parent.key, d.name)) for d in tree.dirs.values()
                    if d.parent is not None and d.parent.key in broken}  # fmt: skip
            for key, places in tree.contested().items():
                lost.update((key, place) for place in places if place[0] in broken)
            for key, place in sorted(lost):
                tree.drop_claim(key, place)
            for directory in broken.values():
                self._uncount(directory)
            self._mending = False

    def _uncount(self, directory: Directory) -> None:
        """Of entries that are lost and of nothing else: what was below has left already."""
        tree = self.registers.tree
        count, by_itself = directory.count, (GAPS, LEFT_OUT)  # these two are its own state
        own = [(i, -count[i]) for i in range(SUMS) if i not in by_itself and count[i]]
        own += [(DEBTS, 1)] if directory.disputed else []  # its attributes are not in the pack
        tree.sums.push(directory, own)
        for index in (NEWEST_NS, TOUCHED_NS):
            tree.sums.shrink(directory, index, count[index])
        tree.sums.set_gap(directory)
        tree.dirty[directory.key] = None


def _copy_of(directory: Directory) -> tuple[bytes, bytes] | bytes:
    """Its pack as it is now: the blobs, or the record that it is folded into."""
    held = directory.held
    return held.record if isinstance(held, Folded) else directory.glance().blobs()
