"""What was counted since the start: what a source has told, how long scans took. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

BOUNDS_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0)
"""Upper bounds of the durations that are counted apart."""


@dataclass(slots=True)
class Scans:
    """Scans of one origin that came to their end.

    Attributes:
        seconds: of all together. entries: rows that they have read.
        within: how many took longer than the bound before and not longer than this one; the last
            is beyond all bounds.
    """

    seconds: float = 0.0
    entries: int = 0
    within: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))

    def add(self, seconds: float, entries: int) -> None:
        """One more."""
        self.seconds += seconds
        self.entries += entries
        self.within[bisect_left(BOUNDS_S, seconds)] += 1


@dataclass(slots=True)
class Tallies:
    """Of one pipe, since it began.

    Attributes:
        events: kind of claim → how many the source has told of as they happened.
        scans: origin → its scans.
    """

    events: Counter[str] = field(default_factory=Counter)
    scans: dict[str, Scans] = field(default_factory=dict)

    def told(self, claims: Iterable[object]) -> None:
        """The source has told of something."""
        for claim in claims:
            self.events[type(claim).__name__.lower()] += 1

    def scanned(self, origin: str, seconds: float, entries: int) -> None:
        """A scan has come to its end."""
        self.scans.setdefault(origin, Scans()).add(seconds, entries)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        scans = {
            origin: {"seconds": one.seconds, "entries": one.entries, "within": list(one.within)}
            for origin, one in self.scans.items()
        }
        return {"events": dict(self.events), "scans": scans}
