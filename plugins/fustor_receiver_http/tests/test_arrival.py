"""How a body comes: in parts, not at all, too slowly, with a wrong length, too many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fustor_receiver_http.bodies import (
    Limits,
)
from fustor_receiver_http.ingest import Ingest

from fustor_core import wire
from fustor_core.claims import MEDIA_TYPE
from fustor_core.contracts import Pulse
from fustor_core.testing import MemoryDoor

from .batches import (
    BATCH,
    KIB,
    LIMIT_S,
    ONE,
    one_listing,
    opened,
    pushed,
    refused,
)


@pytest.fixture
async def place(served: Any) -> str:
    """Where batches of a new session go."""
    return await opened(served)


async def connected(served: Any) -> Any:
    return await anyio.connect_unix(served.socket)


async def answer_of(stream: Any) -> bytes:
    """What comes until the other end closes."""
    content = b""
    with anyio.fail_after(LIMIT_S):
        while True:
            try:
                content += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return content  # broken: it closed before it had read all that was sent


def head_of(place: str, *lines: str) -> bytes:
    return "\r\n".join(
        [f"POST {place} HTTP/1.1", "Host: h", f"Content-Type: {MEDIA_TYPE}", *lines, "", ""]
    ).encode()


async def test_a_body_of_unknown_length_is_read(served: Any, place: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(ONE), 3):
            yield ONE[start : start + 3]

    reply = await served.unix.post(place, content=parts(), headers=BATCH)
    assert wire.read_ack(reply.content).acked == 1


async def test_a_body_that_is_not_there(served: Any, place: str) -> None:
    async with await connected(served) as stream:
        await stream.send(head_of(place, "Connection: close"))
        assert (await answer_of(stream)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("said", ["-1", "x", "1e3", "99999999999999999999999", "5, 6", "+5"])
async def test_a_length_that_is_none(served: Any, place: str, said: str) -> None:
    async with await connected(served) as stream:
        await stream.send(head_of(place, f"Content-Length: {said}") + ONE)
        assert (await answer_of(stream)).startswith(b"HTTP/1.1 4")


async def test_a_length_that_is_too_long_counts_for_nothing(served: Any, place: str) -> None:
    before = len(served.door.batches)
    async with await connected(served) as stream:
        await stream.send(head_of(place, f"Content-Length: {len(ONE) + 1}") + ONE)
        await stream.send_eof()
    assert (await served.unix.post(place, content=ONE, headers=BATCH)).status_code == 200
    assert len(served.door.batches) == before + 1


async def test_a_length_that_is_too_short_cuts_the_body(served: Any, place: str) -> None:
    before = len(served.door.batches)
    async with await connected(served) as stream:
        await stream.send(head_of(place, f"Content-Length: {len(ONE) - 1}") + ONE)
        content = await answer_of(stream)
    assert content.startswith(b"HTTP/1.1 400 ")
    assert len(served.door.batches) == before


@pytest.mark.parametrize("drip", [False, True])
async def test_a_body_that_does_not_come_is_given_up(serve: Any, drip: bool) -> None:
    async with serve(body_timeout=0.3) as served:
        place = await opened(served)
        async with await connected(served) as stream, anyio.create_task_group() as group:
            await stream.send(head_of(place, f"Content-Length: {len(ONE)}") + ONE[:5])

            async def dripping() -> None:
                for byte in ONE[5:]:
                    await anyio.sleep(0.05)
                    with suppress(anyio.BrokenResourceError):
                        await stream.send(bytes([byte]))

            if drip:
                group.start_soon(dripping)
            content = await answer_of(stream)
            group.cancel_scope.cancel()
        assert content.startswith(b"HTTP/1.1 408 ")
        assert b"urn:fustor:problem:slow-down" in content
        assert b"retry-after: 1" in content.lower()
        assert b"connection: close" in content.lower()
        # the session is as it was
        reply = await served.unix.post(place, content=ONE, headers=BATCH)
        assert wire.read_ack(reply.content).acked == 1


async def test_bodies_that_are_read_at_once_are_bounded_and_heartbeats_go_on(serve: Any) -> None:
    sizes = {"max_batch_bytes": "64KiB", "max_listing_bytes": "1MiB", "max_held_bytes": "1MiB"}
    async with serve(**sizes) as served:
        place = await opened(served)
        large = one_listing(700 * KIB)
        served.door.hold()
        arrived = anyio.Event()
        push = served.door.push

        async def noted(*arguments: Any) -> Any:
            arrived.set()
            return await push(*arguments)

        served.door.push = noted
        replies: list[Any] = []

        async def first() -> None:
            replies.append(await served.unix.post(place, content=large, headers=BATCH))

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            with anyio.fail_after(LIMIT_S):
                await arrived.wait()
            reply = await served.unix.post(place, content=large, headers=BATCH)
            refused(reply, 429, "slow-down")
            assert reply.headers["Retry-After"] == "1"
            beat = await served.unix.post(
                place.replace("batches", "heartbeat"),
                content=wire.write_pulse(Pulse(state=2)),
                headers={"Content-Type": "application/json"},
            )
            assert beat.status_code == 200
            served.door.release()
        assert replies[0].status_code == 200
        reply = await served.unix.post(place, content=large, headers=BATCH)
        assert reply.status_code == 200, "room is given back"


async def test_who_breaks_off_is_not_answered_and_holds_nothing() -> None:
    ingest = Ingest(MemoryDoor(), Limits())

    assert await pushed([], ingest=ingest) == (0, b"")
    assert ingest.room.held == 0
    assert (await pushed([ONE], ingest=ingest))[0] == 419
    assert ingest.room.held == 0


async def test_who_asks_before_sending_is_answered_before_sending(served: Any, place: str) -> None:
    async with await connected(served) as stream:
        head = f"POST {place} HTTP/1.1\r\nHost: h\r\nContent-Type: {MEDIA_TYPE}\r\n"
        await stream.send(
            f"{head}Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n".encode()
        )
        assert (await answer_of(stream)).startswith(b"HTTP/1.1 413 ")
