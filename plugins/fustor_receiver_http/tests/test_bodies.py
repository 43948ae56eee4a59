"""Bodies of batches: what is no batch, and what is too much of it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from fustor_receiver_http.bodies import (
    EXPANSION_FREE,
    Unpacking,
    is_one_listing,
    packed_bound,
)
from fustor_receiver_http.problems import Answered
from hypothesis import given
from hypothesis import strategies as st

from fustor_core import wire
from fustor_core.claims import MEDIA_TYPE, PROTOCOL, Batch, Listing, Origin, encode_batch
from fustor_core.testing.promises import cell, listing

from .batches import (
    BATCH,
    KEY,
    KIB,
    MIB,
    ONE,
    ZSTD,
    many,
    one_listing,
    opened,
    packed,
    pushed,
    refused,
    wide,
)


@pytest.fixture
async def place(served: Any) -> str:
    """Where batches of a new session go."""
    return await opened(served)


# -- what is no batch

BAD: list[tuple[str, bytes, dict[str, str], int]] = [
    ("nothing", b"", BATCH, 400),
    ("nothing, compressed", b"", ZSTD, 400),
    ("text", b"hello", BATCH, 400),
    ("truncated", ONE[:-1], BATCH, 400),
    ("half", ONE[: len(ONE) // 2], BATCH, 400),
    ("followed by more", ONE + b"\0", BATCH, 400),
    ("twice", ONE + ONE, BATCH, 400),
    ("nested", b"\x91" * 100_000, BATCH, 400),
    ("nested behind a batch", ONE.replace(b"\x94", b"\x95", 1) + b"\x91" * 50_000, BATCH, 400),
    ("nested maps", b"\x81\xa1a" * 50_000, BATCH, 400),
    ("a list that says it is huge", b"\x94\x01\x01\x00\xdd\xff\xff\xff\xff", BATCH, 400),
    ("bytes that say they are huge", b"\x94\x01\x01\x00\xc6\xff\xff\xff\xff", BATCH, 400),
    ("a map", b"\x81\x01\x02", BATCH, 400),
    ("another protocol", encode_batch(Batch(99, 1, 0, [cell()])), BATCH, 400),
    ("a sequence that is text", msgspec.msgpack.encode([1, "1", 0, []]), BATCH, 400),
    ("claims that are none", msgspec.msgpack.encode([1, 1, 0, [["z", 1]]]), BATCH, 400),
    ("JSON", msgspec.json.encode([1, 1, 0, []]), BATCH, 400),
    ("compressed, not said", packed(ONE), BATCH, 400),
    ("not compressed, but said", ONE, ZSTD, 400),
    ("compressed, truncated", packed(ONE)[:-1], ZSTD, 400),
    ("compressed, without its checksum", packed(ONE, write_checksum=True)[:-2], ZSTD, 400),
    ("compressed, with a byte changed", packed(ONE, write_checksum=True)[:-1] + b"x", ZSTD, 400),
    ("compressed, followed by garbage", packed(ONE) + b"garbage", ZSTD, 400),
    ("compressed twice in a row", packed(ONE) + packed(ONE), ZSTD, 400),
    ("a wide window", wide(ONE), ZSTD, 400),
    ("only skippable frames", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" * 20, ZSTD, 400),
    ("a dictionary that nobody has", b"\x28\xb5\x2f\xfd\x03\x00\x01\x02\x03\x04", ZSTD, 400),
    ("no type", ONE, {}, 415),
    ("another type", ONE, {"Content-Type": "application/msgpack"}, 415),
    ("a form", ONE, {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("gzip", ONE, {**BATCH, "Content-Encoding": "gzip"}, 415),
    ("zstd twice", packed(packed(ONE)), {**BATCH, "Content-Encoding": "zstd, zstd"}, 415),
]


@pytest.mark.parametrize(
    ("body", "headers", "status"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
async def test_what_is_no_batch(
    served: Any, place: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    before = len(served.door.batches)
    reply = await served.unix.post(place, content=body, headers=headers)
    refused(reply, status, "malformed" if status == 400 else "unsupported-media")
    assert len(served.door.batches) == before
    # and nothing is lost: the same number is still free
    reply = await served.unix.post(place, content=ONE, headers=BATCH)
    assert wire.read_ack(reply.content).acked == 1


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ONE, BATCH),
        (ONE, {"Content-Type": f"{MEDIA_TYPE.upper()}; charset=binary"}),
        (ONE, {**BATCH, "Content-Encoding": "identity"}),
        (packed(ONE), ZSTD),
        (packed(ONE, write_content_size=False, write_checksum=True), ZSTD),
        (packed(ONE), {**BATCH, "Content-Encoding": "ZSTD"}),
    ],
)
async def test_what_is_one(served: Any, place: str, body: bytes, headers: dict[str, str]) -> None:
    reply = await served.unix.post(place, content=body, headers=headers)
    assert wire.read_ack(reply.content).acked == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_no_fault_of_ours(body: bytes) -> None:
    """Straight at the application: each is a batch or a problem, never an error of another kind."""

    async def ask() -> None:
        for encoding in (b"identity", b"zstd"):
            status, _ = await pushed([body], encoding=encoding)
            assert status in (400, 419)

    anyio.run(ask)


@given(st.data())
def test_a_batch_with_bytes_changed_is_no_fault_of_ours(data: st.DataObject) -> None:
    whole = bytearray(encode_batch(Batch(PROTOCOL, 1, 0, [cell(), listing(Origin.REALTIME, a=1)])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))

    async def ask() -> None:
        status, _ = await pushed([bytes(whole)])
        assert status in (400, 419)

    anyio.run(ask)


# -- what is too much


async def test_the_bounds_of_sizes(serve: Any) -> None:
    sizes = {"max_batch_bytes": "64KiB", "max_listing_bytes": "1MiB", "max_held_bytes": "4MiB"}
    cases: list[tuple[bytes, int | None]] = [
        (many(60 * KIB)[:-1], 400),
        (many(65 * KIB), 64 * KIB),
        (many(2 * MIB), 64 * KIB),
        (one_listing(65 * KIB), None),
        (one_listing(900 * KIB), None),
        (one_listing(MIB + KIB), MIB),
    ]
    async with serve(**sizes) as served:
        for body, limit in cases:
            for content, headers in ((body, BATCH), (packed(body), ZSTD)):
                place = await opened(served)
                reply = await served.unix.post(place, content=content, headers=headers)
                if limit == 400:
                    refused(reply, 400, "malformed")
                elif limit is None:
                    assert wire.read_ack(reply.content).acked == 1
                else:
                    assert refused(reply, 413, "too-large")["limit"] == limit
        # what is larger than anything is refused before it is looked at
        place = await opened(served)
        reply = await served.unix.post(place, content=one_listing(3 * MIB), headers=BATCH)
        assert "1048576 if it is one listing" in refused(reply, 413, "too-large")["detail"]


async def test_a_huge_directory_comes_in_whole(served: Any, place: str) -> None:
    """As it is, and compressed to almost nothing."""
    names = b"\0".join(b"file-%06d" % number for number in range(300_000))
    one = listing(Origin.REALTIME, a=1)
    whole = msgspec.structs.replace(one, names=names, rows=one.rows * 300_000)
    for seq, pack in ((1, bytes), (2, packed)):
        body = encode_batch(Batch(PROTOCOL, seq, 0, [whole]))
        assert len(body) > 16 * MIB
        headers = BATCH if seq == 1 else ZSTD
        reply = await served.unix.post(place, content=pack(body), headers=headers)
        assert wire.read_ack(reply.content).acked == seq
        assert served.door.claims[-1] == whole


ROOT = encode_batch(Batch(PROTOCOL, 1, 0, [listing(Origin.REALTIME, a=1)]))
BOMBS: list[tuple[str, Callable[[], bytes], dict[str, str], int]] = [
    ("zeros", lambda: packed(bytes(MIB) * 512), ZSTD, 400),
    ("a listing of zeros", lambda: packed(ROOT[:30] + bytes(MIB) * 512), ZSTD, 400),
    ("claims", lambda: packed(many(64 * MIB)), ZSTD, 413),
    ("one inside another", lambda: packed(packed(bytes(MIB) * 512)), ZSTD, 400),
]


@pytest.mark.parametrize(
    ("make", "headers", "status"), [row[1:] for row in BOMBS], ids=[row[0] for row in BOMBS]
)
async def test_bombs_do_not_go_off(
    served: Any, place: str, make: Callable[[], bytes], headers: dict[str, str], status: int
) -> None:
    bomb = make()
    tracemalloc.start()
    try:
        began = time.process_time()
        reply = await served.unix.post(place, content=bomb, headers=headers)
        spent = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    refused(reply, status, "malformed" if status == 400 else "too-large")
    assert peak < 64 * MIB
    assert spent < 2.0


def test_what_is_not_much_may_expand() -> None:
    unpacking = Unpacking()
    body = bytes(EXPANSION_FREE)
    assert b"".join(unpacking.feed(packed(body))) == body
    unpacking.end()


def test_a_bound_holds_for_what_cannot_be_compressed() -> None:
    for size in (0, 1, 1000, 100_000, 1_000_000):
        body = bytes(hash((size, i)) & 255 for i in range(min(size, 100_000)))
        assert len(packed(body)) <= packed_bound(len(body))


async def test_who_sends_too_much_still_reads_the_answer(served: Any, place: str) -> None:
    body = many(24 * MIB)
    key = {"Authorization": f"Bearer {KEY}"}
    for client in (served.unix, served.tcp, served.tcp):
        reply = await client.post(place, content=body, headers={**BATCH, **key})
        refused(reply, 413, "too-large")
        assert reply.headers["Connection"] == "close"


# -- how a batch begins


@pytest.mark.parametrize(("seq", "epoch"), [(1, 0), (127, 128), (65_536, 1 << 40), (1 << 62, 300)])
def test_a_listing_is_told_by_its_first_bytes(seq: int, epoch: int) -> None:
    one, other = listing(a=1), cell()
    for claims, told in (
        ([one], True),
        ([other], False),
        ([one, one], False),
        ([one, other], False),
        ([one] * 40, False),
        ([], False),
    ):
        assert is_one_listing(encode_batch(Batch(PROTOCOL, seq, epoch, claims))[:64]) is told


def test_a_batch_with_more_fields_is_told_too() -> None:
    [protocol, seq, epoch, claims] = msgspec.msgpack.decode(ROOT)
    assert is_one_listing(msgspec.msgpack.encode([protocol, seq, epoch, claims, "new"])[:64])


@given(st.binary(max_size=64))
def test_any_bytes_can_be_asked(head: bytes) -> None:
    assert is_one_listing(head) in (True, False)


def test_what_comes_after_the_end_of_a_frame_is_refused_at_once() -> None:
    unpacking = Unpacking()
    assert b"".join(unpacking.feed(packed(ONE))) == ONE
    with pytest.raises(Answered, match="goes on after the end"):
        list(unpacking.feed(b"x"))


def test_listings_are_what_the_first_bytes_are_about() -> None:
    """The tag on the wire is the one that is looked for."""
    assert msgspec.inspect.type_info(Listing).tag == "l"  # type: ignore[attr-defined]
