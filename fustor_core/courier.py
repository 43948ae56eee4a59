"""Batches on their way: out of a pipe's outbox, over its link, and what their replies mean."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from fustor_core import tracing
from fustor_core.claims import LEADER_ONLY, Ack, Batch, Owe
from fustor_core.documents import stamp_text
from fustor_core.errors import FustorError, SlowDown, StaleEpochError, TooLarge
from fustor_core.link import Link
from fustor_core.post import Post
from fustor_core.trouble import Trouble

CLOSE_S = 5.0


class Courier:
    """Sends one batch at a time.

    Args:
        link, post, trouble: of the pipe.

    Attributes:
        last_ack_at: wall time of the last acknowledgement, as text.
    """

    def __init__(self, link: Link, post: Post, trouble: Trouble) -> None:
        self.last_ack_at: str | None = None
        self._link, self._post, self._trouble = link, post, trouble

    def __repr__(self) -> str:
        return f"<Courier of {self._post.outbox!r}>"

    async def push(self, may_send: Callable[[], bool]) -> None:
        """Wait for the next batch, and send it if that is still allowed then.

        One that is too large for the other end is halved, and sent by the next call.

        Raises:
            PipeError: it is not durable at the other end; it stays in the outbox.
        """
        outbox = self._post.outbox
        batch = await outbox.take()
        if not may_send():
            return
        try:
            with tracing.span("fustor.batch", seq=batch.seq, claims=len(batch.claims)):
                ack = await self._link.push(batch, outbox.sent_bytes)
        except TooLarge:
            if not outbox.split():
                raise
        else:
            self._acknowledged(batch, ack)

    async def drain(self, limit_s: float) -> None:
        """Send what is queued, as long as that goes well."""
        outbox = self._post.outbox
        with anyio.move_on_after(limit_s):
            while self._link.alive and not outbox.idle:
                try:
                    await self.push(lambda: True)
                except StaleEpochError:
                    outbox.strip()
                except SlowDown as slow:
                    await self._post.sleep(slow.retry_after_s)
                except (OSError, FustorError) as error:
                    self._trouble.last_error = str(error)
                    return

    async def close(self) -> None:
        """End the session; the other end finds out by itself if it cannot be told."""
        with anyio.move_on_after(CLOSE_S):
            try:
                await self._link.close()
            except (OSError, FustorError) as error:  # of whoever answers, in this process too
                self._trouble.last_error = str(error)

    def _acknowledged(self, batch: Batch, ack: Ack) -> None:
        self._post.outbox.acknowledged()
        self.last_ack_at = stamp_text(time.time_ns())
        self._trouble.acknowledged(len(batch.claims))
        if not ack.owed:
            return
        # What a scan has declared owed itself, it is about to list.
        owes = [claim for claim in batch.claims if isinstance(claim, Owe)]
        own = {owe.dir for owe in owes if owe.origin in LEADER_ONLY}
        own -= {owe.dir for owe in owes if owe.origin not in LEADER_ONLY}
        owed = [one for one in ack.owed if one.key not in own]
        self._post.orders.take_owed(owed, self._post.now_us())
        self._post.news.set()
