"""One view's receiving end: session check → journal → arbitrate → view → ack (DESIGN §3).

`FusionPipeline` owns the view's sessions, leadership, clock lines, journal and fold. There is one
way in, `push`; whatever feeds the view, in this process or far away, comes through it.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from fustor_core import frames, leadership
from fustor_core.admission import admit
from fustor_core.claims import Ack, Batch
from fustor_core.clock import OffsetBounds
from fustor_core.contracts import (
    Answer,
    Arbitrator,
    Command,
    Grant,
    Hello,
    Moment,
    Pulse,
    Query,
    Seeking,
    View,
)
from fustor_core.documents import evidence_document, view_status
from fustor_core.errors import DiskFull, SequenceGap, SlowDown, StateError
from fustor_core.fold import Fold, Folded
from fustor_core.frames import BatchHead
from fustor_core.jobs import Jobs
from fustor_core.keeping import Keeping
from fustor_core.machine import Move
from fustor_core.peers import FusionOptions, Peer
from fustor_core.sequence import Gap, Repeat, Underway
from fustor_core.sessions import Contested, Ended, Session, Sessions
from fustor_core.sessions import Step as SessionStep
from fustor_core.states.fusion_pipeline import FUSION_PIPELINE
from fustor_core.states.pipeline import PipelineState

SWEEPS_A_TIMEOUT = 6


class FusionPipeline:
    """The fusion half of a pipe.

    Args:
        options: from the configuration.
        view, arbitrator: the drivers.
        folder: the view's folder in the state directory.
        boot: boot id of the operating system.
        on_move: told of every transition (machine, subject, event, old, new).
        on_alarm: told sentences that a person should hear.
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
    ) -> None:
        self.options = options
        self.view = view
        self.fold = Fold(view, arbitrator)
        self.boot = boot
        self.on_move = on_move
        self.on_alarm = on_alarm
        self.state = PipelineState.STOPPED
        self.jobs = Jobs(options.view)
        self.fed = anyio.Event()  # replaced after each batch: followers wait for it
        self.keeping = Keeping(view, self.fold, folder, boot)
        self.changes = 0
        self.root_path: bytes | None = None  # on the host that told first
        self._peers: dict[str, Peer] = {}
        self._heard_us: int | None = None
        self._alarm = ""  # about the root, told once
        self._watched_since_us: int | None = None

    def __repr__(self) -> str:
        return f"<FusionPipeline {self.options.view} {self.state!r} sessions={len(self._peers)}>"

    # ---- life

    def open(self) -> None:
        """Read the state and replay the journal; synchronous, before anything is served.

        Raises:
            StateError: the state is of a newer version, or its disk failed.
        """
        self._move("start")
        try:
            self.keeping.open(self.options.view)
        except BaseException:
            self._move("init_failed")
            raise
        options, now = self.options, self.now_us()
        timeout_us = int(options.session_timeout_s * 1e6)
        self.sessions = Sessions(
            options.view, timeout_us=timeout_us, most=options.max_sessions, now_us=now
        )
        lease = leadership.lease_us(timeout_us)
        self.leadership = leadership.restored(options.view, lease, self.keeping.epoch, None, now)
        for text in self.keeping.damage():
            self.on_alarm(text)

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; then write the state back."""
        keeping = self.keeping
        try:
            async with keeping.commits, anyio.create_task_group() as tasks:
                tasks.start_soon(self._sweep_sessions, name="sessions")
                loose = self.options.loose_age_s
                tasks.start_soon(keeping.write_back, loose, self.on_alarm, name="write-back")
                self._move("ready")
                task_status.started()
        finally:
            self._move("stop")
            with anyio.CancelScope(shield=True):
                await keeping.checkpoint(self.on_alarm)
            keeping.close()
            self._move("stopped")

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
        wall = time.time_ns() if wall_ns is None else wall_ns
        uncovered = tuple(
            path for peer in self._peers.values() if peer.pulse for path in peer.pulse.uncovered
        )
        return Moment(
            now_us=self.now_us() if at_us is None else at_us,
            wall_ns=wall,
            storage_ns=self.fold.lag.watermark(wall),
            heard_us=self._heard_us,
            stale=not any(peer.root_proven for peer in self._peers.values()),
            epoch=self.leadership.epoch,
            watched_since_us=self._watched_since_us,
            hot_us=int(self.options.hot_s * 1e6),
            uncovered=uncovered,
        )

    # ---- sessions

    async def open_session(self, hello: Hello) -> Grant:
        """Open a session for an agent pipe, and make it the leader where there is none."""
        now = self.now_us()
        session_id = uuid.uuid4().hex
        told = base64.b64decode(str(hello.source.get("root_b64") or ""))
        self.root_path = self.root_path or told or None
        self._carry_out(self.sessions.open_session(session_id, hello, now))
        line = self.keeping.next_line
        self.keeping.next_line += 1
        exact = self.keeping.clock.offset_us if hello.line.get("boot") == self.boot else None
        self._peers[session_id] = Peer(hello.agent_id, line, OffsetBounds(exact_us=exact))
        self._carry_out(self.sessions.granted(session_id))
        if hello.can.get("realtime") and self._watched_since_us is None:
            self._watched_since_us = now
        await self._elect()
        session = self.sessions.admit(session_id, self.now_us())
        return Grant(
            session_id=session_id,
            role=self.leadership.role(session_id),
            epoch=self.leadership.epoch,
            session_timeout_s=session.timeout_us / 1e6,
            heartbeat_interval_s=session.timeout_us / 3e6,
            audit_interval_s=self.options.audit_interval_s,
            sentinel_interval_s=self.options.sentinel_interval_s,
            server_time=self.now_us(),
        )

    async def beat(self, session_id: str, pulse: Pulse) -> Answer:
        """A heartbeat: proof of life, and the way home for commands."""
        now = self.now_us()
        self._carry_out(self.sessions.beaten(session_id, now))
        peer = self._peers[session_id]
        peer.pulse = pulse
        self._heard_us = now if peer.root_proven else self._heard_us
        self.leadership = leadership.heard(self.leadership, session_id, pulse.scan, now)
        role = self.leadership.role(session_id)
        interval = self.options.sentinel_interval_s
        commands: tuple[Command, ...] = ()
        if role == "leader":
            moment = self.moment(now)
            commands = peer.errands.commands(self.view, self.jobs, peer.agent, moment, interval)
        return Answer(role, self.leadership.epoch, now, commands)

    async def close_session(self, session_id: str) -> None:
        """The agent says goodbye; unknown ids too."""
        self._carry_out(self.sessions.closed(session_id))
        await self._elect()

    async def revoke(self, key_id: str) -> None:
        """A key is good no longer: its sessions end; the next sweep finds another leader."""
        self._carry_out(self.sessions.revoked(key_id))

    async def summoned(self, session_id: str) -> None:
        """Return when there are commands for this session's next heartbeat."""
        if (peer := self._peers.get(session_id)) is not None:
            peer.summons = peer.summons or anyio.Event()
            await peer.summons.wait()

    def summon(self) -> None:
        """Let sessions of this process come by for commands at once."""
        for peer in self._peers.values():
            if peer.summons is not None:
                peer.summons.set()
                peer.summons = None

    def session_list(self) -> list[tuple[Session, Pulse | None]]:
        """The live sessions with their last heartbeat."""
        return [(s, self._peers[s.session_id].pulse) for s in self.sessions]

    def _carry_out(self, step: SessionStep) -> None:
        self.sessions.apply(step)
        for move in step.moves:
            self.on_move(move)
        for effect in step.effects:
            if isinstance(effect, Ended):
                session = effect.session.session_id
                self._peers.pop(session, None)
                self._lead(leadership.lapse(self.leadership, session))
                if not any(s.realtime for s in self.sessions):
                    self._watched_since_us = None
            elif isinstance(effect, Contested):
                self.on_alarm(f"two agents share the id {effect.agent_id} for pipe {effect.pipe}")

    def _lead(self, step: leadership.Step) -> None:
        self.leadership = step.leadership
        for move in step.moves:
            self.on_move(move)

    async def _elect(self) -> None:
        step = leadership.elect(self.leadership, self.sessions, self.now_us())
        self._lead(step)
        for effect in step.effects:
            if isinstance(effect, leadership.MakeDurable):
                record = frames.Epoch(effect.epoch, effect.session_id)
                try:
                    await self.keeping.commit(frames.EPOCH, frames.encode(record))
                except DiskFull:
                    self._lead(leadership.lapse(self.leadership, effect.session_id))
                    raise
                self.keeping.epoch = effect.epoch
                self._lead(leadership.durable(self.leadership, effect.epoch, self.now_us()))

    async def _sweep_sessions(self) -> None:
        pause = self.options.session_timeout_s / SWEEPS_A_TIMEOUT
        while True:
            await anyio.sleep(pause)
            now = self.now_us()
            self._carry_out(self.sessions.sweep(now))
            heard = self.sessions.heard_from_us
            self._lead(leadership.check_lease(self.leadership, now, heard_from_us=heard))
            if self.leadership.open and len(self.sessions) and not self.keeping.disk_full:
                await self._elect()

    # ---- batches

    async def push(self, session_id: str, batch: Batch, body: bytes) -> Ack:
        """Take a batch: durable, then applied, then acknowledged.

        Raises:
            SessionObsoletedError, SequenceGap, StaleEpochError, SlowDown, DiskFull.
        """
        now, wall_ns = self.now_us(), time.time_ns()
        session = self.sessions.admit(session_id, now)
        told = session.batches.check(batch.seq)
        if isinstance(told, Gap):
            raise SequenceGap(f"batch {told.expected} is missing", expected=told.expected)
        if isinstance(told, Repeat):
            self._carry_out(self.sessions.beaten(session_id, now))
            return told.reply
        if isinstance(told, Underway):
            raise SlowDown(f"batch {batch.seq} is being taken", retry_after_s=0.05)
        origins = {c.origin for c in batch.claims}
        leadership.fence(self.leadership, session_id, batch.epoch, origins)
        peer = self._peers[session_id]
        proven, identity = peer.root_proven, self.fold.identity
        taken = admit(batch, peer.bounds, now, identity=identity, root_proven=proven)
        peer.root_proven = taken.root_proven
        if taken.alarm and taken.alarm != self._alarm:
            self.on_alarm(taken.alarm)
        self._alarm = taken.alarm or ("" if taken.root_proven else self._alarm)
        skipped = [refused.index for refused in taken.refused]
        stamps = frames.pack_stamps(taken.stamps)
        head = BatchHead(session_id, peer.agent, peer.line, now, wall_ns, skipped, stamps)
        self._carry_out(self.sessions.taken(session_id, batch.seq, now))
        try:
            folded = await self._fold_in(head, batch, body)
        except (DiskFull, StateError):
            self._carry_out(self.sessions.released(session_id))
            self.leadership = leadership.pushed(self.leadership, session_id, origins, now)
            raise
        self._heard_us = self.now_us()
        self.leadership = leadership.pushed(self.leadership, session_id, origins, self._heard_us)
        reply = Ack(batch.seq, self._heard_us, tuple(taken.refused), tuple(folded.owed))
        self._carry_out(self.sessions.acknowledged(session_id, reply, self._heard_us))
        return reply

    async def _fold_in(self, head: BatchHead, batch: Batch, body: bytes) -> Folded:
        """Journal a batch, then apply it when those before it are applied."""
        keeping = self.keeping
        was_full = keeping.disk_full
        turn, done = keeping.turn, anyio.Event()
        keeping.turn = done
        try:
            lsn = await keeping.commit(frames.BATCH, frames.batch_frame(head, body))
            with anyio.CancelScope(shield=True):  # durable: it must be applied, whoever waits
                await turn.wait()
                folded = await self._apply(head, batch)
                keeping.applied_lsn = lsn
            return folded
        except DiskFull:
            if not was_full:
                self.on_alarm("the disk under the state directory is full: no acknowledgements")
            raise
        finally:  # the turn passes on in order, whatever happened to this batch
            with anyio.CancelScope(shield=True):
                await turn.wait()
            done.set()

    async def _apply(self, head: BatchHead, batch: Batch) -> Folded:
        folded = Folded()
        moment = self.moment(head.arrival_us, head.wall_ns)
        for part in self.fold.batch(head, batch, moment):
            folded = part
            await anyio.lowlevel.checkpoint()
        self.changes = folded.changes
        self._after_batch()
        return folded

    def _after_batch(self) -> None:
        if isinstance(self.view, Seeking):
            for text in self.view.alarms():
                self.on_alarm(text)
            self.jobs.settle(self.view.pending, self.now_us(), self.changes)
        self.keeping.hurry()
        fed, self.fed = self.fed, anyio.Event()
        fed.set()

    # ---- what people ask for

    async def confirm(self, path: bytes, *, reject: bool) -> list[dict[str, Any]]:
        """A person's word on frozen removals."""
        record = frames.Confirm(path, reject, self.now_us(), time.time_ns())
        await self.keeping.commit(frames.CONFIRM, frames.encode(record))
        done = self.fold.confirm(record)
        self._after_batch()
        return done

    async def owe(self, path: bytes, *, deep: bool) -> bool:
        """Owe a fresh look at a path; False when there is no such directory."""
        record = frames.OweLook(path, deep, self.now_us(), time.time_ns())
        await self.keeping.commit(frames.OWE, frames.encode(record))
        return self.fold.owe(record)

    def history(self, query: Query) -> list[dict[str, Any]]:
        """The judgements about the register at a path that are still remembered, newest first."""
        place = self.view.place(query.path) if isinstance(self.view, Seeking) else None
        if place is None:
            return []
        key, name = place
        found = [e for e in self.fold.evidence if e.key == key and e.name in (name, None)]
        return [evidence_document(e) for e in reversed(found)][: query.limit]

    def status(self) -> dict[str, Any]:
        """What fusion adds to the view's own part of ViewStatus (interfaces.md §2)."""
        options, led = self.options, self.leadership
        leader = self.sessions.get(led.leader) if led.leader else None
        audits = (self.fold.audits, self.fold.last_audit)
        told = view_status(options.view, self.moment(), led, leader, self.root_path, audits)
        told |= {"driver": options.driver, "arbitrator": options.arbitrator}
        size = self.keeping.journal.size_bytes
        return {**told, "sessions": len(self.sessions), "journal_bytes": size}
