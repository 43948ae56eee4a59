"""What was sent last of each directory, in 16 bytes: so that an audit need not send it again. Pure.

Nothing in here is evidence: fusion compares what is sent on the strength of it with what it holds
itself, and asks for a listing where that differs. So fingerprints of 32 bits are enough, whatever
does not fit is simply sent again, and a collision costs a listing.
"""

from __future__ import annotations

from array import array

from fustor_core.claims import ROW, Key, Listing, Silence

LEAST = 1 << 10
MOST = 1 << 22
"""Slots at first, and at most: at most five eighths of them are used, of 16 bytes each."""
PROBES = 32
_LOW = 0xFFFF_FFFF
_LEAF = 1
_INO = 3  # of the six words of a row
_WORDS = ROW.size // 8
_TYPE = 33  # of a row; the map makes directories 1 and all else 0
_IS_DIR = bytes(1 if high & 0xF0 == 0x40 else 0 for high in range(256))


class Recall:
    """Fingerprints by directory key, in a table with open addresses.

    Attributes:
        count: directories that are known. lives: how often everything was forgotten; what a source
            remembers beside this holds for one life only.

    One task writes. Others may read meanwhile, in threads too: what they see half written is a
    mismatch.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(16 * LEAST))
        self.count = self.lives = 0

    def __repr__(self) -> str:
        return f"<Recall {self.count} directories>"

    @property
    def size_bytes(self) -> int:
        """What the table takes."""
        return len(self._table) * self._table.itemsize

    def clear(self) -> None:
        """Nothing is known to be there any more."""
        self._table = array("Q", bytes(16 * LEAST))
        self.count = 0
        self.lives += 1

    def note(self, listing: Listing) -> None:
        """A listing is on its way; one that proves nothing, or a digest, teaches nothing."""
        if not listing.complete or listing.weak or listing.digest is not None:
            return
        table = self._table
        tag = _tag(listing.dir)
        at = _find(table, tag)
        if at < 0 or not table[at]:
            crowded = at < 0 or self.count >= len(table) // 16 * 5
            if crowded and len(table) // 2 < MOST:
                self._grow()
                table = self._table
                at = _find(table, tag)
            if at < 0:
                return
            self.count += 1
        leaf = b"\1" not in listing.rows[_TYPE :: ROW.size].translate(_IS_DIR)
        table[at + 1] = _members(listing) << 32 | _rows(listing)
        table[at] = tag << 32 | _silent(listing.silence, leaf=leaf)

    def silent(self, key: Key, silence: Silence) -> bool | None:
        """Whether the directory had no directories in it when its silence was this.

        Returns:
            None when it is not known with this silence.
        """
        table = self._table
        at = _find(table, _tag(key))
        if at < 0 or not table[at]:
            return None
        held = table[at] & _LOW
        if held | _LEAF != _silent(silence, leaf=True):
            return None
        return bool(held & _LEAF)

    def holds(self, key: Key, names: bytes, inos: int) -> bool:
        """Whether these were its members.

        Args:
            names: as one blob. inos: the sum of their inodes; which one has which is not compared.
        """
        table = self._table
        at = _find(table, _tag(key))
        return at >= 0 and bool(table[at]) and table[at + 1] >> 32 == _mixed(names, inos)

    def unchanged(self, listing: Listing) -> bool:
        """Whether a listing has the names and rows that were sent last."""
        table = self._table
        at = _find(table, _tag(listing.dir))
        return at >= 0 and bool(table[at]) and table[at + 1] & _LOW == _rows(listing)

    def _grow(self) -> None:
        old = self._table
        table = array("Q", bytes(2 * len(old) * old.itemsize))
        lost = 0
        for i in range(0, len(old), 2):
            if old[i]:
                at = _find(table, old[i] >> 32)
                if at < 0:
                    lost += 1
                else:
                    table[at], table[at + 1] = old[i], old[i + 1]
        self._table = table
        self.count -= lost


def _find(table: array[int], tag: int) -> int:
    """Where the tag stands, or could; -1 when there is no room for it."""
    mask = len(table) // 2 - 1
    slot = tag & mask
    for _ in range(PROBES):
        held = table[2 * slot]
        if not held or held >> 32 == tag:
            return 2 * slot
        slot = (slot + 1) & mask
    return -1


def _tag(key: Key) -> int:
    return hash(key) & _LOW or 1


def _silent(silence: Silence | None, *, leaf: bool) -> int:
    if silence is None:
        return int(leaf)
    return (hash(silence) & _LOW | 2) & ~_LEAF | int(leaf)


def _mixed(a: bytes, b: bytes | int) -> int:
    return hash((a, b)) & _LOW


def _members(listing: Listing) -> int:
    return _mixed(listing.names, sum(memoryview(listing.rows).cast("Q")[_INO::_WORDS]))


def _rows(listing: Listing) -> int:
    return _mixed(listing.names, listing.rows)
