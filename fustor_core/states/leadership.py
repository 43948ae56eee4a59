"""Leadership of a view: who alone scans by itself, and under which epoch."""

from __future__ import annotations

from enum import StrEnum

from fustor_core.machine import Rule, Table


class LeadershipState(StrEnum):
    """The states of a view's leadership."""

    VACANT = "VACANT"
    """There is no session that could lead."""
    ELECTED = "ELECTED"
    """A session is chosen and its epoch is being made durable; nobody was told yet."""
    LEADING = "LEADING"
    """The epoch is durable and announced; the lease runs."""
    LAPSED = "LAPSED"
    """The leader lost it (lease, expiry, close) and no successor is chosen yet."""


S = LeadershipState

LEADERSHIP = Table(
    "leadership",
    S.VACANT,
    [
        Rule("elect", (S.VACANT, S.LAPSED), S.ELECTED),
        Rule("durable", S.ELECTED, S.LEADING),
        Rule("lapse", (S.ELECTED, S.LEADING), S.LAPSED),
        Rule("vacate", S.LAPSED, S.VACANT),
    ],
)
