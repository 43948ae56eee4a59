"""What of a batch need not be judged one by one: runs of unchanged listings, plain first listings.

The view does what the judgements would have done (`Recognising`), as the arbitrator has said that
they would (`Sparing`). Whatever is more than that is judged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fustor_core.claims import ROW_BYTES, Batch, Claim, Listing, Still
from fustor_core.contracts import Arbitrator, Facts, Recognising, Sparing, View
from fustor_core.registers import NO_LINE, Seen

GROUP_ROWS = 5000
"""Rows whose columns are looked at together."""


class Bulk:
    """The short ways into one view.

    Args:
        view, arbitrator: where one of them is not made for that, everything is judged.
    """

    def __init__(self, view: View, arbitrator: Arbitrator) -> None:
        self._sparing = arbitrator if isinstance(arbitrator, Sparing) else None
        self._view = view if self._sparing and isinstance(view, Recognising) else None
        self._claims: Sequence[Claim] = ()
        self._plain: dict[int, Any] = {}
        self._seen_until = self._before_ns = 0
        self._aside: Collection[int] = ()

    def __repr__(self) -> str:
        return f"<Bulk of {self._view!r}>"

    def begin(self, batch: Batch, aside: Collection[int], now_us: int, storage_ns: int) -> None:
        """A batch begins.

        Args:
            aside: claims that are not to be taken.
        """
        self._claims, self._aside = batch.claims, aside
        self._plain, self._seen_until = {}, 0
        if self._sparing is not None:
            facts = Facts(Seen(now_us, now_us, NO_LINE, 0, 0, 0, "m"), now_us, storage_ns)
            self._before_ns = self._sparing.spares(facts)

    def end(self) -> None:
        """Somebody may look, or the batch is over."""
        if self._view is not None:
            self._view.summed()

    def listed(self, at: int, claim: Listing, seen: Seen) -> bool:
        """Take the claim at this place of the batch; False: it has to be judged."""
        view = self._view
        if view is None:
            return False
        if at >= self._seen_until:
            self._group(view, at)
        plain = self._plain.pop(at, None)
        if plain is not None and view.first(claim, seen, plain):
            return True
        view.summed()
        return False

    def _group(self, view: Recognising, at: int) -> None:
        places: list[int] = []
        group: list[Listing] = []
        rows, claims = 0, self._claims
        while at < len(claims) and rows < GROUP_ROWS:
            claim = claims[at]
            if not isinstance(claim, Listing):
                break
            if at not in self._aside:
                places.append(at)
                group.append(claim)
                rows += len(claim.rows) // ROW_BYTES
            at += 1
        self._seen_until = at
        self._plain = dict(zip(places, view.plain(group, self._before_ns), strict=True))

    def still(self, claim: Still, at: int, end: int, seen: Seen) -> int:
        """Take a run from `at` on; returns the place that has to be judged, or `end`."""
        return self._view.still(claim, at, end, seen) if self._view is not None else at
