"""Which look was later, and what a claim does to a directory (arbitration.md §3, §4). Pure.

Nothing here knows what a value means: an arbitrator's `Rules` say when two values are equal, which
of two disputed ones is shown, and what is suspect. No rule looks at mtime, arrival, role or epoch
to decide truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from fustor_core.claims import (
    ROW_BYTES,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Same,
    Silence,
    edge_key,
    is_dir,
    split_names,
)
from fustor_core.contracts import Facts, Known, Pack, Verdict, Write
from fustor_core.registers import NO_LINE, Register, Seen

_EVENTS = "ew"
_IS_DIR = bytes(kind & 0xF0 == 0x40 for kind in range(256))
_LISTING = "l"


class Rules(Protocol):
    """What an arbitrator driver knows about its values."""

    def equal(self, a: bytes | None, b: bytes | None) -> bool: ...

    def shown(self, k: Register, c: Register) -> Register: ...

    def suspects_of_cell(
        self, known: Known | None, claim: Cell, old: Register | None, new: Register, facts: Facts
    ) -> dict[bytes, bool]: ...

    def suspects_of_listing(
        self,
        known: Known | None,
        names: bytes,
        rows: bytes,
        changed: Iterable[bytes] | None,
        facts: Facts,
    ) -> dict[bytes, bool]: ...


def order(k: Seen, c: Seen) -> int:
    """Whether `c` was looked at later than `k` (+1), earlier (−1), or that cannot be told (0)."""
    if k.line != NO_LINE and k.line == c.line:  # one clock, one cache: no offset error
        if k.kind == c.kind:
            if k.kind in _EVENTS:
                return (c.at > k.at) - (c.at < k.at)
            if k.kind == _LISTING:  # a client's cache never goes back
                return 1 if c.at >= k.t else -1 if c.t <= k.at else 0
        return 1 if c.f >= k.t else -1 if c.t <= k.f else 0
    return 1 if c.lo >= k.hi else -1 if c.hi <= k.lo else 0


def later(k: Seen, c: Seen) -> Seen:
    """The stamp of `c` when it replaces `k`: its lower bound never steps back."""
    if c.lo >= k.lo or c.hi < k.lo:
        return c
    return Seen(k.lo, c.hi, c.line, c.f, c.t, c.at, c.kind)


def merge(k: Seen, c: Seen) -> Seen:
    """One stamp for two overlapping looks: whoever ends before the larger `lo` is older than one
    of them, whoever begins after the larger `hi` is newer than both."""
    lo, hi = max(k.lo, c.lo), max(k.hi, c.hi)
    if k.line == NO_LINE or k.line != c.line:
        return Seen(lo, hi, NO_LINE, 0, 0, 0, "m")
    kind = k.kind if k.kind == c.kind else "m"
    return Seen(lo, hi, k.line, max(k.f, c.f), max(k.t, c.t), max(k.at, c.at), kind)


def judge(k: Register | None, c: Register, rules: Rules) -> tuple[Register, str]:
    """One register and one claim about it: the register afterwards, and the rule that decided."""
    if k is None:
        return c, "first"
    told = order(k.seen, c.seen)
    if told < 0:
        return k, "older"
    if told > 0:
        return Register(c.value, later(k.seen, c.seen), c.debt, c.rt, c.origin), "newer"
    both = merge(k.seen, c.seen)
    if rules.equal(k.value, c.value):
        if both == k.seen and (k.rt or not c.rt):
            return k, "same"
        return Register(k.value, both, k.debt, k.rt or c.rt, k.origin), "same"
    won = rules.shown(k, c)
    both = Seen(both.lo, both.hi, NO_LINE, 0, 0, 0, "m")
    return Register(won.value, both, True, won.rt, won.origin), "debt"


def judge_claim(known: Known | None, claim: Claim, facts: Facts, rules: Rules) -> Verdict:
    """What a claim does to the directory that it names (None: never heard of)."""
    if isinstance(claim, Cell):
        return _cell(known, claim, facts, rules)
    if isinstance(claim, Listing):
        return _listing(known, claim, facts, rules)
    if isinstance(claim, Same):
        return _same(known, claim, facts)
    if isinstance(claim, Owe):
        verdict = _verdict(claim, facts, "owe")
        verdict.owe = (facts.seen, claim.deep, claim.reason, claim.errno)
        return verdict
    raise TypeError("a proof of root says nothing about a directory")


def _verdict(claim: Cell | Listing | Same | Owe, facts: Facts, rule: str) -> Verdict:
    verdict = Verdict(claim.dir, claim.path, rule, facts.seen, claim.origin)
    verdict.scan = claim.origin is not Origin.REALTIME
    return verdict


def _cell(known: Known | None, claim: Cell, facts: Facts, rules: Rules) -> Verdict:
    rt = claim.origin is Origin.REALTIME
    new = Register(claim.value, facts.seen, False, rt, claim.origin)
    if not claim.name:
        held = known.attrs if known else None
        result, rule = judge(held, new, rules)
        verdict = _verdict(claim, facts, rule)
        if result is not held:
            verdict.attrs = result
        return verdict
    old = known.get(claim.name) if known else None
    result, rule = judge(old, new, rules)
    verdict = _verdict(claim, facts, rule)
    if result is not old:
        moved = bool(claim.flags & 1)
        verdict.writes.append(Write(claim.name, old, result, moved))
    verdict.suspects = rules.suspects_of_cell(known, claim, old, result, facts)
    return verdict


def _same(known: Known | None, claim: Same, facts: Facts) -> Verdict:
    """Membership is as it was. Says nothing about attributes, so no stamp moves."""
    verdict = _verdict(claim, facts, "silent")
    if known is None or known.base is None or known.silent != claim.silence:
        verdict.rule = "silence_refused"
        verdict.owe = (facts.seen, False, "not_yet", 0)
    return verdict


def _listing(known: Known | None, claim: Listing, facts: Facts, rules: Rules) -> Verdict:
    verdict = _verdict(claim, facts, "first")
    verdict.via = claim.via
    if claim.own is not None:
        attrs = Register(claim.own, facts.seen, False, not verdict.scan, claim.origin)
        held = known.attrs if known else None
        result, _ = judge(held, attrs, rules)
        if result is not held:
            verdict.attrs = result
    names, rows = claim.names, claim.rows
    if claim.digest is not None:
        if known is None or known.base is None or known.digest() != claim.digest:
            verdict.rule = "digest_refused"
            verdict.owe = (facts.seen, False, "not_yet", 0)
            return verdict
        names, rows = known.blobs()
    if not claim.complete:
        return _incomplete(known, claim, facts, rules, verdict)
    told = 1 if known is None or known.base is None else order(known.base, facts.seen)
    if told < 0 and known is not None:
        return _older_listing(known, claim, facts, rules, verdict, names, rows)
    verdict.settles = facts.seen
    verdict.keep_silent = False
    verdict.silent = claim.silence if told > 0 else _agreed(known, claim)
    if known is None or (known.base is None and not known.own):
        return _first_listing(known, claim, facts, rules, verdict, names, rows)
    alike = claim.digest is not None  # then these are its own blobs
    if told > 0 and not known.own and not claim.weak and (alike or known.holds(names, rows)):
        verdict.rule = "newer"
        verdict.base = later(known.base, facts.seen) if known.base else facts.seen
        if known.suspects:
            verdict.suspects = rules.suspects_of_listing(known, names, rows, (), facts)
        return verdict
    return _changed_listing(known, claim, facts, rules, verdict, names, rows, told)


def _agreed(known: Known | None, claim: Listing) -> Silence | None:
    return claim.silence if known is not None and known.silent == claim.silence else None


def _entries(names: bytes, rows: bytes) -> dict[bytes, bytes]:
    parts = split_names(names)
    return {
        name: rows[i : i + ROW_BYTES]
        for name, i in zip(parts, range(0, len(rows), ROW_BYTES), strict=True)
    }


def _incomplete(
    known: Known | None, claim: Listing, facts: Facts, rules: Rules, verdict: Verdict
) -> Verdict:
    """Entries count as single stats; nothing is absent by it and nothing is settled."""
    verdict.rule = "incomplete"
    stat = facts.seen
    stat = Seen(stat.lo, stat.hi, stat.line, stat.f, stat.t, 0, "s")
    for name, row in _entries(claim.names, claim.rows).items():
        old = known.get(name) if known else None
        new, _ = judge(old, Register(row, stat, False, False, claim.origin), rules)
        if new is not old:
            verdict.writes.append(Write(name, old, new))
    verdict.owe = (facts.seen, False, claim.reason or "io_error", claim.errno)
    return verdict


def _older_listing(
    known: Known,
    claim: Listing,
    facts: Facts,
    rules: Rules,
    verdict: Verdict,
    names: bytes,
    rows: bytes,
) -> Verdict:
    """An older listing still speaks about names whose own evidence may be older than it."""
    verdict.rule = "older"
    if not known.own:
        return verdict
    entries = _entries(names, rows)
    weak = frozenset(claim.weak)
    for name in sorted(known.own):
        if name in weak:
            continue
        old = known.get(name)
        claimed = Register(entries.get(name), facts.seen, False, False, claim.origin)
        new, _ = judge(old, claimed, rules)
        if new is not old:
            verdict.writes.append(Write(name, old, new))
    return verdict


def _first_listing(
    known: Known | None,
    claim: Listing,
    facts: Facts,
    rules: Rules,
    verdict: Verdict,
    names: bytes,
    rows: bytes,
) -> Verdict:
    verdict.base = facts.seen
    verdict.pack = Pack(names, rows)
    verdict.own = {}
    weak = frozenset(claim.weak)
    edges = rows[33::ROW_BYTES].translate(_IS_DIR)  # one byte a row, by its type
    if weak or b"\1" in edges:
        for at, name in enumerate(split_names(names)):
            debt = name in weak
            if debt or edges[at]:
                row = rows[at * ROW_BYTES : (at + 1) * ROW_BYTES]
                new = Register(row, facts.seen, debt, False, claim.origin)
                if debt:
                    verdict.own[name] = new
                verdict.writes.append(Write(name, None, new))
    for name in sorted(weak.difference(split_names(names))) if weak else ():
        new = Register(None, facts.seen, True, False, claim.origin)
        verdict.own[name] = new
        verdict.writes.append(Write(name, None, new))
    verdict.suspects = rules.suspects_of_listing(known, names, rows, None, facts)
    return verdict


def _changed_listing(
    known: Known,
    claim: Listing,
    facts: Facts,
    rules: Rules,
    verdict: Verdict,
    names: bytes,
    rows: bytes,
    told: int,
) -> Verdict:
    c = facts.seen
    base = c if known.base is None else later(known.base, c) if told > 0 else merge(known.base, c)
    weak = frozenset(claim.weak)
    entries = _entries(names, rows)
    stored = _entries(*known.blobs())
    touched = set(known.own) | weak
    touched.update(n for n, row in entries.items() if stored.get(n) != row)
    touched.update(n for n in stored if n not in entries)
    verdict.rule = "newer" if told > 0 else "overlap"
    verdict.base = base
    verdict.pack = Pack(names, rows)
    verdict.own = {}
    for name in sorted(touched):
        old = known.get(name)
        claimed = Register(entries.get(name), c, False, False, claim.origin)
        if name in weak:  # an event came meanwhile: the event speaks
            new = old or Register(claimed.value, c, True, False, claim.origin)
        else:
            new, _ = judge(old, claimed, rules)
        clean = Register(entries.get(name), base, False, False, new.origin)
        if new != clean:
            verdict.own[name] = new
        if old is None or old.value != new.value or old.debt != new.debt or _edge(new.value):
            verdict.writes.append(Write(name, old, new))
    verdict.suspects = rules.suspects_of_listing(
        known, names, rows, [w.name for w in verdict.writes], facts
    )
    return verdict


def _edge(value: bytes | None) -> bool:
    return value is not None and is_dir(value)


def new_edges(verdict: Verdict) -> Iterator[Key]:
    """The directories that a verdict hangs where they did not hang before."""
    for write in verdict.writes:
        new, old = write.new.value, write.old.value if write.old is not None else None
        if new is None or not is_dir(new):
            continue
        key = edge_key(new)
        if old is None or not is_dir(old) or edge_key(old) != key:
            yield key


def fenced(claim: Claim) -> bool:
    """Whether a claim may only come from the leader of the current epoch (arbitration.md §3)."""
    return not isinstance(claim, Root) and claim.origin in _FENCED


_FENCED = frozenset({Origin.SNAPSHOT, Origin.AUDIT, Origin.SENTINEL})
