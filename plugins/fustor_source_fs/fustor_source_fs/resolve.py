"""Looking at what events spoke of, and saying what was seen (arbitration.md §2, §9).

An event carries what lstat saw after it, under a parent whose key was proven at that moment. Where
the parent cannot be proven, a delete keeps the kernel's word and anything else becomes an owed
scan. The looks also put the registry right: a directory sits where it was last seen.
"""

from __future__ import annotations

import os
import stat
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from fustor_core.claims import MOVED, Cell, Key, Origin, Stamp, edge_row, is_dir
from fustor_core.contracts import boottime_us
from fustor_core.files.identity import Spot
from fustor_core.files.inotify import ATTRIB, CREATE, ISDIR, MOVED_TO
from fustor_core.files.listing import GONE, Lister, reason_of, row_of
from fustor_core.files.prompt import Looks
from fustor_core.files.rooted import RootProof
from fustor_source_fs.agenda import WatchClaim, owe
from fustor_source_fs.events import Drain, Move, Touch
from fustor_source_fs.finding import Finder
from fustor_source_fs.links import Links, Place
from fustor_source_fs.tree import Node, Tree

HOLD_US = 40_000  # how long a directory may be elsewhere before its events are given up


class Seen(NamedTuple):
    """What a look found.

    Attributes:
        value: row, edge or None.
        key: of the directory that stands there, with its full row in `own`.
        crossing: another mount begins there.
    """

    value: bytes | None
    key: Key | None = None
    own: bytes | None = None
    crossing: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of one drained queue.

    Attributes:
        cells: what was seen by name. claims: what else is to be said, after the cells.
        held: touches whose directory could not be proven yet.
        enter: what is to be watched and listed, or said to be left out, as (parent, name).
        relist: as `enter`, for what was registered elsewhere and came here by no paired move.
        owed: directories that are owed a scan already.
    """

    cells: dict[Touch, tuple[Cell, Seen]] = field(default_factory=dict)
    claims: list[WatchClaim] = field(default_factory=list)
    held: list[Touch] = field(default_factory=list)
    enter: list[tuple[Node, bytes]] = field(default_factory=list)
    relist: list[tuple[Node, bytes]] = field(default_factory=list)
    owed: set[Key] = field(default_factory=set)

    def owe(self, key: Key, path: bytes, reason: str, *, deep: bool = False, code: int = 0) -> None:
        """A scan of a directory is owed; said once."""
        if key not in self.owed:
            self.owed.add(key)
            self.claims.append(owe(key, path, reason, deep=deep, code=code))

    def all(self) -> list[WatchClaim]:
        """All claims: cells in the order of their looks, then what is owed."""
        seen = [cell for cell, _ in self.cells.values()]
        seen += (claim for claim in self.claims if isinstance(claim, Cell))
        seen.sort(key=_ordinal)
        return [*seen, *(claim for claim in self.claims if not isinstance(claim, Cell))]


class Resolver:
    """Turns drained queues into claims. Used by one thread.

    Args:
        proof: of the root. finder, lister: the thread's own. tree, links: the registry.
    """

    def __init__(
        self, proof: RootProof, finder: Finder, lister: Lister, tree: Tree, links: Links
    ) -> None:
        self._proof = proof
        self._looks = Looks(lister.prober.birth)
        self._finder = finder.by(self._looks)
        self._exclusion = lister.exclusion
        self._cross = lister.cross
        self._cached = lister.cache_bound_us > 0
        self._tree = tree
        self._links = links
        self._ordinal = boottime_us()  # grows over all watches of a line, whoever began them
        self._unfound: dict[Place, int] = {}  # links in directories that are elsewhere; until when

    def resolve(self, drain: Drain, waiting: set[Touch]) -> Outcome:
        """Look at everything in a drained queue.

        Args:
            waiting: touches that are left alone this time (half of a move, its other half due).
        """
        out = Outcome()
        by_node: dict[Node, list[Touch]] = {}
        for touch in drain.touched.values():
            if touch in waiting:
                out.held.append(touch)
            elif not touch.node.gone:
                by_node.setdefault(touch.node, []).append(touch)
        if not by_node:
            return out
        with self._root() as root:
            for node, touches in by_node.items():
                with self._at(root, node) as spot:
                    if spot is None:
                        self._unproven(node, touches, out, final=root is None)
                    else:
                        self._directory(spot, touches, out)
            for move in drain.moves.values():
                _flag(out.cells, move)
            self._others(root, self._links.doubtful(), out)
        return out

    def due_us(self) -> list[int]:
        """Raw instants at which names are looked for again."""
        return [until for (node, _), until in self._unfound.items() if not node.gone]

    def look_at_links(self, now_us: int, *, search: bool) -> list[WatchClaim]:
        """Look at names whose files may have changed by another name.

        Args:
            search: also look for names of files that have more of them than are known.
        """
        if self._unfound:
            self._unfound = {p: at for p, at in self._unfound.items() if not p[0].gone}
        places = self._links.doubtful() | self._unfound.keys()
        found: list[tuple[Node, set[int]]] = []
        again: set[Place] = set()
        if search:
            with self._tree.lock:
                nodes = list(self._tree.by_key.values())
            found, again = self._links.search(nodes, now_us)
        if not places and not found and not again:
            return []
        out = Outcome()
        with self._root() as root:
            for node, inos in found if root is not None else ():
                self._search(root, node, inos, out)
            self._others(root, places, out)
            self._others(root, again - places, out, news=True)
        return out.claims

    def _search(self, root: Spot | None, node: Node, inos: set[int], out: Outcome) -> None:
        """Look at the names of these inodes in a directory; owe it when that cannot be done."""
        with self._at(root, node) as spot:
            if spot is None:
                if not node.gone and (path := self._finder.path(node)):
                    out.owe(node.key, path, "not_yet")
                return
            try:
                names = [name for name, ino in _inos(spot.fd) if ino in inos]
            except OSError as err:
                number = err.errno or 0
                out.owe(node.key, spot.path, reason_of(number), code=number)
                return
            known = self._links.names(node)
            self._look_at(spot, node, [n for n in names if n not in known], out)

    def _root(self) -> AbstractContextManager[Spot | None]:
        """The root, open; what stands there now may be another storage."""
        self._looks.prompt = False
        return self._finder.root()

    def _at(self, root: Spot | None, node: Node) -> AbstractContextManager[Spot | None]:
        """A directory, open and proven; looks at it keep the interpreter where that is safe."""
        storage = self._proof.storage
        self._looks.prompt = storage is not None and storage.prompt and not node.key.dev
        return self._finder.node(root, node)

    def _directory(self, spot: Spot, touches: list[Touch], out: Outcome) -> None:
        """Look at all touched names of one proven directory."""
        test = self._exclusion.within(spot.path)
        node = touches[0].node
        for touch in touches:
            name = touch.name
            left_out = test is not None and bool(name) and test(name)
            if left_out and not touch.mask & ISDIR:
                continue
            try:
                stamp, seen = self._look(spot, node, name, touch.since_us)
            except OSError as err:
                number = err.errno or 0
                out.owe(node.key, spot.path, reason_of(number), code=number)
                continue
            value = None if left_out and seen.key is None else seen.value
            flags = touch.flags if value is not None and seen.key is None else 0
            out.cells[touch] = _cell(spot, name, value, stamp, flags), seen
            if not name:
                continue
            self._reconcile(spot, touch, stamp, seen, left_out, out)
            if seen.key is None or name in self._links.names(node):
                row = value if seen.key is None else None
                self._links.saw(node, name, row, new=bool(touch.mask & (CREATE | MOVED_TO)))
        if self._links.crowded(node):
            with suppress(OSError):  # then they are as they were
                self._links.refresh(node, (ino for _, ino in _inos(spot.fd)))

    def _look(self, spot: Spot, node: Node, name: bytes, since_us: int) -> tuple[Stamp, Seen]:
        """One look, with the ordinal of the line; a listing that is being read hears of it."""
        reading = node.reading
        if reading is not None:
            reading.add(name)
        f = boottime_us()
        seen = self._sight(spot, name)
        t = boottime_us() + 1
        late = node.reading
        if reading is None and late is not None:
            late.add(name)
        self._ordinal += 1
        return Stamp(min(f, since_us) if self._cached else f, t, self._ordinal, "e"), seen

    def _sight(self, spot: Spot, name: bytes) -> Seen:
        looks, prompt = self._looks, self._looks.prompt
        try:
            row = looks.row(spot.fd, name)
            if row is not None and not (name and is_dir(row)):
                return Seen(row)
            looks.prompt = False  # a mount may begin there
            return self._sight_in_full(spot, name)
        except OSError as err:
            if name and err.errno in GONE:
                return Seen(None)
            raise
        finally:
            looks.prompt = prompt

    def _sight_in_full(self, spot: Spot, name: bytes) -> Seen:
        if not name:
            return Seen(row_of(os.fstat(spot.fd)))
        while True:
            st = os.lstat(name, dir_fd=spot.fd)
            if not stat.S_ISDIR(st.st_mode):
                return Seen(row_of(st))
            sight = self._looks.sight(spot.fd, name)
            if stat.S_ISDIR(sight.mode) and sight.ino == st.st_ino:
                key, crossing = self._looks.child(spot, name, sight)
                return Seen(edge_row(key, sight.mode), key, row_of(st), crossing)

    def _reconcile(
        self, spot: Spot, touch: Touch, stamp: Stamp, seen: Seen, left_out: bool, out: Outcome
    ) -> None:
        """Put the registry right after a look, and note what has to be entered."""
        tree, node, name, key = self._tree, touch.node, touch.name, seen.key
        if key is None and node.kid(name) is None:
            return  # a file where there was no directory: nobody need wait for the registry
        came = touch.mask & (CREATE | MOVED_TO)
        with tree.lock:
            if node.gone:
                return
            kid = node.kid(name)
            there = tree.by_key.get(key) if key is not None else None
            if key is None or left_out or (seen.crossing and not self._cross):
                if kid is not None:
                    tree.unseat(kid)
                if key is not None:
                    out.enter.append((node, name))  # to be said that it is left out
                return
            if there is None and kid is not None:
                tree.unseat(kid)
            fresh = there is None or not there.listed
            if there is not None and there is not kid:
                tree.seat(there, node, name)
                if there.listed:  # it may have been where nobody could say what became of it
                    out.relist.append((node, name))
            if (came and fresh) or (there is not None and there.unread):
                out.enter.append((node, name))
        if came and not fresh:  # a move changes the ctime of what was moved
            self._ordinal += 1
            stamp = Stamp(stamp.f, stamp.t, self._ordinal, "e")
            moved = Spot(-1, key, 0, spot.below(name))
            out.claims.append(_cell(moved, b"", seen.own, stamp, 0))

    def _unproven(self, node: Node, touches: list[Touch], out: Outcome, *, final: bool) -> None:
        """The directory is not where it was: wait for the event that says why, then give up."""
        now, path = boottime_us(), self._finder.path(node)
        if not path and not final:  # on its way, or out of the tree: that is told soon
            out.held += touches
            return
        nowhere = Spot(-1, node.key, 0, path)
        owed = False
        for touch in touches:
            touch.until_us = touch.until_us or now + HOLD_US
            if now < touch.until_us and not final:
                out.held.append(touch)
            elif touch.unmade:
                self._ordinal += 1
                stamp = Stamp(touch.since_us, boottime_us() + 1, self._ordinal, "w")
                out.claims.append(_cell(nowhere, touch.name, None, stamp, 0))
            else:
                owed = owed or bool(touch.name) or bool(touch.mask & ATTRIB)
        if owed and final and self._proof.key is not None:
            out.owe(self._proof.key, b"/", "vanished_root", deep=True)
        elif owed:
            out.owe(node.key, path, "not_yet")

    def _others(
        self, root: Spot | None, places: set[Place], out: Outcome, *, news: bool = False
    ) -> None:
        """Look at other names of files that changed by one of their names."""
        by_node: dict[Node, list[bytes]] = {}
        for node, name in places:
            by_node.setdefault(node, []).append(name)
        for node, names in by_node.items():
            with self._at(root, node) as spot:
                if spot is not None:
                    self._look_at(spot, node, names, out, news=news)
                elif not news and not node.gone:
                    self._miss(node, names, out)

    def _miss(self, node: Node, names: list[bytes], out: Outcome) -> None:
        """Keep names for later whose directory cannot be proven just now; not for ever."""
        now, path = boottime_us(), self._finder.path(node)
        until_us = now + HOLD_US
        for name in names:
            until_us = self._unfound.setdefault((node, name), until_us)
        if path and until_us <= now:
            out.owe(node.key, path, "not_yet")
            for name in names:
                self._unfound.pop((node, name), None)

    def _look_at(
        self, spot: Spot, node: Node, names: list[bytes], out: Outcome, *, news: bool = False
    ) -> None:
        """Look at files that no event spoke of; `news`: say only what was not seen before."""
        self._looks.prompt = False  # they did not just change: the disk may have to be waited for
        for name in names:
            self._unfound.pop((node, name), None)
            try:
                stamp, seen = self._look(spot, node, name, boottime_us())
            except OSError:
                continue  # its own events, or the next scan, say what it is
            if seen.key is not None or seen.value is None:
                continue  # the same
            if not news or self._links.news(node, seen.value):
                out.claims.append(_cell(spot, name, seen.value, stamp, 0))
            self._links.saw(node, name, seen.value)

    def __repr__(self) -> str:
        return f"Resolver(ordinal={self._ordinal}, {self._tree!r})"


def _ordinal(cell: Cell) -> int:
    return cell.stamp.at


def _cell(spot: Spot, name: bytes, value: bytes | None, stamp: Stamp, flags: int) -> Cell:
    return Cell(
        dir=spot.key,
        name=name,
        value=value,
        stamp=stamp,
        origin=Origin.REALTIME,
        flags=flags,
        path=spot.path,
    )


def _flag(cells: dict[Touch, tuple[Cell, Seen]], move: Move) -> None:
    """Mark both halves of a move whose target was seen to be the very directory that left."""
    if move.to not in cells or cells[move.to][1].key != move.child.key:
        return
    for touch in (move.to, *move.froms):
        found = cells.get(touch)
        if found is not None and (touch is move.to or found[1].key != move.child.key):
            cell, seen = found
            spot = Spot(-1, cell.dir, 0, cell.path)
            cells[touch] = _cell(spot, cell.name, cell.value, cell.stamp, MOVED), seen


def _inos(fd: int) -> list[tuple[bytes, int]]:
    """(name, inode number) of a directory open by O_PATH, without a stat of each; or OSError."""
    readable = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        with os.scandir(readable) as entries:
            return [(os.fsencode(e.name), e.inode()) for e in entries]
    finally:
        os.close(readable)
