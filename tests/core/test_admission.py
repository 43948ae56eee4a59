"""Admission: what is not to be blamed for anything is found so at once, and nothing else is."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core import admission
from fustor_core.admission import Admission, admit
from fustor_core.claims import (
    NAME_BYTES_MAX,
    PROTOCOL,
    ROW_BYTES,
    Batch,
    Claim,
    Key,
    Listing,
    Origin,
    Root,
    Row,
    Stamp,
    pack_rows,
)
from fustor_core.clock import OffsetBounds

NOW_US = 1_000_000
ROOT = Key(0, 1, 0)
NAMES, ROWS = pack_rows({name: Row(7) for name in (b"#1", b"$", b"..a", b"b", b"c")})
GOOD = Listing(
    dir=Key(0, 2, 0), names=NAMES, rows=ROWS, stamp=Stamp(10, 20, 10, "l"), origin=Origin.SNAPSHOT
)
ODD: dict[str, list[Any]] = {
    "dir": [Key(-(1 << 63), 0, 0), Key(1 << 63, 1, 0), Key(0, -1, 0), Key(0, 1, 1 << 63)],
    "names": [
        b"",
        b"#1\0$\0..a\0c\0b",
        b"#1\0$\0..a\0b\0b",
        b"#1\0$\0%\0&\0.",
        b"#1\0$\0%\0&\0..",
        b"#1\0$\0%\0.\0..",
        b"\0$\0..a\0b\0c",
        b"#1\0$\0..a\0b\0",
        b"#1\0$\0..a\0b\0c/",
        b"#1\0$\0..a\0b\0" + b"c" * (NAME_BYTES_MAX + 1),
    ],
    "rows": [b"", ROWS[:-1], ROWS + bytes(ROW_BYTES), b"\xff" * ROW_BYTES + ROWS[ROW_BYTES:]],
    "stamp": [
        Stamp(20, 10, 10, "l"),
        Stamp(10, 20, 10, "x"),
        Stamp(10, 20, 10, ""),
        Stamp(10, 20, 1 << 62, "l"),
        Stamp(-(1 << 62), 20, 10, "l"),
        Stamp(NOW_US + 2000, NOW_US + 3000, 10, "l"),
        Stamp(NOW_US, NOW_US + 3000, 10, "l"),
    ],
    "origin": [Origin.REALTIME, Origin.AUDIT],
    "own": [b"", bytes(ROW_BYTES)],
    "weak": [(b"b",), (b"",), (b"a/b",)],
    "complete": [False],
    "reason": ["incomplete", "x" * 65],
    "via": [(ROOT, b"d"), (ROOT, b""), (ROOT, b".."), (Key(0, -1, 0), b"d")],
    "digest": [bytes(16), b"short"],
}
changes = st.dictionaries(st.sampled_from(sorted(ODD)), st.integers(0, 9), max_size=2)


EXACT = OffsetBounds(exact_us=0)
VAGUE = OffsetBounds()  # nothing is known of when anything was
LATE = OffsetBounds(lows=[(NOW_US, 0)], highs=[(NOW_US + 5, 0)])  # no look can be so late


def taken(claims: list[Claim], bounds: OffsetBounds = EXACT, **more: Any) -> Admission:
    """Of a session whose root stands proven."""
    given = {"identity": "r", "root": ROOT, "root_proven": True} | more
    return admit(Batch(PROTOCOL, 1, 1, claims), bounds, NOW_US, **given)


def changed(fields: dict[str, int]) -> Listing:
    odd = {name: ODD[name][at % len(ODD[name])] for name, at in fields.items()}
    return msgspec.structs.replace(GOOD, **odd)


@pytest.mark.parametrize(
    ("field", "at"), [(field, at) for field, odd in ODD.items() for at in range(len(odd))]
)
def test_one_oddity_is_judged_as_by_all_checks(
    field: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[Claim] = [GOOD, changed({field: at}), GOOD]
    for proven, bounds in product((True, False), (EXACT, VAGUE, LATE)):
        short = taken(claims, bounds, root_proven=proven)
        with monkeypatch.context() as patched:
            patched.setattr(admission, "_faultless", lambda claim, sound: False)
            assert short == taken(claims, bounds, root_proven=proven)


@given(st.lists(changes, max_size=6), st.booleans(), st.sampled_from([EXACT, VAGUE, LATE]))
def test_any_mixture_is_judged_as_by_all_checks(
    odd: list[dict[str, int]], proven: bool, bounds: OffsetBounds
) -> None:
    away = Root(key=ROOT, identity="other", stamp=Stamp(5, 5, 0, "s"))
    claims: list[Claim] = [changed(fields) for fields in odd]
    claims.insert(len(claims) // 2, away)  # nothing behind it is proven
    with pytest.MonkeyPatch.context() as patched:
        short = taken(claims, bounds, root_proven=proven)
        patched.setattr(admission, "_faultless", lambda claim, sound: False)
        assert short == taken(claims, bounds, root_proven=proven)


def test_compiled_code_is_asked_and_what_it_doubts_is_judged_as_ever() -> None:
    asked: list[tuple[bytes, bytes]] = []

    def doubts(names: bytes, rows: bytes) -> bool:
        asked.append((names, rows))
        return False

    bad = msgspec.structs.replace(GOOD, rows=ROWS[:7] + b"\x80" + ROWS[8:])
    assert taken([GOOD, bad], compiled=doubts) == taken([GOOD, bad])
    assert asked == [(one.names, one.rows) for one in (GOOD, bad)]
    lenient = taken([bad], compiled=lambda names, rows: True)
    assert lenient != taken([bad]), "nobody else is asked when it finds nothing"


@pytest.mark.parametrize("odd", [b".", b".."])
@pytest.mark.parametrize("before", [0, 1, 9, 40])
def test_dots_are_no_names_wherever_they_stand(odd: bytes, before: int) -> None:
    names, rows = pack_rows({b"!%02d" % n: Row() for n in range(before)} | {odd: Row()})
    claim = msgspec.structs.replace(GOOD, names=names, rows=rows)
    assert taken([claim]).skipped == [0]


def test_names_that_only_begin_with_dots_are_names() -> None:
    odd = (b"!", b".-", b".a", b"..-", b"...", b"..a", b"a")
    names, rows = pack_rows({name: Row() for name in odd})
    found = taken([msgspec.structs.replace(GOOD, names=names, rows=rows)])
    assert not found.skipped
    assert not found.refused
