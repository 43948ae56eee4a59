"""What a view's state needs by itself: checkpoints, and to forget what hangs nowhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from fustor_core.claims import Key
from fustor_core.contracts import Durable, Seeking, View
from fustor_core.errors import DiskFull, StateError
from fustor_core.journal import JournalFailed

CHECKPOINT_S = 2.0
CHECKPOINT_S_MOST = 20.0
CHECKPOINT_SHARE, BUSY_SHARE = 10, 40
"""Checkpoints take at most one part in so many of the time; in more where little batches come
without a pause: directories in which much happens are written whole each time, and all is slower
meanwhile. What they have not written yet is in the journal. Who hurries them does not wait."""
CALM_S, CALM_SHARE = 0.5, 4
"""A pause, and the part of the time that checkpoints take at most where there are some."""
LITTLE_BYTES, MUCH_BYTES = 1 << 20, 16 << 20
"""Of the journal, since the last checkpoint. Behind little the first pause is used: it is the first
audit of 12,000 directories, which a start takes a third of a second to repeat. Behind much they are
nearer to each other without a pause, too."""
CHECKPOINT_DIRECTORIES = 5000
FORGET_AT_ONCE = 1000
FORGET_AGAIN_US = 3_600_000_000
"""After forgetting has failed: it can wait, and each failure costs as much as a start."""


class Upkeep:
    """Of one view, beside all that is asked of it.

    Args:
        view: the driver. now_us: fusion time. forget: drops directories, as a journalled decision.
        checkpoint: makes the state durable; given what to tell when the disk is full.
    """

    def __init__(
        self,
        view: View,
        now_us: Callable[[], int],
        forget: Callable[[list[Key]], Awaitable[None]],
        checkpoint: Callable[[Callable[[str], None]], Awaitable[None]],
    ) -> None:
        self._seeking = view if isinstance(view, Seeking) else None
        self._durable = view if isinstance(view, Durable) else None
        self._now_us, self._forget, self._checkpoint = now_us, forget, checkpoint
        self._stir, self._hurried = anyio.Event(), False
        self._forgets_us = 0
        self._took_s = 0.0
        self._grown_bytes, self._grown_s = 0, float("-inf")

    def __repr__(self) -> str:
        return f"<Upkeep of {self._durable!r}>"

    async def rest(self) -> None:
        """Until the next round: long behind a long one, longer while little batches come, not so
        long when many have come and no more do."""
        took_s, began_s = self._took_s, anyio.current_time()
        least_s = began_s + min(CHECKPOINT_S_MOST, max(CHECKPOINT_S, CHECKPOINT_SHARE * took_s))
        most_s = began_s + min(CHECKPOINT_S_MOST, max(CHECKPOINT_S, BUSY_SHARE * took_s))
        while not self._hurried:
            calm_s = self._grown_s + CALM_S
            often_s = min(least_s, began_s + CALM_SHARE * took_s)
            soon_s = often_s if self._grown_bytes >= LITTLE_BYTES else least_s
            late_s = least_s if self._grown_bytes >= MUCH_BYTES else most_s
            due_s = min(late_s, max(calm_s, soon_s))
            left_s = due_s - anyio.current_time()
            if left_s <= 0:
                break
            self._stir = anyio.Event()
            with anyio.move_on_after(min(left_s, CALM_S) if self._grown_bytes else left_s):
                await self._stir.wait()
        self._hurried = False

    async def round(self, loose_age_s: float, on_full: Callable[[str], None]) -> None:
        """Checkpoint what is dirty, forget what is loose.

        Raises:
            JournalFailed: the disk failed.
        """
        await self.forget_loose(loose_age_s)
        self._grown_bytes = 0
        if self._durable is not None and self._durable.dirty():
            began_s = anyio.current_time()
            await self._checkpoint(on_full)
            self._took_s = anyio.current_time() - began_s

    def grew(self, size: int) -> None:
        """So many bytes of the journal were applied."""
        if not self._grown_bytes:
            self._stir.set()
        self._grown_bytes += size
        self._grown_s = anyio.current_time()

    def hurry(self) -> None:
        """A batch was applied: so much may be dirty that a checkpoint should not wait."""
        if self._durable is not None and self._durable.dirty() >= CHECKPOINT_DIRECTORIES:
            self._hurried = True
            self._stir.set()

    async def forget_loose(self, loose_age_s: float) -> None:
        """Forget what has hung nowhere for so long. A fault in it costs memory, and no more.

        Raises:
            JournalFailed: the disk failed.
        """
        now = self._now_us()
        if self._seeking is None or now < self._forgets_us:
            return
        keys = self._seeking.forgettable(now - int(loose_age_s * 1e6), FORGET_AT_ONCE)
        if not keys:
            return
        try:
            await self._forget(keys)
        except DiskFull:
            return  # later, then
        except JournalFailed:
            raise
        except StateError:  # it is set aside, and people were told
            self._forgets_us = now + FORGET_AGAIN_US
