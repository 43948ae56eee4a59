"""What fusion knows of a view's options and of each session beside the session table."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from fustor_core.admission import Admission, admit
from fustor_core.claims import Batch, Key
from fustor_core.clock import NEVER
from fustor_core.contracts import Pulse
from fustor_core.errands import Errands
from fustor_core.frames import SessionRow
from fustor_core.jobs import Able
from fustor_core.lines import Line
from fustor_core.soundness import Stores
from fustor_core.states.pipeline import PipelineState as P

HUNG_US = 30_000_000
_RUNNING, _RECONNECTING, _PAUSED = int(P.RUNNING), int(P.RECONNECTING), int(P.PAUSED)
_SENDING = int(P.MESSAGE_PHASE)


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """What the configuration says about one view (interfaces.md §5, `views`). Seconds."""

    view: str
    session_timeout_s: float
    audit_interval_s: float
    sentinel_interval_s: float
    max_sessions: int
    loose_age_s: float = 3600.0
    hot_s: float = 30.0
    driver: str = ""
    arbitrator: str = ""


@dataclass(slots=True)
class Peer:
    """What fusion remembers of a session beside the session table.

    Attributes:
        foreign: another storage stands at its root. denied: end of the last look that found so.
        proved: begin of the last one that found the right one.
        known: it was heard of since this process began.
        told_leader: by the last reply. led: it has beaten as a leader at work since; paused: it has
            beaten as one that is not.
        moved_us: since when its scan shows what it shows.
    """

    agent: str
    line: Line
    root_proven: bool = False
    foreign: bool = False
    denied: int = NEVER
    proved: int = NEVER
    known: bool = True
    pulse: Pulse | None = None
    errands: Errands = field(default_factory=Errands)
    summons: anyio.Event | None = None
    told_leader: bool = False
    led: bool = False
    paused: bool = False
    moved_us: int = 0

    @classmethod
    def kept(cls, row: SessionRow, line: Line) -> Peer:
        """Of a session that was kept, and not heard of yet."""
        proven = row.proven
        return cls(row.agent, line, proven, not proven, row.denied, row.proved, known=False)

    def admit(
        self,
        batch: Batch,
        now_us: int,
        *,
        identity: str,
        root: Key | None,
        compiled: Stores | None,
    ) -> Admission:
        """What of a batch can be taken (`admit`); what it says of the root is kept."""
        taken = admit(
            batch,
            self.line.bounds,
            now_us,
            identity=identity,
            root=root,
            root_proven=self.root_proven,
            foreign=self.foreign,
            denied=self.denied,
            proved=self.proved,
            compiled=compiled,
        )
        self.root_proven, self.foreign = taken.root_proven, taken.foreign
        self.denied, self.proved = taken.denied, taken.proved
        return taken

    def beaten(self, pulse: Pulse, now_us: int) -> bool:
        """A heartbeat came; whether something else is uncovered now."""
        if self.pulse is None or pulse.scan != self.pulse.scan:
            self.moved_us = now_us
        before = self.pulse.uncovered if self.pulse is not None else ()
        self.pulse = pulse
        return pulse.uncovered != before

    @property
    def sends(self) -> bool:
        """Whether its pipe sends what it is asked for: it is not paused, standing by, in error."""
        if self.pulse is None:
            return True
        state = int(self.pulse.state)
        resting = state & _PAUSED and not state & _SENDING
        return bool(state & _RUNNING) and not state & _RECONNECTING and not resting

    def able(self, session: str, *, leads: bool, now_us: int) -> Able | None:
        """What it can do for a scan on demand, None when it can do nothing."""
        pulse = self.pulse
        scan = pulse.scan if pulse is not None else None
        hung = scan is not None and now_us - self.moved_us > HUNG_US
        if hung or not self.root_proven or not self.sends:
            return None
        progress = None if scan is None else tuple(sorted(scan.items()))
        queue = pulse.queue if pulse is not None else 0
        return Able(session, self.agent, leads, scan is None, queue, progress)

    def gives_up(self) -> bool:
        """After a heartbeat as leader: whether a person has paused its pipe.

        A pulse may have been on its way when it was told that it leads: one alone, of a session
        that was never seen leading, says nothing.
        """
        if self.pulse is None or not self.told_leader:
            return False
        if P.PAUSED not in P(self.pulse.state):
            self.led, self.paused = True, False
            return False
        sure = self.led or self.paused
        self.paused = True
        return sure
