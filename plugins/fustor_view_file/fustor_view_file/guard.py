"""The mass-deletion guard: judgement with doubt about what a scan no longer finds.

One scan may remove up to a limit of entries at once; beyond it the rest stays shown, as a debt that
is `frozen`, until a second look some time later agrees or a person confirms (DESIGN §5).
"""

from __future__ import annotations

from dataclasses import dataclass

LOOKS_US = 1_000_000


@dataclass(slots=True)
class Guard:
    """Counts what one scan removed.

    Attributes:
        count, ratio: a scan may remove max(count, ratio · entries of the view).
        second_look_us: a look this much later also confirms; 0 = only a person does.
        removed: entries that the present whole scan has removed.
        removed_by_looks: the same for single looks, which are one scan together while they come
            within `LOOKS_US` of each other; `looked_us` is when the last of them removed.
    """

    count: int
    ratio: float
    second_look_us: int
    removed: int = 0
    removed_by_looks: int = 0
    looked_us: int = 0

    def begin(self) -> None:
        """A whole scan begins."""
        self.removed = 0

    def take(self, weight: int, entries: int, *, whole: bool, now_us: int) -> bool:
        """Let `weight` more entries go from a view of `entries`, or say no.

        Args:
            whole: the evidence is of a whole scan, not of a single look.
        """
        limit = max(self.count, int(self.ratio * entries))
        if whole:
            if self.removed + weight > limit:
                return False
            self.removed += weight
            return True
        if now_us - self.looked_us > LOOKS_US:
            self.removed_by_looks = 0
        if self.removed_by_looks + weight > limit:
            return False
        self.removed_by_looks += weight
        self.looked_us = now_us
        return True

    def matured(self, since_us: int, seen_lo_us: int) -> bool:
        """Whether a look from `seen_lo_us` on is a second look at what froze at `since_us`."""
        return self.second_look_us > 0 and seen_lo_us >= since_us + self.second_look_us
