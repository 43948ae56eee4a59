"""Planted bugs in which look was later, and in what a look proves (arbitration.md §3)."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from fustor_core import arbitration
from fustor_core.arbitration import Rules
from fustor_core.claims import Cell, Listing, Origin, is_dir, unpack_row
from fustor_core.contracts import Facts, Known, Verdict
from fustor_core.registers import NO_LINE, Register, Seen
from fustor_core.testing.sim import watching
from fustor_core.testing.sim.faults import Fault
from fustor_core.testing.sim.operations import Operation
from fustor_core.testing.sim.options import draw
from fustor_core.testing.sim.source import SimSource
from tests.sim.planted_bugs import Bug, Change, Lists, Worlds, crowded, instead, wrapped

Judged = tuple[Register, str]
CALM = "huge again reboot restart kill full broken"
"""What costs time and is no part of most of these stories."""
BUSY = {"hosts": 2, "rate": 6.0}


def _order(inside: Any) -> Change:
    return wrapped(arbitration, "order", inside)


def _judge(inside: Any) -> Change:
    return wrapped(arbitration, "judge", inside)


def _one_line(k: Seen, c: Seen) -> bool:
    return k.line != NO_LINE and k.line == c.line


def _receipt(old: Any, k: Seen, c: Seen) -> int:
    return 1


def _sequence(old: Any, k: Seen, c: Seen) -> int:
    return (c.t > k.t) - (c.t < k.t) if _one_line(k, c) else old(k, c)


def _words(old: Any, k: Seen, c: Seen) -> int:
    if _one_line(k, c) and k.kind in "ew" and c.kind in "ew":
        return (c.at > k.at) - (c.at < k.at)
    return old(k, c)


def _by_fusion_time(old: Any, k: Seen, c: Seen) -> int:
    return 1 if c.lo >= k.hi else -1 if c.hi <= k.lo else 0


def _no_look_order(old: Any, k: Seen, c: Seen) -> int:
    if _one_line(k, c) and k.kind == c.kind == "l":
        return 1 if c.f >= k.t else -1 if c.t <= k.f else 0
    return old(k, c)


def _keeps_line(old: Any, k: Seen, c: Seen) -> Seen:
    both = old(k, c)
    return both if both.line else Seen(both.lo, both.hi, k.line, k.f, k.t, k.at, k.kind)


def _same_keeps_hi(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    new, rule = old(k, c, rules)
    if k is None or rule != "same":
        return new, rule
    return replace(new, seen=replace(new.seen, hi=max(k.seen.hi, new.seen.lo))), rule


def _debt_keeps_lo(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    new, rule = old(k, c, rules)
    if k is None or rule != "debt":
        return new, rule
    return replace(new, seen=replace(new.seen, lo=k.seen.lo)), rule


def _no_debt(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    new, rule = old(k, c, rules)
    if k is None or rule != "debt":
        return new, rule
    return (c, "newer") if c.seen.hi >= k.seen.hi else (k, "older")


def _realtime_wins(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    return (c, "newer") if c.rt and k is not None else old(k, c, rules)


def _files(k: Register | None, c: Register) -> bool:
    values = (k.value if k is not None else None, c.value)
    return all(value is not None and not is_dir(value) for value in values)


def _scan_not_older(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    if k is not None and not c.rt and _files(k, c):
        before, now = unpack_row(k.value or b""), unpack_row(c.value or b"")
        if before.mtime_ns > now.mtime_ns:
            return k, "older"
    return old(k, c, rules)


def _scan_same_mtime(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    if k is not None and not c.rt and _files(k, c):
        before, now = unpack_row(k.value or b""), unpack_row(c.value or b"")
        if before.mtime_ns == now.mtime_ns:
            return k, "older"
    return old(k, c, rules)


def _absent_at_receipt(
    old: Any, known: Known | None, claim: Cell, facts: Facts, rules: Rules
) -> Verdict:
    if claim.value is None:
        at = facts.arrival_us
        facts = replace(facts, seen=Seen(at, at, NO_LINE, 0, 0, 0, "m"))
    return old(known, claim, facts, rules)


def _reborn_if_newer(
    old: Any, known: Known | None, claim: Cell, facts: Facts, rules: Rules
) -> Verdict:
    held = known.get(claim.name) if known is not None and claim.name else None
    if held is not None and held.value is None and claim.value and not is_dir(claim.value):
        gone_ns = facts.storage_ns - (facts.arrival_us - held.seen.hi) * 1000
        if unpack_row(claim.value).mtime_ns <= gone_ns:
            verdict = old(known, claim, facts, rules)
            verdict.writes, verdict.rule, verdict.suspects = [], "older", {}
            return verdict
    return old(known, claim, facts, rules)


def _never_reborn(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    """A scan cannot bring back with an older mtime what was deleted."""
    if k is not None and k.value is None and not c.rt and c.value and not is_dir(c.value):
        return k, "older"
    return old(k, c, rules)


def _forgets_absence(old: Any, k: Register | None, c: Register, rules: Rules) -> Judged:
    if k is not None and k.value is None and c.seen.lo + 1_000_000 < k.seen.hi:
        k = None
    return old(k, c, rules)


def _seen_on_arrival(
    old: Any, known: Known | None, claim: Listing, facts: Facts, rules: Rules
) -> Verdict:
    if claim.origin in (Origin.AUDIT, Origin.SNAPSHOT):
        seen = facts.seen
        facts = replace(facts, seen=Seen(seen.hi - 1, seen.hi, seen.line, seen.t - 1, seen.t,
                                         seen.at, seen.kind))  # fmt: skip
    return old(known, claim, facts, rules)


def _same_freshens(old: Any, known: Known | None, claim: Any, facts: Facts) -> Verdict:
    verdict = old(known, claim, facts)
    if verdict.rule == "silent":
        verdict.base = facts.seen
    return verdict


def _listing(inside: Any) -> Change:
    return wrapped(arbitration, "_listing", inside)


def _complete(old: Any, known: Known | None, claim: Listing, *rest: Any) -> Verdict:
    return old(known, replace(claim, complete=True), *rest)


def _weak_left_out(old: Any, known: Known | None, claim: Listing, *rest: Any) -> Verdict:
    weak = set(claim.weak)
    if weak and claim.digest is None and claim.complete:
        names = claim.names.split(b"\0") if claim.names else []
        kept = [i for i, name in enumerate(names) if name not in weak]
        claim = replace(
            claim,
            weak=(),
            names=b"\0".join(names[i] for i in kept),
            rows=b"".join(claim.rows[48 * i : 48 * i + 48] for i in kept),
        )
    return old(known, claim, *rest)


def parent_mtime(
    old: Any, known: Known | None, claim: Listing, facts: Facts, rules: Rules
) -> Verdict:
    own = known.attrs.value if known is not None and known.attrs is not None else None
    if own and claim.own and unpack_row(claim.own).mtime_ns < unpack_row(own).mtime_ns:
        claim = replace(claim, complete=False, names=b"", rows=b"", own=None)
    return old(known, claim, facts, rules)


def _doubts(old: Any, source: SimSource, eyes: Any, **named: Any) -> None:
    old(source, eyes, **{**named, "doubtful": 0.4 if named["doubtful"] else 0.0})


def _agreed(seed: int) -> Lists:
    """Two hosts agree that a name is gone; then one of them tells late that it was made between."""
    options = draw(
        seed, hosts=2, length_s=8.0, features=frozenset(), bound_s=1.5, blind=0.0, scans="none"
    )
    rng, one = Random(f"agreed {seed}"), seed % 2
    done = (1.0, one, "create", 0), (2.2, one, "create", 1), (2.4, one, "clear", 0)
    done = (*done, (2.7, one, "create", 0), (2.9, 1 - one, "clear", 0))
    done = (*done, (8.0, 0, "ask", 0))  # what was cut heals with the last operation
    operations = [
        Operation(int(at_s * 1e6) + rng.randrange(50_000), host, kind, 0, name)
        for at_s, host, kind, name in done
    ]
    return options, operations, [Fault(2_500_000, "cut", one, 1_200_000, "", 2)]


NO_HOLD = (instead(watching, "HOLD_US", 0), wrapped(SimSource, "__init__", _doubts))
"""Directories often cannot be proven, and who cannot be is given up at once."""
CACHED = {**BUSY, "bound_s": 1.5, "blind": 0.6}

ORDER = (
    Bug("receipt", "what arrives last is shown", (_order(_receipt),),
        Worlds("late", CALM, BUSY)),
    Bug("A2", "“later sequence replaces” for every kind of look", (_order(_sequence),),
        Worlds("doubtful late partial", CALM, {**BUSY, "hosts": 1, "blind": 0.0}), given=NO_HOLD),
    Bug("A3", "a merged cell keeps its line", (wrapped(arbitration, "merge", _keeps_line),),
        Worlds(lists=_agreed)),
    Bug("A4", "agreement does not raise the upper bound", (_judge(_same_keeps_hi),),
        Worlds("outside late", CALM, {**BUSY, "bound_s": 1.5, "hosts": 3})),
    Bug("A5", "a dispute keeps its lower bound", (_judge(_debt_keeps_lo),),
        Worlds("late again", CALM.replace("again", ""), {**BUSY, "bound_s": 1.5, "hosts": 3})),
    Bug("A6", "kernel words are ordered against looks", (_order(_words),),
        crowded("late doubtful stop", 0.003, 2.0, hosts=1, bound_s=0.0), given=NO_HOLD),
    Bug("A8", "a disagreement opens no debt: later hi wins", (_judge(_no_debt),),
        Worlds("late", CALM, {**BUSY, "bound_s": 1.5, "hosts": 3})),
    Bug("A9", "`Same` freshens stamps", (wrapped(arbitration, "_same", _same_freshens),),
        Worlds("", CALM, {**BUSY, "blind": 0.6})),
    Bug("A10", "the cache bound is not inside `lo`", (),
        Worlds("", CALM, {**CACHED, "understated": 0.0})),
    Bug("understated", "a cache bound of 5 s is claimed to be 0.5 s", (),
        Worlds("", CALM, {**BUSY, "blind": 0.6, "bound_s": 5.0, "understated": 0.1})),
    Bug("A17", "weak names are left out of a listing", (_listing(_weak_left_out),),
        crowded("slow asks", 0.004, hosts=1, bound_s=0.0), counts=("state.disputed", 1.1)),
    Bug("A20", "no order by the raw clock within a line", (_order(_by_fusion_time),),
        Worlds("late", CALM, {**BUSY, "bound_s": 0.0}), counts=("rule.overlap", 1.1)),
    Bug("A21", "no look order among listings of a line", (_order(_no_look_order),),
        Worlds("asks", CALM, {**CACHED, "bound_s": 1.5}), counts=("rule.overlap", 1.1)),
    Bug("W1", "a deletion is stamped with its receipt",
        (wrapped(arbitration, "_cell", _absent_at_receipt),), Worlds("late", CALM, BUSY)),
    Bug("W2", "what was deleted comes back with a newer mtime alone",
        (wrapped(arbitration, "_cell", _reborn_if_newer), _judge(_never_reborn)),
        Worlds("times", CALM, BUSY)),
    Bug("W3", "a scan does not bring an older mtime", (_judge(_scan_not_older),),
        Worlds("times", CALM, {**BUSY, "blind": 0.6})),
    Bug("W4", "a scan does not bring the same mtime with another size",
        (_judge(_scan_same_mtime),), Worlds("times", CALM, {**BUSY, "blind": 0.6})),
    Bug("W8", "a listing that ended with an error proves absence", (_listing(_complete),),
        Worlds("unreadable", CALM, BUSY)),
    Bug("W9", "a cached listing counts as of its end", (_listing(_seen_on_arrival),),
        Worlds("", CALM, CACHED)),
    Bug("W14", "realtime always wins", (_judge(_realtime_wins),), Worlds("late", CALM, BUSY)),
    Bug("W16", "an absence is forgotten after a while", (_judge(_forgets_absence),),
        Worlds("late", CALM, {**BUSY, "hosts": 3})),
)  # fmt: skip
