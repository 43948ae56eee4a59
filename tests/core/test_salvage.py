"""What can be read of a batch with bad claims: they are named, their directories owed."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.claims import (
    Batch,
    Cell,
    Key,
    Origin,
    Owe,
    Row,
    Stamp,
    decode_batch,
    encode_batch,
)
from fustor_core.errors import MalformedClaim
from fustor_core.salvage import CLAIMS_MAX, readable

DIR = Key(0, 5, 7)
GOOD = Cell(
    dir=DIR, name=b"good", value=Row().pack(), stamp=Stamp(10, 20, 1, "e"), origin=Origin.REALTIME
)
WHOLE: list[Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(GOOD))


def body(*claims: Any, protocol: Any = 1, seq: Any = 3) -> bytes:
    return msgspec.msgpack.encode([protocol, seq, 2, list(claims)])


def test_a_whole_batch_stays_as_it_is() -> None:
    sent = encode_batch(Batch(1, 3, 2, [GOOD]))
    assert readable(sent, None) == (Batch(1, 3, 2, [GOOD]), sent, ())


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (WHOLE[:2], None),
        (WHOLE[:3], b"good"),
        (["c", list(DIR), b"n", "no bytes", *WHOLE[4:]], b"n"),
        (["c", list(DIR), 5], None),
        (["l", list(DIR), b"a"], None),
        (["s", list(DIR)], None),
        (["?", list(DIR), b"x"], None),
        (["o", list(DIR), "deep"], None),
    ],
)
def test_a_bad_claim_owes_its_directory(bad: list[Any], name: bytes | None) -> None:
    batch, again, refused = readable(body(WHOLE, bad, WHOLE), 77)
    owe = batch.claims[1]
    assert batch.claims[0] == batch.claims[2] == GOOD
    assert isinstance(owe, Owe)
    assert (owe.dir, owe.deep, owe.reason, owe.stamp.t) == (DIR, False, "quarantine", 77)
    assert [(q.index, q.name) for q in refused] == [(1, name)]
    assert decode_batch(again) == batch


def test_without_the_agent_s_clock_the_latest_look_dates_what_is_owed() -> None:
    batch, _, _ = readable(body(WHOLE, WHOLE[:2]), None)
    assert batch.claims[1].stamp.t == GOOD.stamp.t


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\xc1",
        body(WHOLE[:2], protocol=2),
        body(WHOLE[:2], seq="1"),
        body(["c"]),
        body(["c", [1, 2], b"n"]),
        body(["c", [1, 2, None], b"n"]),
        body(5),
        body({}),
        body(WHOLE) + b"\0",
        body(WHOLE[:2])[:-1],
        b"\x94\x01\x03\x02\x91" + b"\x91" * 100_000,
    ],
)
def test_what_is_no_batch_is_malformed(sent: bytes) -> None:
    with pytest.raises(MalformedClaim):
        readable(sent, 1)


def test_a_million_claims_that_are_none_cost_little() -> None:
    count = 8_000_000
    sent = b"\x94\x01\x03\x02\xdd" + count.to_bytes(4, "big") + b"\x00" * count
    assert count > CLAIMS_MAX
    tracemalloc.start()
    try:
        with pytest.raises(MalformedClaim):
            readable(sent, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@given(st.lists(st.binary(max_size=30), max_size=4), st.integers(0, 200))
def test_no_bytes_break_it(pieces: list[bytes], cut: int) -> None:
    sent = body(WHOLE, *pieces)[:cut] + b"".join(pieces)
    try:
        batch, again, _ = readable(sent, 1)
    except MalformedClaim:
        return
    assert decode_batch(again) == batch
