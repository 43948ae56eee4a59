"""The dense sequence of one session's batches: which number comes next, and what a repeat gets.

Batches are numbered 1, 2, 3 … by the agent. A batch is *taken* when it came in order and is being
made durable, and *acknowledged* when it is durable; only then is it answered. A refused batch (a
gap, a stale epoch, a full disk) consumes no number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fustor_core.claims import Ack

REPLIES_KEPT = 8
"""Stored replies; agents send one batch at a time, so that one would nearly do."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """The next batch: take it."""

    seq: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """An acknowledged batch again: answer with the stored reply, change nothing."""

    seq: int
    reply: Ack


@dataclass(frozen=True, slots=True)
class Underway:
    """A batch again that is being made durable just now: one reply does for both."""

    seq: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A batch is missing in between: 409 with `expected`."""

    expected: int


@dataclass(frozen=True, slots=True)
class BatchSequence:
    """How far one session has come.

    Args:
        acked: number of the last acknowledged batch, 0 = none yet.
        taken: number of the last taken batch, at least `acked`.
        replies: the last replies, oldest first; the newest is that of `acked`.
    """

    acked: int = 0
    taken: int = 0
    replies: tuple[Ack, ...] = ()

    def check(self, seq: int) -> Fresh | Repeat | Underway | Gap:
        """What a batch of this number is. Of one too long ago, the reply says `acked` alone."""
        if seq == self.taken + 1:
            return Fresh(seq)
        if seq > self.taken or seq < 1:
            return Gap(self.taken + 1)
        if seq > self.acked:
            return Underway(seq)
        back = self.acked - seq
        if back < len(self.replies):
            return Repeat(seq, self.replies[-1 - back])
        return Repeat(seq, Ack(acked=self.acked))

    def take(self, seq: int) -> BatchSequence:
        """While batch `seq` is being made durable.

        Raises:
            ValueError: it is not the next one; `check` says so beforehand.
        """
        if seq != self.taken + 1:
            raise ValueError(f"batch {seq} is not the next one, {self.taken + 1}")
        return BatchSequence(self.acked, seq, self.replies)

    def acknowledge(self, reply: Ack) -> BatchSequence:
        """When batch `reply.acked` is durable and about to be answered.

        Raises:
            ValueError: it was not taken, or one before it is not durable yet.
        """
        seq = reply.acked
        if seq != self.acked + 1 or seq > self.taken:
            raise ValueError(f"batch {seq} cannot be acknowledged after {self.acked}: {self}")
        return BatchSequence(seq, self.taken, (*self.replies, reply)[-REPLIES_KEPT:])

    def release(self) -> BatchSequence:
        """After a journal that failed: what was taken and is not durable never came."""
        return replace(self, taken=self.acked)
