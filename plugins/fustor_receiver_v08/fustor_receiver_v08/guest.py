"""One agent of 0.8.17, as long as its session lasts."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from fustor_core.contracts import Access
from fustor_receiver_v08.pace import Pace


@dataclass(slots=True)
class Guest:
    """One session.

    Attributes:
        offset_us: fusion time less raw clock, at most. seq: of the last batch.
        audited: directories whose files the present audit has told of; None = no audit runs.
        asked: scans that it was asked for → when. wishes: paths of which a whole row is wanted.
    """

    session_id: str
    agent: str
    pipe: str
    access: Access
    pace: Pace
    role: str
    epoch: int
    timeout_s: float
    audit_s: float
    sentinel_s: float
    opened_us: int
    offset_us: int = 0
    seq: int = 0
    echo: tuple[int, int] | None = None
    audited: dict[bytes, None] | None = None
    audit_since_us: int = 0
    snapshots: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    wishes: dict[bytes, None] = field(default_factory=dict)
    turn: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def leads(self) -> bool:
        """Whether it was told so last."""
        return self.role == "leader"
