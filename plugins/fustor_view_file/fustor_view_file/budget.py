"""Which packs are at hand, which are folded, and which lie in the cold store alone.

Packs are only put away by `settle`, between two batches or two pages of an answer: whoever holds a
pack in between may change it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakMethod, ref

import msgspec
import zstandard

from fustor_view_file.directory import Directory
from fustor_view_file.pack import Pack
from fustor_view_file.sealed import LEVEL, pack_record, read_pack

DIRECTORY_BYTES = 680  # of the index, which always stays
PACK_BYTES = 120  # of a pack's objects, beside its blobs
FOLDED_BYTES = 80
AT_ONCE = 200  # packs that are put away in one go, beside as many as have come


class Held(NamedTuple):
    """How many packs are where; bytes are those in memory."""

    hot: int
    hot_bytes: int
    folded: int
    folded_bytes: int
    cold: int


class Budget:
    """How much memory a view may take, and what of it stays when it is too much.

    What was used longest ago goes first: back into the cold store when it came from there and is
    what is kept there, else folded up (compressed). What is folded goes when there is nothing
    else, once it is kept.

    Args:
        limit_bytes: for the view with its index; None: whatever was touched stays.

    Attributes:
        kept: whether the cold store has the very pack of a directory. shelf: the cold store.
        cold: how many packs lie in the cold store alone.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.shelf: Shelf | None = None
        self.kept: Callable[[Directory], bool] = _never
        self.cold = 0
        self._hot: dict[Directory, int] = {}  # what it weighs
        # Oldest first, and some of them no longer: the first of a dictionary is found by going over
        # all that were taken out before it.
        self._order: deque[Directory] = deque()
        self._folded: deque[Directory] = deque()
        self._hot_bytes = self._folded_bytes = self._folds = 0
        self._met: dict[Directory, None] = {}
        self._lent: set[Directory] = set()
        self._compress = zstandard.ZstdCompressor(level=LEVEL)

    def held(self) -> Held:
        """What is where; with no limit only `cold` is counted."""
        return Held(len(self._hot), self._hot_bytes, self._folds, self._folded_bytes, self.cold)

    # ---- what happens to packs

    def met(self, directory: Directory) -> None:
        """A pack came, or may have changed."""
        if self.limit_bytes is not None:
            self._met[directory] = None

    def lent(self, directory: Directory) -> None:
        """A pack came from the cold store."""
        self.cold -= 1
        if self.limit_bytes is not None:
            self._met[directory] = None
            self._lent.add(directory)

    def unfolded(self, folded: Folded) -> None:
        """A pack is no longer folded."""
        self._folded_bytes -= len(folded.record) + FOLDED_BYTES
        self._folds -= 1

    def forget(self, directory: Directory) -> None:
        """A directory is gone."""
        directory.pack = Pack()
        self._met.pop(directory, None)
        self._lent.discard(directory)
        self._hot_bytes -= self._hot.pop(directory, 0)

    def shelve(self, directory: Directory) -> None:
        """Its pack is in the cold store alone."""
        directory.held = self.shelf
        self.cold += 1

    # ---- putting away

    def settle(self, directories: int) -> None:
        """Put away what is too much, bit by bit.

        Args:
            directories: how many the view has.
        """
        if self.limit_bytes is None:
            return
        came = len(self._met)
        for directory in self._met:
            pack, before = directory.held, self._hot.get(directory, 0)
            if isinstance(pack, Pack):
                if directory not in self._hot:
                    self._order.append(directory)
                self._hot[directory] = weight = pack.nbytes() + PACK_BYTES
                self._hot_bytes += weight - before
        self._met = {}
        room = max(0, self.limit_bytes - directories * DIRECTORY_BYTES)
        if self._hot_bytes + self._folded_bytes > room:
            self._put_away(room, came + AT_ONCE)
        if len(self._order) > 2 * len(self._hot) + AT_ONCE:
            self._order = deque(one for one in dict.fromkeys(self._order) if one in self._hot)

    def _put_away(self, room: int, most: int) -> None:
        spared = most
        while most > 0 and self._hot and self._hot_bytes + self._folded_bytes > room:
            directory = self._order.popleft()
            if directory not in self._hot:
                continue
            if directory.used and spared > 0:
                directory.used = False
                self._order.append(directory)
                spared -= 1
                continue
            self._hot_bytes -= self._hot.pop(directory)
            most -= 1
            self._cool(directory)
        for _ in range(min(most, len(self._folded))):
            if self._hot_bytes + self._folded_bytes <= room:
                break
            directory = self._folded.popleft()
            held = directory.held
            if not isinstance(held, Folded):
                continue
            if self.kept(directory):
                self.unfolded(held)
                self.shelve(directory)
            else:
                self._folded.append(directory)

    def _cool(self, directory: Directory) -> None:
        pack = directory.held
        lent = directory in self._lent
        self._lent.discard(directory)
        if not isinstance(pack, Pack) or not (pack.rows or pack.more):
            return
        if lent and self.kept(directory):
            self.shelve(directory)
            return
        record = pack_record(*pack.blobs(), self._compress)
        directory.held = Folded(record, ref(self))
        self._folded.append(directory)
        self._folded_bytes += len(record) + FOLDED_BYTES
        self._folds += 1
        if len(self._folded) > 2 * self._folds + AT_ONCE:
            still = (one for one in self._folded if isinstance(one.held, Folded))
            self._folded = deque(dict.fromkeys(still))

    def __repr__(self) -> str:
        return f"<Budget {self.limit_bytes} {self.held()}>"


class Shelf:
    """The cold store, as directories see it whose packs lie there.

    Args:
        load: reads the pack of a directory; a bound method of what somebody else keeps.
        budget: somebody else keeps it too: directories refer to a shelf, and the collector of
            cycles does not look into them.
    """

    def __init__(self, load: Callable[[Directory], Pack], budget: Budget) -> None:
        self._load = WeakMethod(load)
        self._budget = ref(budget)

    def fetch(self, directory: Directory) -> Pack:
        """Its pack, which is at hand from now on."""
        pack = self._read(directory)
        budget = self._budget()
        if budget is not None and directory.held is self:  # else it was damaged, and is empty now
            budget.lent(directory)
        return pack

    def peek(self, directory: Directory) -> Pack:
        """Its pack, to be read at once; with no limit it stays."""
        budget = self._budget()
        if budget is None or budget.limit_bytes is not None:
            return self._read(directory)
        return directory.pack

    def gone(self, directory: Directory) -> None:
        """Its pack is no longer here alone."""
        budget = self._budget()
        if budget is not None:
            budget.cold -= 1

    def _read(self, directory: Directory) -> Pack:
        load = self._load()
        assert load is not None, "a directory outlived its view"
        return load(directory)


class Folded(msgspec.Struct, gc=False, eq=False):
    """A pack that is compressed in memory."""

    record: bytes
    budget: ref[Budget]

    def fetch(self, directory: Directory) -> Pack:
        """Its pack, which is at hand from now on."""
        pack = read_pack(self.record)
        self.gone(directory)
        budget = self.budget()
        if budget is not None:
            budget.met(directory)
        return pack

    def peek(self, directory: Directory) -> Pack:
        """Its pack, to be read at once."""
        return read_pack(self.record)

    def gone(self, directory: Directory) -> None:
        """Its pack is no longer folded."""
        budget = self.budget()
        if budget is not None:
            budget.unfolded(self)


def _never(directory: Directory) -> bool:
    return False
