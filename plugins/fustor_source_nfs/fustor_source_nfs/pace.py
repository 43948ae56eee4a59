"""How fast the storage is asked: a fixed rate, or one that its own speed allows. Pure."""

from __future__ import annotations

DUTY = 0.1  # of the time that the storage may be busy with us
SLOWEST, FASTEST = 20.0, 5000.0  # operations per second
_WEIGHT = 0.1  # of the latest latency in their mean


class Pace:
    """A budget of operations per second.

    Args:
        rate: operations per second; None: as the storage's latency allows.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._latency_s = 0.0
        self._free_us = 0

    @property
    def rate(self) -> float:
        """Operations per second just now."""
        if self._rate is not None:
            return self._rate
        if not self._latency_s:
            return FASTEST
        return min(FASTEST, max(SLOWEST, DUTY / self._latency_s))

    def spent(self, now_us: int, operations: int, took_us: int) -> None:
        """So many operations are over, and took so long together."""
        latency_s = took_us / 1e6 / max(1, operations)
        if self._latency_s:
            latency_s = self._latency_s + _WEIGHT * (latency_s - self._latency_s)
        self._latency_s = latency_s
        begun_us = max(self._free_us, now_us - took_us)
        self._free_us = begun_us + round(operations / self.rate * 1e6)

    def wait_s(self, now_us: int) -> float:
        """Seconds until the next operation may begin."""
        return max(0, self._free_us - now_us) / 1e6

    def __repr__(self) -> str:
        return f"Pace({self.rate:g}/s)"
