"""How machines move each other: what is entered here makes an event there.

`COUPLINGS[machine, entered state]` = the (machine, event) pairs that follow for those instances
that hang together: the leadership that the session holds, the pipe that the session belongs to.
Between two processes the event travels (a 419, a role in a heartbeat's reply) and comes later.
"""

from __future__ import annotations

from collections.abc import Mapping

COUPLINGS: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("session", "EXPIRED"): (("leadership", "lapse"), ("pipeline", "session_lost")),
    ("session", "OBSOLETE"): (("leadership", "lapse"), ("pipeline", "session_lost")),
    ("session", "CLOSED"): (("leadership", "lapse"),),
    ("leadership", "LEADING"): (("pipeline", "lead"),),
}
