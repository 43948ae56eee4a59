"""Heartbeats of a pipe: they go on through every error of the data path."""

from __future__ import annotations

from typing import Protocol

import anyio

from fustor_core.contracts import Answer, Pulse
from fustor_core.errors import FustorError, SessionObsoletedError, SlowDown
from fustor_core.link import Link, Summoned
from fustor_core.waiting import Bell, Sleep, sleep_until


class Owner(Protocol):
    """What the heart needs of its pipe."""

    def pulse(self) -> Pulse: ...

    def answered(self, answer: Answer | None) -> None: ...

    def lose(self, error: SessionObsoletedError) -> None: ...

    def fail(self, error: OSError | FustorError) -> None: ...


class Heart:
    """Beats while there is a session.

    Args:
        link: of the pipe. owner: the pipe. sleep: its sleep.
        pause_s: at the start.

    Attributes:
        pause_s: between two beats that got no answer.
    """

    def __init__(self, link: Link, owner: Owner, sleep: Sleep, pause_s: float) -> None:
        self._link = link
        self._owner = owner
        self._sleep = sleep
        self.pause_s = pause_s
        self._summons = anyio.Event()
        self._beaten = Bell()

    def __repr__(self) -> str:
        return f"<Heart of {self._link!r}>"

    async def run(self) -> None:
        """Beat whenever it is due, for ever; returns at once for a sink without sessions."""
        while self._link.sessioned:
            await self._link.opened()
            wait_s = self._link.wait_s()
            if wait_s > 0 and not self._summons.is_set():
                await sleep_until(self._summons, self._sleep, wait_s)
                continue
            self._summons = anyio.Event()
            await self._beat()
            self._beaten.ring()

    async def _beat(self) -> None:
        link = self._link
        session = link.session_id
        try:
            answer = await link.beat(self._owner.pulse())
        except SessionObsoletedError as error:
            if session == link.session_id:
                self._owner.lose(error)
        except SlowDown as slow:
            await self._sleep(min(slow.retry_after_s, self.pause_s))
        except (OSError, FustorError) as error:  # of fusion in this process: whatever it meets
            grant = link.grant
            if grant is not None and link.silent_s() > grant.session_timeout_s:
                self._owner.lose(SessionObsoletedError(str(error), reason="expired"))
            self._owner.fail(error)
            await self._sleep(self.pause_s)
        else:
            self._owner.answered(answer)

    async def hear(self, sink: Summoned) -> None:
        """Beat before it is due when fusion wants something; for as long as a session lasts."""
        while True:
            try:
                await sink.summoned()
            except (OSError, FustorError):
                return  # the next heartbeat meets the same error, and deals with it
            self._summons.set()
            await self._beaten.heard()
