"""Planted bugs in what is limited (reliability.md §2.4: 2, 7, 16, 20, 22, 28)."""

from __future__ import annotations

from typing import Any

from fustor_view_file.guard import Guard
from fustor_view_file.sums import Sums
from fustor_view_file.tally import SUSPECTS

from fustor_core.outbox import Outbox
from fustor_core.pacing import Streak
from fustor_core.session import Session
from fustor_core.sessions import Sessions
from fustor_core.testing.sim.faults import Fault
from fustor_core.testing.sim.operations import Operation
from fustor_core.testing.sim.options import draw
from tests.sim.planted_bugs import Bug, Lists, Worlds, wrapped
from tests.sim.planted_order import BUSY, CALM
from tests.sim.planted_tree import nothing


def _lets_go(old: Any, guard: Guard, *args: Any, **named: Any) -> bool:
    return True


def _no_second_look(old: Any, guard: Guard, since_us: int, seen_lo_us: int) -> bool:
    return True


def _not_here(old: Any, sums: Sums, directory: Any, deltas: list[tuple[int, int]]) -> None:
    old(sums, directory, [(at, by) for at, by in deltas if at != SUSPECTS])


def _half_a_timeout(old: Any, sessions: Sessions, session: Session, now_us: int) -> int:
    return 2 * int(old(sessions, session, now_us))


def _never_silent(old: Any, sessions: Sessions, session: Session, now_us: int) -> int:
    return 0


def _beside(old: Any, sessions: Sessions, *args: Any, **named: Any) -> Any:
    """A new session of a pipe ends no old one."""
    sessions._by_pipe.clear()
    return old(sessions, *args, **named)


def _always_first(old: Any, streak: Streak, jitter: float) -> float:
    return streak.plan.delay_s(1, jitter)


def _flooded(seed: int) -> Lists:
    """A host that is cut off sees far more than it may keep."""
    options = draw(
        seed, hosts=1, length_s=9.0, features=frozenset({"overflow"}), bound_s=0.0, blind=0.0
    )
    operations = [
        Operation(2_000_000 + 20_000 * i, 0, ("many", "clear")[i % 2], 0, 29) for i in range(300)
    ]
    return options, operations, [Fault(1_500_000, "cut", 0, 7_000_000, "", 2)]


BOUNDS = (
    Bug("guard", "a scan may remove as much as it likes", (wrapped(Guard, "take", _lets_go),),
        Worlds("bulk", CALM, {**BUSY, "blind": 0.6, "guard_count": 3})),
    Bug("hasty", "the next look at what is frozen is the second", (
        wrapped(Guard, "matured", _no_second_look),),
        Worlds("bulk", CALM, {**BUSY, "blind": 0.6, "guard_count": 3})),
    Bug("sums", "suspects are not counted", (wrapped(Sums, "push", _not_here),),
        Worlds("partial", CALM, BUSY)),
    Bug("spool", "what is seen while cut off has no limit", (
        wrapped(Outbox, "_overflow", nothing),), Worlds(lists=_flooded)),
    Bug("expiry", "sessions live half as long as was granted", (
        wrapped(Sessions, "silence_us", _half_a_timeout),), Worlds("cut late", CALM, BUSY)),
    Bug("eternal", "sessions never end by silence, nor by their successor's begin", (
        wrapped(Sessions, "silence_us", _never_silent),
        wrapped(Sessions, "open_session", _beside)),
        Worlds("kill", "huge again", BUSY)),
    Bug("patience", "a pipe waits no longer after more errors", (
        wrapped(Streak, "delay_s", _always_first),), Worlds("cut loss", CALM, BUSY)),
)  # fmt: skip
