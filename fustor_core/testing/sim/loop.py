"""An event loop without real time: when nobody can run, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Mapping
from typing import Any

TURNS_AT_ONE_INSTANT = 200_000
"""So many turns without time passing are a loop that never waits."""


class Standstill(RuntimeError):
    """Nobody can run and nobody waits for a time; or everybody runs and time never passes."""


class Clock:
    """True time, µs: the frame in which everything in a simulation happens."""

    def __init__(self, start_us: int) -> None:
        self.now_us = start_us

    def __repr__(self) -> str:
        return f"<Clock {self.now_us} µs>"


class _Nothing(selectors.BaseSelector):
    """No file is ever ready; to wait is to let the time pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[Any, selectors.SelectorKey] = {}
        self._turns = 0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._files[fileobj] = key = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._files.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Standstill("nobody can run, and nobody waits for a time")
        if timeout > 0:
            self._clock.now_us += max(1, math.ceil(timeout * 1e6))
            self._turns = 0
        else:
            self._turns += 1
            if self._turns > TURNS_AT_ONE_INSTANT:
                raise Standstill(f"{self._turns} turns without time passing")
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._files


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio by a virtual clock. Nothing in it may use threads, sockets or processes.

    Args:
        clock: moved by the loop alone.
    """

    def __init__(self, clock: Clock) -> None:
        self._virtual, self._began_us = clock, clock.now_us
        super().__init__(_Nothing(clock))

    def time(self) -> float:
        """Seconds of true time since the start: so few that a float holds microseconds exactly."""
        return (self._virtual.now_us - self._began_us) / 1e6
