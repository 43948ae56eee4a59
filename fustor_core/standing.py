"""Who stands how with one view: sessions, their keys and clocks, who leads, what each is asked for.

What must outlive this process is journalled before it is told; `Sessions`, `leadership` decide.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import msgspec

from fustor_core import courses, frames, leadership
from fustor_core.claims import Batch, Origin
from fustor_core.clock import WallDistance
from fustor_core.contracts import HERE, Answer, Caller, Grant, Hello, Moment, Pulse, Rest, View
from fustor_core.errors import DiskFull, Forbidden, StateError
from fustor_core.fold import Folded
from fustor_core.keeping import Keeping
from fustor_core.lines import LineName
from fustor_core.machine import Move
from fustor_core.peers import FusionOptions, Peer
from fustor_core.roll import may_open, row_of, session_of
from fustor_core.session import Session
from fustor_core.sessions import Contested, Ended, Sessions
from fustor_core.sessions import Step as SessionStep
from fustor_core.states.session import SessionState as A
from fustor_core.summons import Summons

SWEEP_S_MAX, SWEEPS_A_TIMEOUT = 0.25, 6
QUICK_S = 0.75
"""Between heartbeats of the followers that are chosen next: a failover takes the session timeout, a
sweep, and the time until the new leader comes by, which is twice this if it pushes all the time."""
QUICK_MOST = 20
RETRY_US = 5_000_000
BIRTHS = ("btime", "handle", "none")


class Standing:
    """The sessions of one view.

    Args:
        options: from the configuration. view: the driver. keeping: the view's durable side.
        owe: owes a deep look at everything.
        on_move: told of every transition. on_alarm: told sentences that a person should hear.

    Attributes:
        peers: what is known of each session beside the table. summons: what each is asked for.
        heard_us: last proof of life of a session that feeds the view. root_path: as told first.
    """

    def __init__(
        self,
        options: FusionOptions,
        view: View,
        keeping: Keeping,
        owe: Callable[[], Awaitable[object]],
        *,
        on_move: Callable[[Move[Any]], None],
        on_alarm: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.options = options
        self.view = view
        self.keeping = keeping
        self.peers: dict[str, Peer] = {}
        self.summons = Summons(options, view, self.peers, keeping.jobs, keeping.watches)
        self.heard_us: int | None = None
        self.root_path: bytes | None = None
        self._owe, self._on_move, self._on_alarm, self._sleep = owe, on_move, on_alarm, sleep
        self._watched_since_us: int | None = None
        self._over: list[str] = []  # sessions that are over, and keys: to be journalled
        self._keys_over: list[str] = []
        self._retry_us, self._wall = 0, WallDistance()
        self._uncovered: tuple[bytes, ...] = ()
        self._quick: set[str] = set()  # sessions that beat often

    def __repr__(self) -> str:
        return f"<Standing {self.options.view} sessions={len(self.peers)}>"

    def open(self) -> None:
        """Take over what is durable; all sessions are STALE until they are heard of."""
        options, roll, now = self.options, self.keeping.roll, self.keeping.now_us()
        timeout_us = int(options.session_timeout_s * 1e6)
        self.sessions = Sessions(
            options.view, timeout_us=timeout_us, most=options.max_sessions, now_us=now
        )
        rows = roll.rows()
        self.sessions.restore(session_of(row, options.view) for row in rows)
        for row in rows:
            line = self.keeping.lines.of(row.line.name)
            self.peers[row.session] = peer = Peer.kept(row, line)
            if row.realtime:
                self.summons.attend(peer)
        self.summons.jobs.resume(now)
        lease = leadership.lease_us(timeout_us)
        holder = roll.holder if self.sessions.get(roll.holder) else None
        self.leadership = leadership.restored(options.view, lease, roll.epoch, holder, now)

    def adopt(self, options: FusionOptions) -> None:
        """Take other options; no session gets a shorter timeout than it was granted."""
        self.options, self.summons.interval_s = options, options.sentinel_interval_s
        timeout_us = int(options.session_timeout_s * 1e6)
        self.sessions.limit(timeout_us, options.max_sessions)
        self.leadership = replace(self.leadership, lease_us=leadership.lease_us(timeout_us))

    # ---- asking

    def moment(self, now_us: int | None = None, wall_ns: int | None = None) -> Moment:
        """How well the view is fed just now."""
        now = self.keeping.now_us() if now_us is None else now_us
        wall = self._wall.wall_ns(now, time.time_ns()) if wall_ns is None else wall_ns
        return Moment(
            now_us=now,
            wall_ns=wall,
            storage_ns=self.keeping.fold.lag.watermark(wall),
            heard_us=self.heard_us,
            stale=not any(peer.known and peer.root_proven for peer in self.peers.values()),
            epoch=self.leadership.epoch,
            watched_since_us=self._watched_since_us,
            hot_us=int(self.options.hot_s * 1e6),
            uncovered=self._uncovered,
        )

    def admit(self, session_id: str, caller: Caller) -> Session:
        """The live session of that id, for a request that names it.

        Raises:
            SessionObsoletedError: there is none. Forbidden: it is bound to another key.
        """
        session = self.sessions.admit(session_id, self.keeping.now_us())
        key = caller.access.key_id
        if key and key != session.key_id:
            raise Forbidden(
                f"session {session_id!r} was opened with another key than {key}",
                remedy="use the key that opened it, or open a session of your own",
            )
        return session

    async def hear(self, session_id: str, caller: Caller) -> Session:
        """Admit a request, and learn from what it says of its clock.

        Raises:
            SessionObsoletedError, Forbidden: as `admit`. DiskFull: see `owe`.
        """
        session, peer = self.admit(session_id, caller), self.peers[session_id]
        if caller is HERE:
            peer.line.here()
        elif peer.line.heard(self.keeping.now_us(), caller.sent_us, caller.echo):
            await self._break_line(peer, self.keeping.roll.get(session_id))
        peer.known = True
        return session

    async def _break_line(self, peer: Peer, row: frames.SessionRow | None) -> None:
        """The clock of a line broke its bounds: nothing that it dates can be told from the rest."""
        self._on_alarm(f"the clock of agent {peer.agent} went wrong: everything is looked at again")
        await self._owe()
        old = peer.line.number
        self.keeping.lines.renew(peer.line)
        self.summons.moved(old, peer)
        if row is not None:
            opening = frames.Opening(msgspec.structs.replace(row, line=peer.line.row()))
            await self.keeping.commit(frames.OPENING, frames.encode(opening))
            self.keeping.roll.opened(opening)

    # ---- sessions

    async def open_session(self, hello: Hello, caller: Caller = HERE) -> Grant:
        """Open a session for an agent pipe, and make it the leader where there is none.

        Raises:
            Forbidden: the key does not cover this pipe, or another key has this agent id.
            SlowDown: there are too many. DiskFull: it cannot be made durable.
        """
        if self._keys_over:
            await self.write_off()
        may_open(hello, caller, self.keeping.roll)
        now, keeping = self.keeping.now_us(), self.keeping
        told = base64.b64decode(str(hello.source.get("root_b64") or ""))
        self.root_path = self.root_path or told or None
        said = {part: str(hello.line.get(part) or "") for part in ("boot", "process", "mount")}
        line = keeping.lines.of(LineName(hello.agent_id, hello.pipe, **said))
        session_id, access = uuid.uuid4().hex, caller.access
        self.carry_out(
            self.sessions.open_session(
                session_id, hello, now, key_id=access.key_id, client_ip=caller.client_ip
            )
        )
        session = self.sessions.admit(session_id, now)
        peer = self.peers[session_id] = Peer(hello.agent_id, line)
        try:
            await self.hear(session_id, caller)
            birth = str(hello.source.get("birth") or "")
            opening = frames.Opening(row_of(session, line.row()), birth if birth in BIRTHS else "")
            await keeping.commit(frames.OPENING, frames.encode(opening))
        except (DiskFull, StateError):
            self.carry_out(self.sessions.closed(session_id))
            raise
        keeping.roll.opened(opening)
        self.carry_out(self.sessions.granted(session_id))
        if session.realtime:
            self.summons.attend(peer)
            self._watched_since_us = self._watched_since_us or now
        await self.elect()
        session = self.sessions.admit(session_id, keeping.now_us())
        return self._grant(session, peer)

    def _grant(self, session: Session, peer: Peer) -> Grant:
        options, role = self.options, self.leadership.role(session.session_id)
        interval_s = session.timeout_us / 3e6
        peer.told_leader = role == "leader"
        if not peer.told_leader and session.scan and len(self._quick) < QUICK_MOST:
            self._quick.add(session.session_id)
            interval_s = min(interval_s, QUICK_S)
        return Grant(
            session_id=session.session_id,
            role=role,
            epoch=self.leadership.epoch,
            session_timeout_s=session.timeout_us / 1e6,
            heartbeat_interval_s=interval_s,
            audit_interval_s=options.audit_interval_s,
            sentinel_interval_s=options.sentinel_interval_s,
            server_time=peer.line.told(self.keeping.now_us()),
            birth=self.keeping.roll.birth or BIRTHS[0],
            rest=self._rest(session.session_id) if peer.told_leader else None,
        )

    async def beat(self, session_id: str, pulse: Pulse, caller: Caller = HERE) -> Answer:
        """A heartbeat: proof of life, and the way home for commands.

        Raises:
            SessionObsoletedError, Forbidden.
        """
        session = await self.hear(session_id, caller)
        now, peer = self.keeping.now_us(), self.peers[session_id]
        self.carry_out(self.sessions.beaten(session_id, now))
        if peer.beaten(pulse, now):
            self._gather()
        self._proof(session, peer, now)
        self.leadership = leadership.heard(self.leadership, session_id, pulse.scan, now)
        if self.leadership.leader == session_id and peer.gives_up() and self._successor(session_id):
            self._lead(leadership.depose(self.leadership, session_id, now))
            await self.elect()
        role = self.leadership.role(session_id)
        peer.told_leader = role == "leader"
        if not peer.told_leader:
            peer.led = peer.paused = False
        moment = self.moment(now) if peer.told_leader else None
        commands = self.summons.commands(session_id, peer, now, moment)
        rest = self._rest(session_id) if peer.told_leader else None
        return Answer(role, self.leadership.epoch, peer.line.told(now), tuple(commands), rest)

    def _rest(self, session_id: str) -> Rest | None:
        return courses.rest(self.keeping.fold.audits, session_id, self.keeping.now_us())

    async def close_session(self, session_id: str, caller: Caller = HERE) -> None:
        """The agent says goodbye; unknown ids too.

        Raises:
            Forbidden: it is bound to another key.
        """
        if self.sessions.get(session_id) is None:
            return
        self.admit(session_id, caller)
        self.carry_out(self.sessions.closed(session_id))
        await self.elect()
        await self.write_off()

    def release(self, key_id: str) -> None:
        """The agents of a key are free for another one."""
        self.keeping.roll.release([key_id])
        self._keys_over.append(key_id)

    async def revoke(self, key_id: str) -> None:
        """A key is good no longer: its sessions end, its agents are free for another key."""
        self.carry_out(self.sessions.revoked(key_id))
        self.release(key_id)
        await self.elect()
        await self.write_off()

    def pushed(self, session_id: str, batch: Batch, folded: Folded) -> None:
        """A batch of this session is applied: proof of life, and perhaps news for others."""
        session, peer = self.sessions.get(session_id), self.peers.get(session_id)
        self.summons.found(peer, batch, folded.edges)
        if session is not None and peer is not None:
            if not session.scan:
                self.summons.passed.add(folded.owed)
            self._proof(session, peer, self.keeping.now_us())

    def renew_lease(self, session_id: str, origins: Iterable[Origin]) -> None:
        """A batch was taken, or put off because the disk is full: it is not the leader's fault."""
        now = self.keeping.now_us()
        self.leadership = leadership.pushed(self.leadership, session_id, origins, now)

    def _gather(self) -> None:
        """What the sessions do not watch has changed; questions need it far more often."""
        pulses = [peer.pulse for peer in self.peers.values() if peer.pulse is not None]
        self._uncovered = tuple(path for pulse in pulses for path in pulse.uncovered)

    def _proof(self, session: Session, peer: Peer, now_us: int) -> None:
        if peer.root_proven:
            self.heard_us = now_us
        if session.realtime and self._watched_since_us is None:
            self._watched_since_us = now_us

    # ---- in the background

    async def rest(self) -> None:
        """Until the next sweep."""
        await self._sleep(min(self.options.session_timeout_s / SWEEPS_A_TIMEOUT, SWEEP_S_MAX))

    async def sweep(self, after: Callable[[], None]) -> None:
        """Look at all sessions, the lease and the jobs, and then do more."""
        now = self.keeping.now_us()
        self.carry_out(self.sessions.sweep(now))
        heard = self.sessions.heard_from_us
        self._lead(leadership.check_lease(self.leadership, now, heard_from_us=heard))
        if not self.keeping.disk_full or now >= self._retry_us:
            self._retry_us = now + RETRY_US
            await self.elect()
            await self.write_off()
            await self.keeping.keep_jobs()
        self.place_jobs()
        after()

    def place_jobs(self) -> None:
        """Give each scan on demand to the session that can do it best."""
        active = (s.session_id for s in self.sessions.scanning if s.state is A.ACTIVE)
        self.summons.place(active, self.leadership.leader, self.keeping.now_us())

    async def elect(self) -> None:
        """Choose a leader where there is none; its epoch is durable before it is told."""
        now, able = self.keeping.now_us(), self.sessions.scanning
        step = leadership.elect(self.leadership, able, now, prefer=self._quick)
        self._lead(step)
        for effect in step.effects:
            if isinstance(effect, leadership.MakeDurable):
                record = frames.Epoch(effect.epoch, effect.session_id)
                try:
                    await self.keeping.commit(frames.EPOCH, frames.encode(record))
                except DiskFull:
                    self._lead(leadership.lapse(self.leadership, effect.session_id))
                    return
                self.keeping.roll.led(record)
                now = self.keeping.now_us()
                self._lead(leadership.durable(self.leadership, effect.epoch, now))
                self.summons.call([effect.session_id])

    async def write_off(self) -> None:
        """Make the end of sessions durable; what cannot be now will be later."""
        if not self._over and not self._keys_over:
            return
        ending = frames.Ending(self._over, self._keys_over)
        self._over, self._keys_over = [], []
        self.keeping.roll.ended(ending)
        try:
            await self.keeping.commit(frames.ENDING, frames.encode(ending))
        except DiskFull:
            self._over += ending.sessions
            self._keys_over += ending.keys

    # ---- carrying out

    def carry_out(self, step: SessionStep) -> None:
        """Make a decision about sessions so."""
        self.sessions.apply(step)
        for move in step.moves:
            self._on_move(move)
        for effect in step.effects:
            if isinstance(effect, Ended):
                session_id = effect.session.session_id
                self.summons.call([session_id])
                gone = self.peers.pop(session_id, None)
                self._quick.discard(session_id)
                if gone is not None and gone.pulse is not None and gone.pulse.uncovered:
                    self._gather()
                self._over.append(session_id)
                self._lead(leadership.lapse(self.leadership, session_id))
                if not any(s.realtime for s in self.sessions):
                    self._watched_since_us = None
            elif isinstance(effect, Contested):
                self._on_alarm(f"two agents share the id {effect.agent_id} for pipe {effect.pipe}")

    def _lead(self, step: leadership.Step) -> None:
        self.leadership = step.leadership
        for move in step.moves:
            self._on_move(move)

    def _successor(self, leader: str) -> bool:
        """Whether another session could lead at once."""
        return any(
            s.state is A.ACTIVE and self.peers[s.session_id].sends
            for s in self.sessions.scanning
            if s.session_id != leader
        )
