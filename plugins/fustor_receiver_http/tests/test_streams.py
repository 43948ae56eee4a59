"""Open streams: what they send, who ends them, and that silence costs nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from fustor_core.errors import CursorTooOld
from fustor_core.state import socket_address

LIMIT_S = 20.0
FOLLOW = "/api/v1/views/v/changes?follow=true"
FIND = "/api/v1/views/v/find"
LINES = {"Accept": "application/x-ndjson"}
EVENTS = {"Accept": "text/event-stream"}
FOLLOWERS = 100


@asynccontextmanager
async def lines(client: Any, url: str, headers: dict[str, str]) -> AsyncIterator[Any]:
    """The lines of a stream; none takes longer than the limit."""
    async with client.stream("GET", url, headers=headers) as reply:
        assert reply.status_code == 200
        source = reply.aiter_lines()

        async def following() -> str:
            with anyio.fail_after(LIMIT_S):
                return await anext(source)

        yield following


async def test_a_follower_gets_the_cursor_then_each_change(served: Any) -> None:
    served.ask.change("/before")
    async with lines(served.unix, FOLLOW, LINES) as following:
        assert json.loads(await following()) == {"cursor": "1"}
        await served.ask.until_following(1)
        served.ask.change("/a")
        assert json.loads(await following())["path"] == "/a"
        served.ask.change("/b")
        served.ask.change("/c")
        assert [json.loads(await following())["path"] for _ in "bc"] == ["/b", "/c"]
    await served.ask.until_following(0)


async def test_a_follower_goes_on_from_a_cursor(served: Any) -> None:
    served.ask.change("/a")
    served.ask.change("/b")
    async with lines(served.unix, FOLLOW + "&since=1", LINES) as following:
        assert json.loads(await following()) == {"cursor": "1"}
        assert json.loads(await following())["path"] == "/b"


async def test_without_a_wish_a_follower_gets_lines(served: Any) -> None:
    async with lines(served.unix, FOLLOW, {"Accept": "*/*"}) as following:
        assert json.loads(await following()) == {"cursor": "0"}


async def test_events_carry_their_cursor_to_go_on_from(served: Any) -> None:
    served.ask.change("/a")
    async with lines(served.unix, FOLLOW + "&since=0", EVENTS) as following:
        told = [await following() for _ in range(7)]
    assert told[:4] == ["id: 0", "event: cursor", 'data: {"cursor":"0"}', ""]
    assert told[4:6] == ["id: 1", "event: change"]
    assert json.loads(told[6].removeprefix("data: ")) == served.ask.feed[0]
    served.ask.change("/b")
    async with lines(served.unix, FOLLOW, {**EVENTS, "Last-Event-ID": "1"}) as following:
        assert (await following()) == "id: 1"


@pytest.mark.parametrize(("headers", "blank"), [(LINES, ""), (EVENTS, ":")])
async def test_a_silent_stream_shows_that_it_lives(
    serve: Any, headers: dict[str, str], blank: str
) -> None:
    async with (
        serve(heartbeat=0.02) as served,
        lines(served.unix, FOLLOW, headers) as following,
    ):
        assert await following()
        for _ in range(4):
            while await following() != blank:
                pass
        assert served.ask.wakes == 1


async def test_followers_are_woken_by_changes_and_by_nothing_else(serve: Any) -> None:
    async with serve(heartbeat=0.05) as served:
        url = FOLLOW
        with socket_address(served.socket) as address:
            sockets = [await connect(address, url, LINES) for _ in range(FOLLOWERS)]
        await served.ask.until_following(FOLLOWERS)
        assert served.ask.wakes == FOLLOWERS
        # every one of them has sent blanks meanwhile, and nobody looked for changes
        for stream in sockets:
            await until_received(stream, b"\r\n\n\r\n")
        assert served.ask.wakes == FOLLOWERS
        served.ask.change("/a")
        for stream in sockets:
            await until_received(stream, b'"path":"/a"')
        assert served.ask.wakes == 2 * FOLLOWERS
        for stream in sockets:
            await stream.aclose()
        await served.ask.until_following(0)


async def connect(address: str, url: str, headers: dict[str, str]) -> Any:
    """A connection on which a request was sent."""
    stream = await anyio.connect_unix(address)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    await stream.send(f"GET {url} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    return stream


async def until_received(stream: Any, wanted: bytes) -> bytes:
    """Reads until it has come."""
    received = b""
    with anyio.fail_after(LIMIT_S):
        while wanted not in received:
            received += await stream.receive()
    return received


async def test_a_client_that_goes_ends_the_work_at_once(served: Any) -> None:
    served.ask.hold = True
    async with lines(served.unix, FIND, LINES) as following:
        assert json.loads(await following())["path"] == "/0"
        assert not served.ask.over.is_set()
    with anyio.fail_after(LIMIT_S):
        await served.ask.over.wait()


async def test_a_client_that_goes_ends_a_document_too(served: Any) -> None:
    pages = 5000
    served.ask.entries = served.ask.entries[:1] * pages
    served.ask.page_items = 1
    with socket_address(served.socket) as address:
        stream = await connect(address, "/api/v1/views/v/find?limit=10000", {})
    with anyio.fail_after(LIMIT_S):
        await served.ask.begun.wait()
    await stream.aclose()
    with anyio.fail_after(LIMIT_S):
        await served.ask.over.wait()
    assert served.ask.given < pages


async def test_what_goes_wrong_later_is_the_last_line(served: Any) -> None:
    served.ask.faults["page"] = CursorTooOld("the view was dropped", cursor="9")
    reply = await served.unix.get(FIND, headers=LINES)
    *items, last = [json.loads(line) for line in reply.text.splitlines()]
    assert len(items) == served.ask.page_items
    assert last["problem"]["status"] == 410
    assert last["problem"]["cursor"] == "9"


async def test_a_follower_is_told_when_its_cursor_got_too_old(served: Any) -> None:
    async with lines(served.unix, FOLLOW, EVENTS) as following:
        await served.ask.until_following(1)
        served.ask.faults["follow"] = CursorTooOld("too slow", cursor="5")
        served.ask.wake()
        told = [await following() for _ in range(6)]
        assert told[4] == "event: problem"
        assert json.loads(told[5].removeprefix("data: "))["problem"]["cursor"] == "5"


async def test_a_bug_in_mid_stream_breaks_the_connection(served: Any) -> None:
    served.ask.faults["page"] = ZeroDivisionError("secret")
    import httpx

    with pytest.raises(httpx.RemoteProtocolError):
        await served.unix.get(FIND, headers=LINES)
    served.ask.faults.clear()
    assert (await served.unix.get(FIND, headers=LINES)).status_code == 200


async def test_stopping_ends_streams_properly(serve: Any) -> None:
    async with (
        serve(grace=10) as served,
        served.unix.stream("GET", FOLLOW, headers=LINES) as reply,
    ):
        source = reply.aiter_lines()
        assert await anext(source)
        await served.ask.until_following(1)
        served.stop()
        with anyio.CancelScope(shield=True), anyio.fail_after(LIMIT_S):
            # the last chunk comes: an end, not a broken connection
            assert [line async for line in source if line] == []
            await served.ask.until_following(0)


async def test_a_client_that_takes_nothing_is_given_up(serve: Any) -> None:
    async with serve(stall=0.05, heartbeat=10) as served:
        served.ask.entries = [{"path": "/" + "x" * 1000}] * 100_000
        served.ask.page_items = 1000
        with socket_address(served.socket) as address:
            taker = socket.socket(socket.AF_UNIX)
            taker.connect(address)
        with taker:
            taker.sendall(
                f"GET {FIND} HTTP/1.1\r\nHost: x\r\nAccept: {LINES['Accept']}\r\n\r\n".encode()
            )
            with anyio.fail_after(LIMIT_S):
                await served.ask.over.wait()
        assert served.ask.given < len(served.ask.entries) // served.ask.page_items


async def test_a_long_stream_waits_for_its_reader(served: Any) -> None:
    served.ask.entries = [{"path": f"/{number}"} for number in range(20_000)]
    served.ask.page_items = 500
    async with lines(served.unix, FIND, LINES) as following:
        for number in range(20_000):
            assert json.loads(await following())["path"] == f"/{number}"
        assert json.loads(await following())["summary"]["matches"] == 20_000
