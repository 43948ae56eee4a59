"""Time in the hand of a test: nothing passes until `advance` says so."""

from __future__ import annotations

import heapq

import anyio
import anyio.lowlevel

TURNS = 60  # turns of the event loop: the longest chain of tasks that wake each other is shorter


class ManualClock:
    """A raw clock (µs) and the sleep that goes by it.

    Give `now_us` and `sleep` wherever the engine takes a clock and a sleep.

    Args:
        start_us: the first instant.
    """

    def __init__(self, start_us: int = 1_000_000_000) -> None:
        self._now_us = start_us
        self._sleepers: list[tuple[int, int, anyio.Event]] = []
        self._count = 0

    def __repr__(self) -> str:
        return f"<ManualClock {self._now_us} µs, {len(self._sleepers)} asleep>"

    def now_us(self) -> int:
        """The instant, µs."""
        return self._now_us

    __call__ = now_us

    def tick(self, us: int = 1) -> int:
        """Let `us` microseconds pass without waking anybody; returns the new instant."""
        self._now_us += us
        return self._now_us

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has passed the instant `seconds` from now."""
        due = self._now_us + max(0, round(seconds * 1_000_000))
        if due <= self._now_us:
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        self._count += 1
        sleeper = (due, self._count, woken)
        heapq.heappush(self._sleepers, sleeper)
        try:
            await woken.wait()
        finally:
            if not woken.is_set():
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let time pass; sleepers wake in order, and what they set going runs until it waits."""
        target = self._now_us + round(seconds * 1_000_000)
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, woken = heapq.heappop(self._sleepers)
            self._now_us = max(self._now_us, due)
            woken.set()
            await _settle()
        self._now_us = max(self._now_us, target)
        await _settle()


async def _settle() -> None:
    """Let the other tasks run, those that they wake, and so on.

    `anyio.wait_all_tasks_blocked` is exact, but sleeps for real while any task is busy: too slow
    for an hour of heartbeats.
    """
    for _ in range(TURNS):
        await anyio.lowlevel.checkpoint()
