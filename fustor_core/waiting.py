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
        await sleep(seconds)
        group.cancel_scope.cancel()


class Turn:
    """Waits for an interval again and again; another one may be given while it waits.

    Args:
        sleep: waits for seconds.
    """

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._seconds = 0.0
        self._changed = anyio.Event()

    def __repr__(self) -> str:
        return f"<Turn every {self._seconds:g} s>"

    def change(self, seconds: float) -> None:
        """From now on it is this interval; 0: for ever. A wait for another begins anew."""
        if seconds != self._seconds:
            self._seconds = seconds
            self._changed.set()
            self._changed = anyio.Event()

    async def wait(self) -> None:
        """Return when the interval is over."""
        while True:
            changed = self._changed
            if self._seconds > 0:
                await sleep_until(changed, self._sleep, self._seconds)
            else:
                await changed.wait()
            if not changed.is_set():
                return


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
