"""Since when what an agent of 0.8.17 tells can have been looked at. Pure.

Its rows do not say when it looked: the index of an event is the agent's wall clock moved by a
guess, cut to milliseconds. What can be known is when fusion's own replies left: an agent begins a
snapshot after it heard that it leads, an audit one interval after the last one at the earliest,
and it fetches events only when the push before was answered. All instants are µs of the raw clock
of this process (CLOCK_BOOTTIME), so that every session is on the clock that fusion knows exactly.
"""

from __future__ import annotations

FETCH_MOST = 100
"""Events of one fetch; a push of fewer shows that the agent's queue was empty behind it."""

STUCK_US = 40_000_000
"""A push that gets lost costs the agent 30 s and a pause; a beat says nothing of later events."""

LAG_US = 1_000_000
"""Between a look of the agent's watching thread and its queue."""

DRIFT = 200e-6


class Pace:
    """One agent pipe; its events outlive its sessions, and so does this.

    Args:
        cache_bound_us: for how long the agent's mount may answer from a cache.

    Attributes:
        led_us: when the session was told that it leads, None = it was not.
    """

    def __init__(self, cache_bound_us: int) -> None:
        self.cache_bound_us = cache_bound_us
        self.audit_interval_us = 0
        self.led_us: int | None = None
        self._events_us = 0  # the events of the next push were queued after this
        self._reply_us: int | None = None  # when the last push of events was answered
        self._last: tuple[int, int] | None = None  # its last index, and what held for its events
        self._trouble = False
        self._beat_us = 0
        self._audit_us = 0  # when the last audit ended, or could not yet have begun

    def __repr__(self) -> str:
        return f"<Pace events={self._events_us} led={self.led_us}>"

    def opened(self, audit_interval_us: int) -> None:
        """A session begins: what it scanned before is over; queued events stay."""
        self.audit_interval_us = audit_interval_us
        self.led_us = None
        self._reply_us = None
        self._beat_us = 0

    def led(self, now_us: int) -> None:
        """The session is told that it leads; to be called each time."""
        if self.led_us is None:
            self.led_us = self._audit_us = now_us

    def follows(self) -> None:
        """The session is told that it does not lead."""
        self.led_us = None

    # -- events

    def events(self, first_index: int) -> int:
        """Since when the events of a push can have been looked at.

        Args:
            first_index: of its first event. Indexes never go back within an agent's queue: one that
                is not beyond the last push repeats that push, whose reply was lost.
        """
        since = self._events_us
        if self._last is not None and first_index <= self._last[0]:
            since = self._last[1]
        elif not self._trouble:
            since = max(since, self._beat_us - STUCK_US)
        return since - self.cache_bound_us - LAG_US

    def told(self, first_index: int, last_index: int, count: int, now_us: int) -> None:
        """A push of events is about to be answered with 200."""
        since = self.events(first_index) + self.cache_bound_us + LAG_US
        again = self._last is not None and first_index <= self._last[0]
        self._last = (last_index, since)
        if count < FETCH_MOST and self._reply_us is not None and not again:
            self._events_us = max(self._events_us, self._reply_us)
        self._events_us = max(self._events_us, since)
        self._reply_us = now_us
        self._trouble = False

    def failed(self) -> None:
        """A push of events was not taken: the agent keeps them, and they grow old."""
        self._trouble = True

    def beat(self, now_us: int) -> None:
        """A heartbeat of an agent whose queue is being read."""
        self._beat_us = now_us

    # -- scans

    def snapshot(self, now_us: int) -> int:
        """Since when the rows of a snapshot can have been looked at."""
        return (now_us if self.led_us is None else self.led_us) - self.cache_bound_us

    def audit(self, now_us: int) -> int:
        """When the present audit can have begun at the earliest."""
        earliest = self._audit_us + int(self.audit_interval_us * (1 - DRIFT))
        return min(now_us, earliest)

    def audited(self, now_us: int) -> None:
        """The end of an audit is about to be answered."""
        self._audit_us = now_us
