"""Listings of directories that hold what was sent last, many in one claim. Pure.

A run of them has one stamp, from the first look to the end of the last one. It is as true as their
own stamps, and no sharper: so a run is short, lest events of meanwhile could not be told from it.
"""

from __future__ import annotations

from fustor_core.claims import (
    CALM_MOST,
    KEY,
    ROW,
    ROW_BYTES,
    STILL_BYTES,
    Key,
    Listing,
    Silence,
    Stamp,
    Still,
    digest_of,
)

SPAN_US = 50_000
"""The looks of one run begin within so long."""


def silence_of(own: bytes) -> Silence:
    """The membership key that a directory's own attributes make."""
    _, mtime_ns, ctime_ns, ino, _, _, _, nlink = ROW.unpack(own)
    return Silence(ctime_ns, mtime_ns, ino, nlink)


def listing_at(still: Still, at: int) -> Listing:
    """What a run says of one directory, without its path."""
    tail = still.sums[at * STILL_BYTES : (at + 1) * STILL_BYTES]
    own = tail[1 : 1 + ROW_BYTES]
    return Listing(
        dir=Key(*KEY.unpack_from(still.keys, at * KEY.size)),
        names=b"",
        rows=b"",
        stamp=still.stamp,
        origin=still.origin,
        own=own,
        silence=silence_of(own) if tail[0] else None,
        digest=tail[1 + ROW_BYTES :],
    )


def fits(listing: Listing) -> bool:
    """Whether a run can say all that a listing says which is whole and has no weak names."""
    own, silence = listing.own, listing.silence
    if own is None or len(own) != ROW_BYTES:
        return False
    return silence is None or silence == silence_of(own)


class Stills:
    """The run that is being gathered."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._sums: list[bytes] = []
        self._last: Listing | None = None
        self._f = self._t = self._at = 0

    def __repr__(self) -> str:
        return f"<Stills {len(self._keys)}>"

    def takes(self, listing: Listing) -> bool:
        """Whether a listing that `fits` can go into the run that is gathered."""
        last, stamp = self._last, listing.stamp
        if last is None:
            return True
        alike = (last.stamp.kind, last.origin) == (stamp.kind, listing.origin)
        return alike and 0 <= stamp.f - self._f <= SPAN_US and len(self._keys) < CALM_MOST

    def add(self, listing: Listing) -> None:
        """A listing that is as it was sent last; see `takes`."""
        stamp, own = listing.stamp, listing.own
        assert own is not None
        if self._last is None:
            self._f, self._t, self._at = stamp.f, stamp.t, stamp.at
        self._t, self._at = max(self._t, stamp.t), min(self._at, stamp.at)
        self._keys.append(KEY.pack(*listing.dir))
        self._sums.append(
            b"%c%b%b" % (listing.silence is not None, own, digest_of(listing.names, listing.rows))
        )
        self._last = listing

    def end(self) -> Still | None:
        """The run, None when there is none; another one begins."""
        last = self._last
        if last is None:
            return None
        still = Still(
            keys=b"".join(self._keys),
            sums=b"".join(self._sums),
            stamp=Stamp(self._f, self._t, self._at, last.stamp.kind),
            origin=last.origin,
            path=last.path,
        )
        self._keys, self._sums, self._last = [], [], None
        return still
