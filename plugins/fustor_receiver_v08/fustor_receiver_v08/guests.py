"""Agents of 0.8.17 as sessions of ours, and what each of them pushes as batches."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from fustor_core.claims import (
    BEGINS,
    LEADER_ONLY,
    PROTOCOL,
    WHOLE,
    Ack,
    Batch,
    Claim,
    Origin,
    Owe,
    Stamp,
    encode_batch,
)
from fustor_core.contracts import Accept, Access, Caller, Command, Hello, Pulse, boottime_us
from fustor_core.errors import Forbidden, FustorError, SessionObsoletedError, StaleEpochError
from fustor_core.states.pipeline import PipelineState
from fustor_receiver_v08.evidence import ROOT, Ground, Testimony, root_proof
from fustor_receiver_v08.guest import Guest
from fustor_receiver_v08.knowledge import Knowledge
from fustor_receiver_v08.messages import Event, Opening, Push
from fustor_receiver_v08.pace import Pace

CLAIMS_AT_ONCE = 5000
BOOT = "/proc/sys/kernel/random/boot_id"
GUESTS_MOST = 20_000
ASKED_KEPT = 1000
FOLLOWING = PipelineState.RUNNING | PipelineState.PAUSED | PipelineState.MESSAGE_PHASE
LEADING = PipelineState.RUNNING | PipelineState.MESSAGE_PHASE
log = logging.getLogger("fustor.receiver.v08")


class Misplaced(FustorError):
    """The view is not for such agents."""


class Guests:
    """The sessions of one receiver.

    Args:
        accept: the way into fusion. knowledge: of the view. view: its name.
        cache_bound_us: see `Pace`. renew_us: how old a session may grow, 0 = any age.
    """

    def __init__(
        self, accept: Accept, knowledge: Knowledge, view: str, *, cache_bound_us: int, renew_us: int
    ) -> None:
        self.view = view
        self._accept = accept
        self._knowledge = knowledge
        self._cache_bound_us = cache_bound_us
        self._renew_us = renew_us
        self._ground = Ground()
        self._by_id: dict[str, Guest] = {}
        self._paces: dict[tuple[str, str], Pace] = {}
        self._ordinals = itertools.count(boottime_us())
        with open(BOOT) as file:
            self._boot = file.read().strip()

    def __repr__(self) -> str:
        return f"<Guests {self.view}: {len(self._by_id)}>"

    # -- sessions

    async def open(self, opening: Opening, access: Access, client_ip: str) -> Guest:
        """A session for an agent pipe.

        Raises:
            FustorError: as `Accept.open`.
        """
        agent, pipe = opening.agent_pipe
        hello = Hello(
            agent_id=agent,
            pipe=pipe,
            view=self.view,
            source={"driver": "fs"},
            line={"boot": self._boot, "process": "v08", "mount": "", "cache_bound_s": 0.0},
            can={"realtime": True, "scan": True},
            session_timeout_s=opening.session_timeout_seconds,
            client="fustor/0.8.17",
        )
        sent = boottime_us()
        caller = Caller(access, client_ip, sent)
        grant = await self._accept.open(hello, caller)
        now = boottime_us()
        if len(self._paces) >= GUESTS_MOST:
            self._paces.clear()  # all that is lost is how old queued events may be
        pace = self._paces.setdefault((agent, pipe), Pace(self._cache_bound_us))
        pace.opened(int(grant.audit_interval_s * 1e6))
        guest = Guest(
            grant.session_id,
            agent,
            pipe,
            access,
            pace,
            grant.role,
            grant.epoch,
            grant.session_timeout_s,
            grant.audit_interval_s,
            grant.sentinel_interval_s,
            opened_us=now,
            offset_us=grant.server_time - now,
            seq=grant.next_seq - 1,
            echo=(grant.server_time, now),
        )
        for old in [g for g in self._by_id.values() if (g.agent, g.pipe) == (agent, pipe)]:
            del self._by_id[old.session_id]
        while len(self._by_id) >= GUESTS_MOST:
            del self._by_id[next(iter(self._by_id))]
        self._by_id[guest.session_id] = guest
        await self._prove(guest, Stamp(sent, now, 0, "s"))
        self._told(guest, boottime_us())
        return guest

    async def _prove(self, guest: Guest, stamp: Stamp) -> None:
        """Say which root such an agent looks at, and hear whether the view is of that kind.

        Raises:
            Misplaced: it is fed by others, whose claims name directories in another way.
        """
        owe = Owe(dir=ROOT, deep=False, reason="not_yet", stamp=stamp, origin=Origin.ON_DEMAND)
        async with guest.turn:
            ack = await self._send(guest, [root_proof(stamp, Origin.REALTIME), owe])
        if ack.quarantined:
            self._by_id.pop(guest.session_id, None)
            await self._accept.close(guest.session_id, self._caller(guest))
            raise Misplaced(
                f"the view {self.view!r} is fed by agents of another version",
                remedy="give the receiver of 0.8.17 a view of its own",
            )

    def guest(self, session_id: str, access: Access) -> Guest:
        """The session of that id.

        Raises:
            SessionObsoletedError: there is none here. Forbidden: it belongs to another key.
        """
        guest = self._by_id.get(session_id)
        if guest is None:
            raise SessionObsoletedError(f"session {session_id!r} is over or not known")
        if guest.access.key_id != access.key_id:
            raise Forbidden(
                f"session {session_id!r} belongs to another key",
                remedy="send the key that opened it",
            )
        return guest

    def leader(self, access: Access) -> Guest | None:
        """The session of this key that leads the view, if one does."""
        mine = (g for g in self._by_id.values() if g.access.key_id == access.key_id)
        return next((g for g in mine if g.leads), None)

    async def beat(self, guest: Guest, *, can_realtime: bool) -> tuple[Command, ...]:
        """A heartbeat; what fusion asks of it comes back.

        Raises:
            SessionObsoletedError: it is over, or so old that a new one is due.
        """
        await self._renew(guest)
        if can_realtime:
            guest.pace.beat(boottime_us())
        pulse = Pulse(state=int(LEADING if guest.leads else FOLLOWING))
        try:
            answer = await self._accept.beat(guest.session_id, pulse, self._caller(guest))
        except SessionObsoletedError:
            self._by_id.pop(guest.session_id, None)
            raise
        now = boottime_us()
        guest.echo = (answer.server_time, now)
        guest.role, guest.epoch = answer.role, answer.epoch
        self._told(guest, now)
        return answer.commands

    async def close(self, session_id: str, access: Access) -> None:
        """The agent says goodbye; unknown ones do nothing.

        Raises:
            Forbidden: it belongs to another key.
        """
        if session_id in self._by_id:
            guest = self.guest(session_id, access)
            del self._by_id[session_id]
            await self._accept.close(session_id, self._caller(guest))

    def _told(self, guest: Guest, now_us: int) -> None:
        """The reply that leaves now says which role the session has."""
        if guest.leads:
            guest.pace.led(now_us)
        else:
            guest.pace.follows()
            guest.audited = None

    async def _renew(self, guest: Guest) -> None:
        """End a session that is old: its agent looks at every file only when one begins.

        Raises:
            SessionObsoletedError: it was.
        """
        if not self._renew_us or boottime_us() - guest.opened_us < self._renew_us:
            return
        self._by_id.pop(guest.session_id, None)
        await self._accept.close(guest.session_id, self._caller(guest))
        raise SessionObsoletedError(
            f"session {guest.session_id!r} is over: the tree is to be scanned anew",
            reason="expired",
        )

    def asks(self, guest: Guest, job: str, path: bytes) -> str | None:
        """Note that the reply that leaves now asks for a scan; the path as JSON carries it, or None
        when it cannot."""
        try:
            text = path.decode()
        except UnicodeDecodeError:
            return None
        if len(guest.asked) >= ASKED_KEPT:
            del guest.asked[next(iter(guest.asked))]
        guest.asked[job] = boottime_us()
        return text

    # -- evidence

    async def push(self, guest: Guest, push: Push) -> None:
        """Take what an agent tells; durable when this returns.

        Raises:
            FustorError: as `Accept.push`; nothing is lost then, the agent says it again.
        """
        await self._renew(guest)
        if push.kind == "message" and push.events:
            await self._events(guest, push)
            return
        if push.kind == "job_complete":
            guest.asked.pop(push.job_id, None)
        async with guest.turn:
            await self._scanned(guest, push)

    async def _events(self, guest: Guest, push: Push) -> None:
        first, pace = push.first_index, guest.pace
        try:
            async with guest.turn:
                now = boottime_us()
                since = max(0, min(now, pace.events(first)))
                said = Testimony(self._ground)
                for behind, event in zip(range(len(push.events))[::-1], push.events, strict=True):
                    # They were looked at one after the other, and their way took longer than this.
                    stamp = Stamp(min(since, now - behind), now - behind, self._ordinal(now), "e")
                    await self._testify(said, event, stamp)
                await self._carry(guest, said.claims)
        except BaseException:
            pace.failed()
            raise
        count = sum(len(event.sights) for event in push.events)
        count += push.bad + push.foreign
        pace.told(first, push.last_index, count, boottime_us())

    async def _scanned(self, guest: Guest, push: Push) -> None:
        now, pace = boottime_us(), guest.pace
        said = Testimony(self._ground)
        for event in push.events:
            since = max(0, min(now, self._since(guest, event.origin, now)))
            stamp = Stamp(since, now, 0, "s")
            if event.origin is Origin.AUDIT:
                self._audit(guest, said, event, stamp)
            elif event.origin is Origin.SNAPSHOT and not guest.snapshots:
                said.claims.append(root_proof(stamp, Origin.SNAPSHOT, BEGINS))
                guest.snapshots += 1
            await self._testify(said, event, stamp)
        first_over = push.kind == "snapshot" and guest.snapshots == 1
        if push.is_end and (first_over or (push.kind == "audit" and guest.audited is not None)):
            guest.snapshots += first_over
            said.claims.append(root_proof(Stamp(now, now, 0, "s"), Origin.REALTIME, WHOLE))
        await self._carry(guest, said.claims)
        if push.is_end and push.kind == "audit":
            pace.audited(boottime_us())

    def _since(self, guest: Guest, origin: Origin, now_us: int) -> int:
        """When a row of a scan can have been looked at at the earliest."""
        pace = guest.pace
        if origin is Origin.SNAPSHOT:
            return pace.snapshot(now_us)
        if origin is Origin.AUDIT:
            return pace.audit(now_us) - pace.cache_bound_us
        asked = min(guest.asked.values(), default=guest.opened_us)
        return asked - pace.cache_bound_us

    def _audit(self, guest: Guest, said: Testimony, event: Event, stamp: Stamp) -> None:
        if guest.audited is None:
            guest.audited = {}
            guest.audit_since_us = guest.pace.audit(stamp.t)
            said.claims.append(root_proof(stamp, Origin.AUDIT, BEGINS))
        for sight in event.sights:
            if sight.is_dir and not sight.silent:
                guest.audited[sight.path] = None

    async def _testify(self, said: Testimony, event: Event, stamp: Stamp) -> None:
        for sight in event.sights:
            if sight.row is None:
                below = await self._knowledge.below(sight.path)
                said.gone(sight.names, below, stamp, event.origin)
                continue
            if not sight.is_dir and sight.path in self._ground:
                below = await self._knowledge.below(sight.path)
                said.empty(sight.names, below, stamp, event.origin)
            said.seen(sight, stamp, event.origin)

    async def missing(self, guest: Guest, paths: list[bytes], stamp: Stamp) -> None:
        """Names that the agent looked for and did not find."""
        async with guest.turn:
            said = Testimony(self._ground)
            for path in paths:
                below = await self._knowledge.below(path)
                names = tuple(path[1:].split(b"/"))
                said.gone(names, below, stamp, Origin.SENTINEL)
            await self._carry(guest, said.claims)

    def _ordinal(self, now_us: int) -> int:
        """Places events in the order in which they came, in all sessions and after restarts."""
        at = next(self._ordinals)
        if at < now_us:
            self._ordinals = itertools.count(now_us + 1)
            at = now_us
        return at

    async def _carry(self, guest: Guest, claims: Sequence[Claim]) -> None:
        """Hand claims to fusion; those of scans that the agent may not make any more are dropped.

        An agent that leads no longer learns it from its next heartbeat, and goes on until then.
        """
        for at in range(0, len(claims), CLAIMS_AT_ONCE):
            part = list(claims[at : at + CLAIMS_AT_ONCE])
            try:
                await self._send(guest, part)
            except StaleEpochError as stale:
                guest.epoch, guest.role = stale.epoch, stale.role
                self._told(guest, boottime_us())
                kept = [claim for claim in part if claim.origin not in LEADER_ONLY]
                if kept:
                    await self._send(guest, kept)

    async def _send(self, guest: Guest, claims: list[Claim]) -> Ack:
        batch = Batch(PROTOCOL, guest.seq + 1, guest.epoch, claims)
        try:
            ack = await self._accept.push(
                guest.session_id, batch, encode_batch(batch), self._caller(guest)
            )
        except SessionObsoletedError:
            self._by_id.pop(guest.session_id, None)
            raise
        guest.seq += 1
        guest.echo = (ack.server_time, boottime_us())
        if ack.quarantined:
            why = sorted({refused.reason for refused in ack.quarantined})
            log.warning(
                "view %s took %d claims of agent %s not: %s",
                self.view, len(ack.quarantined), guest.agent, ", ".join(why),
            )  # fmt: skip
        return ack

    def _caller(self, guest: Guest) -> Caller:
        return Caller(guest.access, "", boottime_us(), guest.echo)
