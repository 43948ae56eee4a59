"""A session: one agent pipe's standing with one view, as fusion sees it."""

from __future__ import annotations

from enum import StrEnum

from fustor_core.machine import Rule, Table


class SessionState(StrEnum):
    """The states of a session; the first three are live."""

    ESTABLISHING = "ESTABLISHING"
    """Named, but not durable yet: the agent does not know of it."""
    ACTIVE = "ACTIVE"
    """Heard of within the last heartbeats."""
    STALE = "STALE"
    """Live, but a heartbeat is overdue; or carried over a restart and not heard of since."""
    EXPIRED = "EXPIRED"
    """Silent for longer than its timeout."""
    CLOSED = "CLOSED"
    """Ended on purpose: by its agent, or because its key was revoked."""
    OBSOLETE = "OBSOLETE"
    """A newer session of the same agent pipe took its place."""


S = SessionState

LIVE = (S.ESTABLISHING, S.ACTIVE, S.STALE)

SESSION = Table(
    "session",
    S.ESTABLISHING,
    [
        Rule("grant", S.ESTABLISHING, S.ACTIVE),
        Rule("proof", S.STALE, S.ACTIVE),
        Rule("quiet", S.ACTIVE, S.STALE),
        Rule("expire", (S.ESTABLISHING, S.STALE), S.EXPIRED),
        Rule("close", LIVE, S.CLOSED),
        Rule("revoke", LIVE, S.CLOSED),
        Rule("replace", LIVE, S.OBSOLETE),
    ],
    final=(S.EXPIRED, S.CLOSED, S.OBSOLETE),
)
