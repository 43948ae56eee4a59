"""What this kernel tells of its own host's writes, by directory and name.

The watches are made by the processes that look, on an instance that they share with the driver:
a watch is a look at the storage, which may hang; reading what was told is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from fustor_core.claims import CLOSED, WRITING
from fustor_core.contracts import boottime_us
from fustor_core.files import inotify as kernel
from fustor_core.files.inotify import Inotify, Raw, parse
from fustor_source_nfs.heat import Place

READS_AT_ONCE = 64
STRANGE_MOST = 20_000  # events of watches that are being made
HEARD_MOST = 1000  # names of one directory, remembered for listings that are under way
LISTING_US = 120_000_000  # no listing takes longer, about


@dataclass(slots=True)
class Word:
    """What was said of one name.

    Attributes:
        since_us: nothing had been heard of it at this raw instant.
        flags: WRITING or CLOSED.
        came: it was made, or moved there.
        fresh: what was done has brought its attributes up to date in this host's caches; a file
            that was moved, or closed and perhaps never written, has them as they were before.
    """

    since_us: int
    flags: int = 0
    fresh: bool = False
    came: bool = False


@dataclass(slots=True)
class Heard:
    """One drained queue.

    Attributes:
        names: (directory, name) → what was said; without a name, of the directory itself.
        moves: (from, name, to, name) of directories, by one cookie.
        lost: the queue ran over.
    """

    names: dict[tuple[Place, bytes], Word] = field(default_factory=dict)
    moves: list[tuple[Place, bytes, Place, bytes]] = field(default_factory=list)
    lost: bool = False

    def __bool__(self) -> bool:
        return bool(self.names) or self.lost


class Ears:
    """The watches of one source.

    Raises:
        OSError: no inotify instance could be had.

    Attributes:
        arming: how many looks are under way that may make watches.
        left: watches to be given back.
        news: set when something was heard that was not taken yet, whoever listened.
    """

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._empty_us = boottime_us()
        self._by_wd: dict[int, Place] = {}
        self._halves: dict[int, tuple[Place, bytes]] = {}
        self._strange: list[tuple[Raw, int]] = []
        self._heard = Heard()
        self.arming = 0
        self.left: set[int] = set()
        self.news = anyio.Event()

    def __repr__(self) -> str:
        return f"<Ears with {len(self._by_wd)} watches>"

    @property
    def fd(self) -> int:
        """The instance's descriptor: readable when there is something to hear."""
        return self._inotify.fd

    @property
    def count(self) -> int:
        """How many directories are watched."""
        return len(self._by_wd)

    def add(self, place: Place, wd: int) -> None:
        """A watch was made on a directory; what it said meanwhile is heard now."""
        self.left.discard(wd)
        if self._by_wd.get(wd) is place:
            return
        before = self._by_wd.get(wd)
        if before is not None:
            before.wd = -1
        self.forget(place)
        place.wd, self._by_wd[wd] = wd, place
        strange, self._strange = self._strange, []
        for raw, since_us in strange:
            self._hear(raw, since_us)

    def forget(self, place: Place) -> None:
        """A directory is of no interest any more, or its watch is gone."""
        if self._by_wd.get(place.wd) is place:
            del self._by_wd[place.wd]
            self.left.add(place.wd)
        place.wd = -1

    def listen(self) -> None:
        """Read what there is, without waiting."""
        for _ in range(READS_AT_ONCE):
            asked_us = boottime_us()
            data = self._inotify.ask()
            if not data:
                self._empty_us = asked_us
                break
            for raw in parse(data):
                self._hear(raw, self._empty_us)
        if not self.arming:
            self._strange.clear()

    def take(self) -> Heard:
        """What was heard since this was asked last."""
        heard, self._heard = self._heard, Heard()
        self.news = anyio.Event()
        self._halves.clear()
        return heard

    def since(self, place: Place, at_us: int) -> list[bytes]:
        """Names in a directory that were spoken of at or after a raw instant."""
        if len(place.heard) > HEARD_MOST:
            late_us = boottime_us() - LISTING_US
            place.heard = {name: us for name, us in place.heard.items() if us >= late_us}
        return sorted(name for name, us in place.heard.items() if us >= at_us)

    def clear(self) -> None:
        """No watch means anything any more."""
        self._by_wd, self._strange, self._heard = {}, [], Heard()
        self._halves.clear()

    def close(self) -> None:
        """Give the instance back, and all watches with it."""
        self._inotify.close()

    def _hear(self, raw: Raw, since_us: int) -> None:
        place = self._by_wd.get(raw.wd)
        if place is None:
            if raw.mask & kernel.Q_OVERFLOW:
                self._heard.lost = True
                self.news.set()
            elif self.arming and len(self._strange) < STRANGE_MOST:
                self._strange.append((raw, since_us))
            return
        if raw.mask & kernel.IGNORED:
            del self._by_wd[raw.wd]
            place.wd = -1
        elif raw.name:
            self._name(place, raw, since_us)
        elif raw.mask & kernel.ATTRIB:
            self._word(place, b"", since_us).fresh = True

    def _name(self, place: Place, raw: Raw, since_us: int) -> None:
        mask, word = raw.mask, self._word(place, raw.name, since_us)
        if mask & kernel.NAMES:
            word.flags = 0  # another file from here on
            word.fresh = not mask & kernel.MOVED_TO
            word.came = bool(mask & (kernel.CREATE | kernel.MOVED_TO))
            self._word(place, b"", since_us).fresh = True
        elif mask & kernel.CLOSE_WRITE:
            word.flags = CLOSED
        elif mask & kernel.MODIFY:
            word.flags, word.fresh = WRITING, True
        elif mask & kernel.ATTRIB:
            word.fresh = True
        place.heard[raw.name] = boottime_us()
        if mask & kernel.ISDIR:
            if mask & kernel.MOVED_FROM:
                self._halves[raw.cookie] = place, raw.name
            elif mask & kernel.MOVED_TO and raw.cookie in self._halves:
                self._heard.moves.append((*self._halves.pop(raw.cookie), place, raw.name))

    def _word(self, place: Place, name: bytes, since_us: int) -> Word:
        self.news.set()
        return self._heard.names.setdefault((place, name), Word(since_us))
