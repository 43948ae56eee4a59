"""How old the answers of the caches really were, told by the storage's own change times. Pure.

A look that shows a change tells, by its change time, when it was made. If the look before it did
not show it though it was made long enough before that one, the answer then was too old. Only the
storage's clock says so, and how it stands to ours is not known: a change is never seen before it
is made, so the latest of what was seen says at least how far ahead the storage's clock is. What
follows from that is never too strict.
"""

from __future__ import annotations

from collections import deque

from fustor_core.claims import ROW_BYTES, Listing
from fustor_source_nfs.heat import Place

SLACK_US = 2_500_000  # change times of old servers count in two seconds, clocks are slewed
SURE_US = 2_100_000
MOST_US = 6 * 3_600_000_000  # older than that: somebody has set the storage's clock
SAMPLES = 64
SAMPLE_AGE_US = 3_600_000_000
SPARE = 1.5
_TYPE_AT, _CTIME_AT = 33, 16
_IS_DIR = bytes(1 if high & 0xF0 == 0x40 else 0 for high in range(256))


class Staleness:
    """What is known of the storage's clock, and of the caches.

    Attributes:
        shown_us: the age of the oldest answer that was older than the bound; 0 = there was none.
        bound_us: then, the bound that looks safe.
    """

    def __init__(self) -> None:
        self.shown_us = self.bound_us = 0
        self._changes: deque[tuple[int, int]] = deque(maxlen=SAMPLES)  # (when, clock ahead by)
        self._ahead_us: int | None = None  # at least, by all that was ever seen

    def __repr__(self) -> str:
        return f"<Staleness shown_us={self.shown_us}>"

    def looked(self, place: Place, listing: Listing, bound_us: int) -> bool:
        """A directory was listed; whether the look before it got an answer too old for the bound.

        Args:
            place: as it was remembered; it is brought up to date.
        """
        own_ns = _ctime(listing.own) if listing.own is not None else 0
        times = _ctimes(listing)
        latest_ns, stamp = max(times, default=0), listing.stamp
        self._saw(max(own_ns, latest_ns), stamp.t)
        before_us = place.looked_us
        changed: list[int] = []
        if before_us and own_ns > place.own_ns:
            changed = [own_ns]
        elif before_us and own_ns == place.own_ns:  # the same files, so a later time is a change
            changed = [ns for ns in times if ns > place.latest_ns]
        place.looked_us = stamp.at if listing.complete else 0
        place.own_ns, place.latest_ns = own_ns, latest_ns
        if not changed:
            return False
        self._changes.append((stamp.t, max(changed) // 1000 - stamp.t))
        ahead_us = max(by for at, by in self._changes if stamp.t - at < SAMPLE_AGE_US)
        age_us = before_us - (min(changed) // 1000 - ahead_us)
        if not bound_us + SLACK_US < age_us < MOST_US:
            return False
        self.shown_us = max(self.shown_us, age_us)
        self.bound_us = max(self.bound_us, round(age_us * SPARE))
        return True

    def settled(self, ctime_ns: int, at_us: int) -> bool:
        """Whether by its own clock the storage was surely past this change time at a raw instant.

        Else a later change may carry the same time.
        """
        return self._ahead_us is not None and at_us + self._ahead_us - ctime_ns // 1000 > SURE_US

    def _saw(self, ctime_ns: int, at_us: int) -> None:
        ahead_us = ctime_ns // 1000 - at_us
        if self._ahead_us is None or ahead_us > self._ahead_us:
            self._ahead_us = ahead_us


def _ctime(row: bytes) -> int:
    return int.from_bytes(row[_CTIME_AT : _CTIME_AT + 8], "little", signed=True)


def _ctimes(listing: Listing) -> list[int]:
    """Change times of all that is no directory: an edge has none."""
    times = memoryview(listing.rows).cast("q")[_CTIME_AT // 8 :: ROW_BYTES // 8].tolist()
    dirs = listing.rows[_TYPE_AT::ROW_BYTES].translate(_IS_DIR)
    if b"\1" not in dirs:
        return times
    return [ns for ns, folder in zip(times, dirs, strict=True) if not folder]
