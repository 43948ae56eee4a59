"""Which tier of audit is due next, and when (arbitration.md §4). Pure.

A thorough audit looks at all that a cheaper one would, so it counts for the cheaper ones too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

TIERS = ("directories", "names", "full")
"""From cheap to thorough."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The audits of one leadership.

    Attributes:
        every_s: interval of each tier that is on. since_s: when each was last done.
        middle: how many audits of the middle tier, or of one that counts for it, were done.
    """

    every_s: Mapping[str, float]
    since_s: Mapping[str, float]
    middle: int = 0

    def next(self) -> tuple[float, str] | None:
        """(when, tier) of the next audit, None when there is none; ties go to the thorough."""
        due = [(self.since_s[tier] + every, tier) for tier, every in self.every_s.items()]
        return min(due, key=lambda one: (one[0], -TIERS.index(one[1])), default=None)

    def thorough(self, now_s: float) -> str:
        """The most thorough tier that is due now, for one of which `next` has said so."""
        due = [tier for tier, every in self.every_s.items() if self.since_s[tier] + every <= now_s]
        return max(due, key=TIERS.index)

    def done(self, tier: str, now_s: float) -> Turns:
        """An audit is over, and all that are cheaper with it."""
        covered = TIERS[: TIERS.index(tier) + 1]
        since = {one: now_s if one in covered else at for one, at in self.since_s.items()}
        return replace(self, since_s=since, middle=self.middle + ("names" in covered))

    def begun(self, now_s: float) -> Turns:
        """Everything was just looked at: all tiers begin anew."""
        return replace(self, since_s=dict.fromkeys(self.since_s, now_s))

    def changed(self, every_s: Mapping[str, float], now_s: float) -> Turns:
        """Other intervals; one that is new begins now, one that is as before goes on."""
        same = {t for t, every in every_s.items() if self.every_s.get(t) == every}
        since = {tier: self.since_s[tier] if tier in same else now_s for tier in every_s}
        return replace(self, every_s=dict(every_s), since_s=since)


NO_TURNS = Turns({}, {})


def intervals(
    middle_s: float,
    directories_s: float,
    full_s: float,
    *,
    chosen: frozenset[str] = frozenset(),
    tiers: frozenset[str] = frozenset(),
) -> dict[str, float]:
    """The interval of each tier that is on, in seconds.

    Args:
        middle_s: `audit_interval_sec`. 0 = no audits, but for tiers that were chosen.
        chosen: tiers whose interval a user has set.
        tiers: what the source knows beside the full tier; without ``names`` the middle one is it.
    """
    if "names" not in tiers:
        return {"full": middle_s} if middle_s > 0 else {}
    wanted = {"directories": directories_s, "names": middle_s, "full": full_s}
    return {
        tier: every
        for tier, every in wanted.items()
        if every > 0 and (tier == "full" or tier in tiers) and (middle_s > 0 or tier in chosen)
    }
