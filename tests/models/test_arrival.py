"""The order of arrival decides nothing; what comes twice changes nothing (arbitration.md §10)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from fustor_arbitrator_fs import FSArbitrator
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.arbitration import judge
from fustor_core.claims import Cell, Listing, Origin, Row, Stamp, pack_rows, path_key
from fustor_core.contracts import Facts
from fustor_core.registers import Register, Seen
from fustor_core.testing.store import MemoryDirectory

D = path_key(b"/d")
NAMES = [b"a", b"b", b"c"]
MOMENTS = 60
STORAGE_NS = 1 << 60  # long after every mtime here: nothing is hot
Known = dict[bytes, Register]


@dataclass(frozen=True)
class Look:
    """One claim of one line, with what it saw: true at some instant of its interval.

    Attributes:
        lo, hi: fusion time, wider than the raw interval by what the line's clock may be off.
    """

    line: int
    claim: Cell | Listing
    lo: int
    hi: int

    def take(self, directory: MemoryDirectory) -> None:
        """Judge it and apply the verdict."""
        stamp = self.claim.stamp
        seen = Seen(self.lo, self.hi, self.line, stamp.f, stamp.t, stamp.at, stamp.kind)
        verdict = ARBITRATOR.judge(directory, self.claim, Facts(seen, self.hi, STORAGE_NS))
        directory.apply(verdict, self.hi)


ARBITRATOR = FSArbitrator(FSArbitrator.Config())


@dataclass
class Truth:
    """What each name was, moment by moment; a value never comes back."""

    changes: dict[bytes, dict[int, bool]]
    values: dict[bytes, list[bytes | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, name in enumerate(NAMES):
            value: bytes | None = None
            self.values[name] = told = []
            for moment in range(MOMENTS + 1):
                if moment in self.changes[name]:
                    there = self.changes[name][moment]
                    value = Row(size=1000 * number + moment, ino=1).pack() if there else None
                told.append(value)

    def at(self, name: bytes, moment: int) -> bytes | None:
        """What it was."""
        return self.values[name][moment]


@st.composite
def histories(draw: Any) -> list[Look]:
    """Looks of up to three lines at one directory, each line's in its own order."""
    moments = st.integers(0, MOMENTS)
    changing = st.dictionaries(moments, st.booleans(), max_size=6)
    truth = Truth({name: draw(changing) for name in NAMES})
    looks: list[Look] = []
    for line in range(1, draw(st.integers(1, 3)) + 1):
        offset = draw(st.integers(0, 1000))
        off = draw(st.sampled_from([0, 0, 1, 8]))
        marks = draw(st.lists(moments, min_size=2, max_size=14, unique=True).map(sorted))
        for ordinal, (f, t) in enumerate(itertools.pairwise(marks)):
            looks.append(draw(_look(truth, line, f, t, ordinal, offset, off)))
    return looks


@st.composite
def _look(
    draw: Any, truth: Truth, line: int, f: int, t: int, ordinal: int, offset: int, off: int
) -> Look:
    kind = draw(st.sampled_from("esl"))
    early = min(f, draw(st.sampled_from([0, 0, 5]))) if kind == "s" else 0  # of a cache
    stamp_f = offset + f - early
    told: dict[str, Any] = {"dir": D}
    claim: Cell | Listing
    if kind == "l":
        stamp = Stamp(stamp_f, offset + t, stamp_f, "l")
        seen = {n: truth.at(n, draw(st.integers(f, t))) for n in NAMES}
        names, rows = pack_rows({n: v for n, v in seen.items() if v is not None})
        claim = Listing(names=names, rows=rows, stamp=stamp, origin=Origin.AUDIT, **told)
    else:
        name, moment = draw(st.sampled_from(NAMES)), draw(st.integers(f - early, t))
        origin = Origin.REALTIME if kind == "e" else Origin.SENTINEL
        value = truth.at(name, t if kind == "e" else moment)
        stamp = Stamp(stamp_f, offset + t, ordinal if kind == "e" else 0, kind)
        claim = Cell(name=name, value=value, stamp=stamp, origin=origin, **told)
    return Look(line, claim, f - early - off, t + off)


@st.composite
def arrivals(draw: Any, looks: list[Look]) -> list[Look]:
    """These looks in another order; those of one line stay in theirs."""
    waiting = {line: [x for x in looks if x.line == line] for line in {x.line for x in looks}}
    out: list[Look] = []
    while waiting:
        line = draw(st.sampled_from(sorted(waiting)))
        out.append(waiting[line].pop(0))
        if not waiting[line]:
            del waiting[line]
    return out


def known(looks: list[Look], *, twice: bool = False) -> Known:
    """Every register, after all of them."""
    directory = MemoryDirectory(D)
    for look in looks:
        look.take(directory)
        if twice:
            before = vars(directory).copy(), dict(directory.own), dict(directory.values)
            look.take(directory)
            assert (vars(directory), directory.own, directory.values) == before, look
    registers = {name: directory.get(name) for name in NAMES}
    return {name: register for name, register in registers.items() if register is not None}


def truly(truth_looks: list[Look], name: bytes, register: Register) -> bool:
    """Whether some look within a register's interval has seen its value."""
    return any(
        _said(look.claim, name) == (True, register.value)
        for look in truth_looks
        if look.lo <= register.seen.hi and register.seen.lo <= look.hi
    )


def _said(claim: Cell | Listing, name: bytes) -> tuple[bool, bytes | None]:
    if isinstance(claim, Cell):
        return claim.name == name, claim.value
    names = claim.names.split(b"\0")
    if name not in names:
        return True, None
    at = 48 * names.index(name)
    return True, claim.rows[at : at + 48]


@given(st.data())
def test_registers_that_are_clean_in_two_orders_are_equal(data: st.DataObject) -> None:
    looks = data.draw(histories())
    a = known(data.draw(arrivals(looks)))
    b = known(data.draw(arrivals(looks)))
    assert a.keys() == b.keys()
    for name in a:
        if not a[name].debt and not b[name].debt:
            assert a[name].value == b[name].value, name


@given(st.data())
def test_what_comes_twice_changes_nothing(data: st.DataObject) -> None:
    looks = data.draw(arrivals(data.draw(histories())))
    assert known(looks, twice=True) == known(looks)


@given(st.data())
def test_a_clean_register_was_seen_so(data: st.DataObject) -> None:
    looks = data.draw(arrivals(data.draw(histories())))
    for name, register in known(looks).items():
        assert register.debt or truly(looks, name, register), name


@given(st.data())
def test_a_look_after_everything_settles_all(data: st.DataObject) -> None:
    """Whatever came before, in whatever order: what is looked at last is what is known."""
    looks = data.draw(arrivals(data.draw(histories())))
    names, rows = pack_rows({b"a": Row(size=7, ino=7)})
    late = Stamp(5000, 5001, 5000, "l")
    last = Listing(dir=D, names=names, rows=rows, stamp=late, origin=Origin.AUDIT)
    settled = known([*looks, Look(9, last, MOMENTS + 100, MOMENTS + 101)])
    assert {name: r.value for name, r in settled.items() if r.value is not None} == {b"a": rows}
    assert not any(register.debt for register in settled.values())


# ---- one register, every small case

LOOKS = [
    Seen(lo, lo + length, line, 10 + lo, 10 + lo + length, at, kind)
    for line in (1, 2)
    for kind in "ewls"
    for lo in range(4)
    for length in (1, 2, 3)
    for at in (range(3) if kind in "ew" else (10 + lo if kind == "l" else 0,))
]


def differ(k: Register, c: Register) -> bool:
    """Whether the second delivery of `c` changes anything."""
    once, _ = judge(k, c, ARBITRATOR)
    twice, _ = judge(once, c, ARBITRATOR)
    return (twice.value, twice.debt, twice.seen) != (once.value, once.debt, once.seen)


def test_no_two_looks_that_take_time_differ_when_one_comes_again() -> None:
    a, b = Row(size=1).pack(), Row(size=2).pack()
    for k, c in itertools.product(LOOKS, LOOKS):
        for one, other in ((a, b), (a, a), (None, a), (a, None)):
            assert not differ(Register(one, k), Register(other, c, rt=True)), (k, c)


def test_what_no_source_makes_differs() -> None:
    """Two events of one line with one ordinal, at one instant: the reason why looks take time.

    The dispute spans that instant, and what begins at its end settles it: the event itself.
    """
    at = Seen(5, 5, 1, 5, 5, 3, "e")
    k, c = Register(Row(size=1).pack(), at), Register(Row(size=2).pack(), at)
    assert differ(k, c)
    later = Register(c.value, Seen(5, 5, 1, 5, 5, 4, "e"))
    assert not differ(k, later), "an ordinal of its own is enough"
