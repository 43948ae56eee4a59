"""Who leads a view: election, epochs, lease, and the fence that keeps past leaders out.

Theory of operation. `Leadership` is a frozen value, one a view; each function returns a `Step`: the
leadership as it shall be, the moves and the effects. The owner stores the new value before it
awaits anything, carries out the effects and reports back:

    elect → ELECTED, `MakeDurable(epoch)` → journal → durable(epoch) → LEADING, `Announce`

An epoch that is not durable was told to nobody: `role` and `fence` know no leader while ELECTED, so
that a crash in between costs nothing. Epochs only ever grow, also past one that never became
durable.

The first session that can scan leads and is not pushed out by another. Its lease is renewed by
*progress*: while it scans, by the scan going forward; while it has nothing to scan, by any sign of
life. A leader that hangs in a look loses the lead though its heartbeats go on, and rests for one
lease before it may be chosen again.

Time is fusion time in µs and comes as an argument.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fustor_core.claims import LEADER_ONLY, Origin
from fustor_core.errors import StaleEpochError
from fustor_core.machine import Move
from fustor_core.session import Session
from fustor_core.states.leadership import LEADERSHIP, LeadershipState
from fustor_core.states.session import SessionState

LEASE_LEAST_US = 60_000_000
LEASE_TIMEOUTS = 2

Role = Literal["leader", "follower"]


def lease_us(session_timeout_us: int) -> int:
    """How long a scan may stand still: a storage's own hiccup must not cost the lead."""
    return max(LEASE_LEAST_US, LEASE_TIMEOUTS * session_timeout_us)


@dataclass(frozen=True, slots=True)
class Leadership:
    """Leadership of one view.

    Args:
        view: its name.
        lease_us: how long the leader may make no progress.
        epoch: the last durable one, the only one that is ever told; 0 = none yet.
        chosen: the highest one that was ever chosen here: above `epoch` while it is being made
            durable, and after it could not be.
        state: one of `LeadershipState`; changed by the table `LEADERSHIP` alone.
        holder: id of the session that is elected or leads, else None.
        since_us: when it was chosen.
        renewed_us: when its lease was renewed last.
        progress: (started, progress, directories) of its scan when it was heard of last; None = it
            scans nothing.
        resting: the session that was deposed last, and until when it is not chosen.
    """

    view: str
    lease_us: int
    epoch: int = 0
    chosen: int = 0
    state: LeadershipState = LEADERSHIP.initial
    holder: str | None = None
    since_us: int = 0
    renewed_us: int = 0
    progress: tuple[int, int, int] | None = None
    resting: tuple[str, int] | None = None

    @property
    def leader(self) -> str | None:
        """Id of the session that leads; None while nobody was told so."""
        return self.holder if self.state is LeadershipState.LEADING else None

    @property
    def open(self) -> bool:
        """Whether a leader is looked for: `elect` is to be asked after each step and each sweep."""
        return self.state in (LeadershipState.VACANT, LeadershipState.LAPSED)

    def role(self, session_id: str) -> Role:
        """The role to tell a session."""
        return "leader" if session_id == self.leader else "follower"


@dataclass(frozen=True, slots=True)
class MakeDurable:
    """Write (view, epoch, session) and sync, then call `durable`; if it cannot be, `lapse`."""

    view: str
    epoch: int
    session_id: str


@dataclass(frozen=True, slots=True)
class Announce:
    """The session may be told that it leads under this epoch."""

    view: str
    epoch: int
    session_id: str


@dataclass(frozen=True, slots=True)
class Deposed:
    """The session leads no more: scans that it was asked for pass to the next leader."""

    view: str
    epoch: int
    session_id: str


Effect = MakeDurable | Announce | Deposed


@dataclass(frozen=True, slots=True)
class Step:
    """What was decided.

    Args:
        leadership: as it shall be.
        effects: what the owner has to do, in this order.
        moves: for the transition hook, in this order.
    """

    leadership: Leadership
    effects: tuple[Effect, ...] = ()
    moves: tuple[Move[LeadershipState], ...] = ()


def elect(
    now: Leadership, sessions: Iterable[Session], at_us: int, *, prefer: Container[str] = ()
) -> Step:
    """Choose a leader where there is none; nothing happens where there is one.

    Args:
        now: the leadership.
        sessions: the view's live sessions; of those that can scan, the oldest is chosen. Not one
            that is STALE, it may be gone already; nor one that is ESTABLISHING: its agent would be
            told that it follows, since it hears of itself before its epoch is durable.
        at_us: fusion time.
        prefer: sessions that come before all others: they hear of it soon.
    """
    if not now.open:
        return Step(now)
    able = [session for session in sessions if session.scan and session.live]
    active = [session for session in able if session.state is SessionState.ACTIVE]
    fit = [session for session in active if not _rests(now, session.session_id, at_us)]
    if not fit:
        gone = now.state is LeadershipState.LAPSED and not able
        return _moved(now, "vacate") if gone else Step(now)
    chosen = min(fit, key=lambda s: (s.session_id not in prefer, s.created_at, s.session_id))
    step = _moved(now, "elect")
    elected = replace(
        step.leadership,
        chosen=now.chosen + 1,
        holder=chosen.session_id,
        since_us=at_us,
        renewed_us=at_us,
        progress=None,
    )
    effect = MakeDurable(now.view, elected.chosen, chosen.session_id)
    return replace(step, leadership=elected, effects=(effect,))


def durable(now: Leadership, epoch: int, at_us: int) -> Step:
    """An epoch is durable: its session leads, unless it lost the election meanwhile."""
    if now.state is not LeadershipState.ELECTED or epoch != now.chosen or now.holder is None:
        return Step(now)
    step = _moved(now, "durable")
    leading = replace(step.leadership, epoch=epoch, renewed_us=at_us)
    return replace(step, leadership=leading, effects=(Announce(now.view, epoch, now.holder),))


def lapse(now: Leadership, session_id: str) -> Step:
    """A session is over, or its epoch could not be made durable; others change nothing."""
    if session_id != now.holder:
        return Step(now)
    step = _moved(now, "lapse")
    told = now.leader == session_id
    effects = (Deposed(now.view, now.epoch, session_id),) if told else ()
    return replace(
        step,
        leadership=replace(step.leadership, holder=None, progress=None),
        effects=effects,
    )


def heard(
    now: Leadership, session_id: str, scan: Mapping[str, int] | None, at_us: int
) -> Leadership:
    """After a heartbeat: the lease is renewed by progress, or by having nothing to scan.

    Args:
        now: the leadership.
        session_id: whose heartbeat; only the holder's matters.
        scan: `scan` of the heartbeat: {started_us, progress_us, directories}, None = scans nothing.
        at_us: fusion time.
    """
    if session_id != now.holder:
        return now
    if scan is None:
        return replace(now, renewed_us=max(at_us, now.renewed_us), progress=None)
    progress = (scan["started_us"], scan["progress_us"], scan["directories"])
    if progress == now.progress:
        return now
    return replace(now, renewed_us=max(at_us, now.renewed_us), progress=progress)


def pushed(now: Leadership, session_id: str, origins: Iterable[Origin], at_us: int) -> Leadership:
    """After a batch that was acknowledged, or put off since fusion was slow or its disk full.

    Claims of the leader's own scans are progress.
    """
    if session_id != now.holder or not LEADER_ONLY.intersection(origins):
        return now
    return replace(now, renewed_us=max(at_us, now.renewed_us))


def check_lease(now: Leadership, at_us: int, *, heard_from_us: int) -> Step:
    """Take the lead from a leader whose scan stood still for longer than the lease.

    Args:
        now: the leadership.
        at_us: fusion time.
        heard_from_us: since when fusion itself could hear (`Sessions.heard_from_us`).
    """
    leader = now.leader
    if leader is None or at_us - max(now.renewed_us, heard_from_us) <= now.lease_us:
        return Step(now)
    return depose(now, leader, at_us)


def depose(now: Leadership, session_id: str, at_us: int) -> Step:
    """Take the lead from a session that lives but does not lead: it rests for one lease.

    For a lease that ran out, and for a leader whose pipe a person paused.
    """
    if session_id != now.holder:
        return Step(now)
    step = lapse(now, session_id)
    rest = (session_id, at_us + now.lease_us)
    return replace(step, leadership=replace(step.leadership, resting=rest))


def fence(now: Leadership, session_id: str, epoch: int, origins: Iterable[Origin]) -> None:
    """Let a batch pass, or not. Realtime and on-demand claims always pass, whatever the epoch.

    Args:
        now: the leadership.
        session_id: whose batch it is.
        epoch: the batch's.
        origins: those of its claims.

    Raises:
        StaleEpochError: it holds claims of scans that only the leader of just now may send (412).
    """
    if not LEADER_ONLY.intersection(origins):
        return
    if session_id == now.leader and epoch == now.epoch:
        return
    raise StaleEpochError(
        f"epoch {epoch} of session {session_id} does not lead view {now.view}",
        epoch=now.epoch,
        role=now.role(session_id),
    )


def restored(view: str, lease: int, epoch: int, holder: str | None, at_us: int) -> Leadership:
    """Leadership after a restart: a leader whose session is known goes on under its epoch.

    Args:
        view: its name.
        lease: see `Leadership.lease_us`.
        epoch: the last durable one, 0 = none.
        holder: its session, None when that did not survive.
        at_us: fusion time.
    """
    start = Leadership(view, lease, epoch=epoch, chosen=epoch)
    if holder is None:
        return start
    elected = replace(_moved(start, "elect").leadership, holder=holder, since_us=at_us)
    return durable(elected, epoch, at_us).leadership


def _moved(now: Leadership, event: str) -> Step:
    move = LEADERSHIP.move(now.view, now.state, event)
    return Step(replace(now, state=move.new), moves=(move,))


def _rests(now: Leadership, session_id: str, at_us: int) -> bool:
    return now.resting is not None and now.resting[0] == session_id and at_us < now.resting[1]
