"""The way from a worker thread to the event loop: lists of claims, bounded by weight."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """One thread puts, one task gets. Made on the event loop.

    Args:
        room: weight that may wait here; the item that exceeds it is still taken.
    """

    def __init__(self, room: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._changed = threading.Condition()
        self._waiting: deque[tuple[T, int]] = deque()
        self._room = room
        self._weight = 0
        self._ended = False
        self._error: BaseException | None = None
        self.closed = False

    def put(self, item: T, weight: int) -> bool:
        """Add an item, waiting for room first. False: nobody will take it, so end."""
        with self._changed:
            while self._weight >= self._room and not self.closed:
                self._changed.wait()
            if self.closed:
                return False
            self._waiting.append((item, weight))
            self._weight += weight
        return self._tell()

    @property
    def full(self) -> bool:
        """Whether `put` would wait."""
        with self._changed:
            return self._weight >= self._room and not self.closed

    def wait_for_room(self, timeout_s: float) -> None:
        """Wait until `put` would not, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._weight < self._room or self.closed, timeout_s)

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come; `error` is raised at the taker once all is taken."""
        with self._changed:
            self._ended, self._error = True, error
        self._tell()

    async def get(self) -> T | None:
        """The next item; None after the end.

        Raises:
            BaseException: what the thread ended with.
        """
        while True:
            self._ready.clear()
            with self._changed:
                if self._waiting:
                    item, weight = self._waiting.popleft()
                    self._weight -= weight
                    self._changed.notify_all()
                    return item
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    return None
            await self._ready.wait()

    def close(self) -> None:
        """Nobody will take anything more; a waiting `put` returns at once."""
        with self._changed:
            self.closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _tell(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop is closed: nobody is there any more
            self.closed = True
            return False
        return True

    def __repr__(self) -> str:
        return f"Channel(weight={self._weight}, ended={self._ended}, closed={self.closed})"
