"""The way from a thread to the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fustor_source_fs.channel import Channel


async def test_items_come_in_order_then_the_end() -> None:
    channel: Channel[int] = Channel(10)
    for i in range(3):
        assert channel.put(i, 1)
    channel.end()
    assert [await channel.get() for _ in range(4)] == [0, 1, 2, None]
    assert await channel.get() is None


async def test_a_full_channel_holds_the_thread_up() -> None:
    channel: Channel[int] = Channel(2)
    put: list[int] = []

    def work() -> None:
        for i in range(5):
            channel.put(i, 2)
            put.append(i)
        channel.end()

    thread = threading.Thread(target=work)
    thread.start()
    got = []
    while (item := await channel.get()) is not None:
        assert len(put) <= item + 2, "no more than one waits beside the one that is taken"
        got.append(item)
    thread.join()
    assert got == list(range(5))


async def test_a_closed_channel_lets_the_thread_go() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.put(0, 1)
    assert channel.full
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(channel.put(1, 1)))
    thread.start()
    channel.close()
    await asyncio.to_thread(thread.join)
    assert said == [False]
    assert not channel.full


async def test_what_the_thread_died_of_is_raised_after_the_last_item() -> None:
    channel: Channel[int] = Channel(10)
    channel.put(1, 1)
    channel.end(OSError(5, "a disk"))
    assert await channel.get() == 1
    with pytest.raises(OSError, match="a disk"):
        await channel.get()


async def test_a_taker_that_waits_is_woken() -> None:
    channel: Channel[int] = Channel(10)
    waiting = asyncio.create_task(channel.get())
    await asyncio.to_thread(channel.put, 7, 1)
    async with asyncio.timeout(10):
        assert await waiting == 7


def test_without_a_loop_nobody_takes_anything() -> None:
    async def make() -> Channel[int]:
        return Channel(10)

    channel = asyncio.run(make())
    assert channel.put(1, 1) is False
    assert channel.closed
