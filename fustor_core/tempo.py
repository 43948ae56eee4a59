"""How fast a scan may ask the storage: operations per second, fixed or by its latency. Pure.

A storage that is busy answers slower than when it is quiet. The median of some looks tells; a scan
then makes pauses, so that it takes a part of the time only, and gives them up again when the
storage has become quick.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

Rate = float | Literal["auto"]

WINDOW = 64
"""So many looks make a median."""
BUSY = 4.0
"""So many times the quiet median is busy."""
QUIET_LEAST_S = 20e-6
"""Below this nothing is slow: what varies there is this host, not the storage."""
PAUSE_MOST_S = 2.0
SHARES = (1 / 16, 1.0)
"""The part of the time that a scan takes, at least and at most."""
FORGETS = 1.002
"""The quiet median may rise by so much a window: a storage may have become another."""


class Tempo:
    """The pauses of the scans of one source.

    Args:
        rate: operations per second, or ``auto``.

    Attributes:
        share: the part of the time that a scan takes just now (``auto``).
    """

    def __init__(self, rate: Rate = "auto") -> None:
        self.rate = rate
        self.share = SHARES[1]
        self._latest: deque[float] = deque(maxlen=WINDOW)
        self._seen = 0
        self._quiet_s = self._owed_s = 0.0

    def __repr__(self) -> str:
        return f"<Tempo {self.rate} share={self.share:g}>"

    def pause_s(self, operations: int, seconds: float) -> float:
        """For how long to wait after so many operations that took so long together."""
        if operations <= 0:
            return 0.0
        if self.rate != "auto":
            rest_s = operations / self.rate - seconds if self.rate > 0 else 0.0
            return self._some(rest_s)
        self._latest.append(seconds / operations)
        self._seen += 1
        if self._seen % WINDOW == 0:
            self._adapt()
        return self._some(seconds * (1 / self.share - 1))

    def _some(self, rest_s: float) -> float:
        """No pause is so long that it looks as if the storage hung; the rest comes later."""
        self._owed_s = max(0.0, self._owed_s + rest_s)
        pause_s = min(PAUSE_MOST_S, self._owed_s)
        self._owed_s -= pause_s
        return pause_s

    def _adapt(self) -> None:
        median_s = max(QUIET_LEAST_S, sorted(self._latest)[WINDOW // 2])
        known_s = self._quiet_s * FORGETS or median_s
        self._quiet_s = min(known_s, median_s)
        least, most = SHARES
        factor = 0.5 if median_s > BUSY * self._quiet_s else 2.0
        self.share = min(most, max(least, self.share * factor))
