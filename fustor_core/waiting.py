"""Waiting by a clock that a test may hold in its hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from fustor_core.errors import FustorError

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


class Bell:
    """Wakes those who wait when it rings; who comes later waits for the next ring."""

    def __init__(self) -> None:
        self._heard: anyio.Event | None = None

    def __repr__(self) -> str:
        return f"<Bell {'' if self._heard else 'not '}waited for>"

    def ring(self) -> None:
        """Now; costs nothing when nobody waits."""
        if self._heard is not None:
            self._heard.set()
            self._heard = None

    async def heard(self) -> None:
        """Wait until it rings."""
        if self._heard is None:
            self._heard = anyio.Event()
        await self._heard.wait()


class LoopSleep:
    """A sleep by the event loop's own clock, whose deadlines then do instead of a task that sleeps.

    Args:
        wakes: awaited after each sleep, before the sleeper goes on.
        begins: told how many seconds a sleep takes that nothing ends, before it.
    """

    def __init__(
        self, wakes: Callable[[], Awaitable[None]], begins: Callable[[float], None] | None = None
    ) -> None:
        self.wakes, self.begins = wakes, begins

    def __repr__(self) -> str:
        return f"<LoopSleep {self.wakes!r}>"

    async def __call__(self, seconds: float) -> None:
        """Sleep."""
        if self.begins is not None:
            self.begins(seconds)
        await anyio.sleep(seconds)
        await self.wakes()


async def sleep_until(event: anyio.Event, sleep: Sleep, seconds: float) -> None:
    """Sleep, but no longer than until the event is set."""
    seconds = max(0.0, seconds)  # what was due a moment ago is due now
    if _by_loop(sleep):
        if isinstance(sleep, LoopSleep) and sleep.begins is not None:
            sleep.begins(seconds)
        with anyio.move_on_after(seconds):
            await event.wait()
        await _woken(sleep)
        await checkpoint_if_cancelled()  # as below
        return
    async with anyio.create_task_group() as group:

        async def hear() -> None:
            await event.wait()
            group.cancel_scope.cancel()

        group.start_soon(hear)
        await sleep(seconds)
        group.cancel_scope.cancel()


async def within(
    seconds: float, act: Callable[[], Awaitable[T]], sleep: Sleep, late: OSError | FustorError
) -> T:
    """What `act` returns or raises; it is cancelled when it takes too long.

    Args:
        late: raised when it is not over after so many seconds.
    """
    if _by_loop(sleep):
        with anyio.move_on_after(seconds):
            result = await act()
            await checkpoint_if_cancelled()  # who is cancelled meanwhile does not go on
            return result
        await _woken(sleep)
        raise late
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


def _by_loop(sleep: Sleep) -> bool:
    return sleep is anyio.sleep or isinstance(sleep, LoopSleep)


async def _woken(sleep: Sleep) -> None:
    if isinstance(sleep, LoopSleep):
        await sleep.wakes()
