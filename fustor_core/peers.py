"""What fusion knows of a view's options and of each session beside the session table."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from fustor_core.clock import OffsetBounds
from fustor_core.contracts import Pulse
from fustor_core.errands import Errands


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
    """What fusion remembers of a session beside the session table."""

    agent: str
    line: int
    bounds: OffsetBounds
    root_proven: bool = False
    pulse: Pulse | None = None
    errands: Errands = field(default_factory=Errands)
    summons: anyio.Event | None = None
