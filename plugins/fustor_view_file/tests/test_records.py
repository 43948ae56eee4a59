"""Records of directories: the short form and the long one say the same."""

from __future__ import annotations

from array import array

import pytest
from fustor_view_file.directory import Directory
from fustor_view_file.faces import face_with
from fustor_view_file.records import Record, read_record, record_of, sealed_record
from fustor_view_file.sealed import Damaged, seal
from fustor_view_file.tally import WIDTH
from fustor_view_file.unseen import Unseen
from hypothesis import example, given
from hypothesis import strategies as st

from fustor_core.claims import Key, Origin, Stamp
from fustor_core.registers import Register, Seen

from .sides import own

words = st.integers(-(1 << 63), (1 << 63) - 1)
times = st.integers(0, 1 << 50)
ints = st.integers(0, (1 << 63) - 1)
keys = st.builds(Key, ints, st.integers(0, (1 << 64) - 1), ints)
names = st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & set(name))
oddities = st.sets(
    st.sampled_from(
        ["owed", "why", "left_out", "own", "suspect", "unseen", "blind", "frozen", "open"]
    ),
    max_size=3,
)
SEEN = Seen(1, 2, 3, 4, 5, 6, "l")


@st.composite
def directories(draw: st.DrawFn) -> Directory:
    """One of those that there are most of, or one with something odd."""
    parent = draw(st.none() | keys.map(Directory))
    stamp = Stamp(draw(times), draw(times), draw(times), "l")
    face = face_with(stamp, 5, 9, 1, draw(st.booleans()), own(7, 5))
    assert face is not None
    face += draw(st.sampled_from([b"", b"d" * 16]))
    count = array("q", draw(st.lists(words, min_size=WIDTH, max_size=WIDTH)))
    origin = draw(st.sampled_from(Origin))
    d = Directory(draw(keys), parent, draw(names), count, origin=origin, face=face)
    d.gap = draw(st.integers(0, 1))
    odd = draw(oddities)
    if "owed" in odd:
        d.owed = SEEN
    if "why" in odd:
        d.because("io_error", 5, deep=True)
    if "left_out" in odd:
        d.left_out, d.left = True, 1
    if "own" in odd:
        d.set_mark(b"a", Register(None, SEEN, True, True, Origin.REALTIME))
    if "suspect" in odd:
        d.set_suspect(b"a", 5)
    if "blind" in odd:
        d.set_blind(b"a", 5)
    if "unseen" in odd:
        d.blind = Unseen(draw(names), 5)
    if "frozen" in odd:
        d.frozen = {b"a": 5}
    if "open" in odd:
        d.set_attrs(Register(own(7, 6), SEEN, True, True, Origin.REALTIME))
    return d


def usual(blind: Unseen, frozen: dict[bytes, int] | None = None) -> Directory:
    """One with unseen names."""
    face = face_with(Stamp(1, 2, 3, "l"), 5, 9, 1, True, own(7, 5))
    d = Directory(Key(0, 5, 0), Directory(Key(0, 1, 0)), b"name", face=face)
    d.blind, d.frozen = blind, frozen
    return d


def said(d: Directory) -> tuple[object, ...]:
    """All that a record keeps of a directory."""
    return (
        d.key, d.name, d.base, d.origin, d.owed, d.deep, d.reason, d.errno, d.silent, d.left_out,
        d.gap, d.left, dict(d.own), dict(d.suspects), d.blind and dict(d.blind), d.frozen, d.attrs,
        d.count, d.face, d.listed,
    )  # fmt: skip


@given(directories(), ints, st.integers(1, 1 << 31))
@example(Directory(Key(0, 1, 0)), 0, 1)
@example(usual(Unseen(b"a", 5)), 0, 1)
@example(usual(Unseen(b"a", 5), {b"a": 5}), 0, 1)
def test_both_forms_say_the_same(d: Directory, looks: int, place: int) -> None:
    usual, long = record_of(d, None, False, looks), record_of(d, None, True, looks)
    assert isinstance(usual, bytes) == d.plain
    assert isinstance(long, Record)
    for record in (usual, long):
        kept = read_record(sealed_record(record, place), place)
        assert said(kept.directory) == said(d)
        assert kept.parent == (d.parent.key if d.parent is not None else None)
        assert (kept.looks, kept.claims) == (looks, None)
        assert kept.waiting == (record is long)
        assert kept.listed == (d.heard or bool(d.own))


@given(directories())
def test_a_record_that_strayed_to_another_place_is_damaged(d: Directory) -> None:
    sealed = sealed_record(record_of(d, None, False), 7)
    with pytest.raises(Damaged):
        read_record(sealed, 8)


@pytest.mark.parametrize("content", [b"", b"\x91\0", b"\xdc\0\0", b"\x01", b"\x98" + bytes(9)])
def test_what_is_no_record_is_damaged(content: bytes) -> None:
    with pytest.raises(Damaged):
        read_record(seal(content), 7)
