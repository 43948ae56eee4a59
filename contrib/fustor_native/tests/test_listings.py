"""What compiled code says of a listing is what the Python ways say of it, whatever came."""

from __future__ import annotations

from typing import Any

import fustor_native
import pytest
from fustor_view_file.firsts import SIZE_MOST, Plain, plain
from fustor_view_file.view import FileView
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from fustor_core import soundness
from fustor_core.claims import NAME_BYTES_MAX, ROW, ROW_BYTES, Key, Listing, Origin, Row, Stamp
from fustor_core.files.compiled import compiled
from fustor_core.stills import silence_of

OWN = Row(4096, 1, 1, 5, 0o040755, nlink=2).pack()
FIRST, LAST = -(1 << 63), (1 << 63) - 1

pieces = st.one_of(
    st.sampled_from(
        [b"", b".", b"..", b"...", b".a", b"\x01", b"-", b"--", b"/", b"a/b", b"\xff", b"\xc3\xa9"]
    ),
    st.sampled_from([7, 8, 254, 255, 256, 4095, 4096, 4097]).map(lambda length: b"a" * length),
    st.binary(max_size=3),
    st.binary(min_size=14, max_size=18).map(lambda end: b"the same for all" + end),
)
names = st.one_of(
    st.lists(pieces, max_size=12).map(b"\0".join),
    st.sets(pieces, max_size=12).map(sorted).map(b"\0".join),
    st.binary(max_size=40),
    st.integers(0, 9).map(bytes),
)
good = st.sets(
    st.binary(min_size=1, max_size=9).filter(
        lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
    ),
    max_size=40,
).map(sorted)
tops = st.lists(st.sampled_from([0, 0, 0, 0x7F, 0x80, 0xFF]), max_size=12)


def same(text: bytes, rows: bytes) -> bool:
    """What both say."""
    found = fustor_native.stores(text, rows)
    assert found is soundness.stores(text, rows)
    return found


@settings(max_examples=1000)
@given(names, tops, st.sampled_from([0, 0, 0, 0, -1, 1, ROW_BYTES, -ROW_BYTES]))
@example(b"\x01\0.", [0, 0], 0)
@example(b"\x01\0-\0..", [0, 0, 0], 0)
@example(b"-\0.", [0, 0], 0)
@example(b".\0.a", [0, 0], 0)
@example(b"..", [0], 0)
@example(b"!\0.-\0...\0..a\0.a", [0] * 5, 0)
@example(b"\0", [0, 0], 0)
@example(b"\0\0a", [0, 0, 0], 0)
@example(b"a\0", [0], 0)
@example(b"a\0", [0, 0], 0)
@example(b"", [], 0)
@example(b"", [0], 0)
@example(b"a", [0, 0], -7)
def test_any_blobs_can_be_stored_or_not(text: bytes, sizes: list[int], more: int) -> None:
    count = text.count(b"\0") + 1 if text else 0
    each = [bytes(7) + bytes([top]) + b"\xff" * (ROW_BYTES - 8) for top in sizes[:count]]
    each += [b"\xff" * 7 + b"\x7f" + b"\xff" * (ROW_BYTES - 8)] * (count - len(each))
    rows = b"".join(each)
    event(str(same(text, rows)))
    same(text, b"".join(each[: len(sizes)]))
    same(text, rows[:more] if more < 0 else rows + b"\xff" * more)


@settings(max_examples=500)
@given(good, st.data())
def test_one_byte_of_a_good_listing_is_another(parts: list[bytes], data: st.DataObject) -> None:
    text, rows = b"\0".join(parts), bytes(ROW_BYTES * len(parts))
    assert same(text, rows)
    if parts:
        place, byte = data.draw(st.integers(0, len(text) - 1)), data.draw(st.binary(max_size=2))
        event(str(same(text[:place] + byte + text[place + 1 :], rows)))
        place = data.draw(st.integers(0, len(rows) - 1))
        for top in (b"\x7f", b"\x80"):
            other = rows[:place] + top + rows[place + 1 :]
            assert same(text, other) is (place % ROW_BYTES != 7 or top == b"\x7f")


@pytest.mark.parametrize("length", [1, 255, 256, NAME_BYTES_MAX, NAME_BYTES_MAX + 1])
@pytest.mark.parametrize("place", range(3))
def test_a_name_as_long_as_names_may_be(length: int, place: int) -> None:
    parts = [b"!", b"m", b"z"]
    parts[place] = parts[place] * length
    assert same(b"\0".join(parts), bytes(3 * ROW_BYTES)) is (length <= NAME_BYTES_MAX)


@pytest.mark.parametrize("odd", [b".", b"..", b"", b"a/b", b"/"])
@pytest.mark.parametrize("count", [0, 1, 2, 40, 5000])
def test_an_odd_name_is_found_wherever_it_stands(odd: bytes, count: int) -> None:
    parts = [b"\x01%05d" % n for n in range(count)]
    for others in (parts, [*parts, b"z"]):
        found = sorted([*others, odd])
        assert same(b"\0".join(others), bytes(ROW_BYTES * len(others)))
        if found != [b""]:  # a blob of nothing is of no names
            assert not same(b"\0".join(found), bytes(ROW_BYTES * len(found)))


numbers = st.sampled_from([FIRST, FIRST + 1, -1, 0, 1, 5, 6, 7, 1 << 40, LAST - 1, LAST])
sizes = st.sampled_from([0, 1, 77, SIZE_MOST, SIZE_MOST, SIZE_MOST + 1, 1 << 63, (1 << 64) - 1])
modes = st.sampled_from([0o100644] * 9 + [0o040755, 0o120777, 0, 0xFFFF8000, 0x1FFFF, 0o140000])
links = st.sampled_from([1] * 9 + [0, 2, 1 << 31, (1 << 32) - 1])
words = st.tuples(
    sizes, numbers, numbers, st.just((1 << 64) - 1), modes, st.just(7), st.just(9), links
)
old = st.tuples(
    st.integers(0, SIZE_MOST),
    st.integers(-9, 9),
    st.integers(-9, 9),
    st.just(1),
    st.just(0o100600),
    st.just(0),
    st.just(0),
    st.just(1),
)
before = st.one_of(
    st.sampled_from([FIRST - 1, FIRST, FIRST + 1, LAST, LAST + 1, -(1 << 80), 1 << 80]),
    st.integers(-10, 10),
    numbers,
)


def listing(rows: bytes, **more: Any) -> Listing:
    more = {"own": OWN, "silence": silence_of(OWN)} | more
    stamp = Stamp(1, 2, 1, "l")
    return Listing(
        dir=Key(0, 2, 0), names=b"", rows=rows, stamp=stamp, origin=Origin.SNAPSHOT, **more
    )


def agreed(listings: list[Listing], before_ns: int) -> list[Plain | None]:
    """What both say."""
    found = plain(listings, before_ns, fustor_native.adds_up)
    assert found == plain(listings, before_ns)
    assert all(type(word) is int for one in found if one is not None for word in one)
    return found


@settings(max_examples=1000)
@given(st.lists(st.lists(st.one_of(old, words), max_size=4), max_size=4), before)
@example([[(5, 6, 7, 1, 0o100644, 0, 0, 1)]], 7)
@example([[(5, 7, 6, 1, 0o100644, 0, 0, 1)]], 7)
@example([[(5, 6, 7, 1, 0o100644, 0, 0, 1)]], 8)
@example([[(5, LAST, LAST, 1, 0o100644, 0, 0, 1)]], LAST)
@example([[(5, LAST, LAST, 1, 0o100644, 0, 0, 1)]], LAST + 1)
@example([[(5, FIRST, FIRST, 1, 0o100644, 0, 0, 1)]], FIRST)
@example([[(5, FIRST, FIRST, 1, 0o100644, 0, 0, 1)]], FIRST + 1)
def test_any_rows_add_up_to_the_same(rows: list[list[tuple[int, ...]]], before_ns: int) -> None:
    blobs = [b"".join(ROW.pack(*row) for row in one) for one in rows]
    found = agreed([listing(blob) for blob in blobs], before_ns)
    event(f"{sum(one is not None for one in found)} of {len(found)}")


@given(st.binary(max_size=5 * ROW_BYTES), before)
def test_any_bytes_add_up_to_the_same(blob: bytes, before_ns: int) -> None:
    agreed([listing(blob[: len(blob) // ROW_BYTES * ROW_BYTES])], before_ns)


@pytest.mark.parametrize("count", [8191, 8192, 8193, 16384, 30000])
def test_sums_wrap_as_those_of_directories_do(count: int) -> None:
    """So large are sparse files only."""
    rows = Row(SIZE_MOST, 5, 6).pack() * count
    ((files, size, newest, changed),) = map(tuple, filter(None, agreed([listing(rows)], 7)))
    assert (files, newest, changed) == (count, 5, 6)
    assert (size - count * SIZE_MOST) % (1 << 64) == 0
    assert FIRST <= size <= LAST


@pytest.mark.parametrize("mode", [*range(0, 1 << 16, 1 << 12), 0x18000, 0x80008000, 0x8FFF])
def test_of_the_mode_its_kind_counts_alone(mode: int) -> None:
    found = agreed([listing(Row(7, 8, 9, mode=mode).pack())], 10)
    assert found == [(1, 7, 8, 9) if mode & 0xF000 == 0x8000 else None]


@pytest.mark.parametrize("place", [0, 1, 49, 98, 99])
@pytest.mark.parametrize(
    "odd",
    [
        Row(SIZE_MOST + 1),
        Row(nlink=2),
        Row(nlink=0),
        Row(mode=0o120777),
        Row(mode=0o040755),
        Row(mtime_ns=10),
        Row(ctime_ns=10),
    ],
    ids=str,
)
def test_one_odd_row_is_found_wherever_it_stands(place: int, odd: Row) -> None:
    usual = Row(7, 8, 9)
    rows = [usual] * 100
    assert agreed([listing(b"".join(row.pack() for row in rows))], 10) == [(100, 700, 8, 9)]
    rows[place] = odd
    packed = b"".join(row.pack() for row in rows)
    assert agreed([listing(packed), listing(usual.pack()), listing(packed)], 10) == [
        None,
        (1, 7, 8, 9),
        None,
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"complete": False},
        {"weak": (b"a",)},
        {"digest": bytes(16)},
        {"own": None},
        {"silence": (1, 2, 3, 4)},
    ],
    ids=str,
)
def test_a_listing_that_says_more_is_not_asked_about(more: dict[str, Any]) -> None:
    assert agreed([listing(Row(7).pack(), **more)], 10) == [None]
    assert agreed([listing(b"", **more)], 10) == [None]


@pytest.mark.parametrize("count", [0, 1, 47, 49, 95, 97])
def test_what_are_no_rows(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} bytes are no rows"):
        fustor_native.adds_up(bytes(count), 5)
    if count:  # nor does the other way make anything of them
        with pytest.raises(ValueError, match=r"buffer|reshape"):
            plain([listing(bytes(count))], 5)


def test_they_take_bytes_and_a_number_and_nothing_else() -> None:
    wrong: list[Any] = [None, "a", 7, bytearray(ROW_BYTES), memoryview(bytes(ROW_BYTES)), [b"a"]]
    for one in wrong:
        for given_names, rows in ((one, b""), (b"a", one), (one, one)):
            with pytest.raises(TypeError):
                fustor_native.stores(given_names, rows)
        with pytest.raises(TypeError):
            fustor_native.adds_up(one, 5)
    for one in (None, "5", 5.0, b"5"):
        with pytest.raises(TypeError):
            fustor_native.adds_up(bytes(ROW_BYTES), one)  # type: ignore[arg-type]
    few: list[tuple[Any, ...]] = [(), (b"",), (b"", b"", b"")]
    for arguments in few:
        with pytest.raises(TypeError):
            fustor_native.stores(*arguments)
        with pytest.raises(TypeError):
            fustor_native.adds_up(*arguments)
    with pytest.raises(TypeError):
        fustor_native.stores(names=b"", rows=b"")  # type: ignore[call-arg]


def test_the_package_is_what_the_program_asks() -> None:
    assert compiled().stores is fustor_native.stores
    assert compiled().adds_up is fustor_native.adds_up
    assert FileView(FileView.Config())._adds_up is fustor_native.adds_up
