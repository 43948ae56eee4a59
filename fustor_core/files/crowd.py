"""How often a queue ran over by what others do on the same file system."""

from __future__ import annotations

OVERRUNS_MOST = 3  # within the span; each means that all is listed again
SPAN_US = 600_000_000
OTHERS_SHARE = 2  # of what was read, at least one part in this many is of no directory of ours


class Crowd:
    """Counts what was read and what was kept of it, and overruns for which others are to blame.

    Attributes:
        overruns: raw instants of those within the span, oldest first.
    """

    def __init__(self) -> None:
        self.overruns: list[int] = []
        self._read_bytes = 0
        self._kept_bytes = 0

    def read(self, read_bytes: int, kept_bytes: int) -> None:
        """Something was read of the queue."""
        self._read_bytes += read_bytes
        self._kept_bytes += kept_bytes

    def ran_over(self, now_us: int) -> bool:
        """The queue ran over; whether that has become too much, and by others."""
        others = OTHERS_SHARE * (self._read_bytes - self._kept_bytes) > self._read_bytes
        self._read_bytes = self._kept_bytes = 0
        if others:
            recent = [at for at in self.overruns if at > now_us - SPAN_US]
            self.overruns = [*recent, now_us]
        return others and len(self.overruns) >= OVERRUNS_MOST

    def __repr__(self) -> str:
        return f"Crowd(overruns={len(self.overruns)}, read_bytes={self._read_bytes})"
