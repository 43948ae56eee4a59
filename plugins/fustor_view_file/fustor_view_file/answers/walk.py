"""Directories of a scope in order: each before what lies below it, siblings in byte order.

A walk outlives changes: between two directories the caller may give way to others, and calls
`Walk.refresh` when it is its turn again. No recursion: trees can be thousands of levels deep.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import cast

from fustor_core.claims import ROW_BYTES, is_dir, split_names
from fustor_view_file.answers.sieve import Sieve
from fustor_view_file.directory import Directory
from fustor_view_file.pack import Pack, Part
from fustor_view_file.tally import DIRS
from fustor_view_file.tree import Tree

SKIPPED_AT_ONCE = 250
TAKEN_AT_ONCE = 500  # children of one directory that are looked up ahead
EDGES = bytes(int(kind & 0xF0 == 0x40) for kind in range(256))  # st_mode's high byte → is an edge
_KIND = 33
_KEY = struct.Struct("<q8xqQ")  # birth, dev, ino of an edge row
Wanted = Callable[[Directory], object]


def last_name(part: Part) -> bytes:
    """The last name of a part that is not empty."""
    return part.names[part.names.rfind(b"\0") + 1 :]


def part_behind(pack: Pack, after: bytes) -> Part | None:
    """The first part that has names behind `after`, None when there is none."""
    parts = pack.parts
    lo, hi = 0, len(parts)
    while lo < hi:
        mid = (lo + hi) // 2
        if last_name(parts[mid]) > after:
            hi = mid
        else:
            lo = mid + 1
    return parts[lo] if lo < len(parts) and parts[lo].rows else None


def parts_behind(directory: Directory, after: bytes) -> Iterator[Part]:
    """The parts that have names behind `after`; the pack may change or be another in between."""
    while (part := part_behind(directory.pack, after)) is not None:
        last = last_name(part)
        yield part
        after = last


def seated(
    tree: Tree, directory: Directory, after: bytes = b"", pack: Pack | None = None
) -> Iterator[Directory]:
    """The directories that sit in this one, by name, those behind `after`.

    The tree must not change while this is read.

    Args:
        pack: of the directory, where the caller has it.
    """
    if not directory.count[DIRS]:
        return
    dirs = cast("Mapping[tuple[int, int, int], Directory]", tree.dirs)
    for part in (pack or directory.glance()).parts:
        if after and last_name(part) <= after:
            continue
        rows = part.rows
        marks = rows[_KIND::ROW_BYTES].translate(EDGES)
        at = marks.find(1)
        if at < 0:
            continue
        names = split_names(part.names)
        while at >= 0:
            birth, dev, ino = _KEY.unpack_from(rows, at * ROW_BYTES)
            child = dirs.get((dev, ino, birth))
            name = names[at]
            if child is not None and child.parent is directory and child.name == name > after:
                yield child
            at = marks.find(1, at + 1)


class _Level:
    """One directory on the way down: which of its children are still to be visited."""

    __slots__ = ("blobs", "children", "directory", "last", "moves", "name", "next", "whole")

    def __init__(
        self, tree: Tree, directory: Directory, sieve: Sieve | None, after: bytes = b""
    ) -> None:
        self.directory = directory
        self.name = directory.name
        self.last = after
        self.take(tree, sieve)

    def take(self, tree: Tree, sieve: Sieve | None) -> None:
        """Note the next children behind the last one that was visited."""
        directory, last = self.directory, self.last
        pack = directory.glance()
        if sieve is None:
            # one that is away is read whole: it would be fetched again for each few
            few = TAKEN_AT_ONCE if directory.resident else None
            some = islice(seated(tree, directory, last, pack), few)
            self.children = [(c.name, c) for c in some]
            self.whole = few is None or len(self.children) < few
        else:
            self.children = [(c.name, c) for c in sieve.children(directory) if c.name > last]
            self.whole = True
        self.next = 0
        self.blobs = [part.names for part in pack.parts]
        self.moves = tree.moves

    def moved(self, above: _Level | None) -> bool:
        """Whether the directory no longer sits where it was met."""
        directory = self.directory
        if above is None:
            return False
        return directory.parent is not above.directory or directory.name != self.name

    def changed(self, tree: Tree, sieve: Sieve | None) -> bool:
        """Whether names came or went since `take`, or ways to what a sieve holds may have."""
        if sieve is not None and self.moves != tree.moves:
            return True
        return [part.names for part in self.directory.glance().parts] != self.blobs


class Walk:
    """The directories at and below one, in order.

    Args:
        tree: the directories. top: where it begins.
        wanted: a directory for which this is false is left out, with all below it.
        piece: directories without others in them whose names do not hold this are left out, where
            that can be seen at once.
        behind: (names from `top` down to a directory, name of an entry): begin with what comes
            behind that entry, whether it is still there or not.

    Attributes:
        after: entries of the directory just met up to this name were told before; ``b""`` for all
            but the first.
        seen: how many directories it has met, those that were left out for the piece too.
        skipped: how many were left out for the piece; `SKIPPED_AT_ONCE` of them are followed by
            one that is not, so that whoever walks can give way.
    """

    def __init__(
        self,
        tree: Tree,
        top: Directory,
        *,
        wanted: Wanted | None = None,
        piece: bytes = b"",
        behind: tuple[tuple[bytes, ...], bytes] | None = None,
    ) -> None:
        self._tree = tree
        self._top = top
        self._wanted = wanted
        self._piece = piece
        self.skipped = 0
        self.seen = 0
        self._sieve: Sieve | None = None
        self._levels: list[_Level] = []
        self.after = b""
        self._first: Directory | None = top
        if behind is not None:
            self._descend(behind[0], behind[1])
        elif top.count[DIRS]:
            self._levels.append(_Level(tree, top, None))

    def _descend(self, names: tuple[bytes, ...], after: bytes) -> None:
        at = self._top
        for name in names:
            self._levels.append(_Level(self._tree, at, None, name))
            child = self._under(at, name)
            if child is None:
                self._first = None
                return
            at = child
        self._levels.append(_Level(self._tree, at, None))
        self._first = at
        self.after = after

    def _under(self, directory: Directory, name: bytes) -> Directory | None:
        row = directory.pack.get(name)
        return self._tree.child(directory, name, row) if row is not None and is_dir(row) else None

    def __iter__(self) -> Iterator[Directory]:
        levels, tree, wanted, piece = self._levels, self._tree, self._wanted, self._piece
        left = SKIPPED_AT_ONCE
        if self._first is not None and (wanted is None or wanted(self._first)):
            self.seen = 1
            yield self._first
        self.after = b""
        while levels:
            level = levels[-1]
            if level.next >= len(level.children):
                if level.whole:
                    levels.pop()
                else:
                    level.take(tree, self._sieve)
                continue
            name, child = level.children[level.next]
            level.next += 1
            level.last = name
            if child.parent is not level.directory or child.name != name:
                again = self._under(level.directory, name)  # another one may sit there now
                if again is None:
                    continue
                child = again
            if wanted is not None and not wanted(child):
                continue
            self.seen += 1
            if child.count[DIRS]:
                levels.append(_Level(tree, child, self._sieve))
            elif piece and left:
                held = child.held
                if isinstance(held, Pack) and piece not in held.names and held.more is None:
                    left -= 1
                    continue
            self.skipped, left = self.skipped + SKIPPED_AT_ONCE - left, SKIPPED_AT_ONCE
            yield child

    def refresh(self) -> None:
        """The tree may have changed since the last directory: forget what is no longer there."""
        levels = self._levels
        if not self._tree.visible(self._top):
            levels.clear()
            return
        for depth, level in enumerate(levels):
            if level.moved(levels[depth - 1] if depth else None):
                del levels[depth:]
                return
            if level.changed(self._tree, self._sieve):
                level.take(self._tree, self._sieve)

    def narrow(self, sieve: Sieve) -> None:
        """Of all that is still to be met, meet only what is left in a sieve."""
        self._sieve = sieve
        for level in self._levels:
            level.take(self._tree, sieve)
