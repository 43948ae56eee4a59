"""What a view does by itself, again and again, and what becomes of a fault in it.

Nobody foresees all faults. One in the fold is set aside with its input (`Replay`); one here costs
the round in which it shows. The view goes on to take and to answer; it is in ERROR, and says why,
until the same chore has gone well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import anyio.abc

from fustor_core.engine import PAUSE_S, attempt, attempted, sentence
from fustor_core.errors import DiskFull, FustorError
from fustor_core.waiting import Sleep

PAUSE_S_MAX = 60.0
SWEEP = "to look after sessions"
WRITE_BACK = "to write the state back"
FOLLOW_UP = "to see what a batch has done"


class Chores:
    """The chores of one view.

    Args:
        move: makes the moves ``failed`` and ``recovered`` of the view's machine.
        on_alarm: told of each fault once. sleep: by the raw clock.

    Attributes:
        faults: chore → what is wrong with it now.
    """

    def __init__(
        self, move: Callable[[str], None], on_alarm: Callable[[str], None], sleep: Sleep
    ) -> None:
        self.faults: dict[str, str] = {}
        self._over = False
        self._move, self._on_alarm, self._sleep = move, on_alarm, sleep

    def __repr__(self) -> str:
        return f"<Chores {self.faults}>"

    async def keep(
        self, name: str, wait: Callable[[], Awaitable[None]], act: Callable[[], Awaitable[None]]
    ) -> None:
        """Do one chore again and again, until cancelled.

        Args:
            name: for people, as "to look after sessions". wait: until the next round is due.
            act: one round.

        Raises:
            FustorError: what the core has foreseen to end a view, such as a disk that failed.
        """
        errors = 0
        while True:
            await wait()
            if await self._did(name, act):
                errors = 0
            else:
                errors += 1
                await self._sleep(min(PAUSE_S_MAX, PAUSE_S * 2**errors))

    async def mend(
        self,
        owe: Callable[[], Awaitable[object]],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """What a start could not read back nobody knows: everything is owed a look.

        It has begun when that was tried once, and is over when it is durable.
        """
        owed = await self._owed(owe)
        task_status.started()
        while not owed:
            await self._sleep(PAUSE_S)
            owed = await self._owed(owe)

    async def _owed(self, owe: Callable[[], Awaitable[object]]) -> bool:
        with suppress(DiskFull):
            await owe()
            return True
        return False

    async def last(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        """One last round; the view is not in ERROR for what is wrong in it, it ends.

        Raises:
            FustorError: as `keep`.
        """
        self._over = True
        await self._did(name, act)

    async def _did(self, name: str, act: Callable[[], Awaitable[None]]) -> bool:
        """One round; False when something was wrong in it."""
        return self._went(name, await attempt(act))

    def did(self, name: str, act: Callable[[], None]) -> None:
        """Do once what follows something and waits for nothing.

        Raises:
            FustorError: as `keep`.
        """
        self._went(name, attempted(act))

    def _went(self, name: str, done: Exception | None) -> bool:
        if isinstance(done, FustorError):
            raise done
        if isinstance(done, Exception):
            self._failed(name, sentence(done))
            return False
        if self.faults.pop(name, None) is not None and not self.faults and not self._over:
            self._move("recovered")
        return True

    def _failed(self, name: str, why: str) -> None:
        first, news = not self.faults, self.faults.get(name) != why
        self.faults[name] = why
        if news:
            self._on_alarm(
                f"nobody foresaw what happens on the way {name} ({why}): it is tried again, all "
                "else goes on; send this with a report"
            )
        if first and not self._over:
            self._move("failed")

    def story(self) -> str | None:
        """What is wrong now, as one sentence; None when nothing is."""
        return "; ".join(f"{name}: {why}" for name, why in sorted(self.faults.items())) or None
