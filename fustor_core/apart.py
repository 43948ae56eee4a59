"""Work in a thread that may hang for ever: nobody has to wait for it, not even the process's end.

A stat on a storage that does not answer cannot be ended from outside. The threads of a pool are
joined at exit and counted against a limit; these are neither.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from fustor_core.contracts import boottime_us
from fustor_core.errors import FustorError

T = TypeVar("T")


class Apart(Generic[T]):
    """One piece of work, begun at once. Made on the event loop.

    Args:
        work: done in a daemon thread of its own.

    Attributes:
        since_us: raw clock, when it began.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self.since_us = boottime_us()
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._results: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="fustor-apart", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return self._over.is_set()

    async def result(self) -> T:
        """What it returns or raises. Who is cancelled here leaves it behind; any number may wait.

        Raises:
            BaseException: what it has raised.
        """
        await self._over.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            self._results.append(self._work())
        except (OSError, FustorError) as err:
            failure = err
        finally:
            self._error = failure or sys.exc_info()[1]
            with suppress(RuntimeError):  # the loop is closed: nobody is there any more
                self._loop.call_soon_threadsafe(self._over.set)

    def __repr__(self) -> str:
        return f"Apart(since_us={self.since_us}, over={self.over})"


async def apart(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread that is left behind when this is cancelled.

    Raises:
        BaseException: what it has raised.
    """
    return await Apart(work).result()
