"""Which inode numbers a directory has, in a few bytes where they lie close together.

That is to find in which directories a file may have a name, so too much may be said: then one is
read in vain. Files of one directory mostly have numbers near each other, since they were made one
after the other, or because the file system keeps them together. Then it is enough to say which
second, third and fourth bytes they have: these stand for some blocks of 256 numbers, which a few
other directories share. Where that would be too many blocks the numbers are kept, four bytes each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

LOW = 0xFFFF_FFFF
BLOCKS_MOST = 32  # about what ext4 has in a block group
_FEW_BYTES = 32  # of numbers as they are; less than these cannot be saved
_PLAIN = b"\0"


def column(inos: Iterable[int]) -> bytes:
    """The low halves of inode numbers, as they lie in rows."""
    return b"".join((ino & LOW).to_bytes(4, "little") for ino in inos)


def packed(numbers: bytes) -> bytes:
    """What is kept of a `column`."""
    if len(numbers) > _FEW_BYTES:
        fourth, third = _values(numbers[3::4]), _values(numbers[2::4])
        if len(fourth) * len(third) <= BLOCKS_MOST:
            second = _values(numbers[1::4])
            if len(fourth) * len(third) * len(second) <= BLOCKS_MOST:
                return bytes((len(second), len(third), *second, *third, *fourth))
    return _PLAIN + numbers


def _values(numbers: bytes) -> set[int]:
    """The bytes that there are: mostly one, which is found out quickly."""
    first = numbers[:1]
    return set(first if numbers.count(first) == len(numbers) else numbers)


class Wanted:
    """Inode numbers that are looked for."""

    def __init__(self, inos: Iterable[int]) -> None:
        self._lows: dict[int, set[int]] = {}  # as a column is read on this machine
        self._blocks: dict[int, set[int]] = {}
        for ino in inos:
            low = int.from_bytes(column((ino,)), sys.byteorder)
            self._lows.setdefault(low, set()).add(ino)
            self._blocks.setdefault((ino & LOW) >> 8, set()).add(ino)

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __repr__(self) -> str:
        return f"<Wanted {len(self._lows)} inodes>"

    def within(self, kept: bytes, more: bytes = b"") -> set[int]:
        """Those that may be among what is kept of a directory.

        Args:
            more: a column of what came since.
        """
        found = _of(self._lows, memoryview(more).cast("I"))
        if kept[:1] == _PLAIN:
            found |= _of(self._lows, memoryview(kept)[1:].cast("I"))
        elif kept:
            found |= _of(self._blocks, _blocks(kept))
        return found


def _blocks(kept: bytes) -> Iterator[int]:
    middle = 2 + kept[0]
    end = middle + kept[1]
    for fourth, third, second in product(kept[end:], kept[middle:end], kept[2:middle]):
        yield fourth << 16 | third << 8 | second


def _of(wanted: Mapping[int, set[int]], met: Iterable[int]) -> set[int]:
    return {ino for one in wanted.keys() & met for ino in wanted[one]}
