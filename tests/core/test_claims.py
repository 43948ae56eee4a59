"""Claims on the wire: what comes back is what was sent, and what cannot be taken is named."""

from __future__ import annotations

import stat

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.claims import (
    CALM_MOST,
    KEY,
    ROW_BYTES,
    SILENCE,
    Ack,
    Batch,
    Calm,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Silence,
    Stamp,
    decode_batch,
    edge_key,
    edge_row,
    encode_batch,
    is_dir,
    join_names,
    pack_rows,
    path_key,
    split_names,
    unpack_row,
)
from fustor_core.errors import MalformedClaim
from fustor_core.soundness import fault, sorted_fault

D = Key(0, 7, -3)
NOW = Stamp(5, 9, 5, "l")
ROWS, BLOB = pack_rows({b"b": Row(size=2), b"a": Row(size=1)})
SAID: list[Claim] = [
    Cell(dir=D, name=b"\xff\n", value=None, stamp=Stamp(1, 1, 8, "e"), origin=Origin.REALTIME),
    Cell(dir=D, name=b"", value=Row().pack(), stamp=NOW, origin=Origin.SENTINEL, flags=5),
    Listing(dir=D, names=ROWS, rows=BLOB, stamp=NOW, origin=Origin.AUDIT, weak=(b"a",)),
    Same(dir=D, silence=Silence(1, 2, 3, 4), stamp=NOW, origin=Origin.AUDIT),
    Calm(
        keys=KEY.pack(*D) + KEY.pack(0, 8, 1),
        silences=SILENCE.pack(-1, 2, 3, 4) * 2,
        stamp=NOW,
        origin=Origin.AUDIT,
    ),
    Owe(dir=D, deep=True, reason="overflow", stamp=NOW, origin=Origin.REALTIME),
    Root(key=D, identity="disk", stamp=NOW),
]


def test_a_batch_comes_back_as_it_was_sent() -> None:
    batch = Batch(1, 3, 2, SAID)
    assert decode_batch(encode_batch(batch)) == batch
    assert all(not fault(claim) for claim in SAID)


def test_unknown_trailing_fields_are_ignored() -> None:
    raw = msgspec.msgpack.decode(encode_batch(Batch(1, 3, 2, SAID[:1])))
    raw[3][0].append("from a later version")
    assert decode_batch(msgspec.msgpack.encode([*raw, "more"])).claims == SAID[:1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x93\x01\x02\x03",
        b"[1,2,3,[]]",
        b"\x00" * 99,
        b"\x91" * 50_000,
        b"\x95\x01\x01\x00\x90" + b"\x91" * 50_000,  # nested in a field that is not known
    ],
)
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedClaim):
        decode_batch(body)


def test_another_protocol_is_refused_with_the_one_that_is_spoken() -> None:
    with pytest.raises(MalformedClaim) as error:
        decode_batch(encode_batch(Batch(2, 1, 0, [])))
    assert "1" in error.value.remedy


@given(
    st.builds(
        Row,
        st.integers(0, 2**64 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
    )
)
def test_rows_keep_every_bit(row: Row) -> None:
    assert len(row.pack()) == ROW_BYTES
    assert unpack_row(row.pack()) == row
    assert is_dir(row.pack()) == stat.S_ISDIR(row.mode)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))
def test_edges_keep_the_key(dev: int, ino: int, birth: int) -> None:
    key = Key(dev, ino, birth)
    assert edge_key(edge_row(key)) == key
    assert is_dir(edge_row(key))


def test_a_row_that_does_not_fit_says_so() -> None:
    with pytest.raises(MalformedClaim):
        Row(size=-1).pack()


@given(st.lists(st.binary(min_size=1, max_size=9).filter(lambda n: b"\0" not in n), unique=True))
def test_names_come_apart_as_they_were_joined(names: list[bytes]) -> None:
    assert split_names(join_names(sorted(names))) == sorted(names)


def test_keys_of_paths_are_stable_and_distinct() -> None:
    assert path_key(b"/a") == path_key(b"/a") != path_key(b"/b")


def listing(**more: object) -> Listing:
    given: dict[str, object] = {"names": ROWS, "rows": BLOB, "stamp": NOW, **more}
    return Listing(dir=D, origin=Origin.AUDIT, **given)  # type: ignore[arg-type]


def cell(**more: object) -> Cell:
    given: dict[str, object] = {"name": b"n", "value": None, "stamp": NOW, **more}
    return Cell(dir=D, origin=Origin.REALTIME, **given)  # type: ignore[arg-type]


BROKEN = [
    listing(rows=BLOB[:-1]),
    listing(rows=BLOB * 2),
    listing(own=b"short"),
    listing(names=b"a/b\0c"),
    listing(stamp=Stamp(9, 5, 5, "l")),
    listing(stamp=Stamp(5, 9, 5, "?")),
    cell(value=b"short"),
    cell(name=b"a/b"),
    cell(name=b"nul\0"),
    cell(name=b".."),
    cell(name=b"n" * 5000),
    cell(stamp=Stamp(9, 5, 0, "e")),
]


@pytest.mark.parametrize("claim", BROKEN, ids=range(len(BROKEN)))
def test_what_breaks_the_protocol_is_named(claim: Claim) -> None:
    assert fault(claim)


@pytest.mark.parametrize(
    "names", [b"b\0a", b"a\0a", b"\0a", b".\0a", b"..", b"a\0\0b", b"n" * 5000]
)
def test_names_that_cannot_be_stored_are_named(names: bytes) -> None:
    assert sorted_fault(names)


def test_an_ack_is_a_value() -> None:
    assert Ack(3) == Ack(3, 0, (), ())


def calm(count: int = 2, keys: int | None = None) -> Calm:
    packed = b"".join(KEY.pack(0, i, 1) for i in range(count if keys is None else keys))
    silences = b"".join(SILENCE.pack(i, 2, 3, 4) for i in range(count))
    return Calm(keys=packed, silences=silences, stamp=NOW, origin=Origin.AUDIT, path=b"/x")


def test_many_calm_directories_are_as_many_that_are_the_same() -> None:
    one = calm(2)
    assert [(same.dir, same.silence, same.stamp) for same in one.same()] == [
        (Key(0, i, 1), Silence(i, 2, 3, 4), NOW) for i in range(2)
    ]
    assert (one.count, one.dir) == (2, Key(0, 1, 1))


@pytest.mark.parametrize("odd", [calm(0), calm(2, keys=1), calm(1, keys=2), calm(CALM_MOST + 1)])
def test_calm_directories_that_are_no_pairs_or_too_many(odd: Calm) -> None:
    assert fault(odd)


def test_calm_directories_whose_bytes_do_not_come_out_even() -> None:
    assert fault(msgspec.structs.replace(calm(2), keys=calm(2).keys[:-1]))
    assert not fault(calm(CALM_MOST))
