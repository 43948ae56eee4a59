"""Who connects and says nothing, or never ends a head, is hung up on; who waits between is not."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.abc
import pytest

LIMIT_S = 20.0
SHORT_S = 0.3
WHOLE = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fustor_receiver_http.server.HEAD_S", SHORT_S)


async def all_of(stream: anyio.abc.ByteReceiveStream) -> None:
    """Receive until it ends."""
    while True:
        await stream.receive()


@pytest.mark.parametrize("said", [b"", b"G", WHOLE[:-2], WHOLE[:30]])
async def test_a_head_that_does_not_end_ends_the_connection(
    impatient: None, served: Any, said: bytes
) -> None:
    with anyio.fail_after(LIMIT_S):
        async with await anyio.connect_unix(served.socket) as stream:
            if said:
                await stream.send(said)
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


async def test_the_head_of_a_second_request_must_end_too(impatient: None, served: Any) -> None:
    with anyio.fail_after(LIMIT_S):
        async with await anyio.connect_unix(served.socket) as stream:
            await stream.send(WHOLE)
            assert (await stream.receive()).startswith(b"HTTP/1.1 ")
            await stream.send(WHOLE[:20])
            with pytest.raises(anyio.EndOfStream):
                await all_of(stream)


async def test_who_is_silent_between_two_requests_is_waited_for(
    impatient: None, served: Any
) -> None:
    async with await anyio.connect_unix(served.socket) as stream:
        for _ in range(2):
            with anyio.fail_after(LIMIT_S):
                await stream.send(WHOLE)
                assert (await stream.receive()).startswith(b"HTTP/1.1 ")
            with anyio.move_on_after(3 * SHORT_S):  # longer than a head may take
                await all_of(stream)  # the rest of the reply, and then nothing
