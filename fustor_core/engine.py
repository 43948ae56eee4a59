"""The supervisor: one task group, children restarted while that helps, the only broad excepts.

A child that ends by an error is started again after a growing pause. One that fails too often
within a while is left down and shown; the others go on.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.abc

RESTARTS_MOST = 5
WITHIN_S = 60.0
PAUSE_S = 0.5

T = TypeVar("T")


@dataclass(slots=True)
class Child:
    """One supervised task.

    Attributes:
        state: ``running``, ``waiting`` (for its restart), ``failed`` (too often) or ``ended``.
        restarts: how often it was started again. last_error: why, the last time.
    """

    name: str
    state: str = "running"
    restarts: int = 0
    last_error: str = ""
    failures: deque[float] = field(default_factory=deque)


class Engine:
    """Runs children until they are stopped.

    Args:
        on_trouble: told a sentence when a child failed.
        debug: whether tracebacks belong into that sentence.
    """

    def __init__(self, on_trouble: Callable[[str], None], *, debug: bool = False) -> None:
        self.children: dict[str, Child] = {}
        self._on_trouble = on_trouble
        self._debug = debug

    def __repr__(self) -> str:
        return f"<Engine {', '.join(f'{c.name} {c.state}' for c in self.children.values())}>"

    async def supervise(self, name: str, live: Callable[[], Awaitable[None]]) -> None:
        """Run a child, again and again, until it ends by itself, is cancelled or fails too often.

        Args:
            name: for people. live: the child's whole life; called anew for each restart.
        """
        child = self.children[name] = Child(name)
        while True:
            child.state = "running"
            try:
                await live()
            except Exception as error:
                if not await self._pause_after(child, error):
                    return
            else:
                child.state = "ended"
                return

    async def _pause_after(self, child: Child, error: Exception) -> bool:
        """Wait before the restart; False when there is none."""
        now = anyio.current_time()
        child.last_error = sentence(error)
        child.failures.append(now)
        while child.failures and child.failures[0] < now - WITHIN_S:
            child.failures.popleft()
        detail = f"\n{''.join(traceback.format_exception(error))}" if self._debug else ""
        if len(child.failures) > RESTARTS_MOST:
            child.state = "failed"
            self._on_trouble(f"{child.name} failed too often and stays down: {child.last_error}")
            return False
        child.state = "waiting"
        child.restarts += 1
        self._on_trouble(f"{child.name} failed and is restarted: {child.last_error}{detail}")
        await anyio.sleep(PAUSE_S * 2 ** len(child.failures))
        return True


def tried(act: Callable[[], T]) -> T | Exception:
    """The same of work that is not awaited: what others have written, in a thread."""
    try:
        return act()
    except Exception as error:
        return error


async def attempt(act: Callable[[], Awaitable[T]]) -> T | Exception:
    """What came of it, or why it failed: for work that must not take others with it."""
    try:
        return await act()
    except Exception as error:
        return error


def attempted(act: Callable[[], T]) -> T | Exception:
    """As `attempt`, for work that waits for nothing."""
    try:
        return act()
    except Exception as error:
        return error


def sentence(error: BaseException) -> str:
    """The first error that says something, for people."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
