"""What a pipe has seen and not yet been thanked for: bounded queues between source and sink.

Claims of the watch go before claims of scans. A scan waits while its queue is full; a watch cannot
wait, so when its queue is full what stands in it becomes `Owe`: the directories are listed again
later, nothing is lost. Batches are numbered densely within a session and kept until acknowledged.

Any number of tasks put claims, one takes batches. Nothing here is safe between threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from fustor_core import owing
from fustor_core.claims import (
    LEADER_ONLY,
    PROTOCOL,
    Batch,
    Cell,
    Claim,
    Key,
    Listing,
    Looked,
    Origin,
    Owe,
    Root,
)
from fustor_core.queues import Queue, last_words, wire_bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of batches and queues.

    Args:
        rows, wire_bytes: a batch is sent when it has so many; fewer if a session grants fewer.
        scan_batches: a scan waits while so many batches are queued.
        spool_bytes: memory for what the watch has seen (`agent.spool_bytes`).
        window_s: how long a realtime claim waits for company, at least and at most.
        scan_window_s: the same for scan claims.
    """

    rows: int = 40_000
    wire_bytes: int = 3 << 20
    scan_batches: int = 2
    spool_bytes: int = 256 << 20
    window_s: tuple[float, float] = (0.002, 0.020)
    scan_window_s: float = 0.050


BUSY_CLAIMS = 8  # a batch with so many realtime claims widens the window
TURN_ROWS, TURN_CLAIMS = 10_000, 128  # a scan lets the other tasks run after so many
_WHOLE = frozenset({Origin.SNAPSHOT, Origin.AUDIT})
WIRE_LEAST = 4096  # batches get no smaller, however many are refused as too large


class Outbox:
    """The queues of one pipe.

    Args:
        limits: sizes.
        now_us: the raw clock, for the stamps of what becomes owed.

    Attributes:
        root: key of the root directory, as soon as a claim has named it.
        epoch: leadership under which scan claims are made; 0 for a follower.
        reached: view path of the last directory of a whole scan that was acknowledged.
    """

    def __init__(self, limits: Limits, now_us: Callable[[], int]) -> None:
        self.limits = limits
        self.root: Key | None = None
        self.epoch = 0
        self.reached = b""
        self.overflows = 0
        self._now_us = now_us
        self._events, self._scans = Queue(), Queue()
        self._rest = Queue()  # of a batch that was too large: goes before all others
        self._passed_over = False  # scan claims waited while a batch of events went
        self._rows, self._wire_bytes = limits.rows, limits.wire_bytes
        self._unacked: Batch | None = None
        self._unacked_bytes = self._seq = self._turn_rows = self._turn_claims = 0
        self._window_s = limits.window_s[0]
        self._since_s = self._formed_s = self._took_s = 0.0
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
        return len(self._events.claims) + len(self._scans.claims) + len(self._rest.claims)

    @property
    def unacked_bytes(self) -> int:
        """Wire bytes of all that is not acknowledged, queued or sent."""
        return self._events.bytes + self._scans.bytes + self._rest.bytes + self._unacked_bytes

    @property
    def sent_bytes(self) -> int:
        """Wire bytes of the batch that was handed out."""
        return self._unacked_bytes

    @property
    def unacked(self) -> Batch | None:
        """The batch that was handed out and not acknowledged."""
        return self._unacked

    @property
    def idle(self) -> bool:
        """Nothing is queued and nothing is on its way."""
        return not self.queued and self._unacked is None

    def allow(self, rows: int, batch_bytes: int) -> None:
        """A session was granted; its batches are no larger than this, one huge listing apart.

        Args:
            batch_bytes: as the other end counts; sizes here are estimates, so half of it is used.
        """
        self._rows = max(1, min(self.limits.rows, rows))
        self._wire_bytes = max(WIRE_LEAST, min(self.limits.wire_bytes, batch_bytes // 2))

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
        await self.put_all((claim,))

    async def put_all(self, claims: Iterable[Claim]) -> None:
        """Claims of a scan, asked for one by one; waits while the queue is full."""
        rows_most = self.limits.rows * self.limits.scan_batches
        bytes_most = self.limits.wire_bytes * self.limits.scan_batches
        first = not self.queued
        try:
            for claim in claims:
                while self._scans.rows >= rows_most or self._scans.bytes >= bytes_most:
                    self._arrived(first=first)
                    self._room = _unset(self._room)
                    await self._room.wait()
                    first = not self.queued
                self._learn(claim)
                self._turn_rows += self._scans.push(claim)
                self._turn_claims += 1
                if self._turn_rows >= TURN_ROWS or self._turn_claims >= TURN_CLAIMS:
                    self._turn_rows = self._turn_claims = 0
                    self._arrived(first=first)
                    await anyio.lowlevel.checkpoint()
                    first = not self.queued
        finally:
            self._arrived(first=first)

    async def flushed(self) -> None:
        """Wait until no scan claim is queued or on its way."""
        while self._holds_scans():
            self._scans_over = _unset(self._scans_over)
            self._hurry = True
            self._wake.set()
            await self._scans_over.wait()

    async def delivered(self) -> None:
        """Wait until everything is acknowledged."""
        while not self.idle:
            self._over = _unset(self._over)
            self._hurry = True
            self._wake.set()
            await self._over.wait()

    def _holds_scans(self) -> bool:
        sent = self._unacked.claims if self._unacked is not None else ()
        return bool(self._scans.claims) or any(map(_scanned, (*sent, *self._rest.claims)))

    def _learn(self, claim: Claim) -> None:
        if type(claim) is Listing:
            if claim.path == b"/":
                self.root = claim.dir
        elif type(claim) is Root and claim.present:
            self.root = claim.key

    def _arrived(self, *, first: bool) -> None:
        if first and self.queued:
            self._since_s = anyio.current_time()
        if first or self._events.claims or self._full():
            self._wake.set()

    def _full(self) -> bool:
        rows = self._events.rows + self._scans.rows
        size = self._events.bytes + self._scans.bytes
        return rows >= self._rows or size >= self._wire_bytes

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
        while not self._full() and not self._hurry and not self._rest.claims:
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
        queues = (self._rest,) if self._rest.claims else (self._events, self._scans)
        if self._passed_over and not self._rest.claims:  # events may come without an end
            queues = (self._scans, self._events)
        self._passed_over = False
        for queue in queues:
            room = self._rows - rows, self._wire_bytes - size
            taken, more_rows, more = queue.take(*room, least=0 if claims else 1)
            rows, size = rows + more_rows, size + more
            if queue is self._scans:
                claims += taken
                self._passed_over = bool(queue.claims) and not taken
                continue
            claims += last_words(taken)
            if queue is self._events:
                self._adapt(len(taken))
        self._hurry = False
        self._since_s = anyio.current_time() - self.limits.scan_window_s if self.queued else 0.0
        self._room.set()
        self._seq += 1
        self._unacked = Batch(PROTOCOL, self._seq, self.epoch, claims)
        self._unacked_bytes, self._formed_s = size, anyio.current_time()
        return self._unacked

    def _adapt(self, events: int) -> None:
        least, most = self.limits.window_s
        factor = 2.0 if events >= BUSY_CLAIMS else 0.5
        most = min(most, max(most / 2, self._took_s / 2))  # a busy moment makes itself no longer
        self._window_s = min(most, max(least, self._window_s * factor))

    # -- what becomes of a batch

    def acknowledged(self) -> None:
        """The batch that was taken is durable at the other end."""
        for claim in reversed(self._unacked.claims if self._unacked is not None else ()):
            if isinstance(claim, Looked) and claim.origin in _WHOLE:
                self.reached = claim.path
                break
        self._unacked, self._unacked_bytes = None, 0
        self._took_s = anyio.current_time() - self._formed_s
        if not self._holds_scans():
            self._scans_over.set()
        if self.idle:
            self._over.set()

    def drop_scans(self) -> None:
        """The leadership is over: scan claims that only a leader may send leave the queue."""
        self._scans, self._rest = (
            Queue(claim for claim in queue.claims if claim.origin not in LEADER_ONLY)
            for queue in (self._scans, self._rest)
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
            self._unacked = None
            self.acknowledged()

    def split(self) -> bool:
        """The batch was refused as too large: half of it keeps the number, the rest goes next.

        Returns:
            False when it is one claim: nothing has changed then.
        """
        batch = self._unacked
        if batch is None or len(batch.claims) < 2:
            return False
        half = (len(batch.claims) + 1) // 2
        for claim in reversed(batch.claims[half:]):
            self._rest.push_first(claim)
        self._wire_bytes = max(WIRE_LEAST, min(self._wire_bytes, self._unacked_bytes // 2))
        self._unacked = Batch(PROTOCOL, batch.seq, batch.epoch, batch.claims[:half])
        self._unacked_bytes = sum(map(wire_bytes, self._unacked.claims))
        return True

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
        self._rows, self._wire_bytes = self.limits.rows, self.limits.wire_bytes
        refused, self._rest = self._rest.claims, Queue()
        cells, rest = owing.parted((*(batch.claims if batch is not None else ()), *refused))
        self.owe(rest, "not_yet")
        self._scans_over.set()
        return cells

    def owe(self, claims: Iterable[Claim], reason: str) -> None:
        """These claims are no longer evidence: their directories are owed a deep listing."""
        for owed in reversed(self._owed(claims, reason)):
            self.tell_first(owed)

    def owe_root(self, reason: str) -> None:
        """Everything is owed, as far as the root is known."""
        if self.root is not None:
            self.tell([owing.owe(self.root, b"/", reason, self._now_us())])

    def left(self) -> list[Owe]:
        """What a stop leaves behind: every directory that something unacknowledged is about.

        Scans of a leader apart: who leads next scans anyway.
        """
        sent = self._unacked.claims if self._unacked is not None else ()
        queues = (self._rest.claims, self._events.claims, self._scans.claims)
        every = (claim for claims in (sent, *queues) for claim in claims)
        return self._owed((one for one in every if one.origin not in LEADER_ONLY), "not_yet")

    def void(self) -> None:
        """Everything queued was about keys that mean nothing any more. Not while a batch is out."""
        self._events, self._scans, self._rest = Queue(), Queue(), Queue()
        self.root = None
        self._room.set()

    # -- losing

    def _overflow(self) -> None:
        """The queue of the watch is full: what it holds becomes owed."""
        self.overflows += 1
        lost, self._events = self._events, Queue()
        proofs = [claim for claim in lost.claims if isinstance(claim, Root)]
        for proof in proofs[-1:]:
            self._events.push(proof)
        for owed in self._owed(lost.claims, "overflow"):
            self._events.push(owed)

    def _owed(self, claims: Iterable[Claim], reason: str) -> list[Owe]:
        return owing.owed(claims, self.root, reason, self._now_us())


def _unset(event: anyio.Event) -> anyio.Event:
    """The same for all who wait, until it is set."""
    return anyio.Event() if event.is_set() else event


def _scanned(claim: Claim) -> bool:
    return isinstance(claim, Looked) and claim.origin is not Origin.REALTIME
