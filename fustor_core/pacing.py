"""When a pipe tries again and when it shows life. Pure: instants and jitter come as arguments.

All durations and instants are seconds of a monotonic clock of the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

JITTER_LEAST = 0.5
"""A delay is multiplied by a number in [JITTER_LEAST, 1], drawn by the caller."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How a pipe waits after errors; the figures come from its configuration.

    Args:
        first_s: delay after the first error (`error_retry_interval`).
        multiplier: growth with each further error in a row (`backoff_multiplier`), at least 1.
        cap_s: no delay is longer (`max_backoff_seconds`).
        limit: from so many errors in a row on the pipe is in ERROR (`max_consecutive_errors`).
        stops: from the limit on, wait for a person (`on_max_errors: stop`).
    """

    first_s: float
    multiplier: float
    cap_s: float
    limit: int
    stops: bool = False

    def delay_s(self, errors: int, jitter: float) -> float:
        """Wait after the `errors`-th error in a row: first × multiplierⁿ⁻¹, capped, × jitter.

        Args:
            errors: at least 1.
            jitter: in [0.5, 1].

        Raises:
            ValueError: an argument is out of its range.
        """
        if errors < 1:
            raise ValueError(f"no delay after {errors} errors")
        if not JITTER_LEAST <= jitter <= 1.0:
            raise ValueError(f"jitter {jitter} is not within [{JITTER_LEAST}, 1]")
        delay = self.first_s
        for _ in range(errors - 1):
            if delay >= self.cap_s or self.multiplier == 1:
                break
            delay *= self.multiplier
        return min(delay, self.cap_s) * jitter


@dataclass(frozen=True, slots=True)
class Streak:
    """Errors in a row of one pipe, and what the last of them asks for.

    Args:
        plan: the pipe's back-off.
        errors: how many in a row; 0 = none.
    """

    plan: Backoff
    errors: int = 0

    def failed(self) -> Streak:
        """After one more error."""
        return replace(self, errors=self.errors + 1)

    def acknowledged(self, *, claims: int, repeat: bool = False) -> Streak:
        """After an acknowledgement; only a useful one ends the streak.

        Args:
            claims: how many claims the acknowledged batch held.
            repeat: it had been acknowledged before, this is the stored reply.
        """
        useful = claims > 0 and not repeat
        return replace(self, errors=0) if useful and self.errors else self

    @property
    def alarmed(self) -> bool:
        """Whether the limit is reached: ERROR while backing off."""
        return self.errors >= self.plan.limit

    @property
    def event(self) -> str:
        """The event of the pipeline table for the last error: ``failed`` or ``alarm``."""
        return "alarm" if self.alarmed else "failed"

    @property
    def waits_for_person(self) -> bool:
        """No further try by itself: `fustor pipe resume` is needed."""
        return self.alarmed and self.plan.stops

    def delay_s(self, jitter: float) -> float:
        """Wait before the next try; see `Backoff.delay_s`."""
        return self.plan.delay_s(self.errors, jitter)


def heartbeat_interval_s(own_s: float, reply_s: float | None, timeout_s: float | None) -> float:
    """The shortest of what the pipe's configuration, the reply and the session's timeout ask for.

    Args:
        own_s: `heartbeat_interval_sec` of the pipe.
        reply_s: what the session reply asked for; None = no such wish.
        timeout_s: timeout of the session; a third of it leaves room for two lost heartbeats.
    """
    wishes = [own_s]
    if reply_s is not None:
        wishes.append(reply_s)
    if timeout_s is not None:
        wishes.append(timeout_s / 3)
    return min(wishes)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When the next heartbeat of a session is due.

    Pushes prove life too, so a heartbeat is skipped while one was acknowledged within the interval.
    But role and commands ride home on heartbeats alone: `longest_s` bounds the skipping.

    Args:
        interval_s: see `heartbeat_interval_s`.
        longest_s: no longer without a heartbeat, however many pushes there are.
        beat_s: when the last heartbeat (or the opening) was answered.
        push_s: when the last push was acknowledged.
    """

    interval_s: float
    longest_s: float
    beat_s: float
    push_s: float

    @classmethod
    def opened(cls, interval_s: float, longest_s: float, now_s: float) -> Rhythm:
        """The rhythm of a session that was just granted."""
        return cls(interval_s, max(interval_s, longest_s), now_s, now_s)

    def beaten(self, now_s: float) -> Rhythm:
        """After a heartbeat was answered."""
        return Rhythm(self.interval_s, self.longest_s, now_s, self.push_s)

    def pushed(self, now_s: float) -> Rhythm:
        """After a push was acknowledged."""
        return Rhythm(self.interval_s, self.longest_s, self.beat_s, now_s)

    @property
    def due_s(self) -> float:
        """The instant of the next heartbeat, if nothing is acknowledged before."""
        quiet = max(self.beat_s, self.push_s) + self.interval_s
        return min(quiet, self.beat_s + self.longest_s)

    def wait_s(self, now_s: float) -> float:
        """How long to wait before looking again; 0 = a heartbeat is due."""
        return max(0.0, self.due_s - now_s)


@dataclass(frozen=True, slots=True)
class Duel:
    """Two agents under one id take the session from each other; whoever notices steps back.

    Args:
        timeout_s: timeout of the session.
        last_s: when this pipe was told ``replaced`` the last time, None = never.
        on: told twice within one timeout: back off and raise the alarm instead of opening at once.
    """

    timeout_s: float
    last_s: float | None = None
    on: bool = False

    def replaced(self, now_s: float) -> Duel:
        """After a 419 with the reason ``replaced``."""
        again = self.last_s is not None and now_s - self.last_s <= self.timeout_s
        return replace(self, last_s=now_s, on=again)
