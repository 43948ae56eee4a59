"""Planted bugs in sessions, leadership, clocks, and in what agents do (arbitration.md §8, §9)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fustor_core import admission, clock, fold, leadership, rounds
from fustor_core.claims import Listing, Stamp, is_dir, unpack_row
from fustor_core.clock import FusionClock, OffsetBounds
from fustor_core.contracts import Scope
from fustor_core.fold import Fold
from fustor_core.keeping import Keeping
from fustor_core.outbox import Outbox
from fustor_core.testing.sim import watching
from fustor_core.testing.sim.faults import Fault
from fustor_core.testing.sim.operations import Operation, draw_operations
from fustor_core.testing.sim.options import draw
from fustor_core.testing.sim.source import SimSource
from fustor_core.testing.sim.watching import Watch
from tests.sim.planted_bugs import Bug, Lists, Worlds, crowded, instead, wrapped
from tests.sim.planted_order import BUSY, CALM, NO_HOLD
from tests.sim.planted_tree import ALONE, TWO, WATCHED, nothing


def _half_read(old: Any, watch: Watch) -> Any:
    claims = old(watch)
    watch._empty_us = watch.eyes.now_us()
    return claims


def _not_looked_at(old: Any, outbox: Outbox) -> list[Any]:
    outbox._unacked, outbox._unacked_bytes = None, 0
    return list(old(outbox))[:0]


async def _uncovered(old: Any, source: SimSource, paths: Any) -> None:
    """What other hosts made is not watched."""


def _this_boot(old: Any, bounds: OffsetBounds, f: int, t: int, arrival_us: int) -> Any:
    bounds.past, bounds.start_us = [], -(1 << 62)
    return old(bounds, f, t, arrival_us)


def _stood_still(old: Any, saved: Any, *, boot: str, raw_us: int, wall_us: int) -> FusionClock:
    if saved is not None:
        wall_us = saved.wall_us
    clock: FusionClock = old(saved, boot=boot, raw_us=raw_us, wall_us=wall_us)
    return clock


def _never_whole(old: Any, scope: Scope, key: Any) -> bool:
    return scope.recall is None


def _never_full(old: Any, *args: Any, **named: Any) -> dict[str, float]:
    every = old(*args, **named)
    return {tier: seconds for tier, seconds in every.items() if tier != "full"}


def _by_mtime(old: Any, batch: Any, *rest: Any) -> Any:
    """The storage's clock is told from mtimes."""

    def told(claim: Any) -> Any:
        value = getattr(claim, "value", None)
        if value is None or is_dir(value):
            return claim
        row = unpack_row(value)
        return replace(claim, value=row._replace(ctime_ns=row.mtime_ns).pack())

    return old(replace(batch, claims=[told(claim) for claim in batch.claims]), *rest)


def _wall(old: Any, keeping: Keeping) -> int:
    import time

    return time.time_ns() // 1000 - 1_600_000_000_000_000


def _wall_ordinal(old: Any, watch: Watch, since_us: int) -> Stamp:
    return replace(old(watch, since_us), at=watch.eyes.machine.wall_ns() // 1000)


def _drifting(old: Any, batch: Any, bounds: Any, now_us: int, **named: Any) -> Any:
    """The agents' clocks are put right by the mtimes of directories."""
    taken = old(batch, bounds, now_us, **named)
    owns = [claim.own for claim in batch.claims if isinstance(claim, Listing) and claim.own]
    if owns:
        newest = max(unpack_row(own).mtime_ns for own in owns)
        drift = (SHOWN_NS[0] - newest) // 1000 if newest < SHOWN_NS[0] else 0
        SHOWN_NS[0] = max(SHOWN_NS[0], newest)
        taken.stamps[:] = [(lo + drift, hi + drift) for lo, hi in taken.stamps]
    return taken


SHOWN_NS = [0]


def _no_delay(old: Any, bounds: OffsetBounds, *, sent_raw_us: int, received_us: int) -> None:
    old(bounds, sent_raw_us=sent_raw_us, received_us=received_us)
    bounds.lows = bounds.highs[-1:]


def _by_heartbeat(old: Any, now: Any, session: str, scan: Any, at_us: int) -> Any:
    return old(now, session, None, at_us)


def _hanging(seed: int) -> Lists:
    """Each host's storage hangs for longer than a lease, one after the other."""
    options = draw(
        seed, hosts=2, length_s=60.0, rate=0.5, features=frozenset(), session_timeout_s=1.5,
        heartbeat_s=0.5, bound_s=0.0,
    )  # fmt: skip
    hangs = [Fault(4_000_000 + 28_000_000 * who, "hang", who, 24_000_000, "", 0) for who in (0, 1)]
    return options, draw_operations(options), hangs


def _cut_off(seed: int) -> Lists:
    """One of two hosts changes something while it is cut off for longer than its session lives."""
    options = draw(
        seed, hosts=2, length_s=12.0, features=frozenset(), bound_s=0.0, blind=0.0, scans="none"
    )
    who = seed % 2
    operations = [
        Operation(4_500_000 + seed, who, "create", 0, seed),
        Operation(11_000_000, 0, "ask", 0, 0),  # what was cut heals with the last operation
    ]
    return options, operations, [Fault(4_000_000, "cut", who, 5_000_000, "", 2)]


ODD = 4_242_424


def _odd_row(seed: int) -> Lists:
    """A file of a size whose row comes through short; nobody looks again by himself."""
    options = draw(
        seed, hosts=1, length_s=4.0, features=frozenset(), bound_s=0.0, blind=0.0, scans="none"
    )
    operations = [
        Operation(500_000, 0, "create", 0, 3),
        Operation(1_000_000, 0, "write", seed, ODD),
    ]
    return options, operations, []


def _short(old: Any, key: Any, name: bytes, value: Any, *rest: Any) -> Any:
    odd = value is not None and unpack_row(value).size == ODD
    return old(key, name, value[:40] if odd else value, *rest)


LEASES = (instead(leadership, "LEASE_LEAST_US", 0),)

AGENTS = (
    Bug("A7", "what was read of a queue is taken for all of it",
        (wrapped(Watch, "drain", _half_read),),
        crowded("late doubtful stop", 0.003, 2.0, hosts=1, bound_s=0.0), given=NO_HOLD),
    Bug("A14", "what dies with a session is not looked at again",
        (wrapped(Outbox, "lost", _not_looked_at),),
        Worlds(lists=_cut_off)),
    Bug("A15", "directories that other hosts made are not watched",
        (wrapped(SimSource, "cover", _uncovered),), Worlds("", ALONE, TWO)),
    Bug("A22", "the bounds of this boot replace those of the one before",
        (wrapped(OffsetBounds, "map", _this_boot), wrapped(FusionClock, "resume", _stood_still)),
        Worlds("reboot late", CALM.replace("reboot", ""), BUSY)),
    Bug("delay", "a message takes no time", (wrapped(OffsetBounds, "request", _no_delay),),
        Worlds("", CALM, BUSY)),
    Bug("drift", "two clocks go alike", (instead(clock, "DRIFT_PPM", 0),),
        Worlds("", CALM, {"length_s": 30.0})),
    Bug("W5", "a directory that is as it was has the files that it had",
        (wrapped(Scope, "whole", _never_whole), wrapped(rounds, "intervals", _never_full)),
        Worlds("", CALM, {"rate": 0.5, "length_s": 30.0, "blind": 0.6, "tick_us": 1})),
    Bug("W10", "scans of a past leader are taken", (wrapped(leadership, "fence", nothing),),
        Worlds(lists=_hanging), given=LEASES),
    Bug("W12", "the storage's clock is told from mtimes",
        (wrapped(fold, "fresh_ctimes", _by_mtime),), Worlds("times", CALM + " wall", BUSY)),
    Bug("W13", "fusion goes by its wall clock", (wrapped(Keeping, "now_us", _wall),),
        Worlds("wall", CALM, BUSY)),
    Bug("W22", "events are numbered by the wall clock", (wrapped(Watch, "_stamp", _wall_ordinal),),
        Worlds("wall", ALONE, WATCHED)),
    Bug("W23", "clocks are put right by the mtimes of directories",
        (wrapped(admission, "admit", _drifting),), Worlds("times", CALM, BUSY)),
    Bug("W24", "a leader that hangs leads as long as its heart beats",
        (wrapped(leadership, "heard", _by_heartbeat),), Worlds(lists=_hanging), given=LEASES),
    Bug("W25", "what cannot be taken is acknowledged and forgotten",
        (wrapped(Fold, "_quarantine", nothing),), Worlds(lists=_odd_row),
        given=(wrapped(watching, "_cell", _short),)),
)  # fmt: skip
