"""Which directories hold a piece of a name at all: found out in any order.

Looked at as they lie in memory they cost a quarter of what a walk takes, which has to find its way
from each to the next. So where little is found, all are sifted first, and the walk meets those
alone that hold the piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fustor_view_file.directory import Directory
from fustor_view_file.pack import Pack
from fustor_view_file.tree import Tree

SIFTED_AT_ONCE = 2000  # directories; others have their turn then
AWAY_COST = 15  # a pack that must be fetched and unfolded first, in such directories
HELD_MAX = 8192  # more than these, and ways through more than so many, are not put in order
WAYS_MAX = 16384
MET_COST = 4  # to meet a directory on a walk, in such as are sifted
HELD_COST = 6  # to meet one that holds the piece, after all others were sifted


class Sieve:
    """The directories whose names hold a piece, and the way to them.

    Args:
        tree: the directories. top: see below. piece: not empty.

    Attributes:
        top: where the search begins.
        full: too many hold it, or the ways are long; a walk that meets all is no worse.
    """

    def __init__(self, tree: Tree, top: Directory, piece: bytes) -> None:
        self.full = False
        self._tree = tree
        self.top = top
        self._piece = piece
        self._held: list[Directory] = []
        self._moves = -1  # of the tree, when the ways were found
        self._ways: dict[Directory, list[Directory]] = {}

    def sift(self) -> Iterator[None]:
        """Look at all directories; between two steps others have their turn."""
        piece, held = self._piece, self._held
        left = SIFTED_AT_ONCE
        for directory in list(self._tree.dirs.values()):
            left -= 1
            pack = directory.held
            if type(pack) is Pack and pack.more is None:
                if piece in pack.names:
                    held.append(directory)
            elif pack is not None:
                parts = directory.glance().parts
                left -= len(parts) * (1 if type(pack) is Pack else AWAY_COST)
                if any(piece in part.names for part in parts):
                    held.append(directory)
            if left <= 0:
                if len(held) > HELD_MAX:
                    break
                yield
                left = SIFTED_AT_ONCE
        yield  # what was found damaged has left the tree
        self.full = len(held) > HELD_MAX or not self._find_ways(WAYS_MAX)

    def children(self, directory: Directory) -> Sequence[Directory]:
        """Those of the directories in this one, by name, that hold it or lead to one that does.

        As seats are now: whatever moved since the last call is on its new way.
        """
        if self._moves != self._tree.moves:
            self._find_ways()
        return self._ways.get(directory, ())

    def _find_ways(self, most: int | None = None) -> bool:
        """Find them all; False when they lead through more than so many directories."""
        ways: dict[Directory, list[Directory]] = {}
        reached = set[Directory]()
        self._moves = self._tree.moves
        for directory in self._held:
            at = directory
            while at.parent is not None and at not in reached:
                reached.add(at)
                ways.setdefault(at.parent, []).append(at)
                at = at.parent
            if most is not None and len(reached) > most:
                return False
        for children in ways.values():
            children.sort(key=lambda child: child.name)
        self._ways = ways
        return True


def sifts(*, directories: int, left: int, seen: int, met: int) -> bool:
    """Whether to sift all directories costs less than to walk on.

    Args:
        directories: in the whole view. left: those that the walk would still meet.
        seen: those that it has met. met: those of them in which something was found.
    """
    return directories * (seen + HELD_COST * met) < MET_COST * left * seen
