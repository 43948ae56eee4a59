"""What a pipe has seen and not yet been thanked for: bounded queues between source and sink.

Claims of the watch go before claims of scans. A scan waits while its queue is full; a watch cannot
wait, so when its queue is full what stands in it becomes `Owe`: the directories are listed again
later, nothing is lost. Batches are numbered densely within a session and kept until acknowledged.

One task puts scan claims at a time, one takes batches. Nothing here is safe between threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from fustor_core.claims import (
    LEADER_ONLY,
    PROTOCOL,
    ROW_BYTES,
    Batch,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Same,
    Stamp,
)

CLAIM_BYTES = 96  # a claim on the wire, its names and rows apart
OBJECT_BYTES = 400  # what a queued claim costs in memory beside that
DIRECTORIES_MAX = 64  # more that are owed at once are one obligation at the root


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of batches and queues.

    Args:
        rows, wire_bytes: a batch is sent when it has so many.
        scan_batches: a scan waits while so many batches are queued.
        spool_bytes: memory for what the watch has seen (`agent.spool_bytes`).
        window_s: how long a realtime claim waits for company, at least and at most.
        scan_window_s: the same for scan claims.
    """

    rows: int = 10_000
    wire_bytes: int = 512 << 10
    scan_batches: int = 2
    spool_bytes: int = 256 << 20
    window_s: tuple[float, float] = (0.002, 0.020)
    scan_window_s: float = 0.050


BUSY_CLAIMS = 256  # a batch with so many realtime claims widens the window
TURN_ROWS = 1000  # a scan lets the other tasks run after so many rows


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


class _Queue:
    """Claims with their rows and bytes."""

    __slots__ = ("bytes", "claims", "rows", "sizes")

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        self.claims: deque[Claim] = deque()
        self.sizes: deque[tuple[int, int]] = deque()
        self.rows = self.bytes = 0
        for claim in claims:
            self.push(claim)

    def push(self, claim: Claim) -> int:
        """Put at the end; the claim's rows."""
        size = rows, wire = rows_of(claim), wire_bytes(claim)
        self.claims.append(claim)
        self.sizes.append(size)
        self.rows += rows
        self.bytes += wire
        return rows

    def push_first(self, claim: Claim) -> None:
        self.push(claim)
        self.claims.rotate(1)
        self.sizes.rotate(1)

    def pop(self) -> Claim:
        rows, wire = self.sizes.popleft()
        self.rows -= rows
        self.bytes -= wire
        return self.claims.popleft()

    @property
    def memory_bytes(self) -> int:
        return self.bytes + OBJECT_BYTES * len(self.claims)


class Outbox:
    """The queues of one pipe.

    Args:
        limits: sizes.
        now_us: the raw clock, for the stamps of what becomes owed.

    Attributes:
        root: key of the root directory, as soon as a claim has named it.
        epoch: leadership under which scan claims are made; 0 for a follower.
    """

    def __init__(self, limits: Limits, now_us: Callable[[], int]) -> None:
        self.limits = limits
        self.root: Key | None = None
        self.epoch = 0
        self.overflows = 0
        self._now_us = now_us
        self._events, self._scans = _Queue(), _Queue()
        self._unacked: Batch | None = None
        self._unacked_bytes = 0
        self._seq = 0
        self._turn_rows = 0
        self._window_s = limits.window_s[0]
        self._since_s = 0.0
        self._hurry = False
        self._wake, self._room = anyio.Event(), anyio.Event()
        self._scans_over, self._over = anyio.Event(), anyio.Event()

    def __repr__(self) -> str:
        return (
            f"<Outbox {len(self._events.claims)} seen, {len(self._scans.claims)} scanned,"
            f" batch {self._seq}{' not acknowledged' if self._unacked else ''}>"
        )

    # -- what it holds

    @property
    def queued(self) -> int:
        """Claims that stand in no batch yet."""
        return len(self._events.claims) + len(self._scans.claims)

    @property
    def unacked_bytes(self) -> int:
        """Wire bytes of all that is not acknowledged, queued or sent."""
        return self._events.bytes + self._scans.bytes + self._unacked_bytes

    @property
    def unacked(self) -> Batch | None:
        """The batch that was handed out and not acknowledged."""
        return self._unacked

    @property
    def idle(self) -> bool:
        """Nothing is queued and nothing is on its way."""
        return not self.queued and self._unacked is None

    # -- putting in

    def tell(self, claims: Sequence[Claim]) -> None:
        """Claims of the watch, in their order; never waits."""
        if not claims:
            return
        first = not self.queued
        for claim in claims:
            self._learn(claim)
            self._events.push(claim)
        if self._events.memory_bytes > self.limits.spool_bytes:
            self._overflow()
        self._arrived(first=first)

    def tell_first(self, claim: Claim) -> None:
        """A claim that has to go before all others: the proof of root of a new session."""
        first = not self.queued
        self._learn(claim)
        self._events.push_first(claim)
        self._arrived(first=first)

    async def put(self, claim: Claim) -> None:
        """A claim of a scan; waits while the queue is full."""
        limits = self.limits
        while (
            self._scans.rows >= limits.rows * limits.scan_batches
            or self._scans.bytes >= limits.wire_bytes * limits.scan_batches
        ):
            self._room = anyio.Event()
            self._wake.set()
            await self._room.wait()
        first = not self.queued
        self._learn(claim)
        self._turn_rows += self._scans.push(claim)
        self._arrived(first=first)
        if self._turn_rows >= TURN_ROWS:
            self._turn_rows = 0
            await anyio.lowlevel.checkpoint()

    async def flushed(self) -> None:
        """Wait until no scan claim is queued or on its way."""
        while self._holds_scans():
            self._scans_over = anyio.Event()
            self._hurry = True
            self._wake.set()
            await self._scans_over.wait()

    async def delivered(self) -> None:
        """Wait until everything is acknowledged."""
        while not self.idle:
            self._over = anyio.Event()
            self._hurry = True
            self._wake.set()
            await self._over.wait()

    def _holds_scans(self) -> bool:
        batch = self._unacked
        return bool(self._scans.claims) or (
            batch is not None and any(_scanned(claim) for claim in batch.claims)
        )

    def _learn(self, claim: Claim) -> None:
        if isinstance(claim, Root):
            self.root = claim.key if claim.present else self.root
        elif claim.path == b"/" and isinstance(claim, Listing):
            self.root = claim.dir

    def _arrived(self, *, first: bool) -> None:
        if first:
            self._since_s = anyio.current_time()
        if first or self._events.claims or self._full():
            self._wake.set()

    def _full(self) -> bool:
        rows = self._events.rows + self._scans.rows
        size = self._events.bytes + self._scans.bytes
        return rows >= self.limits.rows or size >= self.limits.wire_bytes

    # -- taking out

    async def take(self) -> Batch:
        """The next batch, or again the one that was not acknowledged."""
        if self._unacked is not None:
            return self._unacked
        while not self.queued:
            await self._news()
        await self._linger()
        return self._form()

    async def _linger(self) -> None:
        """Wait for company, not long; not at all when the batch is full or the queue is old."""
        while not self._full() and not self._hurry:
            window = self._window_s if self._events.claims else self.limits.scan_window_s
            rest = self._since_s + window - anyio.current_time()
            if rest <= 0:
                break
            with anyio.move_on_after(rest):
                await self._news()

    async def _news(self) -> None:
        self._wake = anyio.Event()
        await self._wake.wait()

    def _form(self) -> Batch:
        claims: list[Claim] = []
        rows = size = 0
        for queue in (self._events, self._scans):
            while queue.claims:
                more_rows, more = queue.sizes[0]
                over = rows + more_rows > self.limits.rows or size + more > self.limits.wire_bytes
                if over and claims:
                    break
                claims.append(queue.pop())
                rows, size = rows + more_rows, size + more
            if queue is self._events:
                self._adapt(len(claims))
        self._hurry = False
        self._since_s = anyio.current_time() - self.limits.scan_window_s if self.queued else 0.0
        self._room.set()
        self._seq += 1
        self._unacked = Batch(PROTOCOL, self._seq, self.epoch, claims)
        self._unacked_bytes = size
        return self._unacked

    def _adapt(self, events: int) -> None:
        least, most = self.limits.window_s
        factor = 2.0 if events >= BUSY_CLAIMS else 0.5
        self._window_s = min(most, max(least, self._window_s * factor))

    # -- what becomes of a batch

    def acknowledged(self) -> None:
        """The batch that was taken is durable at the other end."""
        self._unacked, self._unacked_bytes = None, 0
        if not self._holds_scans():
            self._scans_over.set()
        if self.idle:
            self._over.set()

    def drop_scans(self) -> None:
        """The leadership is over: scan claims that only a leader may send leave the queue."""
        self._scans = _Queue(
            claim for claim in self._scans.claims if claim.origin not in LEADER_ONLY
        )
        self._room.set()

    def strip(self) -> None:
        """The batch was refused for its epoch: its scan claims go, the rest keeps its number."""
        batch = self._unacked
        self.drop_scans()
        if batch is None:
            return
        rest = [claim for claim in batch.claims if claim.origin not in LEADER_ONLY]
        if rest:
            self._unacked = Batch(PROTOCOL, batch.seq, self.epoch, rest)
            self._unacked_bytes = sum(map(wire_bytes, rest))
        else:
            self._seq -= 1
            self.acknowledged()

    def lost(self) -> list[Cell]:
        """The session is gone (arbitration.md §9.5); the next one numbers from 1.

        What was sent and not acknowledged is never sent again: directories become owed, names
        have to be looked at. What was not sent yet stays, but for scans of the past leadership.

        Returns:
            The names to look at: the last claim about each.
        """
        batch, self._unacked, self._unacked_bytes = self._unacked, None, 0
        self._seq = 0
        self.drop_scans()
        if batch is None:
            return []
        cells: dict[tuple[Key, bytes], Cell] = {}
        rest: list[Claim] = []
        for claim in batch.claims:
            if isinstance(claim, Cell):
                cells.pop((claim.dir, claim.name), None)
                cells[claim.dir, claim.name] = claim
            else:
                rest.append(claim)
        self.owe(rest, "not_yet")
        self._scans_over.set()
        return list(cells.values())

    def owe(self, claims: Iterable[Claim], reason: str) -> None:
        """These claims are no longer evidence: their directories are owed a deep listing."""
        for owed in reversed(self._owed(claims, reason)):
            self.tell_first(owed)

    def owe_root(self, reason: str) -> None:
        """Everything is owed, as far as the root is known."""
        if self.root is not None:
            self.tell([self._owe(self.root, b"/", reason)])

    # -- losing

    def _overflow(self) -> None:
        """The queue of the watch is full: what it holds becomes owed."""
        self.overflows += 1
        lost, self._events = self._events, _Queue()
        proofs = [claim for claim in lost.claims if isinstance(claim, Root)]
        for proof in proofs[-1:]:
            self._events.push(proof)
        for owed in self._owed(lost.claims, "overflow"):
            self._events.push(owed)

    def _owed(self, claims: Iterable[Claim], reason: str) -> list[Owe]:
        paths: dict[Key, tuple[bytes, bool]] = {}
        for claim in claims:
            if not isinstance(claim, Root):
                shallow = isinstance(claim, Cell) and not claim.name
                _, deep = paths.get(claim.dir, (b"", False))
                paths[claim.dir] = (claim.path, deep or not shallow)
        if len(paths) > DIRECTORIES_MAX and self.root is not None:
            paths = {self.root: (b"/", True)}
        return [self._owe(key, path, reason, deep=deep) for key, (path, deep) in paths.items()]

    def _owe(self, key: Key, path: bytes, reason: str, *, deep: bool = True) -> Owe:
        now = self._now_us()
        stamp, origin = Stamp(now, now, 0, "s"), Origin.REALTIME
        return Owe(dir=key, deep=deep, reason=reason, stamp=stamp, origin=origin, path=path)


def _scanned(claim: Claim) -> bool:
    return isinstance(claim, Listing | Same) and claim.origin is not Origin.REALTIME
