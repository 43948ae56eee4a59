"""The sessions of one view: who is known, who is alive, which batch comes next.

Theory of operation. A `Session` is a frozen value, `Sessions` the table of one view. A decision
looks at the table and returns a `Step`: the sessions as they shall be, the moves they made and the
effects the owner has to carry out. Nothing changes until the owner gives the step to
`Sessions.apply`, which it does before it awaits anything: no other decision fits in between. What
must be durable first stands in the state: a session is ESTABLISHING until its row is journalled
(`granted`), a batch is taken until its frame is journalled (`taken`, `acknowledged`).

    open_session → apply → journal → granted → apply → reply
    admit → batches.check → taken → apply → journal → acknowledged → apply → reply

Times are fusion µs and come as arguments. A session expires when it was silent for longer than its
timeout; silence while fusion itself stood still, or was down, does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from fustor_core.claims import Ack
from fustor_core.contracts import Hello
from fustor_core.errors import SessionObsoletedError, SlowDown
from fustor_core.machine import Move
from fustor_core.sequence import BatchSequence
from fustor_core.session import Session
from fustor_core.states.session import SESSION, SessionState

STALE_SHARE = (2, 3)
"""A session is STALE after this share of its timeout: two heartbeats in a row are missing."""

Reason = Literal["expired", "unknown", "replaced", "revoked"]
"""Why a session is refused with 419 (interfaces.md §4)."""

_REASONS: dict[str, Reason] = {"expire": "expired", "replace": "replaced", "revoke": "revoked"}


# -- effects


@dataclass(frozen=True, slots=True)
class Opened:
    """A session exists: make it durable, then `granted`, then reply."""

    session: Session


@dataclass(frozen=True, slots=True)
class Ended:
    """A session is over: forget its durable row, tell leadership.

    Args:
        session: as it is now.
        event: the event of the session table that ended it.
    """

    session: Session
    event: str


@dataclass(frozen=True, slots=True)
class Contested:
    """An agent pipe was replaced twice within a timeout: two agents share one id. An alarm."""

    agent_id: str
    pipe: str


Effect = Opened | Ended | Contested


@dataclass(frozen=True, slots=True)
class Step:
    """What was decided; `Sessions.apply` makes it so.

    Args:
        sessions: those that changed, as they shall be.
        effects: what the owner has to do, in this order.
        moves: for the transition hook, in this order.
        swept_us: when this sweep was; None = this is no sweep.
        stalled: the sweep found that fusion itself had stood still.
    """

    sessions: tuple[Session, ...] = ()
    effects: tuple[Effect, ...] = ()
    moves: tuple[Move[SessionState], ...] = ()
    swept_us: int | None = None
    stalled: bool = False


class Sessions:
    """The table of one view. Only `apply`, `restore` and `limit` change it.

    Args:
        view: its name. most: `max_sessions`.
        timeout_us: the view's `session_timeout_seconds`; no session has a shorter one.
        now_us: when the table came into use; silence before that does not count.
    """

    def __init__(self, view: str, *, timeout_us: int, most: int, now_us: int) -> None:
        self.view, self.timeout_us, self.most = view, timeout_us, most
        self.heard_from_us = now_us
        self._swept_us = now_us
        self._calm_us = now_us  # until then nobody can have been silent for too long
        self._live: dict[str, Session] = {}
        self._scanning: dict[str, Session] = {}
        self._by_pipe: dict[tuple[str, str], str] = {}
        self._gone: dict[str, Reason] = {}

    def __repr__(self) -> str:
        return f"<Sessions {self.view}: {len(self)} of {self.most}>"

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Session]:
        """The live sessions, oldest first."""
        return iter(self._live.values())

    @property
    def scanning(self) -> Collection[Session]:
        """Those that can scan."""
        return self._scanning.values()

    def limit(self, timeout_us: int, most: int) -> None:
        """Other limits; a longer timeout holds at once, a shorter one for the sessions to come."""
        self.timeout_us, self.most = timeout_us, most
        self.apply(Step(sessions=tuple(self._longer(session) for session in self)))

    def _longer(self, session: Session) -> Session:
        return replace(session, timeout_us=max(session.timeout_us, self.timeout_us))

    # -- asking

    def get(self, session_id: str) -> Session | None:
        """The session of that id while it is in the table, expired by the clock or not."""
        return self._live.get(session_id)

    def knows(self, session_id: str) -> bool:
        """Whether it is in the table, or was until a while ago."""
        return session_id in self._live or session_id in self._gone

    def admit(self, session_id: str, now_us: int) -> Session:
        """The live session of that id, for a request that names it.

        Raises:
            SessionObsoletedError: there is none (419), with the reason.
        """
        session = self._known(session_id)
        if self.expired(session, now_us):
            raise _obsolete(session_id, "expired")
        return session

    def stalled(self, now_us: int) -> bool:
        """Whether the last sweep is so long ago that fusion itself must have stood still."""
        return (now_us - self._swept_us) * 3 > self.timeout_us

    def silence_us(self, session: Session, now_us: int) -> int:
        """For how long a session could have been heard and was not."""
        return now_us - max(session.last_active_at, self.heard_from_us)

    def expired(self, session: Session, now_us: int) -> bool:
        """Whether it has been silent for longer than its timeout, which is not fusion's fault."""
        return self.silence_us(session, now_us) > session.timeout_us and not self.stalled(now_us)

    # -- deciding

    def open_session(
        self, session_id: str, hello: Hello, now_us: int, *, key_id: str = "", client_ip: str = ""
    ) -> Step:
        """A session for an agent pipe; the live one that it has becomes OBSOLETE.

        Args:
            session_id: a new, unguessable id.
            hello: the longer of its timeout and the view's own is used; what it does not say that
                the agent can do, it cannot.
            key_id, client_ip: see `Session`.

        Raises:
            SlowDown: the view has `max_sessions` already (503).
            ValueError: the id is in use.
        """
        if session_id in self._live:
            raise ValueError(f"session id {session_id} is in use")
        old = self._live.get(self._by_pipe.get((hello.agent_id, hello.pipe), ""))
        if old is None and len(self) >= self.most:
            raise SlowDown(
                f"view {self.view} has {len(self)} sessions, as many as it may",
                retry_after_s=self.timeout_us / 1_000_000,
            )
        hint_us = int((hello.session_timeout_s or 0) * 1_000_000)
        new = Session(
            session_id=session_id,
            agent_id=hello.agent_id,
            pipe=hello.pipe,
            view=self.view,
            state=SESSION.initial,
            created_at=now_us,
            last_active_at=now_us,
            timeout_us=max(self.timeout_us, hint_us),
            realtime=hello.can.get("realtime", False),
            scan=hello.can.get("scan", False),
            key_id=key_id,
            client_ip=client_ip,
            usurper=old is not None,
        )
        steps = [Step(sessions=(new,), effects=(Opened(new),))]
        if old is not None:
            steps.insert(0, _ended(old, "replace"))
            # A process that was restarted replaces its session once; two that share an id go on.
            if old.usurper and now_us - old.created_at <= old.timeout_us:
                steps.append(Step(effects=(Contested(new.agent_id, new.pipe),)))
        return _joined(steps)

    def granted(self, session_id: str) -> Step:
        """The session is durable and may be told to the agent.

        Raises:
            SessionObsoletedError: it ended meanwhile.
        """
        return _moved(self._known(session_id), "grant")

    def beaten(self, session_id: str, now_us: int) -> Step:
        """A request that proves life and changes nothing else: a heartbeat, a repeated batch.

        Raises:
            SessionObsoletedError: as `admit`.
        """
        return _alive(self.admit(session_id, now_us), now_us)

    def taken(self, session_id: str, seq: int, now_us: int) -> Step:
        """The next batch came and is being made durable.

        Raises:
            SessionObsoletedError: as `admit`.
            ValueError: as `BatchSequence.take`.
        """
        session = self.admit(session_id, now_us)
        return _alive(session, now_us, batches=session.batches.take(seq))

    def acknowledged(self, session_id: str, reply: Ack, now_us: int) -> Step:
        """A batch is durable and about to be answered.

        Raises:
            SessionObsoletedError: the session ended meanwhile.
            ValueError: as `BatchSequence.acknowledge`.
        """
        session = self._known(session_id)
        return _alive(session, now_us, batches=session.batches.acknowledge(reply))

    def released(self, session_id: str) -> Step:
        """The journal could not take what was taken.

        Raises:
            SessionObsoletedError: the session ended meanwhile.
        """
        session = self._known(session_id)
        return Step(sessions=(replace(session, batches=session.batches.release()),))

    def closed(self, session_id: str) -> Step:
        """The agent is done, or an opening could not be made durable; unknown ids do nothing."""
        session = self._live.get(session_id)
        return Step() if session is None else _ended(session, "close")

    def revoked(self, key_id: str) -> Step:
        """A key is no longer good: all sessions that are bound to it end."""
        return _joined([_ended(session, "revoke") for session in self if session.key_id == key_id])

    def sweep(self, now_us: int) -> Step:
        """Look at all sessions; to be called much more often than a third of the view's timeout.

        A longer pause between two sweeps means that fusion itself stood still: agents have spoken
        to no ear, and may be in their back-off now. All of them get a whole timeout anew.
        """
        if self.stalled(now_us):
            return Step(swept_us=now_us, stalled=True)
        steps = [Step(swept_us=now_us)]
        if now_us <= self._calm_us:
            return steps[0]
        part, whole = STALE_SHARE
        for session in self:
            silence = self.silence_us(session, now_us)
            if session.state is SessionState.ACTIVE:
                if silence * whole > session.timeout_us * part:
                    steps.append(_moved(session, "quiet"))
            elif silence > session.timeout_us:
                steps.append(_ended(session, "expire"))
        return _joined(steps)

    # -- acting

    def apply(self, step: Step) -> None:
        """Make a decision so."""
        for session in step.sessions:
            if session.live:
                self._live[session.session_id] = session
                if session.scan:
                    self._scanning[session.session_id] = session
                self._calm_us = min(self._calm_us, self._calm_until(session))
                self._by_pipe[session.agent_pipe] = session.session_id
            else:
                self._live.pop(session.session_id, None)
                self._scanning.pop(session.session_id, None)
                if self._by_pipe.get(session.agent_pipe) == session.session_id:
                    del self._by_pipe[session.agent_pipe]
        for effect in step.effects:
            reason = _REASONS.get(effect.event) if isinstance(effect, Ended) else None
            if isinstance(effect, Ended) and reason:
                self._gone[effect.session.session_id] = reason
                if len(self._gone) > self.most:
                    del self._gone[next(iter(self._gone))]
        if step.swept_us is not None:
            self._swept_us = step.swept_us
            if step.stalled:
                self.heard_from_us = step.swept_us
            if step.swept_us > self._calm_us:
                self._calm_us = min(map(self._calm_until, self), default=step.swept_us)

    def restore(self, sessions: Iterable[Session]) -> None:
        """Take over what was durable when fusion stopped; all are STALE until they are heard of."""
        for session in sorted(sessions, key=lambda kept: kept.created_at):
            state = session.state
            if state is SessionState.ESTABLISHING:
                state = SESSION.next(state, "grant")
            if state is SessionState.ACTIVE:
                state = SESSION.next(state, "quiet")
            batches = session.batches.release()
            whole = replace(self._longer(session), state=state, batches=batches)
            self.apply(Step(sessions=(whole,)))

    def _calm_until(self, session: Session) -> int:
        """Until when a sweep finds nothing to do with a session that is not heard again."""
        part, whole = STALE_SHARE if session.state is SessionState.ACTIVE else (1, 1)
        heard_us = max(session.last_active_at, self.heard_from_us)
        return heard_us + session.timeout_us * part // whole

    def _known(self, session_id: str) -> Session:
        session = self._live.get(session_id)
        if session is None:
            raise _obsolete(session_id, self._gone.get(session_id, "unknown"))
        return session


def _obsolete(session_id: str, reason: Reason) -> SessionObsoletedError:
    return SessionObsoletedError(f"session {session_id!r} is over or not known", reason=reason)


def _moved(session: Session, event: str) -> Step:
    move = SESSION.move(session.session_id, session.state, event)
    return Step(sessions=(replace(session, state=move.new),), moves=(move,))


def _alive(session: Session, now_us: int, *, batches: BatchSequence | None = None) -> Step:
    """Proof of life, perhaps by a batch; only a return from STALE is a move worth telling."""
    at_us, batches = max(now_us, session.last_active_at), batches or session.batches
    session = replace(session, last_active_at=at_us, batches=batches)
    if session.state is SessionState.STALE:
        return _moved(session, "proof")
    return Step(sessions=(session,))


def _ended(session: Session, event: str) -> Step:
    step = _moved(session, event)
    return replace(step, effects=(Ended(step.sessions[0], event),))


def _joined(steps: Iterable[Step]) -> Step:
    steps = list(steps)
    return Step(
        sessions=tuple(session for step in steps for session in step.sessions),
        effects=tuple(effect for step in steps for effect in step.effects),
        moves=tuple(move for step in steps for move in step.moves),
        swept_us=max((s.swept_us for s in steps if s.swept_us is not None), default=None),
    )
