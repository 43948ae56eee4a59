"""First listings of directories of plain files, which are most of a first scan, without judgements.

What their rows add up to is found for many at once, in columns; what it changes above them is added
once for each parent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fustor_core.arbitration import order
from fustor_core.claims import ROW_BYTES, Key, Listing, Origin
from fustor_core.registers import Seen
from fustor_core.stills import fits
from fustor_view_file.directory import Directory
from fustor_view_file.faces import stamp_of
from fustor_view_file.pack import Pack
from fustor_view_file.tally import (
    BYTES,
    CHANGED_US,
    FILES,
    GAPS,
    NEVER,
    NEWEST_NS,
    STALE,
    TOUCHED_NS,
    newest_of,
)
from fustor_view_file.tree import Tree

SIZE_MOST = 1 << 50  # many larger files could not be added up in 64 bits
EMPTY = 0, 0, NEVER, NEVER

Plain = tuple[int, int, int, int]
"""Of the files of a directory: how many, bytes, newest mtime, newest change."""


def plain(listings: Sequence[Listing], before_ns: int) -> list[Plain | None]:
    """What each listing adds up to; None when it has more than old files with one name each."""
    fit = [_whole(listing) for listing in listings]
    packed = [one.rows for one, good in zip(listings, fit, strict=True) if good and one.rows]
    found = iter(_columns(packed, before_ns) if packed else ())
    return [
        (next(found) if one.rows else EMPTY) if good else None
        for one, good in zip(listings, fit, strict=True)
    ]


def _whole(listing: Listing) -> bool:
    if not listing.complete or listing.weak or listing.digest is not None:
        return False
    return listing.origin is not Origin.REALTIME and fits(listing)


def _columns(packed: list[bytes], before_ns: int) -> list[Plain | None]:
    rows = b"".join(packed)
    counts = [len(one) // ROW_BYTES for one in packed]
    starts = np.cumsum([0, *counts[:-1]])
    words = np.frombuffer(rows, np.int64).reshape(-1, ROW_BYTES // 8)
    halves = np.frombuffer(rows, np.uint32).reshape(-1, ROW_BYTES // 4)
    sizes, mtimes = words[:, 0], words[:, 1]
    changed = np.maximum(mtimes, words[:, 2])
    odd = (halves[:, 8] & 0xF000 != 0x8000) | (halves[:, 11] != 1)
    odd |= (sizes.view(np.uint64) > SIZE_MOST) | (changed >= before_ns)
    columns = zip(
        np.logical_or.reduceat(odd, starts).tolist(),
        counts,
        np.add.reduceat(sizes, starts).tolist(),
        np.maximum.reduceat(mtimes, starts).tolist(),
        np.maximum.reduceat(changed, starts).tolist(),
        strict=True,
    )
    return [None if strange else tally for strange, *tally in columns]  # type: ignore[misc]


class Firsts:
    """Takes them into a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._above: dict[Directory, list[int]] = {}

    def __repr__(self) -> str:
        return f"<Firsts of {self._tree!r}>"

    def take(self, listing: Listing, seen: Seen, found: Plain) -> bool:
        """Take the first listing of a directory; False when more is to be decided."""
        tree, own = self._tree, listing.own
        directory = tree.dirs.get(listing.dir)
        stamp = stamp_of(seen)
        if directory is None or own is None or stamp is None:
            return False
        if not _untouched(directory) or not _seated_as_told(directory, listing):
            return False
        owed = directory.owed
        if owed is not None:
            if order(owed, seen) <= 0:
                return False
            directory.owed = None
            directory.because()
        directory.held, directory.used = Pack(listing.names, listing.rows), True
        directory.origin = listing.origin
        directory.face = b"%b%c%b" % (stamp, listing.silence is not None, own)
        share(tree, directory, listing.dir, listing.via)
        tree.dirty.add(directory.key)
        tree.budget.met(directory)
        self._count(directory, seen, found, own)
        return True

    def _count(self, directory: Directory, seen: Seen, found: Plain, own: bytes) -> None:
        files, size, newest, changed = found
        count, gap = directory.count, directory.gap
        directory.gap = 0
        changed = max(changed, newest_of(own)[1])
        seen_us = seen.hi if files else NEVER
        count[FILES] += files
        count[BYTES] += size
        count[GAPS] -= gap
        for index, value in ((NEWEST_NS, newest), (TOUCHED_NS, changed), (CHANGED_US, seen_us)):
            if STALE != count[index] < value:
                count[index] = value
        self._tree.sums.touched.add(directory.key)
        parent = directory.parent
        if parent is None:
            return
        above = self._above.get(parent)
        if above is None:
            self._above[parent] = [files, size, gap, newest, changed, seen_us]
            return
        above[0] += files
        above[1] += size
        above[2] += gap
        above[3:] = map(max, above[3:], (newest, changed, seen_us))

    def settle(self) -> None:
        """What was taken counts above, too."""
        sums = self._tree.sums
        for parent, (files, size, gaps, newest, changed, seen_us) in self._above.items():
            deltas = [(FILES, files), (BYTES, size), (GAPS, -gaps)]
            sums.push(parent, [delta for delta in deltas if delta[1]])
            for index, value in ((NEWEST_NS, newest), (TOUCHED_NS, changed), (CHANGED_US, seen_us)):
                if value != NEVER:
                    sums.grow(parent, index, value)
        self._above.clear()


def share(tree: Tree, directory: Directory, key: Key, via: tuple[Key, bytes] | None) -> None:
    """Keep the key and the name of a first listing for the equal ones of the edge.

    An agent of this process has the same objects.
    """
    if directory.key is not key:
        del tree.dirs[directory.key]
        directory.key, tree.dirs[key] = key, directory
    if via is not None and via[1] == directory.name:
        directory.name = via[1]


def _untouched(directory: Directory) -> bool:
    """Whether nothing is known of it but where it hangs."""
    if directory.heard or directory.held is not None or directory.left_out or directory.left:
        return False
    if directory.own or directory.suspects or directory.attrs is not None:
        return False
    parent = directory.parent
    unseen = parent.blind if parent is not None else None
    return (
        directory.blind is None
        and directory.frozen is None
        and (unseen is None or directory.name not in unseen)
    )


def _seated_as_told(directory: Directory, listing: Listing) -> bool:
    """Whether the edge by which it was opened says nothing new."""
    via, parent = listing.via, directory.parent
    return via is None or (parent is not None and (parent.key, directory.name) == via)
