"""First listings of directories of plain files, which are most of a first scan, without judgements.

What their rows add up to is found for many at once, in columns; what it changes above them is added
once for each parent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from fustor_core.arbitration import order
from fustor_core.claims import ROW_BYTES, Key, Listing, Origin
from fustor_core.files.compiled import AddsUp
from fustor_core.registers import seen_of
from fustor_core.stills import fits
from fustor_view_file.directory import Directory
from fustor_view_file.faces import face_with
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


def plain(
    listings: Sequence[Listing], before_ns: int, adds_up: AddsUp | None = None
) -> list[Plain | None]:
    """What each listing adds up to; None when it has more than old files with one name each.

    Args:
        adds_up: compiled code that says it of the rows of one.
    """
    if adds_up is not None:
        return [
            (adds_up(one.rows, before_ns) if one.rows else EMPTY) if _whole(one) else None
            for one in listings
        ]
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
    found: list[Plain | None] = list(
        zip(
            counts,
            np.add.reduceat(sizes, starts).tolist(),
            np.maximum.reduceat(mtimes, starts).tolist(),
            np.maximum.reduceat(changed, starts).tolist(),
            strict=True,
        )
    )
    for at in np.flatnonzero(np.logical_or.reduceat(odd, starts)).tolist():
        found[at] = None
    return found


class Firsts:
    """Takes them into a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._above: dict[Directory, list[int]] = {}

    def __repr__(self) -> str:
        return f"<Firsts of {self._tree!r}>"

    def take(
        self, run: Iterable[tuple[Listing, Plain | None, int, int]], line: int
    ) -> tuple[int, Collection[Origin]]:
        """Take first listings of directories up to one of which more is to be decided.

        Args:
            run: each with what `plain` said of it, and the fusion interval of its stamp. line: of
                all of them.

        Returns:
            how many were taken, and of which origins, that of the last one last.
        """
        tree = self._tree
        known, met = tree.dirs.get, tree.budget.met
        keys: list[Key] = []
        origins: dict[Origin, None] = {}
        origin = None
        for listing, found, lo, hi in run:
            directory, own = known(listing.dir), listing.own
            if found is None or directory is None or own is None or not _untouched(directory):
                break
            if listing.via is not None and not _seated_there(directory, listing.via):
                break
            stamp, owed = listing.stamp, directory.owed
            face = face_with(stamp, lo, hi, line, listing.silence is not None, own)
            if face is None:
                break
            if owed is not None:
                if order(owed, seen_of(stamp, lo, hi, line)) <= 0:
                    break
                directory.owed = None
                directory.because()
            directory.held, directory.used = Pack(listing.names, listing.rows), True
            directory.face = face
            if listing.origin is not origin:
                origin = listing.origin
                origins.pop(origin, None)
                origins[origin] = None
            directory.origin = origin
            share(tree, directory, listing.dir, listing.via)
            met(directory)
            keys.append(directory.key)
            self._count(directory, found, hi if found[0] else NEVER, own)
        changed = dict.fromkeys(keys)
        tree.dirty.update(changed)
        tree.sums.touched.update(changed)
        return len(keys), origins

    def _count(self, directory: Directory, found: Plain, seen_us: int, own: bytes) -> None:
        files, size, newest, changed = found
        count, parent = directory.count, directory.parent
        attributes = newest_of(own)[1]
        if attributes > changed:
            changed = attributes
        directory.gap = 0
        count[FILES] += files
        count[BYTES] += size
        count[GAPS] -= 1
        if STALE != count[NEWEST_NS] < newest:
            count[NEWEST_NS] = newest
        if STALE != count[TOUCHED_NS] < changed:
            count[TOUCHED_NS] = changed
        if STALE != count[CHANGED_US] < seen_us:
            count[CHANGED_US] = seen_us
        above = self._above.get(parent) if parent is not None else None
        if above is not None:
            above[0] += files
            above[1] += size
            above[2] += 1
            if newest > above[3]:
                above[3] = newest
            if changed > above[4]:
                above[4] = changed
            if seen_us > above[5]:
                above[5] = seen_us
        elif parent is not None:
            self._above[parent] = [files, size, 1, newest, changed, seen_us]

    def settle(self) -> None:
        """What was taken counts above, too."""
        sums = self._tree.sums
        for parent, (files, size, listed, newest, changed, seen_us) in self._above.items():
            deltas = [(FILES, files), (BYTES, size), (GAPS, -listed)]
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
    if not directory.untouched:
        return False
    parent = directory.parent
    unseen = parent.blind if parent is not None else None
    return unseen is None or directory.name not in unseen


def _seated_there(directory: Directory, via: tuple[Key, bytes]) -> bool:
    """Whether the edge by which it was opened says nothing new."""
    parent = directory.parent
    return parent is not None and (parent.key, directory.name) == via
