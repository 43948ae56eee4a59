"""What one source knows of its tree, and its way to ask the storage for more."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import anyio
import msgspec

from fustor_core.claims import Cell, Key, Listing, Origin, Owe, Root, Stamp
from fustor_core.contracts import boottime_us
from fustor_core.errors import FustorError
from fustor_core.files.inotify import watch_limit
from fustor_core.files.rooted import RootVanished
from fustor_source_nfs.config import NfsConfig
from fustor_source_nfs.crew import Crew
from fustor_source_nfs.frames import Begin, Found, Glance, Look, Prove, Read, Stats, Task, Touch
from fustor_source_nfs.hearing import Ears
from fustor_source_nfs.heat import Heat, Place, below
from fustor_source_nfs.pace import Pace
from fustor_source_nfs.staleness import Staleness

LEFT_OUT_MOST = 1000
WHOLE = (Origin.SNAPSHOT, Origin.AUDIT)  # scans of who leads: what they show is polled
_STAMPED = (Read, Glance, Stats, Touch, Look)
_KEPT_OUT = ("excluded", "other_device")

Claims = list[Cell | Listing | Owe]


class WatchError(FustorError):
    """Watching was asked for, and cannot be had."""


class Ground:
    """The tree of one source.

    Attributes:
        heat: its directories. ears: what this host's own writes are heard with, while watched.
        pace: of polling. birth: kind of births, as told; "" = as the root has it.
        news: set when something new is polled.
    """

    def __init__(self, config: NfsConfig) -> None:
        self.config = config
        self.heat = Heat(round(config.poll_interval * 1e6), self._left)
        self.pace = Pace(None if config.rate == "auto" else config.rate)
        self.ears: Ears | None = None
        self.birth = ""
        self.root: Root | None = None
        self.news = anyio.Event()
        self._crew = Crew(self._begin, config.hang_after)
        self._first = anyio.Lock()
        self._staleness = Staleness()
        self._bound_us = 0
        self._said_us = 0  # the bound as the mount or the configuration has it
        self._left_out: dict[bytes, set[bytes]] = {}  # names, by the directory that they are in

    def __repr__(self) -> str:
        return f"<Ground {self.config.root!r}, {self.heat!r}, {self._crew!r}, {self.ears!r}>"

    # ---- asking

    async def ask(self, task: Task) -> Found:
        """What the storage says. Of a watch that was made, `watch_of` is told before any wait.

        Raises:
            StorageHung, RootVanished, Refused, OSError: as found.
        """
        ears = self.ears if isinstance(task, Read | Glance) else None
        if ears is not None:
            ears.arming += 1
        try:
            found = await self._crew.ask(task)
            if isinstance(task, _STAMPED) and found.bound_us < self._staleness.bound_us:
                found = await self._crew.ask(task)  # it was asked before the bound was widened
        finally:
            if ears is not None:
                ears.arming -= 1
        if isinstance(task, Read | Prove):
            self._bound_us = found.bound_us
            if not self._staleness.bound_us:
                self._said_us = found.bound_us
        return found

    async def identity(self) -> Root:
        """Which storage stands at the root's path just now.

        Raises:
            StorageHung: it does not say.
        """
        # The first of all is alone: a second one would be compared with nothing.
        async with self._first if self.root is None else nullcontext():
            (root,) = (await self.ask(Prove())).claims
            assert isinstance(root, Root)
            if root.present and self.root is None:
                self.root = root
            return root

    async def prove(self) -> None:
        """The root is proven, now or before; all looks are compared with that.

        Raises:
            RootVanished: it is not there. StorageHung: it does not say.
        """
        if self.root is not None:
            return
        root = await self.identity()
        if not root.present:
            raise RootVanished(
                f"root {self.config.root!r} cannot be used: {root.reason}",
                reason=root.reason,
                remedy="mount or restore it; nothing is deleted meanwhile",
            )

    def key_of(self, path: bytes) -> Key | None:
        """The key of the directory at a path, if it is known."""
        place = self.heat.places.get(path)
        if place is not None:
            return place.key
        return self.root.key if self.root is not None and path == b"/" else None

    # ---- knowing

    def watched(self) -> None:
        """From now on own writes are heard, if that can be had; what stood there is proven anew.

        Raises:
            WatchError: it cannot be had, and `watch: inotify`.
        """
        self.forget()
        if self.config.watch == "off":
            return
        try:
            self.ears = Ears()
        except OSError as err:
            if self.config.watch == "inotify":
                raise WatchError(
                    f"no inotify instance for {self.config.root!r}: {err.strerror}",
                    remedy="raise fs.inotify.max_user_instances, or set `watch: auto`",
                ) from err

    def unwatched(self) -> None:
        """Nobody listens or polls any more; waits for nobody."""
        self._crew.close()
        ears, self.ears = self.ears, None
        if ears is not None:
            ears.close()

    def forget(self) -> None:
        """Nothing is known."""
        self._crew.close()
        self.heat.clear()
        self._left_out.clear()
        self.root = None
        if self.ears is not None:
            self.ears.clear()

    def has_folders(self, place: Place) -> bool:
        """Whether there were directories in one when it was read, left out or not."""
        return bool(place.kids) or place.path in self._left_out

    def watch_of(self, place: Place, found: Found) -> None:
        """A directory was looked at, and watched if that could be had."""
        if self.ears is not None and found.wd >= 0:
            self.ears.add(place, found.wd)

    def met(self, path: bytes, found: Found) -> Place | None:
        """A directory was glanced at; None when none stands there."""
        if found.key is None:
            return None
        place = self.heat.seat(path, found.key)
        self.watch_of(place, found)
        return place

    def note(self, path: bytes, found: Found, *, polled: bool, follow: bool) -> bool:
        """Remember what was read; whether that is news.

        Args:
            polled: it is polled from now on. follow: so are its child directories, at once.
        """
        now = boottime_us()
        if not found.claims:
            return False
        first = found.claims[0]
        if not isinstance(first, Listing) or first.path != path:
            self.heat.drop(path)
            self.heat.hasten(path.rpartition(b"/")[0] or b"/", now)
            return True
        if first.reason in _KEPT_OUT:
            return False
        place = self.heat.seat(path, first.dir)
        place.listed = True
        found.claims[0] = first = self._judged(place, first, found)
        kids = [kid for kid in found.kids if not kid.left_out]
        names = [kid.name for kid in kids]
        changed = True
        if polled:
            place.told_us = now if first.origin in WHOLE else place.told_us
            changed = self.heat.listed(first, names, found.operations, now)
        else:
            self.heat.holds(place, names, whole=first.complete)
        if follow:
            for kid in kids:
                self.heat.add(below(path, kid.name), kid.key, now)
        shut = {*found.hidden, *(kid.name for kid in found.kids if kid.left_out)}
        if shut and len(self._left_out) < LEFT_OUT_MOST:
            self._left_out[path] = shut
        elif not shut:
            self._left_out.pop(path, None)
        self.news.set()
        return changed

    def _judged(self, place: Place, listing: Listing, found: Found) -> Listing:
        """A listing without what events and the storage's clock speak against."""
        weak: set[bytes] = set()
        if self.ears is not None:
            self.watch_of(place, found)
            self.ears.listen()
            weak.update(self.ears.since(place, listing.stamp.at))
        if self._staleness.looked(place, listing, found.bound_us):
            self._crew.close()  # who looks from now on knows better
            self._bound_us = self._staleness.bound_us
        key = listing.silence
        if key is not None and not self._staleness.settled(key.ctime_ns, listing.stamp.at):
            key = None
        weak.update(listing.weak)
        return msgspec.structs.replace(listing, weak=tuple(sorted(weak)), silence=key)

    def _left(self, place: Place) -> None:
        if self.ears is not None:
            self.ears.forget(place)

    def _begin(self) -> Begin:
        config, bound = self.config, self.config.cache_bound
        bound_us = None if bound is None else round(bound * 1e6)
        return Begin(
            root=os.fsencode(config.root),
            exclude=config.exclude,
            exclude_paths=[os.fsencode(path) for path in config.exclude_paths],
            silly=not config.show_silly_renames,
            cross=config.cross_filesystems,
            bound_us=self._staleness.bound_us or bound_us,
            birth=self.birth,
            proven=self.root,
            ears=self.ears.fd if self.ears is not None else -1,
        )

    # ---- telling

    def coverage(self, *, watched: bool) -> dict[str, Any]:
        """How much is watched and polled, how soon a change is found, what is left out by choice.

        What others write no watch sees: all of it is uncovered, and the poller finds it.
        """
        paths = (below(at, name) for at, names in self._left_out.items() for name in names)
        around_s = max(self.config.poll_interval, self.heat.cost / self.pace.rate)
        return {
            "watched_dirs": self.ears.count if self.ears is not None else 0,
            "watch_limit": watch_limit(),
            "uncovered": [b"/"],
            "polled_dirs": self.heat.polled if watched else 0,
            "excluded": sorted(paths),
            "rate": round(self.pace.rate, 1),
            "cache_bound_s": self._bound_us / 1e6,
            "found_within_s": round(around_s + self._bound_us / 1e6, 1),
            "warnings": self._warnings(),
        }

    def _warnings(self) -> list[str]:
        staleness = self._staleness
        if not staleness.shown_us:
            return []
        source = "the mount says" if self.config.cache_bound is None else "`cache_bound` says"
        bound_s = -(-staleness.bound_us // 1_000_000)
        told = (
            f"an answer of the caches of {self.config.root!r} was {staleness.shown_us / 1e6:.1f} s"
            f" old, and {source} {self._said_us / 1e6:g} s: all are taken to be up to {bound_s} s"
            f" old from now on; set `cache_bound: {bound_s}`"
        )
        return [told]


def unread(path: bytes, key: Key, origin: Origin, reason: str, code: int) -> Listing:
    """The listing of a directory that was not read, and why."""
    now = boottime_us()
    return Listing(
        dir=key,
        names=b"",
        rows=b"",
        stamp=Stamp(now, now + 1, now, "l" if key.birth else "k"),
        origin=origin,
        path=path,
        complete=False,
        reason=reason,
        errno=code,
    )
