"""One view's receiving end: session check → journal → arbitrate → view → ack (DESIGN §3).

`FusionPipeline` owns the view's sessions, leadership, clock lines, journal and fold. There is one
way in, `push`; whatever feeds the view, in this process or far away, comes through it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from fustor_core import frames, leadership
from fustor_core.admission import Admission, without_skipped
from fustor_core.chores import FOLLOW_UP, SWEEP, WRITE_BACK, Chores
from fustor_core.claims import Ack, Batch
from fustor_core.contracts import (
    HERE,
    Answer,
    Arbitrator,
    Caller,
    Grant,
    Hello,
    Moment,
    Pulse,
    Query,
    Seeking,
    View,
    boottime_us,
)
from fustor_core.documents import history_of, trouble_of, view_status
from fustor_core.errors import DiskFull, SequenceGap, SlowDown, StateError
from fustor_core.fold import Fold, Folded
from fustor_core.frames import BatchHead
from fustor_core.jobs import Job
from fustor_core.keeping import Keeping
from fustor_core.machine import Move
from fustor_core.peers import FusionOptions, Peer
from fustor_core.replay import Taken
from fustor_core.sequence import Gap, Repeat, Underway
from fustor_core.session import Session
from fustor_core.soundness import Stores
from fustor_core.standing import Standing
from fustor_core.states.fusion_pipeline import FUSION_PIPELINE
from fustor_core.states.pipeline import PipelineState

SETTLE_SHARE = 20  # looking whether scans on demand are done may take so small a part of the time
LINES_A_SESSION = 2


class FusionPipeline:
    """The fusion half of a pipe.

    Args:
        options: from the configuration.
        view, arbitrator: the drivers.
        folder: the view's folder in the state directory.
        boot: boot id of the operating system.
        on_move: told of every transition (machine, subject, event, old, new).
        on_alarm: told sentences that a person should hear.
        raw_us, sleep: CLOCK_BOOTTIME, and the sleep that goes by it.
        stores: compiled code that says what `fustor_core.soundness.stores` says.
    """

    def __init__(
        self,
        options: FusionOptions,
        view: View,
        arbitrator: Arbitrator,
        folder: Path,
        *,
        boot: str,
        on_move: Callable[[Move[Any]], None] = lambda move: None,
        on_alarm: Callable[[str], None] = lambda text: None,
        raw_us: Callable[[], int] = boottime_us,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        stores: Stores | None = None,
    ) -> None:
        self.options = options
        self.view = view
        self._seeking = view if isinstance(view, Seeking) else None
        self.fold = Fold(view, arbitrator)
        self.on_move = on_move
        self.on_alarm = on_alarm
        # Told of what a session has said (None: hello), and of what it was told then.
        self.on_told: Callable[[str, Grant | Answer, Pulse | None], None] = lambda *told: None
        self.state = PipelineState.STOPPED
        self.fed = anyio.Event()  # replaced after each batch: followers wait for it
        lines = LINES_A_SESSION * options.max_sessions
        self.keeping = Keeping(
            view, self.fold, folder, boot, lines=lines, raw_us=raw_us, on_alarm=on_alarm
        )
        self._owe_all = partial(self.owe, b"/", deep=True)
        self.standing = Standing(
            options,
            view,
            self.keeping,
            self._owe_all,
            on_move=on_move,
            on_alarm=on_alarm,
            sleep=sleep,
        )
        self.chores = Chores(self._move, on_alarm, sleep)
        self.changes = 0
        self._stores = stores
        self._alarm, self._harmed = "", False  # about the root, told once; what the start has lost
        self._settle_at_us = 0

    def __repr__(self) -> str:
        return f"<FusionPipeline {self.options.view} {self.state!r} {self.standing!r}>"

    # ---- life

    def adopt(self, options: FusionOptions) -> None:
        """Take other timeouts and intervals while it serves."""
        self.options = options
        self.standing.adopt(options)

    def outdated(self, *, on: bool = True) -> None:
        """The configuration is not that of this view any more, or (`on` False) is so again.

        Raises:
            IllegalTransition: it does not serve, or was not outdated.
        """
        self._move("config_changed" if on else "config_restored")

    def open(self) -> None:
        """Read the state and replay the journal; synchronous, before anything is served.

        Raises:
            StateError: the state is of a newer version, or its disk failed.
        """
        self._move("start")
        try:
            self.keeping.open(self.options.view)
        except OSError as error:
            self._give_up()
            place = error.filename or self.options.view
            raise StateError(
                f"the state of view {self.options.view} cannot be used: {place}: {error.strerror}",
                remedy="put that right, or move it away: the view is scanned anew then",
            ) from error
        except BaseException:
            self._give_up()
            raise
        self.standing.open()
        self.changes = self.view.commit().changes
        self._harmed = self.keeping.tell_damage()

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; then write the state back."""
        keeping = self.keeping
        try:
            async with keeping.commits, anyio.create_task_group() as tasks:
                keep, standing, upkeep = self.chores.keep, self.standing, keeping.upkeep
                if self._harmed:
                    await tasks.start(self.chores.mend, self._owe_all)
                sweep = partial(standing.sweep, self._settle)
                back = partial(upkeep.round, self.options.loose_age_s, self.on_alarm)
                tasks.start_soon(keep, SWEEP, standing.rest, sweep, name="sessions")
                tasks.start_soon(keep, WRITE_BACK, upkeep.rest, back, name="write-back")
                self._move("ready")
                task_status.started()
        finally:
            self._move("stop")
            with anyio.CancelScope(shield=True):
                try:
                    await self.chores.last(WRITE_BACK, lambda: keeping.checkpoint(self.on_alarm))
                finally:
                    keeping.close()
                    self._move("stopped")

    def _give_up(self) -> None:
        for event in ("init_failed", "stop", "stopped"):
            self._move(event)

    def _move(self, event: str) -> None:
        move = FUSION_PIPELINE.move(self.options.view, self.state, event)
        self.state = move.new
        self.on_move(move)

    # ---- time

    def now_us(self) -> int:
        """Fusion time now."""
        return self.keeping.now_us()

    def moment(self, at_us: int | None = None, wall_ns: int | None = None) -> Moment:
        """How well the view is fed just now."""
        return self.standing.moment(at_us, wall_ns)

    @property
    def root_path(self) -> bytes | None:
        """The watched root, on the host that told of it first."""
        return self.standing.root_path

    @root_path.setter
    def root_path(self, path: bytes) -> None:
        self.standing.root_path = path

    # ---- sessions

    async def open_session(self, hello: Hello, caller: Caller = HERE) -> Grant:
        """Open a session; see `Standing.open_session`."""
        grant = await self.standing.open_session(hello, caller)
        self.on_told(grant.session_id, grant, None)
        return grant

    async def beat(self, session_id: str, pulse: Pulse, caller: Caller = HERE) -> Answer:
        """A heartbeat; see `Standing.beat`."""
        answer = await self.standing.beat(session_id, pulse, caller)
        self.on_told(session_id, answer, pulse)
        return answer

    async def close_session(self, session_id: str, caller: Caller = HERE) -> None:
        """The agent says goodbye; see `Standing.close_session`."""
        await self.standing.close_session(session_id, caller)

    async def revoke(self, key_id: str) -> None:
        """A key is good no longer; see `Standing.revoke`."""
        await self.standing.revoke(key_id)

    def session_list(self) -> list[tuple[Session, Peer]]:
        """The live sessions, and what is known of each beside."""
        return [(s, self.standing.peers[s.session_id]) for s in self.standing.sessions]

    # ---- batches

    async def push(self, session_id: str, batch: Batch, body: bytes, caller: Caller = HERE) -> Ack:
        """Take a batch: durable, then applied, then acknowledged.

        Raises:
            SessionObsoletedError, Forbidden, SequenceGap, StaleEpochError, SlowDown, DiskFull.
        """
        standing = self.standing
        session = await standing.hear(session_id, caller)
        now, wall_ns = self.now_us(), time.time_ns()
        session = standing.sessions.admit(session_id, now)
        peer = standing.peers[session_id]
        told = session.batches.check(batch.seq)
        if isinstance(told, Gap):
            raise SequenceGap(f"batch {told.expected} is missing", expected=told.expected)
        if isinstance(told, Repeat):
            standing.carry_out(standing.sessions.beaten(session_id, now))
            peer.line.told(told.reply.server_time)
            return told.reply
        if isinstance(told, Underway):
            raise SlowDown(f"batch {batch.seq} is being taken", retry_after_s=0.05)
        origins = {c.origin for c in batch.claims}
        leadership.fence(standing.leadership, session_id, batch.epoch, origins)
        taken = self._admit(batch, peer, now)
        head = BatchHead(
            session_id,
            peer.agent,
            peer.line.number,
            now,
            wall_ns,
            taken.skipped,
            frames.pack_stamps(taken.stamps),
            tuple(taken.refused),
            taken.root_proven,
            taken.denied,
            taken.proved,
        )
        standing.carry_out(standing.sessions.taken(session_id, batch.seq, now))
        try:
            reply, folded, head = await self._fold_in(head, batch, body)
        except BaseException:  # whatever it is, the same batch may come again
            if standing.sessions.get(session_id) is not None:
                standing.carry_out(standing.sessions.released(session_id))
            raise
        finally:
            standing.renew_lease(session_id, origins)
        peer.line.told(reply.server_time)
        standing.carry_out(standing.sessions.acknowledged(session_id, reply, self.now_us()))
        standing.pushed(session_id, without_skipped(batch, frozenset(head.skipped)), folded)
        self.chores.did(FOLLOW_UP, self._after_batch)
        return reply

    def _admit(self, batch: Batch, peer: Peer, now_us: int) -> Admission:
        fold = self.fold
        taken = peer.admit(
            batch, now_us, identity=fold.identity, root=fold.root, compiled=self._stores
        )
        if taken.alarm and taken.alarm != self._alarm:
            self.on_alarm(taken.alarm)
        self._alarm = taken.alarm or ("" if taken.root_proven else self._alarm)
        return taken

    async def _fold_in(
        self, head: BatchHead, batch: Batch, body: bytes
    ) -> tuple[Ack, Folded, BatchHead]:
        keeping = self.keeping
        was_full, frame = keeping.disk_full, frames.batch_frame(head, body)
        try:
            return await keeping.fold_in(
                frames.BATCH, frame, lambda: self._apply(head, batch), self._spared
            )
        except DiskFull:
            if not was_full:
                self.on_alarm("the disk under the state directory is full: no acknowledgements")
            raise

    async def _apply(self, head: BatchHead, batch: Batch) -> tuple[Ack, Folded, BatchHead]:
        folded = Folded()
        moment = self.moment(head.arrival_us, head.wall_ns)
        for folded in self.fold.batch(head, batch, moment):
            if not folded.over:
                await anyio.lowlevel.checkpoint()
        batch = without_skipped(batch, frozenset(head.skipped))
        self.changes = folded.changes
        return self.keeping.took(head, batch, folded, self.now_us()), folded, head

    def _spared(self, taken: Taken) -> tuple[Ack, Folded, BatchHead]:
        """Something of a batch was set aside: its session goes on, and is told what."""
        head, batch, folded = taken.head, taken.batch, taken.folded
        self.changes = folded.changes or self.changes
        return self.keeping.took(head, batch, folded, self.now_us()), folded, head

    def _after_batch(self) -> None:
        fed, self.fed = self.fed, anyio.Event()
        fed.set()
        if self._seeking is not None:
            for text in self._seeking.alarms():
                self.on_alarm(text)
        self._settle()
        self.keeping.upkeep.hurry()

    def _settle(self) -> None:
        """Which scans on demand are done? To find out costs as much as there is owed."""
        now = self.now_us()
        jobs = self.standing.summons.jobs
        if not jobs.waiting or now < self._settle_at_us or not isinstance(self.view, Seeking):
            return
        jobs.settle(self.view.pending, now, self.changes)
        after = self.now_us()
        self._settle_at_us = after + SETTLE_SHARE * (after - now)

    # ---- what people ask for

    async def confirm(self, path: bytes, *, reject: bool) -> list[dict[str, Any]]:
        """A person's word on frozen removals."""
        record = frames.Confirm(path, reject, self.now_us(), time.time_ns())

        async def confirm() -> list[dict[str, Any]]:
            done = self.fold.confirm(record)
            self.chores.did(FOLLOW_UP, self._after_batch)
            return done

        return await self.keeping.fold_in(frames.CONFIRM, frames.encode(record), confirm)

    async def scan(self, path: bytes, *, recursive: bool) -> Job | None:
        """Scan on demand: the job; None when there is no such directory."""
        if not await self.owe(path, deep=recursive):
            return None
        jobs = self.standing.summons.jobs
        job = jobs.add(path, recursive=recursive, now_us=self.now_us(), head=self.changes)
        record = frames.JobRows([job.row])
        try:
            await self.keeping.commit(frames.JOBS, frames.encode(record))
        except DiskFull:
            jobs.cancel(job.id, self.now_us())
            raise
        self.standing.place_jobs()
        return jobs.get(job.id)

    async def owe(self, path: bytes, *, deep: bool) -> bool:
        """Owe a fresh look at a path; False when there is no such directory."""
        record = frames.OweLook(path, deep, self.now_us(), time.time_ns())

        async def owe() -> bool:
            return self.fold.owe(record)

        return await self.keeping.fold_in(frames.OWE, frames.encode(record), owe)

    def history(self, query: Query) -> list[dict[str, Any]]:
        """The judgements about the register at a path that are still remembered, newest first."""
        place = self.view.place(query.path) if isinstance(self.view, Seeking) else None
        return history_of(self.fold.evidence, place, query.limit)

    def status(self) -> dict[str, Any]:
        """What fusion adds to the view's own part of ViewStatus (interfaces.md §2)."""
        options, led, sessions = self.options, self.standing.leadership, self.standing.sessions
        leader = sessions.get(led.leader) if led.leader else None
        audits = (self.fold.audits.count, self.fold.audits.last)
        told = view_status(options.view, self.moment(), led, leader, self.root_path, audits)
        told |= {"driver": options.driver, "arbitrator": options.arbitrator}
        aside = self.keeping.replay.quarantine.document()
        told |= trouble_of(self.state, aside, self.chores.story())
        size = self.keeping.journal.size_bytes
        return {**told, "sessions": len(sessions), "journal_bytes": size}
