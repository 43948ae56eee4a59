"""What fusion writes into a view's journal: the inputs of the fold that is the view's state.

Stamps are mapped to fusion time once, on arrival, and stand in the frame; replay never maps again.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import TypeVar

import msgspec

from fustor_core.claims import Ack, Key, Quarantined
from fustor_core.clock import NEVER, SavedClock
from fustor_core.lines import LineRow

T = TypeVar("T")

BATCH = 1
EPOCH = 2
FORGET = 3
CONFIRM = 4
OWE = 5
CLOCK = 6
OPENING = 7
ENDING = 8
JOBS = 9


class BatchHead(msgspec.Struct, array_like=True, frozen=True):
    """What fusion adds to a batch as received.

    Attributes:
        session, agent: who sent it. line: number of its line, 0 for none.
        arrival_us: fusion time, wall_ns: wall time of its arrival.
        skipped: indexes of claims that were quarantined whole.
        stamps: lo and hi of each claim, two little-endian 64-bit integers.
        refused: what the reply names as quarantined. proven: the session's root, after this batch.
        denied: end of the last look of the session that found no or another root, by its clock.
        proved: begin of the last one that found the right root.
    """

    session: str
    agent: str
    line: int
    arrival_us: int
    wall_ns: int
    skipped: list[int]
    stamps: bytes
    refused: tuple[Quarantined, ...] = ()
    proven: bool = False
    denied: int = NEVER
    proved: int = NEVER


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


class Clock(msgspec.Struct, array_like=True, frozen=True):
    """How fusion time runs since a start.

    Attributes:
        saved: to resume it. start_us: since when it runs with this constant.
        floor_us: when it ended to run with the one before.
    """

    saved: SavedClock
    start_us: int
    floor_us: int


class SessionRow(msgspec.Struct, array_like=True, frozen=True):
    """A session as it is kept: what it was granted, and how far it came.

    Attributes:
        created_us, active_us: fusion time of its opening and of its last durable batch.
        line: number of its line. acked, reply: the last acknowledged batch, and its reply.
        proven: its root stands proven. denied, proved: as in a `BatchHead`.
    """

    session: str
    agent: str
    pipe: str
    created_us: int
    active_us: int
    timeout_us: int
    realtime: bool
    scan: bool
    key_id: str
    client_ip: str
    line: LineRow
    acked: int = 0
    reply: Ack | None = None
    proven: bool = False
    denied: int = NEVER
    proved: int = NEVER


class Opening(msgspec.Struct, array_like=True, frozen=True):
    """A session that is granted, or goes on with another line.

    Attributes:
        birth: how its source makes keys, "" when it did not say.
    """

    row: SessionRow
    birth: str = ""


class Ending(msgspec.Struct, array_like=True, frozen=True):
    """Sessions that are over, and keys whose agents are bound no longer."""

    sessions: list[str]
    keys: list[str]


class JobRow(msgspec.Struct, array_like=True, frozen=True):
    """A scan on demand as it is kept: what was asked for, and what has come of it.

    Attributes:
        state: as in Job of interfaces.md §2; one that is open goes on after a restart.
        head: number of the view's newest change when it began. directories: looked at so far.
    """

    id: str
    path: bytes
    recursive: bool
    created_us: int
    head: int
    state: str
    agent: str | None
    directories: int
    entries: int
    changed: int
    finished_us: int | None
    error: str | None


class JobRows(msgspec.Struct, array_like=True, frozen=True):
    """Scans on demand that were asked for, or are over."""

    rows: list[JobRow]


class WatchRow(msgspec.Struct, array_like=True, frozen=True):
    """Directories that one line is still to be told of: these, or all below `top`."""

    line: int
    keys: list[Key]
    top: bytes | None


class Course(msgspec.Struct, array_like=True, frozen=True):
    """A look at the whole view, not over yet.

    Attributes:
        session: who makes it. audit: it is one, and no snapshot.
        ordered: its claims come in the order of a walk. began_us: fusion time.
        after: view path up to which, in that order, every directory was looked at; b"" = none.
    """

    session: str
    audit: bool
    ordered: bool
    began_us: int
    after: bytes = b""


class Audits(msgspec.Struct, array_like=True, frozen=True):
    """How often the whole view was looked at again.

    Attributes:
        last: fusion µs of the last one's end, and its seconds.
        course: the whole scan that runs, or was broken off.
    """

    count: int = 0
    last: tuple[int, float] | None = None
    course: Course | None = None


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """What fusion keeps at each checkpoint of a view.

    Attributes:
        clock: fusion time. epoch: the last durable one; holder: the session that it was given to.
        identity: the proven root's, "" before the first proof. root: its key.
        birth: how the view's keys are made, "" before that is known.
        next_line: number of the next line. lag: the logical clock's samples.
        lines, sessions: all that are known. bound: agent id → key id.
        jobs: scans on demand. watches: what lines are still to be told of.
    """

    clock: Clock
    epoch: int
    holder: str
    identity: str
    root: Key | None
    birth: str
    next_line: int
    lag: list[int]
    lines: list[LineRow]
    sessions: list[SessionRow]
    bound: dict[str, str]
    jobs: list[JobRow] = []
    watches: list[WatchRow] = []
    audits: Audits = Audits()


Record = Epoch | Forget | Confirm | OweLook | Clock | Opening | Ending | JobRows | Meta


_pack = msgspec.msgpack.Encoder().encode
_head = msgspec.msgpack.Decoder(BatchHead).decode


def batch_frame(head: BatchHead, body: bytes) -> tuple[bytes, bytes]:
    """One frame: length of the head and head; body as received, which is not copied."""
    packed = _pack(head)
    return len(packed).to_bytes(4, "little") + packed, body


def read_batch_frame(frame: memoryview) -> tuple[BatchHead, memoryview]:
    """Head and body of a batch frame."""
    size = int.from_bytes(frame[:4], "little")
    return _head(frame[4 : 4 + size]), frame[4 + size :]


def encode(record: Record) -> bytes:
    """A record as bytes."""
    return _pack(record)


def decode(frame: bytes | memoryview, kind: type[T]) -> T:
    """A record of that kind."""
    return msgspec.msgpack.decode(frame, type=kind)


def pack_stamps(pairs: list[tuple[int, int]]) -> bytes:
    """lo, hi of each claim."""
    return array("q", chain.from_iterable(pairs)).tobytes()


def unpack_stamps(stamps: bytes) -> array[int]:
    """lo, hi, lo, hi, …"""
    flat = array("q")
    flat.frombytes(stamps)
    return flat
