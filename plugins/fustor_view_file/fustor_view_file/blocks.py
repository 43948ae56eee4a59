"""Blocks: packs that came with one image, several to a row of the cold store.

That costs half of what as many rows do, and fewer bytes. A place tells in which block its pack may
lie, and where there; no block is ever written a second time, and no place given out twice. What
becomes of one of its packs later lies by itself, and counts before the block. Which of them nobody
wants any more is noted beside it: a block of which less than half is wanted is taken apart.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import zstandard

from fustor_core.claims import ROW_BYTES
from fustor_view_file.pack import Pack
from fustor_view_file.sealed import Damaged, pack_record, seal, turned, unpacked

SLOTS = 32  # places of a block
BLOCK_BYTES = 32 * 1024  # who wants one of its packs unpacks them all; 64 saves nothing more
Blobs = tuple[bytes, bytes]
SCHEMA = """
CREATE TABLE IF NOT EXISTS block
    (number INTEGER PRIMARY KEY, slots INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dead (number INTEGER PRIMARY KEY, slots INTEGER NOT NULL);
"""
# Casts: what was an integer may be anything when the file is damaged.
_ALONE = """
SELECT (SELECT record FROM pack WHERE place=?),
       ifnull((SELECT cast(slots AS INTEGER) FROM dead WHERE number=?), 0)
"""
_LIVE = """
SELECT cast(block.slots AS INTEGER), ifnull(cast(dead.slots AS INTEGER), 0)
    FROM block LEFT JOIN dead USING (number) WHERE number=?
"""
_MASK = struct.Struct("<I")
_ATTEMPTS = 2  # a checkpoint may take a block apart between two questions, for good


class Places:
    """Gives out places: none twice, and those of an image in rows of `SLOTS`.

    Attributes:
        next: no place from this one on was ever given out.
    """

    def __init__(self) -> None:
        self.next = 1
        self._weight = 0

    def begin(self) -> None:
        """An image begins: it brings blocks of its own."""
        self._weight = BLOCK_BYTES + 1

    def take(self, weight: int) -> int:
        """A place.

        Args:
            weight: bytes of the pack that goes into a block there, 0 for none.
        """
        if self._weight + weight > BLOCK_BYTES or not self.next % SLOTS:
            self.next += -self.next % SLOTS
            self._weight = 0
        self._weight += weight
        place, self.next = self.next, self.next + 1
        return place


class Block:
    """One that is unpacked.

    Args:
        sealed: its record. number: of the block.

    Raises:
        Damaged: it is not what was sealed.
    """

    __slots__ = ("_counts", "_names", "_rows", "_sizes", "_slots", "number")

    def __init__(self, sealed: bytes, number: int) -> None:
        raw = unpacked(sealed, number)
        self.number = number
        self._slots = _slots_of(_MASK.unpack_from(raw)[0] if len(raw) >= _MASK.size else 0)
        many = len(self._slots)
        begin = _MASK.size + 8 * many
        if not many or len(raw) < begin:
            raise Damaged("a block without packs")
        sizes = struct.unpack_from(f"<{2 * many}I", raw, _MASK.size)
        self._sizes, self._counts = sizes[:many], sizes[many:]
        end, count = begin + sum(self._sizes), sum(self._counts)
        if len(raw) != end + count * ROW_BYTES:
            raise Damaged("a block of another length")
        self._names = raw[begin:end]
        self._rows = np.frombuffer(raw, np.uint8, offset=end).reshape(ROW_BYTES, count)

    def pack(self, slot: int) -> Pack:
        """One of its packs; raises `Damaged` when it has none there."""
        if slot not in self._slots:
            raise Damaged(f"no pack at {self.number * SLOTS + slot}")
        at = self._slots.index(slot)
        first, begin = sum(self._counts[:at]), sum(self._sizes[:at])
        rows = self._rows[:, first : first + self._counts[at]].T.tobytes()
        return Pack(self._names[begin : begin + self._sizes[at]], rows)

    def __repr__(self) -> str:
        return f"<Block {self.number} of {len(self._slots)} packs>"


def block_record(
    number: int, packs: Sequence[tuple[int, Blobs]], compress: zstandard.ZstdCompressor
) -> tuple[int, bytes]:
    """(the slots that are taken as a mask, the packs as one record)."""
    slots = sum(1 << slot for slot, _ in packs)
    names = [blobs[0] for _, blobs in packs]
    rows = [blobs[1] for _, blobs in packs]
    sizes = [*map(len, names), *(len(blob) // ROW_BYTES for blob in rows)]
    head = struct.pack(f"<{1 + len(sizes)}I", slots, *sizes)
    content = b"".join((head, *names, turned(b"".join(rows))))
    return slots, seal(compress.compress(content), number)


def write_blocks(
    db: sqlite3.Connection,
    blocks: dict[int, list[tuple[int, Blobs]]],
    compress: zstandard.ZstdCompressor,
) -> None:
    """Put in the packs of new places; one that is the only one of its block lies alone."""
    singles = (
        (number * SLOTS + slot, pack_record(*blobs, compress, number * SLOTS + slot))
        for number, packs in blocks.items()
        if len(packs) == 1
        for slot, blobs in packs
    )
    db.executemany("INSERT OR REPLACE INTO pack VALUES (?,?)", singles)
    rows = (
        (number, *block_record(number, packs, compress))
        for number, packs in blocks.items()
        if len(packs) > 1
    )
    db.executemany("INSERT OR REPLACE INTO block VALUES (?,?,?)", rows)


def void(db: sqlite3.Connection, places: Iterable[int], compress: zstandard.ZstdCompressor) -> None:
    """Nobody wants what blocks say of these places any more; those that are not in one are fine."""
    masks: dict[int, int] = {}
    for place in places:
        number, slot = divmod(place, SLOTS)
        masks[number] = masks.get(number, 0) | 1 << slot
    for number, mask in masks.items():
        found = db.execute(_LIVE, (number,)).fetchone()
        if found is None:
            continue
        slots, dead = found
        live = slots & ~dead & ~mask
        if live == slots & ~dead:
            continue
        if 2 * live.bit_count() >= slots.bit_count() or not _apart(db, number, live, compress):
            dead = (dead | mask) & slots
            db.execute("INSERT OR REPLACE INTO dead VALUES (?,?)", (number, dead))


def _apart(
    db: sqlite3.Connection, number: int, live: int, compress: zstandard.ZstdCompressor
) -> bool:
    """Let each pack that is wanted lie by itself; False when the block cannot be read.

    It stays then: each of its directories says of itself that it is damaged.
    """
    if live:
        record = db.execute("SELECT record FROM block WHERE number=?", (number,)).fetchone()[0]
        try:
            block = Block(record, number)
            packs = [(number * SLOTS + slot, block.pack(slot)) for slot in _slots_of(live)]
        except Damaged:
            return False
        rows = ((place, pack_record(*pack.blobs(), compress, place)) for place, pack in packs)
        db.executemany("INSERT OR IGNORE INTO pack VALUES (?,?)", rows)  # what lies alone is newer
    db.execute("DELETE FROM block WHERE number=?", (number,))
    db.execute("DELETE FROM dead WHERE number=?", (number,))
    return True


class Shelves:
    """Finds packs, alone or in a block; of blocks the last one stays at hand.

    Args:
        db: for reading only; one call at a time.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last: Block | None = None

    def __repr__(self) -> str:
        return f"<Shelves, {self._last!r} at hand>"

    def load(self, place: int) -> Pack | bytes:
        """The pack at a place, or its record, whatever that is, when it lies alone.

        Raises:
            Damaged: there is none, or its block cannot be read.
        """
        number, slot = divmod(place, SLOTS)
        for _ in range(_ATTEMPTS):
            record, dead = self._db.execute(_ALONE, (place, number)).fetchone()
            if record is not None:
                found: bytes = record
                return found
            if dead >> slot & 1:  # what was written later is lost
                break
            block = self._block(number)
            if block is not None:
                return block.pack(slot)
        raise Damaged(f"no pack at {place}")

    def _block(self, number: int) -> Block | None:
        last = self._last
        if last is not None and last.number == number:
            return last
        row = self._db.execute("SELECT record FROM block WHERE number=?", (number,)).fetchone()
        if row is None:
            return None
        self._last = None
        block = self._last = Block(row[0], number)
        return block


def _slots_of(mask: int) -> list[int]:
    return [slot for slot in range(SLOTS) if mask >> slot & 1]
