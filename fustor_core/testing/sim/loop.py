"""An event loop without real time: when nobody can run, the clock jumps to the next timer.

Much of what a simulated world costs is the loop under it, so this one has nothing that it does not
need: no files, no threads, no debug mode. The frame is asyncio's own: which loop runs, the life of
tasks, the end of asynchronous generators.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TURNS_AT_ONE_INSTANT = 200_000
"""So many turns without time passing are a loop that never waits."""
LEAST_S = 1e-9
"""What is due so soon is due now."""


class Standstill(RuntimeError):
    """Nobody can run and nobody waits for a time; or everybody runs and time never passes."""


class Clock:
    """True time, µs: the frame in which everything in a simulation happens."""

    def __init__(self, start_us: int) -> None:
        self.now_us = start_us

    def __repr__(self) -> str:
        return f"<Clock {self.now_us} µs>"


class _Call(asyncio.TimerHandle):
    """What is to be called, now or then; slots of asyncio's own handle stay empty."""

    __slots__ = ("act", "args", "context", "due_s")

    def __init__(self, due_s: float, act: Any, args: Any, context: Context | None) -> None:
        self.due_s, self.act, self.args = due_s, act, args
        self.context = copy_context() if context is None else context

    def __repr__(self) -> str:
        return f"<_Call {self.act!r} at {self.due_s:.6f}>"

    def cancel(self) -> None:
        self.act, self.args = None, ()

    def cancelled(self) -> bool:
        return self.act is None

    def when(self) -> float:
        return self.due_s


class _Task(asyncio.Task[T]):
    """A task of few words: a cancel scope writes down who has cancelled it."""

    def __repr__(self) -> str:
        return f"<_Task {self.get_name()}>"


class _Course(selectors.BaseSelector):
    """No file is ever ready; to wait for one is to run all of the loop."""

    def __init__(self) -> None:
        self._files: dict[Any, selectors.SelectorKey] = {}
        self.run: Callable[[], None]

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._files[fileobj] = key = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._files.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.run()
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
        self._now_s = 0.0
        self._soon: deque[_Call] = deque()
        self._timers: list[tuple[float, int, _Call]] = []
        self._number = 0
        self._ends = False
        course = _Course()
        super().__init__(course)
        course.run = self._run

    def time(self) -> float:
        """Seconds of true time since the start: so few that a float holds microseconds exactly."""
        return self._now_s

    def stop(self) -> None:
        """As of asyncio."""
        self._ends = True
        super().stop()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As of asyncio."""
        call = _Call(self._now_s, callback, args, context)
        self._soon.append(call)
        return call

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As of asyncio."""
        when = self._now_s + delay
        call = _Call(when, callback, args, context)
        self._number += 1
        heappush(self._timers, (when, self._number, call))
        return call

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As of asyncio; what is due at one instant is called in the order of the calls."""
        call = _Call(when, callback, args, context)
        self._number += 1
        heappush(self._timers, (when, self._number, call))
        return call

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **more: Any,
    ) -> asyncio.Task[T]:
        """As of asyncio."""
        told = None if name is None else str(name)
        return _Task(coro, loop=self, name=told, context=context, **more)

    def _run(self) -> None:
        """Turn after turn, until it is stopped; what fails outside of all tasks ends it, too."""
        soon, timers, turns = self._soon, self._timers, 0
        self._ends = False
        while not self._ends:
            while timers and timers[0][2].act is None:
                heappop(timers)
            if soon or not self._pass():
                turns += 1
                if turns > TURNS_AT_ONE_INSTANT:
                    raise Standstill(f"{turns} turns without time passing")
            else:
                turns = 0
            due_s = self._now_s + LEAST_S
            while timers and timers[0][0] < due_s:
                soon.append(heappop(timers)[2])
            for _ in range(len(soon)):
                call = soon.popleft()
                if call.act is not None:
                    call.context.run(call.act, *call.args)

    def _pass(self) -> bool:
        """The time passes until the next timer; False: it is due."""
        if not self._timers:
            raise Standstill("nobody can run, and nobody waits for a time")
        wait_s = self._timers[0][0] - self._now_s
        if wait_s <= 0:
            return False
        self._virtual.now_us += max(1, math.ceil(wait_s * 1e6))
        self._now_s = (self._virtual.now_us - self._began_us) / 1e6
        return True
