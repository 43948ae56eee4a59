"""Which directory is looked at next: what changes often, often; everything else in turn. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from fustor_core.claims import Key, Listing

HOTTER, COOLER = 8, 2  # an interval is divided by this at a change, multiplied when quiet
HOTTEST = 16  # so many times more often than a quiet directory, at most

_NEW = b""


@dataclass(slots=True)
class Place:
    """A directory that is polled.

    Attributes:
        seen: digest of what was listed last; b"" = nothing that counts.
        cost: operations of the last look. kids: its child directories.
    """

    key: Key
    interval_us: int
    due_us: int
    seen: bytes = _NEW
    cost: int = 1
    kids: set[bytes] = field(default_factory=set)


class Heat:
    """All directories that are polled.

    Args:
        interval_us: between two looks at a quiet one.
    """

    def __init__(self, interval_us: int) -> None:
        self._quiet_us = interval_us
        self._hot_us = max(1, interval_us // HOTTEST)
        self.places: dict[bytes, Place] = {}
        self._queue: list[tuple[int, bytes]] = []

    def __repr__(self) -> str:
        return f"<Heat of {len(self.places)} directories>"

    @property
    def cost(self) -> int:
        """Operations of one look at each."""
        return sum(place.cost for place in self.places.values())

    def due_us(self) -> int | None:
        """When the next one is due; None when there are none."""
        while self._queue:
            due_us, path = self._queue[0]
            place = self.places.get(path)
            if place is not None and place.due_us == due_us:
                return due_us
            heapq.heappop(self._queue)
        return None

    def next(self, now_us: int) -> bytes | None:
        """The path of one that is due; it is due again after its interval."""
        due_us = self.due_us()
        if due_us is None or due_us > now_us:
            return None
        path = self._queue[0][1]
        self._plan(path, self.places[path], now_us)
        return path

    def add(self, path: bytes, key: Key, now_us: int) -> None:
        """A directory that was not listed yet: it is due."""
        place = self.places.get(path)
        if place is None or place.key != key:
            self.drop(path)
            self._put(path, Place(key, self._hot_us, now_us))

    def listed(self, listing: Listing, kids: Iterable[bytes], cost: int, now_us: int) -> bool:
        """A directory was listed.

        Args:
            kids: names of its child directories that are to be polled.

        Returns:
            Whether it is not as it was at the last look.
        """
        place = self.places.get(listing.path)
        if place is None or place.key != listing.dir:
            self.drop(listing.path)
            place = Place(listing.dir, self._quiet_us, now_us + self._quiet_us)
            self._put(listing.path, place)
        seen = _digest(listing)
        changed = seen != place.seen
        if place.seen:
            factor = 1 / HOTTER if changed else COOLER
            interval_us = round(place.interval_us * factor)
            place.interval_us = min(self._quiet_us, max(self._hot_us, interval_us))
            self._plan(listing.path, place, now_us)
        place.seen, place.cost = seen, cost
        there = set(kids)
        if listing.complete:
            for name in place.kids - there:
                self.drop(below(listing.path, name))
            place.kids = there
        else:
            place.kids |= there
        return changed

    def failed(self, path: bytes, now_us: int) -> None:
        """Nothing is known of it: whatever is seen next is news."""
        place = self.places.get(path)
        if place is not None:
            place.seen, place.interval_us = _NEW, self._quiet_us
            self._plan(path, place, now_us)

    def hasten(self, path: bytes, now_us: int) -> None:
        """A directory is due now."""
        place = self.places.get(path)
        if place is not None:
            place.due_us = now_us
            heapq.heappush(self._queue, (now_us, path))

    def drop(self, path: bytes) -> None:
        """A directory and everything below it is polled no more."""
        stack = [path]
        while stack:
            at = stack.pop()
            place = self.places.pop(at, None)
            if place is not None:
                stack += [below(at, name) for name in place.kids]

    def clear(self) -> None:
        """Nothing is polled."""
        self.places, self._queue = {}, []

    def _put(self, path: bytes, place: Place) -> None:
        self.places[path] = place
        heapq.heappush(self._queue, (place.due_us, path))

    def _plan(self, path: bytes, place: Place, now_us: int) -> None:
        place.due_us = now_us + place.interval_us
        heapq.heappush(self._queue, (place.due_us, path))


def below(path: bytes, name: bytes) -> bytes:
    """The view path of a name in a directory."""
    return path.rstrip(b"/") + b"/" + name


def _digest(listing: Listing) -> bytes:
    """What is told again when it is another: its own times would tell of each change twice."""
    if not listing.complete and not listing.errno and listing.reason == "not_yet":
        return _NEW
    found = hashlib.blake2b(listing.names, digest_size=16)
    found.update(b"\0" + listing.rows + bytes([listing.complete]) + listing.reason.encode())
    found.update(listing.own[16:48] if listing.own is not None else b"")
    return found.digest()
