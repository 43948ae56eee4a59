"""The mass-deletion guard: judgement with doubt about what a scan no longer finds.

One scan may remove up to a limit of entries at once; beyond it the rest stays shown, as a debt that
is `frozen`, until a second look some time later agrees or a person confirms (DESIGN §5).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Guard:
    """Counts what one scan removed.

    Attributes:
        count, ratio: a scan may remove max(count, ratio · entries of the view).
        second_look_us: a look this much later also confirms; 0 = only a person does.
        removed: entries that the present scan has removed.
    """

    count: int
    ratio: float
    second_look_us: int
    removed: int = 0

    def begin(self) -> None:
        """A scan begins."""
        self.removed = 0

    def allows(self, weight: int, entries: int) -> bool:
        """Whether `weight` more entries may go, in a view of `entries`."""
        return self.removed + weight <= max(self.count, int(self.ratio * entries))

    def matured(self, since_us: int, seen_lo_us: int) -> bool:
        """Whether a look from `seen_lo_us` on is a second look at what froze at `since_us`."""
        return self.second_look_us > 0 and seen_lo_us >= since_us + self.second_look_us
