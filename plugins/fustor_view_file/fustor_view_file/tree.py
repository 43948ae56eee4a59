"""The directories of a view, where they sit, what they add up to, and what is owed.

Seats and obligations follow arbitration.md §5 and §6: a directory sits where its newest edge says,
never below itself; a listing that is owed is closed only by one that looked later, and the
obligation then descends. All is derived from the registers, hence independent of arrival order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fustor_core.arbitration import order
from fustor_core.claims import Key, edge_key, is_dir
from fustor_core.registers import Seen
from fustor_view_file import tally
from fustor_view_file.budget import Budget
from fustor_view_file.directory import Directory
from fustor_view_file.owing import Along, note
from fustor_view_file.records import Look
from fustor_view_file.sums import Sums
from fustor_view_file.tally import DEBTS, DIRS, NEVER, SUMS

Place = tuple[Key, bytes]  # a register: (directory key, name)


class Tree:
    """All directories by key.

    Attributes:
        root: the view's root, None until its key is known.
        waiting: directories that claims name but that found no seat, or not their best one.
        gone: unseated directories that nothing names, with the fusion µs since when.
        dirty: keys of directories that changed since the last write-back, in the order in which
            they did: those that came together lie together in memory and on the disk.
        looks: runs of unchanged listings since the last write-back.
        dropped: places in the cold store of directories that were forgotten since then.
        sums: keeps the tallies exact. budget: says which packs stay at hand.
        asked: directories that the session should list soon: key → deep.
        weighed: how many entries there were when their memory was last estimated, and the bytes
        reseated: told of each directory whose seat changed: (directory, path before or None).
        moves: how often the seat of a directory changed in which there may be something.
        seating: seats change just now. mend: called when they do no more.
    """

    def __init__(self, reseated: Callable[[Directory, bytes | None], None], budget: Budget) -> None:
        self.dirs: dict[Key, Directory] = {}
        self.root: Directory | None = None
        self.waiting: set[Key] = set()
        self.gone: dict[Key, int] = {}
        self.now_us = 0
        self.dirty: dict[Key, None] = {}
        self.looks: list[Look] = []
        self.dropped: list[int] = []
        self.sums = Sums(self.children)
        self.budget = budget
        self.asked: dict[Key, bool] = {}
        self.weighed: tuple[int, int, int, int] | None = None
        self._contested: dict[Key, set[Place]] = {}
        self._hidden: dict[Key, set[Place]] = {}
        self._along = Along(self.owe)
        self._reseated = reseated
        self.moves = 0
        self.seating = False
        self.mend: Callable[[], None] = lambda: None

    # ---- directories

    def node(self, key: Key) -> Directory:
        """The directory of a key, made (loose) when it was never heard of."""
        found = self.dirs.get(key)
        if found is None:
            found = self.dirs[key] = Directory(key)
            found.because("not_yet")
            self.gone[key] = self.now_us
        self.dirty[key] = None
        return found

    def set_root(self, key: Key) -> Directory:
        """Make this directory the root."""
        root = self.node(key)
        self.gone.pop(key, None)
        if root.parent is not None:  # something named it before it was known to be the root
            self._contested[key] = self.claimants(key)
            self._move(root, None)
        self.root = root
        return root

    def visible(self, directory: Directory) -> bool:
        """Whether the directory hangs below the root."""
        at: Directory = directory
        while at.parent is not None:
            at = at.parent
        return at is self.root

    def child(self, parent: Directory, name: bytes, row: bytes) -> Directory | None:
        """The directory behind an edge row, None when it is hidden (it sits elsewhere)."""
        found = self.dirs.get(edge_key(row))
        if found is None or found.parent is not parent or found.name != name:
            return None
        return found

    def children(self, directory: Directory) -> Iterator[Directory]:
        """The directories that sit in this one."""
        for name, row in directory.glance().edges():
            found = self.child(directory, name, row)
            if found is not None:
                yield found

    def find(self, path: bytes) -> tuple[Directory | None, bytes, bytes | None]:
        """Walk a view path.

        Returns:
            (parent directory, last name, row or None). For ``/`` the name is ``b""`` and the row
            None. The parent is None when the walk ended early.
        """
        at = self.root
        parts = [p for p in path.split(b"/") if p]
        if not parts:
            return at, b"", None
        for name in parts[:-1]:
            row = at.pack.get(name) if at is not None else None
            at = self.child(at, name, row) if at is not None and row and is_dir(row) else None
            if at is None:
                return None, parts[-1], None
        assert at is not None or self.root is None
        row = at.pack.get(parts[-1]) if at is not None else None
        if at is not None and row is not None and is_dir(row):
            row = row if self.child(at, parts[-1], row) is not None else None
        return at, parts[-1], row

    def directory_at(self, path: bytes) -> Directory | None:
        """The directory at a view path, None when there is none."""
        parent, name, row = self.find(path)
        if not name or parent is None:
            return parent
        return self.child(parent, name, row) if row is not None and is_dir(row) else None

    def maximum(self, directory: Directory, index: int) -> int:
        """A recursive maximum (`NEWEST_NS`, `TOUCHED_NS`, `CHANGED_US`), found again if stale."""
        return self.sums.maximum(directory, index)

    # ---- seats (arbitration.md §5)

    def claimants(self, key: Key) -> set[Place]:
        """The registers whose value is the edge to this directory."""
        found = self._contested.get(key)
        if found is not None:
            return found
        directory = self.dirs[key]
        if directory.parent is None:
            return set()
        return {(directory.parent.key, directory.name)}

    def contested(self) -> dict[Key, set[Place]]:
        """Directories that more than one register names, or that could not sit where it says."""
        return self._contested

    def hidden(self) -> Iterator[Place]:
        """Registers that name a directory which sits elsewhere."""
        for places in self._hidden.values():
            yield from places

    def add_claim(self, key: Key, place: Place, seen: Seen, *, moved: bool) -> None:
        """A register names this directory (now, or with another stamp)."""
        child = self.node(key)
        if not child.heard and child.owed is None:
            child.owed = seen  # its first listing must not be older than the edge
        claims = self.claimants(key)
        if place not in claims:
            self._contested[key] = claims | {place}
        self.gone.pop(key, None)
        self.seat(child, seen, moved=moved)

    def adopt(self, parent: Directory, name: bytes, key: Key, seen: Seen) -> bool:
        """Seat a directory that nobody has heard of; False when `add_claim` must decide.

        The caller adds the sums of what was adopted to `parent`, many children at once.
        """
        if key in self.dirs or self.waiting:
            return False
        child = self.dirs[key] = Directory(key)
        child.parent, child.name, child.owed = parent, name, seen
        child.because("not_yet")
        self.dirty[key] = None
        self._reseated(child, None)
        return True

    def drop_claim(self, key: Key, place: Place) -> None:
        """A register no longer names this directory."""
        child = self.dirs.get(key)
        if child is None:
            return
        claims = self.claimants(key)
        if place not in claims:
            return
        self._contested[key] = claims - {place}
        self.seat(child, None, moved=False)

    def seat(self, directory: Directory, seen: Seen | None, *, moved: bool) -> None:
        """Seat a directory where the newest register that names it says.

        What follows ends: a seat that holds goes on holding while others move, so each further move
        brings a directory to a newer register, of which there are only so many.
        """
        if directory is self.root:
            return
        self.seating = True
        todo: list[tuple[Directory, Seen | None, bool]] = [(directory, seen, moved)]
        tried = 0
        while todo:
            at, stamp, paired = todo.pop()
            if self._seat_one(at, stamp, moved=paired):
                tried += 1
                todo.extend(
                    (self.dirs[key], None, False)
                    for key in sorted(self.waiting)
                    if key in self.dirs and self.dirs[key] is not at
                )
                if tried > 10_000 + sum(map(len, self._contested.values())):
                    raise RuntimeError(f"seats do not settle around {at!r}")
        self.seating = False
        self.mend()

    def _seat_one(self, directory: Directory, seen: Seen | None, *, moved: bool) -> bool:
        key = directory.key
        claims = self.claimants(key)
        ranked = sorted(claims, key=self._rank, reverse=True)
        chosen: Place | None = None
        for place in ranked:
            if not self.dirs[place[0]].is_below(directory):
                chosen = place
                break
        was = (directory.parent.key, directory.name) if directory.parent is not None else None
        if chosen is None or chosen != ranked[0]:
            (self.waiting.add if claims else self.waiting.discard)(key)
        else:
            self.waiting.discard(key)
        if chosen != was:
            self._move(directory, chosen)
            if chosen is not None and not moved:
                had = was is not None or directory.heard or bool(directory.own)
                edge = seen or self._stamp(chosen)
                if had and edge is not None:
                    self.owe(directory, edge, deep=True, reason="not_yet")
        self._remember(directory, claims, chosen)
        return chosen != was

    def _remember(self, directory: Directory, claims: set[Place], chosen: Place | None) -> None:
        key = directory.key
        plain = claims == ({chosen} if chosen else set())
        if not plain or key in self._contested:
            self.dirty[key] = None  # its record tells who names it, even where its seat stays
        if plain:
            self._contested.pop(key, None)
        else:
            self._contested[key] = claims
        if not claims:
            self.gone.setdefault(key, self.now_us)
        hidden = {p for p in claims if p != chosen}
        before = self._hidden.get(key, set())
        for parent, _ in sorted(before - hidden):
            if parent in self.dirs:
                self.sums.push(self.dirs[parent], [(DEBTS, -1)])
        for parent, _ in sorted(hidden - before):
            self.sums.push(self.dirs[parent], [(DEBTS, 1)])
        if hidden:
            self._hidden[key] = hidden
        else:
            self._hidden.pop(key, None)

    def _stamp(self, place: Place) -> Seen | None:
        register = self.dirs[place[0]].get(place[1])
        return register.seen if register is not None else None

    def _rank(self, place: Place) -> tuple[int, int, Key, bytes]:
        seen = self._stamp(place)
        return (seen.lo if seen else NEVER, seen.hi if seen else NEVER, place[0], place[1])

    def _move(self, directory: Directory, chosen: Place | None) -> None:
        self._along.leaves(directory)
        self._put(directory, chosen)
        if chosen is not None:
            self._along.arrives(directory)

    def strays(self) -> None:
        """A batch is over: directories that left their seats for none keep what they owe."""
        for key in self._along.strays():
            self._along.arrives(self.dirs[key])

    def _put(self, directory: Directory, chosen: Place | None) -> None:
        self.moves += directory.held is not None
        before = None
        if directory.parent is not None and self.visible(directory):
            before = directory.path()
        count = directory.count
        for index in (tally.NEWEST_NS, tally.TOUCHED_NS):
            self.maximum(directory, index)
        sums = [(i, count[i] + (i == DIRS)) for i in range(SUMS) if count[i] or i == DIRS]
        old = directory.parent
        if old is not None:
            self.sums.push(old, [(i, -v) for i, v in sums])
            directory.parent = None
            for index in (tally.NEWEST_NS, tally.TOUCHED_NS):
                self.sums.shrink(old, index, count[index])
            self.dirty[old.key] = None
        if chosen is not None:
            parent = self.dirs[chosen[0]]
            directory.parent, directory.name = parent, chosen[1]
            self.sums.push(parent, sums)
            for index in (tally.NEWEST_NS, tally.TOUCHED_NS):
                self.sums.grow(parent, index, count[index])
            self.dirty[parent.key] = None
        self.dirty[directory.key] = None
        self._reseated(directory, before)

    # ---- owed (arbitration.md §6)

    def owe(
        self,
        directory: Directory,
        stamp: Seen,
        *,
        deep: bool,
        reason: str,
        errno: int = 0,
        quiet: bool = False,
    ) -> None:
        """A listing that looked later than `stamp` is owed here, and below when `deep`.

        Args:
            quiet: do not ask the session for it at once (`asked`); the sentinel comes by.
        """
        stack = [directory]
        while stack:
            at = stack.pop()
            if at.base is not None and order(stamp, at.base) > 0:  # looked at since
                stack += [c for c in self.children(at) if not c.left_out] if deep else []
                continue
            self.dirty[at.key] = None
            note(at, stamp, reason, errno, deep=deep)
            if not quiet:
                self.asked[at.key] = deep or self.asked.get(at.key, False)
            self.sums.set_gap(at)

    def settle(self, directory: Directory, listing: Seen) -> None:
        """A whole listing looked; what it closes here passes to the children."""
        owed = directory.owed
        if owed is None or order(owed, listing) <= 0:
            return
        deep, directory.owed = directory.deep, None
        directory.because()
        if deep:
            for child in list(self.children(directory)):
                if child.heard or child.own:  # else nothing below is known: all is owed
                    self.owe(child, owed, deep=True, reason="not_yet", quiet=True)

    # ---- coming back from the cold store

    def restore_claims(self, key: Key, claims: set[Place], waiting: bool) -> None:
        """Put back the registers that name a directory, when they are not just its seat."""
        self._contested[key] = claims
        if waiting:
            self.waiting.add(key)

    def restore_hidden(self) -> None:
        """Find the hidden registers again, once all seats are back."""
        for key, claims in self._contested.items():
            at = self.dirs[key]
            if at is self.root:  # sits nowhere, whoever names it: see `seat`
                continue
            seat = (at.parent.key, at.name) if at.parent is not None else None
            hidden = {place for place in claims if place != seat}
            if hidden:
                self._hidden[key] = hidden

    # ---- forgetting

    def forgets(self, directory: Directory) -> bool:
        """Whether a directory may be dropped: it is unseated, and nothing names it."""
        if directory.parent is not None or directory is self.root:
            return False
        return not self.claimants(directory.key)

    def forget(self, key: Key) -> None:
        """Drop an unseated directory that nothing names; leaves unknown, never absent."""
        directory = self.dirs.get(key)
        if directory is None or not self.forgets(directory):
            return
        edges = [(name, edge_key(row)) for name, row in directory.glance().edges()]
        for name, below in edges:
            self.drop_claim(below, (key, name))
        self.strays()
        del self.dirs[key]
        self.budget.forget(directory)
        if directory.place:
            self.dropped.append(directory.place)
        self.gone.pop(key, None)
        self.waiting.discard(key)
        self.dirty[key] = None
