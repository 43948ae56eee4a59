"""Claims in a row, and how large they are: on the wire, in rows, in memory. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from fustor_core.claims import (
    CLOSED,
    MOVED,
    ROW_BYTES,
    WRITING,
    Calm,
    Cell,
    Claim,
    Key,
    Listing,
    Many,
    Origin,
    Root,
    Still,
    is_dir,
)

CLAIM_BYTES = 96  # a claim on the wire, its names and rows apart
_INO = slice(24, 32)  # of a row
OBJECT_BYTES = 400  # what a queued claim costs in memory beside that


def rows_of(claim: Claim) -> int:
    """How many rows a claim counts for."""
    if isinstance(claim, Many):
        return claim.count
    return max(1, len(claim.rows) // ROW_BYTES) if isinstance(claim, Listing) else 1


def wire_bytes(claim: Claim) -> int:
    """About how many bytes a claim is on the wire."""
    if isinstance(claim, Listing):
        return CLAIM_BYTES + len(claim.names) + len(claim.rows) + len(claim.path)
    if isinstance(claim, Cell):
        return CLAIM_BYTES + ROW_BYTES + len(claim.name) + len(claim.path)
    if isinstance(claim, Calm):
        return CLAIM_BYTES + len(claim.keys) + len(claim.silences) + len(claim.path)
    if isinstance(claim, Still):
        return CLAIM_BYTES + len(claim.keys) + len(claim.sums) + len(claim.path)
    return CLAIM_BYTES + (len(claim.identity) if isinstance(claim, Root) else len(claim.path))


def sizes_of(claim: Claim) -> tuple[int, int]:
    """How many rows a claim counts for, and about how many bytes it is on the wire."""
    if type(claim) is Listing:  # nearly all that a scan tells
        rows = len(claim.rows)
        wire = CLAIM_BYTES + len(claim.names) + rows + len(claim.path)
        return rows // ROW_BYTES or 1, wire
    return rows_of(claim), wire_bytes(claim)


class Queue:
    """Claims with their rows and bytes."""

    __slots__ = ("bytes", "claims", "rows", "sizes")

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        self.claims: deque[Claim] = deque()
        self.sizes: deque[tuple[int, int]] = deque()
        self.rows = self.bytes = 0
        for claim in claims:
            self.push(claim)

    def __repr__(self) -> str:
        return f"<Queue {len(self.claims)} claims, {self.rows} rows, {self.bytes} bytes>"

    def push(self, claim: Claim) -> int:
        """Put at the end; the claim's rows."""
        sizes = sizes_of(claim)
        self.claims.append(claim)
        self.sizes.append(sizes)
        rows, wire = sizes
        self.rows += rows
        self.bytes += wire
        return rows

    def push_first(self, claim: Claim) -> None:
        """Put before all others."""
        self.push(claim)
        self.claims.rotate(1)
        self.sizes.rotate(1)

    def take(self, rows: int, wire: int, *, least: int) -> tuple[list[Claim], int, int]:
        """Take the first ones out, no more than have so many rows and bytes on the wire.

        Args:
            least: so many are taken in any case.

        Returns:
            They, their rows, and their bytes.
        """
        taken: list[Claim] = []
        took_rows = took = 0
        claims, sizes = self.claims, self.sizes
        while sizes:
            more_rows, more = sizes[0]
            over = took_rows + more_rows > rows or took + more > wire
            if over and len(taken) >= least:
                break
            del sizes[0]
            taken.append(claims.popleft())
            took_rows += more_rows
            took += more
        self.rows -= took_rows
        self.bytes -= took
        return taken, took_rows, took

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory."""
        return self.bytes + OBJECT_BYTES * len(self.claims)


def last_words(claims: list[Claim]) -> list[Claim]:
    """The claims without sights of a name that the same watch has seen again since.

    A file that was created and is gone again costs one claim, a directory in which a hundred names
    came one of its own attributes. Nothing is left out over a claim of another kind, which may
    depend on what was said before it, nor of directories, of moves, whose halves belong together,
    and of words of the kernel, which are not ordered against looks.
    """
    places: dict[tuple[Key, bytes], int] = {}
    out: list[Claim | None] = []
    for claim in claims:
        if not isinstance(claim, Cell) or claim.origin is not Origin.REALTIME:
            places.clear()
        elif claim.stamp.kind != "e" or claim.flags & MOVED or _edge(claim):
            places.pop((claim.dir, claim.name), None)
        else:
            place = claim.dir, claim.name
            before = places.get(place)
            places[place] = len(out)
            if before is not None:
                held = out[before]
                assert isinstance(held, Cell)
                claim = _unfinished_as(claim, held)
                out[before] = None
        out.append(claim)
    return [claim for claim in out if claim is not None]


def _edge(claim: Cell) -> bool:
    return claim.value is not None and bool(claim.name) and is_dir(claim.value)


def _unfinished_as(claim: Cell, before: Cell) -> Cell:
    """Whether a file is still being written is said by the last word about its content."""
    states = WRITING | CLOSED
    if claim.flags & states or not before.flags & states:
        return claim
    if claim.value is None or before.value is None or claim.value[_INO] != before.value[_INO]:
        return claim  # another file
    return msgspec.structs.replace(claim, flags=claim.flags | before.flags & states)
