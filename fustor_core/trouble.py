"""Errors of one pipe: how many in a row, what they ask for, and the waiting after them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import anyio

from fustor_core import logs
from fustor_core.config.model import Pipe
from fustor_core.errors import PipeError, Refused, SessionObsoletedError
from fustor_core.pacing import JITTER_LEAST, Backoff, Duel, Streak
from fustor_core.waiting import Sleep, sleep_until


def draw_jitter() -> float:
    """A number in [0.5, 1]."""
    return random.uniform(JITTER_LEAST, 1.0)


class Trouble:
    """What a pipe is in after an error, until its next try.

    Args:
        config: of the pipe; the figures of its back-off.
        now_us, sleep, jitter: as for the pipe.

    Attributes:
        error: what it is about; None = no trouble.
        backoff_s: the wait that is under way, else 0.
    """

    def __init__(
        self,
        config: Pipe,
        *,
        now_us: Callable[[], int],
        sleep: Sleep,
        jitter: Callable[[], float],
    ) -> None:
        self.error: BaseException | None = None
        self._last_error: str | None = None
        self.backoff_s = 0.0
        self._now_us, self._sleep, self._jitter = now_us, sleep, jitter
        self._streak = Streak(_backoff(config))
        self._duel = Duel(config.session_timeout_seconds)
        self._of_source = False
        self._waits_for_person = False
        self._resumed = anyio.Event()

    def __repr__(self) -> str:
        return f"<Trouble {self.errors} in a row: {self.last_error}>"

    @property
    def last_error(self) -> str | None:
        """Text of the last error, also when it is over; None = there was none.

        Other programs' words may stand in it, and those may repeat what they were sent: secrets
        that are known are taken out.
        """
        return self._last_error

    @last_error.setter
    def last_error(self, text: str | None) -> None:
        self._last_error = None if text is None else logs.hidden(text)

    @property
    def errors(self) -> int:
        """Errors in a row."""
        return self._streak.errors

    def plan(self, config: Pipe) -> None:
        """Take other figures for the next error; one that is waited out keeps its wait."""
        self._streak = replace(self._streak, plan=_backoff(config))

    def on(self) -> bool:
        """Whether something is to be waited out."""
        return self.error is not None

    def begin(self, error: BaseException) -> str | None:
        """One more error in a row.

        Returns:
            The event of the pipeline table that it means; None while an earlier one is dealt with.
        """
        self.last_error = str(error) or repr(error)
        if self.error is not None:
            return None
        self.error, self._resumed = error, anyio.Event()
        self._of_source = not isinstance(error, PipeError)
        self._streak = self._streak.failed()
        refused = isinstance(error, Refused)
        self._waits_for_person = refused or self._streak.waits_for_person
        return "alarm" if refused or self._duel.on else self._streak.event

    def lost(self, error: SessionObsoletedError, *, useful: bool) -> bool:
        """A session is gone.

        Args:
            useful: it had answered something beside its opening.

        Returns:
            Whether a new one has to wait: the old was of no use, or two agents share an id.
        """
        self.last_error = str(error)
        if error.reason == "replaced":
            self._duel = self._duel.replaced(self._now_us() / 1e6)
            return self._duel.on or not useful
        return not useful

    def note(self, text: str | None) -> None:
        """Something that people should know, and that nothing has to wait for; None: nothing."""
        self.last_error = text or self.last_error

    def acknowledged(self, claims: int) -> None:
        """A batch was taken: errors of the way to the sink are over."""
        if not self._of_source and self.error is None:  # else it was on its way before the error
            self._streak = self._streak.acknowledged(claims=claims)

    def source_works(self) -> None:
        """A whole scan was taken: errors of the source are over, too."""
        if self.error is None:
            self._of_source = False
            self._streak = self._streak.acknowledged(claims=1)

    def resume(self) -> None:
        """A person wants the next try now."""
        self._resumed.set()

    async def wait_out(self) -> None:
        """Back off; a person may end that, or has to."""
        if self._waits_for_person:
            await self._resumed.wait()
        else:
            self.backoff_s = self._streak.delay_s(self._jitter())
            await sleep_until(self._resumed, self._sleep, self.backoff_s)
        self.backoff_s = 0.0
        self.error, self._waits_for_person = None, False


def _backoff(config: Pipe) -> Backoff:
    return Backoff(
        first_s=config.error_retry_interval,
        multiplier=config.backoff_multiplier,
        cap_s=config.max_backoff_seconds,
        limit=config.max_consecutive_errors,
        stops=config.on_max_errors == "stop",
    )
