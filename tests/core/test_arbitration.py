"""The algorithm of truth on registers and directories (arbitration.md §3, §4, §11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.arbitration import fenced, judge, judge_claim, later, merge, order
from fustor_core.claims import (
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Row,
    Same,
    Silence,
    Stamp,
    edge_row,
    join_names,
    split_names,
)
from fustor_core.contracts import Facts, Verdict
from fustor_core.registers import NO_LINE, Register, Seen

D = Key(0, 7, 1)


class PlainRules:
    """Values are equal when their bytes are; the later inode is shown; nothing is suspect."""

    def equal(self, a: bytes | None, b: bytes | None) -> bool:
        return a == b

    def shown(self, k: Register, c: Register) -> Register:
        return c if (c.rt, c.value is not None) > (k.rt, k.value is not None) else k

    def suspects_of_cell(self, *_: object) -> dict[bytes, bool]:
        return {}

    def suspects_of_listing(self, *_: object) -> dict[bytes, bool]:
        return {}


@dataclass
class Held:
    """A directory as known: just enough of `contracts.Known`, kept as a plain dict."""

    key: Key = D
    base: Seen | None = None
    rows: dict[bytes, bytes] = field(default_factory=dict)
    own: dict[bytes, Register] = field(default_factory=dict)
    attrs: Register | None = None
    silent: Silence | None = None
    suspects: Mapping[bytes, int] = field(default_factory=dict)

    def get(self, name: bytes) -> Register | None:
        if name in self.own:
            return self.own[name]
        return None if self.base is None else Register(self.rows.get(name), self.base)

    def names(self) -> list[bytes]:
        return split_names(self.blobs()[0])

    def blobs(self) -> tuple[bytes, bytes]:
        shown = dict(self.rows)
        for name, register in self.own.items():
            if register.value is None:
                shown.pop(name, None)
            else:
                shown[name] = register.value
        return join_names(sorted(shown)), b"".join(shown[n] for n in sorted(shown))

    def holds(self, names: bytes, rows: bytes) -> bool:
        return self.blobs() == (names, rows)

    def digest(self) -> bytes:
        return repr(self.blobs()).encode()


def seen(lo: int, hi: int, *, line: int = 1, at: int = 0, kind: str = "s") -> Seen:
    """A stamp of a line whose raw clock is fusion time."""
    return Seen(lo, hi, line, lo if line else 0, hi if line else 0, at, kind)


def row(ino: int, size: int = 0) -> bytes:
    return Row(size=size, ino=ino).pack()


def listing(entries: Mapping[bytes, bytes], **more: object) -> Listing:
    names = sorted(entries)
    return Listing(
        dir=D,
        names=join_names(names),
        rows=b"".join(entries[n] for n in names),
        stamp=Stamp(0, 0, 0, "l"),
        origin=Origin.AUDIT,
        **more,  # type: ignore[arg-type]
    )


def judged(known: Held | None, claim: Cell | Listing | Same | Owe, at: Seen) -> Verdict:
    return judge_claim(known, claim, Facts(at, at.hi, 0), PlainRules())


ORDERS = [
    ("one line, events go by ordinal", seen(9, 9, at=5, kind="e"), seen(3, 3, at=6, kind="e"), 1),
    ("never event against word", seen(0, 9, at=5, kind="e"), seen(3, 12, at=6, kind="w"), 0),
    ("listings by start of the look", seen(0, 5, at=0, kind="l"), seen(-50, 9, at=5, kind="l"), 1),
    ("inexact listings by interval", seen(0, 5, at=0, kind="k"), seen(-50, 9, at=5, kind="k"), 0),
    ("raw interval within a line", seen(0, 5), seen(5, 7), 1),
    ("raw interval within a line, older", seen(5, 7), seen(0, 5), -1),
    ("two lines by fusion interval", seen(0, 5), seen(5, 7, line=2), 1),
    ("two lines that overlap", seen(0, 5), seen(4, 7, line=2), 0),
    ("merged evidence has no line", seen(0, 5, line=NO_LINE), seen(4, 7, line=NO_LINE), 0),
]


@pytest.mark.parametrize(("why", "k", "c", "told"), ORDERS, ids=[o[0] for o in ORDERS])
def test_order(why: str, k: Seen, c: Seen, told: int) -> None:
    assert order(k, c) == told, why
    if k.kind == c.kind and k.kind not in "lk":
        assert order(c, k) == -told, why


def test_a_replacement_never_steps_back() -> None:
    assert later(seen(4, 6), seen(1, 9)).lo == 4
    assert later(seen(40, 60), seen(1, 9)) == seen(1, 9), "an offset error is not made worse"


def test_agreement_raises_both_bounds_and_mixed_lines_have_none() -> None:
    both = merge(seen(9, 11), seen(-40, 20, line=2))
    assert (both.lo, both.hi, both.line, both.f, both.t, both.kind) == (9, 20, NO_LINE, 0, 0, "m")
    same = merge(seen(9, 11, at=3), seen(10, 12, at=4))
    assert (same.lo, same.hi, same.line, same.at, same.kind) == (10, 12, 1, 4, "s")


def test_agreement_is_not_replaced_by_what_only_one_of_them_preceded() -> None:
    """Counterexample 4: v [9,11]; v [-40,20]; w [12,13] must be a debt, not a replacement."""
    rules = PlainRules()
    v, w = row(1), row(2)
    k = Register(v, seen(9, 11))
    k, _ = judge(k, Register(v, seen(-40, 20, line=2)), rules)
    k, rule = judge(k, Register(w, seen(12, 13, line=3)), rules)
    assert rule == "debt"
    assert k.debt


def test_a_merged_cell_is_not_replaced_by_its_old_line() -> None:
    """Counterexample 3: A absent [8,12], B agrees [10,14], A present [9,13]."""
    rules = PlainRules()
    k = Register(None, seen(8, 12, at=5, kind="e"))
    k, _ = judge(k, Register(None, seen(10, 14, line=2, at=1, kind="e")), rules)
    k, rule = judge(k, Register(row(1), seen(9, 13, at=6, kind="e")), rules)
    assert rule == "debt"


def test_a_debt_is_settled_by_the_first_claim_that_begins_after_it() -> None:
    rules = PlainRules()
    k = Register(row(1), seen(0, 10))
    k, _ = judge(k, Register(row(2), seen(5, 12, line=2)), rules)
    assert k.debt
    k, rule = judge(k, Register(row(1), seen(11, 15, line=3)), rules)
    assert (rule, k.debt) == ("same", True), "it began before the dispute ended"
    k, rule = judge(k, Register(row(2), seen(15, 16, line=3)), rules)
    assert (rule, k.debt, k.value) == ("newer", False, row(2))


def test_older_evidence_changes_nothing() -> None:
    k = Register(row(1), seen(10, 12))
    result, rule = judge(k, Register(row(2), seen(3, 9, line=2)), PlainRules())
    assert rule == "older"
    assert result is k


# Looks take time: two looks at one very instant have no order, and no source makes them.
stamps = st.builds(
    lambda lo, length, line, at, kind: seen(lo, lo + length, line=line, at=at, kind=kind),
    st.integers(0, 40),
    st.integers(1, 20),
    st.integers(0, 3),
    st.integers(0, 9),
    st.sampled_from("ewls"),
)
registers = st.builds(
    Register,
    st.one_of(st.none(), st.sampled_from([row(1), row(2), row(3)])),
    stamps,
    rt=st.booleans(),
)


@given(k=registers, c=registers)
def test_redelivery_changes_nothing(k: Register, c: Register) -> None:
    rules = PlainRules()
    once, _ = judge(k, c, rules)
    twice, _ = judge(once, c, rules)
    assert (twice.value, twice.debt, twice.seen.lo, twice.seen.hi) == (
        once.value,
        once.debt,
        once.seen.lo,
        once.seen.hi,
    )


@given(k=registers, c=registers)
def test_the_interval_never_steps_back_unless_a_line_says_later(k: Register, c: Register) -> None:
    result, rule = judge(k, c, PlainRules())
    if rule != "newer":
        assert result.seen.lo >= k.seen.lo
        assert result.seen.hi >= k.seen.hi


# ---- directories


def test_a_first_listing_is_the_base_and_tells_only_its_edges() -> None:
    edge = edge_row(Key(0, 9, 1))
    verdict = judged(None, listing({b"a": row(1), b"d": edge}), seen(1, 2, kind="l"))
    assert verdict.rule == "first"
    assert verdict.pack is not None
    assert [w.name for w in verdict.writes] == [b"d"]
    assert verdict.own == {}


def test_the_same_blobs_only_move_the_stamp() -> None:
    known = Held(base=seen(1, 2, kind="l"), rows={b"a": row(1)})
    verdict = judged(known, listing({b"a": row(1)}), seen(5, 6, at=5, kind="l"))
    assert verdict.pack is None
    assert verdict.writes == []
    assert verdict.base == seen(5, 6, at=5, kind="l")


def test_a_listing_is_the_tombstone_of_what_it_lacks() -> None:
    known = Held(base=seen(1, 2, kind="l"), rows={b"a": row(1), b"b": row(2)})
    verdict = judged(known, listing({b"b": row(2)}), seen(5, 6, at=5, kind="l"))
    assert [(w.name, w.new.value) for w in verdict.writes] == [(b"a", None)]
    assert verdict.own == {}, "clean cells need no cell of their own"


def test_a_later_event_outlives_an_earlier_listing() -> None:
    event = Register(row(3), seen(9, 9, at=4, kind="e"), rt=True)
    known = Held(base=seen(1, 2, kind="l"), rows={b"a": row(1)}, own={b"a": event})
    verdict = judged(known, listing({b"a": row(1)}), seen(5, 6, at=5, kind="l"))
    assert verdict.own == {b"a": event}
    assert verdict.writes == []


def test_weak_names_keep_what_the_event_said() -> None:
    """Counterexample 17: a name left out of a listing reads as absent; a weak one does not."""
    known = Held(base=seen(1, 2, kind="l"), rows={b"a": row(1)})
    claim = listing({b"a": row(2), b"b": row(3)}, weak=(b"a", b"b", b"c"))
    verdict = judged(known, claim, seen(5, 6, at=5, kind="l"))
    assert verdict.own is not None
    assert verdict.own[b"a"].value == row(1)
    assert verdict.own[b"b"].value is None, "absent by the last listing, until the event speaks"
    unknown = judged(None, claim, seen(5, 6, at=5, kind="l"))
    assert unknown.own is not None
    assert unknown.own[b"a"].debt
    assert unknown.own[b"c"].value is None


def test_an_incomplete_listing_proves_no_absence_and_settles_nothing() -> None:
    known = Held(base=seen(1, 2, kind="l"), rows={b"a": row(1), b"b": row(2)})
    claim = listing({b"b": row(5)}, complete=False, reason="io_error", errno=5)
    verdict = judged(known, claim, seen(5, 6, at=5, kind="l"))
    assert [(w.name, w.new.value) for w in verdict.writes] == [(b"b", row(5))]
    assert verdict.settles is None
    assert verdict.owe is not None
    assert verdict.owe[2:] == ("io_error", 5)


def test_an_older_listing_changes_nothing_that_is_newer() -> None:
    known = Held(base=seen(10, 12, at=10, kind="l"), rows={b"a": row(1)})
    verdict = judged(known, listing({b"z": row(9)}), seen(1, 2, at=1, kind="l"))
    assert verdict.rule == "older"
    assert verdict.writes == []
    assert verdict.base is None


def test_overlapping_listings_of_two_lines_owe_a_look_at_what_differs() -> None:
    known = Held(base=seen(1, 6, kind="l"), rows={b"a": row(1), b"b": row(2)})
    verdict = judged(known, listing({b"a": row(1), b"b": row(3)}), seen(3, 9, line=2, kind="l"))
    assert [(w.name, w.new.debt) for w in verdict.writes] == [(b"b", True)]
    assert verdict.base is not None
    assert (verdict.base.lo, verdict.base.hi) == (3, 9)


KEY = Silence(11, 10, 7, 2)


def test_same_moves_no_stamp_and_an_unknown_key_owes_a_listing() -> None:
    """Counterexample 9: membership says nothing about attributes."""
    known = Held(base=seen(1, 2, kind="l"), silent=KEY)
    claim = Same(dir=D, silence=KEY, stamp=Stamp(0, 0, 0, "l"), origin=Origin.AUDIT)
    quiet = judged(known, claim, seen(50, 51, kind="l"))
    assert quiet.base is None
    assert quiet.owe is None
    known.silent = None
    assert judged(known, claim, seen(50, 51, kind="l")).owe is not None
    assert judged(None, claim, seen(50, 51, kind="l")).owe is not None


def test_a_racy_listing_leaves_no_silence_key() -> None:
    """Counterexample 18."""
    known = Held(base=seen(1, 2, kind="l"), rows={b"a": row(1)}, silent=KEY)
    verdict = judged(known, listing({b"a": row(1)}, silence=None), seen(5, 6, at=5, kind="l"))
    assert verdict.keep_silent is False
    assert verdict.silent is None


def test_a_digest_is_a_listing_of_the_held_rows() -> None:
    known = Held(base=seen(1, 2, kind="l"), rows={b"a": row(1)})
    claim = listing({}, digest=known.digest())
    assert judged(known, claim, seen(5, 6, at=5, kind="l")).base == seen(5, 6, at=5, kind="l")
    other = judged(known, listing({}, digest=b"?" * 16), seen(5, 6, at=5, kind="l"))
    assert other.owe is not None
    assert other.base is None


def test_own_attributes_are_a_register_of_their_own() -> None:
    claim = Cell(dir=D, name=b"", value=row(7), stamp=Stamp(0, 0, 0, "e"), origin=Origin.REALTIME)
    verdict = judged(Held(), claim, seen(3, 3, at=1, kind="e"))
    assert verdict.attrs is not None
    assert verdict.writes == []


@pytest.mark.parametrize(
    ("origin", "stopped"),
    [
        ("realtime", False),
        ("on_demand", False),
        ("snapshot", True),
        ("audit", True),
        ("sentinel", True),
    ],
)
def test_the_epoch_fences_scans_alone(origin: str, stopped: bool) -> None:
    claim = Owe(
        dir=D, deep=True, reason="overflow", stamp=Stamp(0, 0, 0, "s"), origin=Origin(origin)
    )
    assert fenced(claim) is stopped
