"""Waiting for something or for some time."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from fustor_core.errors import Unreachable
from fustor_core.waiting import Bell, LoopSleep, Sleep, sleep_until, within

pytestmark = pytest.mark.anyio
LATE = Unreachable("too late")


async def by_hand(seconds: float) -> None:
    await anyio.sleep(seconds)


SLEEPS = [anyio.sleep, by_hand, LoopSleep(anyio.lowlevel.checkpoint)]


async def test_a_bell_wakes_those_who_wait_and_nobody_else() -> None:
    bell, heard = Bell(), []

    async def wait(name: str) -> None:
        await bell.heard()
        heard.append(name)

    bell.ring()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "first")
            group.start_soon(wait, "second")
            await anyio.wait_all_tasks_blocked()
            assert not heard
            bell.ring()
            group.start_soon(wait, "late")
            await anyio.wait_all_tasks_blocked()
            assert sorted(heard) == ["first", "second"]
            bell.ring()
    assert heard[-1] == "late"


@pytest.mark.parametrize("sleep", SLEEPS)
@pytest.mark.parametrize("seconds", [-1e-6, -1.0, 0.0])
async def test_what_was_due_a_moment_ago_is_due_now(sleep: Sleep, seconds: float) -> None:
    with anyio.fail_after(5):
        await sleep_until(anyio.Event(), sleep, seconds)


@pytest.mark.parametrize("sleep", SLEEPS)
async def test_an_event_ends_a_sleep(sleep: Sleep) -> None:
    event = anyio.Event()
    event.set()
    with anyio.fail_after(5):
        await sleep_until(event, sleep, 600)


@pytest.mark.parametrize("sleep", SLEEPS)
async def test_what_is_over_in_time_is_returned_or_raised(sleep: Sleep) -> None:
    async def well() -> int:
        return 7

    async def badly() -> int:
        raise OSError("no")

    with anyio.fail_after(5):
        assert await within(600, well, sleep, LATE) == 7
        with pytest.raises(OSError, match="no"):
            await within(600, badly, sleep, LATE)


@pytest.mark.parametrize("sleep", SLEEPS)
async def test_what_takes_too_long_is_cancelled(sleep: Sleep) -> None:
    ended = []

    async def never() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    with anyio.fail_after(20), pytest.raises(Unreachable, match="too late"):
        await within(0.01, never, sleep, LATE)
    assert ended


@pytest.mark.parametrize("sleep", SLEEPS)
async def test_who_is_cancelled_as_it_ends_does_not_go_on(sleep: Sleep) -> None:
    event, went_on = anyio.Event(), []

    async def act() -> None:
        await event.wait()

    async def waits() -> None:
        await sleep_until(event, sleep, 600)
        went_on.append("sleep_until")

    async def asks() -> None:
        await within(600, act, sleep, LATE)
        went_on.append("within")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(waits)
            group.start_soon(asks)
            await anyio.wait_all_tasks_blocked()
            event.set()
            group.cancel_scope.cancel()
    assert not went_on


async def test_a_stopped_process_does_not_wake() -> None:
    goes_on, woken = anyio.Event(), []

    async def never() -> None:
        await anyio.sleep_forever()

    async def waits() -> None:
        with pytest.raises(Unreachable):
            await within(0, never, LoopSleep(goes_on.wait), LATE)
        woken.append(True)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(waits)
            await anyio.wait_all_tasks_blocked()
            assert not woken
            goes_on.set()
    assert woken
