"""Claims in a row, and how large they are: on the wire, in rows, in memory. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from fustor_core.claims import ROW_BYTES, Cell, Claim, Listing, Root

CLAIM_BYTES = 96  # a claim on the wire, its names and rows apart
OBJECT_BYTES = 400  # what a queued claim costs in memory beside that


def rows_of(claim: Claim) -> int:
    """How many rows a claim counts for."""
    return max(1, len(claim.rows) // ROW_BYTES) if isinstance(claim, Listing) else 1


def wire_bytes(claim: Claim) -> int:
    """About how many bytes a claim is on the wire."""
    if isinstance(claim, Listing):
        return CLAIM_BYTES + len(claim.names) + len(claim.rows) + len(claim.path)
    if isinstance(claim, Cell):
        return CLAIM_BYTES + ROW_BYTES + len(claim.name) + len(claim.path)
    return CLAIM_BYTES + (len(claim.identity) if isinstance(claim, Root) else len(claim.path))


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
        rows, wire = rows_of(claim), wire_bytes(claim)
        self.claims.append(claim)
        self.sizes.append((rows, wire))
        self.rows += rows
        self.bytes += wire
        return rows

    def push_first(self, claim: Claim) -> None:
        """Put before all others."""
        self.push(claim)
        self.claims.rotate(1)
        self.sizes.rotate(1)

    def pop(self) -> Claim:
        """Take the first one out."""
        rows, wire = self.sizes.popleft()
        self.rows -= rows
        self.bytes -= wire
        return self.claims.popleft()

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory."""
        return self.bytes + OBJECT_BYTES * len(self.claims)
