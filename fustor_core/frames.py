"""What fusion writes into a view's journal: the inputs of the fold that is the view's state.

Stamps are mapped to fusion time once, on arrival, and stand in the frame; replay never maps again.
"""

from __future__ import annotations

from array import array
from typing import TypeVar

import msgspec

from fustor_core.claims import Key
from fustor_core.clock import SavedClock

T = TypeVar("T")

BATCH = 1
EPOCH = 2
FORGET = 3
CONFIRM = 4
OWE = 5


class BatchHead(msgspec.Struct, array_like=True, frozen=True):
    """What fusion adds to a batch as received.

    Attributes:
        session, agent: who sent it. line: number of its line, 0 for none.
        arrival_us: fusion time, wall_ns: wall time of its arrival.
        skipped: indexes of claims that were quarantined.
        stamps: lo and hi of each claim, two little-endian 64-bit integers.
    """

    session: str
    agent: str
    line: int
    arrival_us: int
    wall_ns: int
    skipped: list[int]
    stamps: bytes


class Epoch(msgspec.Struct, array_like=True, frozen=True):
    """A leadership that is durable before it is announced."""

    epoch: int
    session: str


class Forget(msgspec.Struct, array_like=True, frozen=True):
    """Unseated directories that were dropped."""

    keys: list[Key]


class Confirm(msgspec.Struct, array_like=True, frozen=True):
    """A person's word on frozen removals below a path."""

    path: bytes
    reject: bool
    at_us: int
    wall_ns: int


class OweLook(msgspec.Struct, array_like=True, frozen=True):
    """A fresh look that was asked for from outside (scan on demand)."""

    path: bytes
    deep: bool
    at_us: int
    wall_ns: int


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """What fusion keeps at each checkpoint of a view.

    Attributes:
        clock: to resume fusion time. epoch: the last durable one.
        identity: the proven root's, "" before the first proof. root: its key.
        next_line: number of the next line. lag: the logical clock's samples.
    """

    clock: SavedClock
    epoch: int
    identity: str
    root: Key | None
    next_line: int
    lag: list[int]


_pack = msgspec.msgpack.Encoder().encode
_head = msgspec.msgpack.Decoder(BatchHead).decode


def batch_frame(head: BatchHead, body: bytes) -> bytes:
    """One frame: length of the head, head, body as received."""
    packed = _pack(head)
    return len(packed).to_bytes(4, "little") + packed + body


def read_batch_frame(frame: memoryview) -> tuple[BatchHead, memoryview]:
    """Head and body of a batch frame."""
    size = int.from_bytes(frame[:4], "little")
    return _head(frame[4 : 4 + size]), frame[4 + size :]


def encode(record: Epoch | Forget | Confirm | OweLook | Meta) -> bytes:
    """A record as bytes."""
    return _pack(record)


def decode(frame: bytes | memoryview, kind: type[T]) -> T:
    """A record of that kind."""
    return msgspec.msgpack.decode(frame, type=kind)


def pack_stamps(pairs: list[tuple[int, int]]) -> bytes:
    """lo, hi of each claim."""
    flat = array("q")
    for pair in pairs:
        flat.extend(pair)
    return flat.tobytes()


def unpack_stamps(stamps: bytes) -> array[int]:
    """lo, hi, lo, hi, …"""
    flat = array("q")
    flat.frombytes(stamps)
    return flat
