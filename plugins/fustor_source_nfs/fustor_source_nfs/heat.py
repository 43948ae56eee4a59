"""Which directory is looked at next: what changes often, often; everything else in turn. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fustor_core.claims import Key, Listing

HOTTER, COOLER = 8, 2  # an interval is divided by this at a change, multiplied when quiet
HOTTEST = 16  # so many times more often than a quiet directory, at most

_NEW = b""


@dataclass(slots=True, eq=False)
class Place:
    """A directory that is polled, or watched, or both.

    Attributes:
        path: where it was seen last.
        due_us: when it is polled next; None = never, it is only watched.
        seen: digest of what was listed last; b"" = nothing that counts.
        told_us: when that was told last.
        cost: operations of the last look. kids: its child directories.
        listed: it was read, so that what is in it was told.
        wd: the watch on it, -1 = none. heard: names that an event spoke of, and when it was read.
        looked_us, own_ns, latest_ns: start of the last whole look, the directory's own change time
            then, and the latest one of its files; 0 = none.
    """

    path: bytes
    key: Key
    interval_us: int
    due_us: int | None
    seen: bytes = _NEW
    told_us: int = 0
    cost: int = 1
    kids: set[bytes] = field(default_factory=set)
    listed: bool = False
    wd: int = -1
    heard: dict[bytes, int] = field(default_factory=dict)
    looked_us: int = 0
    own_ns: int = 0
    latest_ns: int = 0

    @property
    def polled(self) -> bool:
        """Whether it is looked at again and again."""
        return self.due_us is not None


class Heat:
    """All directories that are polled, and those that are watched.

    Args:
        interval_us: between two looks at a quiet one.
        left: told of each that is forgotten.
    """

    def __init__(
        self, interval_us: int, left: Callable[[Place], None] = lambda place: None
    ) -> None:
        self._quiet_us = interval_us
        self._hot_us = max(1, interval_us // HOTTEST)
        self._left = left
        self.places: dict[bytes, Place] = {}
        self._queue: list[tuple[int, bytes]] = []

    def __repr__(self) -> str:
        return f"<Heat of {len(self.places)} directories>"

    @property
    def polled(self) -> int:
        """How many are polled."""
        return sum(place.polled for place in self.places.values())

    @property
    def cost(self) -> int:
        """Operations of one look at each that is polled."""
        return sum(place.cost for place in self.places.values() if place.polled)

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
        self._plan(self.places[path], now_us)
        return path

    def add(self, path: bytes, key: Key, now_us: int) -> None:
        """A directory that is to be polled and was not listed yet: it is due."""
        place = self.seat(path, key)
        if not place.polled:
            place.interval_us = self._hot_us
            self._due(place, now_us)

    def seat(self, path: bytes, key: Key) -> Place:
        """What is known of the directory at a path; of a new one, nothing, and it is not polled."""
        place = self.places.get(path)
        if place is None or place.key != key:
            self.drop(path)
            place = self.places[path] = Place(path, key, self._quiet_us, None)
        return place

    def listed(self, listing: Listing, kids: Iterable[bytes], cost: int, now_us: int) -> bool:
        """A directory was listed; from now on it is polled.

        Args:
            kids: names of its child directories.

        Returns:
            Whether it is not as it was at the last look.
        """
        place = self.seat(listing.path, listing.dir)
        first = not place.polled
        seen = _digest(listing)
        changed = seen != place.seen
        if place.seen:
            factor = 1 / HOTTER if changed else COOLER
            interval_us = round(place.interval_us * factor)
            place.interval_us = min(self._quiet_us, max(self._hot_us, interval_us))
        if first or place.seen:
            self._plan(place, now_us)
        place.seen, place.cost = seen, cost
        self.holds(place, kids, whole=listing.complete)
        return changed

    def holds(self, place: Place, kids: Iterable[bytes], *, whole: bool) -> None:
        """Which directories are in one.

        Args:
            whole: there are no others.
        """
        there = set(kids)
        if whole:
            for name in place.kids - there:
                self.drop(below(place.path, name))
            place.kids = there
        else:
            place.kids |= there

    def failed(self, path: bytes, now_us: int) -> None:
        """Nothing is known of it: whatever is seen next is news."""
        place = self.places.get(path)
        if place is not None:
            place.seen, place.interval_us, place.looked_us = _NEW, self._quiet_us, 0
            if place.polled:
                self._plan(place, now_us)

    def hasten(self, path: bytes, now_us: int) -> None:
        """A directory is due now, if it is polled."""
        place = self.places.get(path)
        if place is not None and place.polled:
            self._due(place, now_us)

    def move(self, old: bytes, new: bytes) -> None:
        """A directory stands elsewhere now, with everything below it."""
        self.drop(new)
        moved = []
        stack = [old]
        while stack:
            at = stack.pop()
            place = self.places.pop(at, None)
            if place is not None:
                moved.append(place)
                stack += [below(at, name) for name in place.kids]
        for place in moved:
            place.path = new + place.path[len(old) :]
            self.places[place.path] = place
            if place.due_us is not None:
                self._due(place, place.due_us)
        for path, held in ((old, False), (new, True)):
            folder, _, name = path.rpartition(b"/")
            parent = self.places.get(folder or b"/")
            if parent is not None and moved:
                (parent.kids.add if held else parent.kids.discard)(name)

    def drop(self, path: bytes) -> None:
        """A directory and everything below it is polled no more."""
        stack = [path]
        while stack:
            at = stack.pop()
            place = self.places.pop(at, None)
            if place is not None:
                stack += [below(at, name) for name in place.kids]
                self._left(place)

    def clear(self) -> None:
        """Nothing is known."""
        self.places, self._queue = {}, []

    def _plan(self, place: Place, now_us: int) -> None:
        self._due(place, now_us + place.interval_us)

    def _due(self, place: Place, at_us: int) -> None:
        place.due_us = at_us
        heapq.heappush(self._queue, (at_us, place.path))


def below(path: bytes, name: bytes) -> bytes:
    """The view path of a name in a directory."""
    return path.rstrip(b"/") + b"/" + name


def _digest(listing: Listing) -> bytes:
    """What is told again when it is another: its own times would tell of each change twice.

    Of a weak name nothing is taken; it is another once it is not weak any more.
    """
    if not listing.complete and not listing.errno and listing.reason == "not_yet":
        return _NEW
    found = hashlib.blake2b(listing.names, digest_size=16)
    found.update(b"\0" + listing.rows + bytes([listing.complete]) + listing.reason.encode())
    found.update(b"\0".join(listing.weak))
    found.update(listing.own[16:48] if listing.own is not None else b"")
    return found.digest()
