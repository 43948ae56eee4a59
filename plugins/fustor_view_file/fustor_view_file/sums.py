"""Keeping the tallies of all directories exact as one of them changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fustor_core.claims import Key
from fustor_view_file import tally
from fustor_view_file.directory import Directory
from fustor_view_file.tally import GAPS, LEFT_OUT, STALE

WRAP = 1 << 63


class Sums:
    """Pushes changes of sums and maxima from a directory to all above it.

    Args:
        children: the directories that sit in one.

    Attributes:
        touched: keys of directories whose counts alone changed since the last write-back.
    """

    def __init__(self, children: Callable[[Directory], Iterable[Directory]]) -> None:
        self.touched: dict[Key, None] = {}
        self._children = children

    def push(self, directory: Directory, deltas: list[tuple[int, int]]) -> None:
        """Add sums to a directory and all above it."""
        at: Directory | None = directory
        while at is not None:
            count = at.count
            for index, delta in deltas:
                try:
                    count[index] += delta
                except OverflowError:  # sparse files of 8 EiB: sums wrap, and come back by removal
                    count[index] = (count[index] + delta + WRAP) % (2 * WRAP) - WRAP
            self.touched[at.key] = None
            at = at.parent

    def grow(self, directory: Directory, index: int, value: int) -> None:
        """A maximum may have grown."""
        at: Directory | None = directory
        while at is not None:
            held = at.count[index]
            if held == STALE:
                at = at.parent
                continue
            if held >= value:
                return
            at.count[index] = value
            self.touched[at.key] = None
            at = at.parent

    def shrink(self, directory: Directory, index: int, value: int) -> None:
        """A value that may have been the maximum is gone: whoever showed it finds it anew."""
        at: Directory | None = directory
        while at is not None:
            held = at.count[index]
            if held > value:
                return
            if held != STALE:
                at.count[index] = STALE
                self.touched[at.key] = None
            at = at.parent

    def maximum(self, directory: Directory, index: int) -> int:
        """A maximum, found again where it is stale."""
        stack = [directory]
        while stack:
            at = stack[-1]
            if at.count[index] != STALE:
                stack.pop()
                continue
            todo = [c for c in self._children(at) if c.count[index] == STALE]
            if todo:
                stack.extend(todo)
                continue
            at.count[index] = self._own_maximum(at, index)
            stack.pop()
        return directory.count[index]

    def _own_maximum(self, directory: Directory, index: int) -> int:
        own = tally.of_pack(directory.glance())
        best = own[3] if index == tally.NEWEST_NS else own[4]
        attrs = directory.attrs
        if index == tally.TOUCHED_NS and attrs is not None and attrs.value is not None:
            best = max(best, tally.newest_of(attrs.value)[1])
        return max([best, *(c.count[index] for c in self._children(directory))])

    def set_gap(self, directory: Directory) -> None:
        """Bring the counts of gaps and of what is left out in line with the directory."""
        left = int(directory.left_out)
        gap = 0 if left or directory.listed else 1
        deltas = []
        if gap != directory.gap:
            deltas.append((GAPS, gap - directory.gap))
            directory.gap = gap
        if left != directory.left:
            deltas.append((LEFT_OUT, left - directory.left))
            directory.left = left
        if deltas:
            self.push(directory, deltas)
