"""Which scan was the first to see what no agent saw happen.

Nothing is kept for an entry but, while it is blind, the number of the scan that found it; scans
that found nothing of that kind have no number.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fustor_core.claims import Origin

KEPT = 10_000
"""Scans that are remembered, newest first; which one found what older ones did is forgotten."""
LOOKS_US = 60_000_000
"""Single looks of one agent within so long are one scan."""


class Sighting(msgspec.Struct, array_like=True, frozen=True):
    """One scan that found something.

    Attributes:
        origin: of its claims. agent: whose scan. audit: its number, 0 when it is none.
        at_us: fusion time, wall_ns: wall time when it was first found out.
    """

    origin: str
    agent: str
    audit: int
    at_us: int
    wall_ns: int


class Sightings:
    """The scans of one view that found something, by number.

    Attributes:
        last: number of the newest.
    """

    def __init__(self) -> None:
        self.last = 0
        self._all: dict[int, Sighting] = {}
        self._agent, self._audit, self._at_us, self._wall_ns = "", 0, 0, 0

    def __repr__(self) -> str:
        return f"<Sightings {len(self._all)}, the last {self.last}>"

    def begin(self, agent: str, audit: int, at_us: int, wall_ns: int) -> None:
        """A batch of this agent is applied; `audit` is the number of the one that may run."""
        self._agent, self._audit, self._at_us, self._wall_ns = agent, audit, at_us, wall_ns

    def number(self, origin: str) -> int:
        """The number of the scan that runs, by the origin of its claims."""
        audit = self._audit if origin == Origin.AUDIT else 0
        last = self._all.get(self.last)
        if last is not None:
            same = (last.origin, last.agent, last.audit) == (origin, self._agent, audit)
            if same and (audit or self._at_us - last.at_us < LOOKS_US):
                return self.last
        self.last += 1
        self._all[self.last] = Sighting(origin, self._agent, audit, self._at_us, self._wall_ns)
        if len(self._all) > KEPT:
            del self._all[next(iter(self._all))]
        return self.last

    def get(self, number: int) -> Sighting | None:
        """The scan of that number; None when it is no longer remembered."""
        return self._all.get(number)

    def rows(self) -> list[tuple[int, Sighting]]:
        """All of them, to be kept."""
        return list(self._all.items())

    def restore(self, rows: Iterable[tuple[int, Sighting]]) -> None:
        """Take over what was kept."""
        self._all = dict(rows)
        self.last = max(self._all, default=0)
