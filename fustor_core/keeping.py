"""Keeping one view's state: journal, checkpoints, replay (DESIGN §3: restart = packs + replay).

The state is the fold over the journal. A checkpoint makes the fold up to one journal position
durable in the view's own store, after which older segments of the journal are dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from fustor_core import frames
from fustor_core.claims import decode_batch
from fustor_core.clock import FusionClock, LogicalClock, SavedClock
from fustor_core.contracts import Durable, Moment, Seeking, View, boottime_us
from fustor_core.errors import DiskFull
from fustor_core.fold import Fold
from fustor_core.frames import Meta
from fustor_core.journal import GroupCommit, Journal, Payload

CHECKPOINT_S = 2.0
CHECKPOINT_DIRECTORIES = 5000
FORGET_AT_ONCE = 1000


class Keeping:
    """The durable side of a view.

    Args:
        view: the driver. fold: its fold. folder: the view's folder in the state directory.
        boot: boot id of the operating system.

    Attributes:
        clock: fusion time. epoch: the last durable one. next_line: number of the next line.
        turn: passed from batch to batch; set while no batch is being applied.
        disk_full: the last write found no room.
    """

    def __init__(self, view: View, fold: Fold, folder: Path, boot: str) -> None:
        self.view = view
        self.fold = fold
        self.folder = folder
        self.boot = boot
        self.clock = FusionClock(boot, 0)
        self.epoch = 0
        self.next_line = 1
        self.applied_lsn = 0
        self.disk_full = False
        self.turn = anyio.Event()
        self.turn.set()
        self._wanted = anyio.Event()
        self._checkpointing = anyio.Lock()

    def open(self, name: str) -> None:
        """Read the last checkpoint and replay what the journal has beyond it; synchronous.

        Raises:
            StateError: the state is of a newer version, or its disk failed.
        """
        lsn, raw = 0, b""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if isinstance(self.view, Durable):
            lsn, raw = self.view.open(self.folder, name)
        meta = frames.decode(raw, Meta) if raw else None
        self.clock = FusionClock.resume(
            meta.clock if meta else None,
            boot=self.boot,
            raw_us=boottime_us(),
            wall_us=time.time_ns() // 1000,
        )
        if meta is not None:
            self.epoch, self.next_line = meta.epoch, meta.next_line
            self.fold.identity, self.fold.root = meta.identity, meta.root
            self.fold.lag = LogicalClock(meta.lag)
        self.journal = Journal.open(self.folder / "journal", after=lsn or None)
        self.applied_lsn = lsn
        last_us = 0
        for number, kind, frame in self.journal.replay(lsn):
            last_us = max(last_us, self._replay(kind, frame))
            self.applied_lsn = number
        if last_us > self.clock.at(boottime_us()):  # the journal knows a later time than the meta
            self.clock = FusionClock(self.boot, last_us - boottime_us())
        self.commits = GroupCommit(self.journal)

    def damage(self) -> list[str]:
        """What the start could not read back, as sentences."""
        lost = list(self.view.damage()) if isinstance(self.view, Durable) else []
        recovery = self.journal.recovery
        if not recovery.whole:
            lost += [f"the journal was damaged: {d}" for d in recovery.damage if d.needed]
        return lost

    def _replay(self, kind: int, frame: memoryview) -> int:
        """One frame of the journal into the view; returns its fusion time."""
        if kind == frames.BATCH:
            head, body = frames.read_batch_frame(frame)
            storage = self.fold.lag.watermark(head.wall_ns)
            moment = Moment(head.arrival_us, head.wall_ns, storage, None, True, 0)
            for _ in self.fold.batch(head, decode_batch(body), moment):
                pass
            self.next_line = max(self.next_line, head.line + 1)
            return head.arrival_us
        if kind == frames.EPOCH:
            self.epoch = max(self.epoch, frames.decode(frame, frames.Epoch).epoch)
        elif kind == frames.FORGET:
            self.fold.forget(frames.decode(frame, frames.Forget).keys)
        elif kind == frames.CONFIRM:
            word = frames.decode(frame, frames.Confirm)
            self.fold.confirm(word)
            return word.at_us
        elif kind == frames.OWE:
            asked = frames.decode(frame, frames.OweLook)
            self.fold.owe(asked)
            return asked.at_us
        return 0

    def now_us(self) -> int:
        """Fusion time now."""
        return self.clock.at(boottime_us())

    async def commit(self, kind: int, payload: Payload) -> int:
        """Make one frame durable.

        Raises:
            DiskFull: nothing was kept.
        """
        try:
            lsn = await self.commits.commit(kind, [payload])
        except DiskFull:
            self.disk_full = True
            raise
        self.disk_full = False
        return lsn

    # ---- checkpoints

    async def write_back(self, loose_age_s: float, on_full: Callable[[str], None]) -> None:
        """Checkpoint what is dirty, forget what is loose; until cancelled."""
        while True:
            with anyio.move_on_after(CHECKPOINT_S):
                await self._wanted.wait()
            self._wanted = anyio.Event()
            await self._forget_loose(loose_age_s)
            if isinstance(self.view, Durable) and self.view.dirty():
                await self.checkpoint(on_full)

    def hurry(self) -> None:
        """A batch was applied: so much may be dirty that a checkpoint should not wait."""
        if isinstance(self.view, Durable) and self.view.dirty() >= CHECKPOINT_DIRECTORIES:
            self._wanted.set()

    async def _forget_loose(self, loose_age_s: float) -> None:
        if not isinstance(self.view, Seeking):
            return
        keys = self.view.forgettable(self.now_us() - int(loose_age_s * 1e6), FORGET_AT_ONCE)
        if keys:
            try:
                await self.commit(frames.FORGET, frames.encode(frames.Forget(keys)))
            except DiskFull:
                return
            self.fold.forget(keys)

    async def checkpoint(self, on_full: Callable[[str], None]) -> None:
        """Make the fold up to the last applied batch durable in the view's store."""
        if not isinstance(self.view, Durable):
            return
        async with self._checkpointing:
            while not self.turn.is_set():  # between two batches
                await self.turn.wait()
            lsn = self.applied_lsn
            wall_us = time.time_ns() // 1000
            clock = SavedClock(self.boot, self.clock.offset_us, self.now_us(), wall_us)
            fold = self.fold
            meta = Meta(
                clock, self.epoch, fold.identity, fold.root, self.next_line, fold.lag.samples()
            )
            work = self.view.checkpoint(lsn, frames.encode(meta))
            try:
                with anyio.CancelScope(shield=True):  # a copy that was taken must be written
                    await anyio.to_thread.run_sync(work)
            except DiskFull as err:
                if not self.disk_full:
                    on_full(err.message)
                self.disk_full = True
                return
            self.journal.drop_until(lsn)

    def close(self) -> None:
        """Close the files; what was not checkpointed is in the journal."""
        self.journal.close()
        if isinstance(self.view, Durable):
            self.view.close()
