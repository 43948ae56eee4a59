"""The mass-deletion guard: judgement with doubt about what a scan no longer finds.

One scan may remove up to a limit of entries at once; beyond it the rest stays shown, as a debt that
is `frozen`, until a second look some time later agrees or a person confirms (DESIGN §5).
"""

from __future__ import annotations

from dataclasses import dataclass

LOOKS_US = 1_000_000
TELL_US = 60_000_000
"""Of what single looks froze, no more than a line so often."""


@dataclass(slots=True)
class Guard:
    """Counts what one scan removed.

    Attributes:
        count, ratio: a scan may remove max(count, ratio · entries of the view).
        second_look_us: a look this much later also confirms; 0 = only a person does.
        removed: entries that the present whole scan has removed.
        removed_by_looks: the same for single looks, which are one scan together while they come
            within `LOOKS_US` of each other; `looked_us` is when the last of them removed.
        frozen, frozen_in: names and directories that froze since that was last told whole.
    """

    count: int
    ratio: float
    second_look_us: int
    removed: int = 0
    removed_by_looks: int = 0
    looked_us: int = 0
    frozen: int = 0
    frozen_in: int = 0
    _told_us: int = -TELL_US

    @property
    def counts(self) -> tuple[int, int, int]:
        """What has to outlive a restart: else each would allow a scan to remove as much again."""
        return self.removed, self.removed_by_looks, self.looked_us

    @counts.setter
    def counts(self, counts: tuple[int, int, int]) -> None:
        self.removed, self.removed_by_looks, self.looked_us = counts

    def begin(self) -> list[str]:
        """A whole scan begins, or is over.

        Returns:
            what a person should hear of the one before: what froze in it, when it was more than one
            directory.
        """
        self.removed = 0
        told = [self._whole()] if self.frozen_in > 1 else []
        self.frozen = self.frozen_in = 0
        return told

    def froze(self, names: int, path: bytes, *, whole: bool, now_us: int) -> list[str]:
        """So many names of a directory froze now.

        Returns:
            what a person should hear at once: of the first directory of a scan, and of single looks
            a line now and then.
        """
        self.frozen += names
        self.frozen_in += 1
        if whole and self.frozen_in > 1:
            return []
        if not whole and now_us - self._told_us < TELL_US:
            return []
        self._told_us = now_us
        if self.frozen_in > 1:
            told, self.frozen, self.frozen_in = self._whole(), 0, 0
            return [told]
        more = "; what else this scan misses is told when it is over" if whole else ""
        where = path.decode(errors="backslashreplace")
        return [f"{names:,} removals in {where!r} wait for a second look or a person{more}"]

    def _whole(self) -> str:
        return (
            f"{self.frozen:,} removals in {self.frozen_in:,} directories wait for a second look "
            "or a person"
        )

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
