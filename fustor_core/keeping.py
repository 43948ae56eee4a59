"""Keeping one view's state: journal, checkpoints, replay (DESIGN §3: restart = packs + replay).

The state is the fold over the journal. A checkpoint makes the fold up to one journal position
durable in the view's own store, after which older segments of the journal are dropped.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from fustor_core import frames, tracing
from fustor_core.admission import without_skipped
from fustor_core.claims import Ack, Batch, Key, Root
from fustor_core.clock import FusionClock, SavedClock
from fustor_core.contracts import Durable, View, boottime_us
from fustor_core.contracts.view import Locating
from fustor_core.engine import attempt, attempted, sentence
from fustor_core.errors import DiskFull, StateError
from fustor_core.fold import Fold, Folded
from fustor_core.frames import BatchHead, Meta
from fustor_core.jobs import Jobs
from fustor_core.journal import GroupCommit, Journal, Payload, whole
from fustor_core.lines import LineRow, Lines, aged
from fustor_core.replay import OF_VIEW, Replay, Taken
from fustor_core.roll import Roll
from fustor_core.state.files import make_folder
from fustor_core.upkeep import MUCH_BYTES, Upkeep
from fustor_core.watch_lists import WatchLists, Where

T = TypeVar("T")

ROLL_BYTES = MUCH_BYTES
"""A segment of the journal that has less goes on behind a checkpoint, and is read at the next
start: another one costs two waits for the disk."""
FIRST_BOOT = -(1 << 62)  # fusion time has no beginning before its first boot


def nothing() -> None:
    """The work of a checkpoint that has nothing to write."""


class Keeping:
    """The durable side of a view.

    Args:
        view: the driver. fold: its fold. folder: the view's folder in the state directory.
        boot: boot id of the operating system. lines: how many lines are remembered.
        raw_us: the raw clock. on_alarm: told of what could not be applied.

    Attributes:
        clock: fusion time. roll: the sessions that outlive this process. lines: their clocks.
        replay: how frames get into the fold. jobs, watches: what agents are asked for.
        upkeep: checkpoints, and what is forgotten.
        disk_full: the last write found no room.
    """

    def __init__(
        self,
        view: View,
        fold: Fold,
        folder: Path,
        boot: str,
        *,
        lines: int = 1000,
        raw_us: Callable[[], int] = boottime_us,
        on_alarm: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.view = view
        self._locating = view if isinstance(view, Locating) else None
        self._durable = view if isinstance(view, Durable) else None
        self.fold = fold
        self.folder = folder
        self.boot = boot
        self.replay, self._on_alarm = Replay(view, fold, folder, on_alarm), on_alarm
        self._raw_us = raw_us
        self.clock = FusionClock(boot, 0)
        self.roll = Roll()
        self.jobs = Jobs(folder.name)
        self.watches = WatchLists()
        self.lines = Lines(boot, 0, start_us=0, floor_us=0, most=lines)
        self.applied_lsn = 0
        self._lines_most = lines
        self._next_line = 1
        self._was: frames.Clock | None = None
        self._since = FIRST_BOOT, FIRST_BOOT
        self.disk_full, self._told = False, True
        self._turn = anyio.Event()  # passed on; set while nothing is being applied
        self._turn.set()
        self.upkeep = Upkeep(view, self.now_us, self._forget, self.checkpoint)
        self._checkpointing, self._writing = anyio.Lock(), anyio.Lock()

    def open(self, name: str) -> None:
        """Read the last checkpoint and replay what the journal has beyond it; synchronous.

        Raises:
            StateError: the state is of a newer version, or its disk failed.
        """
        lsn, raw = 0, b""
        make_folder(self.folder)
        if isinstance(self.view, Durable):
            lsn, raw = self.view.open(self.folder, name)
        meta = frames.decode(raw, Meta) if raw else None
        self._kept: list[LineRow] = []
        self._was = meta.clock if meta else None
        if meta is not None:
            self.roll.epoch, self.roll.holder = meta.epoch, meta.holder
            self.roll.birth = meta.birth
            self.roll.restore(meta.sessions, meta.bound)
            self.fold.restore(meta)
            self._next_line, self._kept = meta.next_line, meta.lines
            self.jobs.restore(meta.jobs)
            self.watches.restore(meta.watches)
        self.journal = Journal.open(self.folder / "journal", after=lsn or None)
        self.replay.journal, self.replay.name = self.journal, name
        self.replay.quarantine.open()
        self.applied_lsn = lsn
        for number, kind, frame in self.journal.replay(lsn):
            self._replay(number, kind, frame)
            self.applied_lsn = number
        self._resume()
        self.commits = GroupCommit(self.journal)

    def _resume(self) -> None:
        """Fusion time goes on, and the lines with it."""
        was, raw_us, wall_us = self._was, self._raw_us(), time.time_ns() // 1000
        saved = was.saved if was else None
        self.clock = FusionClock.resume(saved, boot=self.boot, raw_us=raw_us, wall_us=wall_us)
        now = self.clock.at(raw_us)
        same = saved is not None and self.clock.offset_us == saved.offset_us
        start_us, floor_us, rebooted = FIRST_BOOT, FIRST_BOOT, None
        if was is not None and same:
            start_us, floor_us = was.start_us, was.floor_us
        elif was is not None and saved is not None:
            start_us, floor_us = now, saved.high_us
            rebooted = was.start_us, saved.high_us
        self._since = start_us, floor_us
        self.lines = Lines(
            self.boot,
            self.clock.offset_us,
            start_us=start_us,
            floor_us=floor_us,
            most=self._lines_most,
        )
        known = {row.name: row for row in self._kept}
        for line in [row.line for row in self.roll.rows()]:
            if line.name not in known or known[line.name].number < line.number:
                known[line.name] = line
        self.lines.restore(known.values(), rebooted=rebooted)
        self.lines.next_number = max(self.lines.next_number, self._next_line)
        if not same:
            try:
                self.journal.append(frames.CLOCK, frames.encode(self._clock_now()))
                self.journal.sync()
            except DiskFull:
                self.disk_full, self._told = True, False  # the next frame brings it along

    def _clock_now(self) -> frames.Clock:
        wall_us = time.time_ns() // 1000
        saved = SavedClock(self.boot, self.clock.offset_us, self.now_us(), wall_us)
        return frames.Clock(saved, *self._since)

    def tell_damage(self) -> bool:
        """Say what the start could not read back; whether there is anything."""
        lost = list(self.view.damage()) if isinstance(self.view, Durable) else []
        recovery = self.journal.recovery
        if not recovery.whole:
            lost += [f"the journal was damaged: {d}" for d in recovery.damage if d.needed]
        for text in lost:
            self._on_alarm(text)
        return bool(lost)

    def _replay(self, lsn: int, kind: int, frame: memoryview) -> None:
        """One frame of the journal into the view, or into what is known of sessions and clocks."""
        if kind in OF_VIEW:
            self._replay_view(lsn, kind, frame)
        elif kind == frames.EPOCH:
            self.roll.led(frames.decode(frame, frames.Epoch))
        elif kind == frames.OPENING:
            opening = frames.decode(frame, frames.Opening)
            self.roll.opened(opening)
            number = opening.row.line.number
            if opening.row.realtime:
                self.watches.attend(number, lambda: {row.line.number for row in self.roll.rows()})
            self._next_line = max(self._next_line, number + 1)
            self._passed(opening.row.created_us)
        elif kind == frames.ENDING:
            self.roll.ended(frames.decode(frame, frames.Ending))
        elif kind == frames.JOBS:
            self.jobs.restore(frames.decode(frame, frames.JobRows).rows)
        elif kind == frames.CLOCK:
            began, was = frames.decode(frame, frames.Clock), self._was
            if was is None or was.start_us != began.start_us:  # else the checkpoint knows more
                if was is not None:  # what was read until now is of a boot that is over
                    self._kept = [aged(one, was.start_us, began.floor_us) for one in self._kept]
                    self.roll.age(was.start_us, began.floor_us)
                self._was = began

    def _replay_view(self, lsn: int, kind: int, frame: memoryview) -> None:
        self.fold.mark()
        done = attempted(partial(self.replay.fold_in, lsn, kind, frame))
        if isinstance(done, Exception):
            done = self.replay.set_aside(lsn, kind, frame, done)
        if kind == frames.BATCH:
            head, _ = frames.read_batch_frame(frame)
            if done is not None:
                self.took(done.head, done.batch, done.folded, head.arrival_us)
                told = without_skipped(done.batch, frozenset(done.head.skipped))
                self.watches.found(head.line, told, done.folded.edges, self._where())
            self._next_line = max(self._next_line, head.line + 1)
            self._passed(head.arrival_us, head.wall_ns)
        elif kind == frames.CONFIRM:
            word = frames.decode(frame, frames.Confirm)
            self._passed(word.at_us, word.wall_ns)
        elif kind == frames.OWE:
            asked = frames.decode(frame, frames.OweLook)
            self._passed(asked.at_us, asked.wall_ns)

    def _where(self) -> Where | None:
        return self._locating.where if self._locating is not None else None

    def took(self, head: BatchHead, batch: Batch, folded: Folded, now_us: int) -> Ack:
        """A batch is durable and applied; returns what its session is told."""
        row = self.roll.get(head.session)
        owed = tuple(folded.owed) if row is None or row.scan else ()
        reply = Ack(batch.seq, now_us, head.refused, owed)
        self.roll.took(head, reply)
        if not self.roll.birth and head.proven:
            roots = [c for c in batch.claims if isinstance(c, Root) and c.present]
            self.roll.birth = roots[-1].birth if roots else ""
        return reply

    def _passed(self, at_us: int, wall_ns: int = 0) -> None:
        """The journal knows a later time than what was saved of the clock."""
        was = self._was
        if was is not None and at_us > was.saved.high_us:
            wall_us = wall_ns // 1000 or was.saved.wall_us + at_us - was.saved.high_us
            saved = SavedClock(was.saved.boot, was.saved.offset_us, at_us, wall_us)
            self._was = frames.Clock(saved, was.start_us, was.floor_us)

    def now_us(self) -> int:
        """Fusion time now."""
        return self.clock.at(self._raw_us())

    async def commit(self, kind: int, payload: Payload) -> int:
        """Make one frame durable.

        Raises:
            DiskFull: nothing was kept.
        """
        try:
            if not self._told:  # how fusion time runs goes before all that it dates
                await self.commits.commit(frames.CLOCK, [frames.encode(self._clock_now())])
            lsn = await self.commits.commit(kind, [payload])
        except DiskFull:
            self.disk_full = True
            raise
        self.disk_full, self._told = False, True
        return lsn

    async def fold_in(
        self,
        kind: int,
        payload: Payload,
        apply: Callable[[], Awaitable[T]],
        spared: Callable[[Taken], T] | None = None,
    ) -> T:
        """Make a frame durable, then apply it when all before it are applied.

        Args:
            apply: when it fails, the frame is set aside and all is as if it had not been.
            spared: what to say of a batch then.

        Raises:
            DiskFull: nothing was kept, and nothing applied.
            StateError: it was set aside, and nothing is to be said of it.
        """
        async with self.in_turn() as turn:
            size = sum(map(len, payload)) if isinstance(payload, tuple) else len(payload)
            with tracing.span("fustor.journal", bytes=size):
                lsn = await self.commit(kind, payload)
            with anyio.CancelScope(shield=True):  # durable: it must be applied, whoever waits
                await turn.wait()
                self.fold.mark()
                with tracing.span("fustor.apply"):
                    done = await attempt(apply)
                taken: Taken | None = None
                if isinstance(done, Exception):
                    async with self._writing:
                        frame = memoryview(whole(payload))
                        taken = self.replay.set_aside(lsn, kind, frame, done)
                self.applied_lsn = lsn
                self.upkeep.grew(size)
                if taken is not None and spared is not None:
                    return spared(taken)
        if isinstance(done, Exception):
            raise StateError(
                f"this could not be done: {sentence(done)}",
                remedy="nothing has changed; `fustor status` names the files to send with a report",
            ) from done
        return done

    async def keep_jobs(self) -> None:
        """Make the end of scans on demand durable; what cannot be now is with a checkpoint."""
        ended = self.jobs.ended()
        if ended:
            with suppress(DiskFull):
                await self.commit(frames.JOBS, frames.encode(frames.JobRows(ended)))

    @asynccontextmanager
    async def in_turn(self) -> AsyncIterator[anyio.Event]:
        """A place in the row of those that change the state, as the journal has them.

        The body waits for what is yielded before it changes or copies anything.
        """
        turn, done = self._turn, anyio.Event()
        self._turn = done
        try:
            yield turn
        finally:  # it passes on in order, whatever happened to this one
            with anyio.CancelScope(shield=True):
                await turn.wait()
            done.set()

    # ---- checkpoints

    async def _forget(self, keys: list[Key]) -> None:
        async def forget() -> None:
            self.fold.forget(keys)

        await self.fold_in(frames.FORGET, frames.encode(frames.Forget(keys)), forget)

    async def checkpoint(self, on_full: Callable[[str], None]) -> None:
        """Make the fold up to the last applied batch durable in the view's store."""
        durable = self._durable
        if durable is None:
            return
        async with self._checkpointing:
            work, lsn = nothing, 0
            with anyio.CancelScope(shield=True):  # a copy that was begun must be written
                try:
                    async with self.in_turn() as turn:
                        await turn.wait()
                        await self._writing.acquire()  # from now on nothing is undone
                        lsn = self.applied_lsn
                        for step in durable.checkpoint(lsn, frames.encode(self._meta())):
                            work = step
                            await anyio.lowlevel.checkpoint()
                    await anyio.to_thread.run_sync(work)
                except DiskFull as err:
                    if not self.disk_full:
                        on_full(err.message)
                    self.disk_full = True
                    return
                finally:
                    self._writing.release()
            await anyio.to_thread.run_sync(self._drop, lsn)
            self.replay.quarantine.prune(lsn)

    def _drop(self, lsn: int) -> None:
        """What the journal has up to here need not be read again at the next start. Where frames
        behind it lie in the same segment, that one goes with a later checkpoint."""
        self.journal.roll(ROLL_BYTES)
        self.journal.drop_until(lsn)

    def _meta(self) -> Meta:
        fold, roll, where = self.fold, self.roll, self._where()
        return Meta(
            clock=self._clock_now(),
            epoch=roll.epoch,
            holder=roll.holder,
            identity=fold.identity,
            root=fold.root,
            birth=roll.birth,
            next_line=self.lines.next_number,
            lag=fold.lag.samples(),
            lines=self.lines.rows(),
            sessions=roll.rows(),
            bound=roll.bound(),
            jobs=self.jobs.rows(),
            watches=self.watches.rows(where) if where is not None else [],
            audits=fold.audits,
        )

    def close(self) -> None:
        """Close the files; what was not checkpointed is in the journal."""
        self.journal.close()
        if isinstance(self.view, Durable):
            self.view.close()
