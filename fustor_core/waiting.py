"""Waiting by a clock that a test may hold in its hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from fustor_core.errors import FustorError

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


async def sleep_until(event: anyio.Event, sleep: Sleep, seconds: float) -> None:
    """Sleep, but no longer than until the event is set."""
    async with anyio.create_task_group() as group:

        async def hear() -> None:
            await event.wait()
            group.cancel_scope.cancel()

        group.start_soon(hear)
        await sleep(max(0.0, seconds))  # what was due a moment ago is due now
        group.cancel_scope.cancel()


async def within(
    seconds: float, act: Callable[[], Awaitable[T]], sleep: Sleep, late: OSError | FustorError
) -> T:
    """What `act` returns or raises; it is cancelled when it takes too long.

    Args:
        late: raised when it is not over after so many seconds.
    """
    results: list[T] = []
    error: OSError | FustorError = late
    async with anyio.create_task_group() as group:

        async def expire() -> None:
            await sleep(seconds)
            group.cancel_scope.cancel()

        group.start_soon(expire)
        try:
            results.append(await act())
        except (OSError, FustorError) as raised:
            error = raised
        group.cancel_scope.cancel()
    if results:
        return results[0]
    raise error
