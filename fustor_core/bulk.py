"""What of a batch need not be judged one by one: runs of unchanged listings, plain first listings.

The view does what the judgements would have done (`Recognising`), as the arbitrator has said that
they would (`Sparing`). Whatever is more than that is judged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import length_hint
from typing import Any, cast

from fustor_core.claims import ROW_BYTES, Batch, Claim, Listing, Still
from fustor_core.contracts import Arbitrator, Facts, Recognising, Sparing, View
from fustor_core.registers import NO_LINE, Seen

GROUP_ROWS = 5000
"""Rows whose columns are looked at together."""


class Bulk:
    """The short ways into one view.

    Args:
        view, arbitrator: where one of them is not made for that, everything is judged.

    Attributes:
        at: the place in the batch of the listing that was looked at last.
    """

    def __init__(self, view: View, arbitrator: Arbitrator) -> None:
        self._sparing = arbitrator if isinstance(arbitrator, Sparing) else None
        self._view = view if self._sparing and isinstance(view, Recognising) else None
        self._claims: Sequence[Claim] = ()
        self._plain: list[Any] = []
        self.at = self._seen_from = self._seen_until = self._before_ns = 0
        self._aside: Collection[int] = ()

    def __repr__(self) -> str:
        return f"<Bulk of {self._view!r}>"

    def begin(self, batch: Batch, aside: Collection[int], now_us: int, storage_ns: int) -> None:
        """A batch begins.

        Args:
            aside: claims that are not to be taken.
        """
        self._claims, self._aside = batch.claims, aside
        self._seen_until = 0
        if self._sparing is not None:
            facts = Facts(Seen(now_us, now_us, NO_LINE, 0, 0, 0, "m"), now_us, storage_ns)
            self._before_ns = self._sparing.spares(facts)

    def end(self) -> None:
        """Somebody may look, or the batch is over."""
        if self._view is not None:
            self._view.summed()

    def listed(self, at: int, most: int, stamps: Sequence[int], line: int) -> int:
        """Take listings from this place of the batch on.

        Args:
            at: of the first, which is to be taken. most: how many. stamps: lo and hi of each claim
                of the batch. line: of its session.

        Returns:
            how many were taken; the next one has to be judged if it is none.
        """
        self.at, view = at, self._view
        if view is None:
            return 0
        if at >= self._seen_until:
            self._group(view, at)
        end, first = min(at + most, self._seen_until), at - self._seen_from
        listings = iter(cast("Sequence[Listing]", self._claims[at:end]))
        lows, highs = stamps[2 * at : 2 * end : 2], stamps[2 * at + 1 : 2 * end : 2]
        try:
            found = self._plain[first : end - self._seen_from]
            taken = view.first(zip(listings, found, lows, highs, strict=True), line)
        finally:  # whoever fails, fails at this one
            self.at = end - 1 - length_hint(listings)
        if not taken:
            view.summed()
        return taken

    def _group(self, view: Recognising, at: int) -> None:
        group: list[Listing] = []
        apart: list[int] = []
        begin, rows, claims = at, 0, self._claims
        while at < len(claims) and rows < GROUP_ROWS:
            claim = claims[at]
            if not isinstance(claim, Listing):
                break
            if at in self._aside:
                apart.append(at - begin)
            else:
                group.append(claim)
                rows += len(claim.rows) // ROW_BYTES
            at += 1
        self._seen_from, self._seen_until = begin, at
        self._plain = list(view.plain(group, self._before_ns))
        for place in apart:
            self._plain.insert(place, None)

    def still(self, claim: Still, at: int, end: int, seen: Seen) -> int:
        """Take a run from `at` on; returns the place that has to be judged, or `end`."""
        return self._view.still(claim, at, end, seen) if self._view is not None else at
