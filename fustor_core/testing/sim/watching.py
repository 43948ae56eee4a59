"""The watch of the simulated source: from the kernel's words to claims (arbitration.md §2, §9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fustor_core.claims import (
    CLOSED,
    MOVED,
    WRITING,
    Cell,
    Key,
    Origin,
    Owe,
    Stamp,
    edge_key,
    is_dir,
)
from fustor_core.files.listing import reason_of
from fustor_core.testing.sim.inotify import OVERFLOW, Inotify
from fustor_core.testing.sim.reading import Entry, Eyes
from fustor_core.testing.sim.storage import Inode, Told

HOLD_US = 40_000  # how long a directory may be elsewhere before its events are given up
LOOSE_US = 60_000
_NAMES = frozenset({"create", "delete", "from", "to"})
_UNMADE = frozenset({"delete", "from"})


@dataclass(eq=False, slots=True)
class Touch:
    """One name that has to be looked at; ``b""`` is the directory itself."""

    entry: Entry
    name: bytes
    since_us: int
    words: set[str] = field(default_factory=set)
    last: str = ""
    flags: int = 0
    until_us: int = 0
    pair: int = 0  # uid of a known directory that came here, or left, by one cookie

    def add(self, word: str) -> None:
        """One more word about this name."""
        self.words.add(word)
        if word in _NAMES:
            self.last, self.flags = word, 0
        elif word == "close":
            self.flags = CLOSED
        elif word == "modify":
            self.flags = WRITING


class Registry:
    """The directories that a source knows, and where it saw the files with several names."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self._files: dict[int, dict[tuple[int, bytes], Entry]] = {}
        self._shown: dict[tuple[int, bytes], int] = {}

    def __repr__(self) -> str:
        return f"<Registry {len(self.entries)} directories>"

    def kids(self, entry: Entry) -> Iterator[Entry]:
        """Directories that were last seen in this one."""
        return (e for e in self.entries.values() if e.above is entry)

    def at(self, entry: Entry, name: bytes) -> Entry | None:
        """The directory that was last seen at a name."""
        return next((e for e in self.kids(entry) if e.name == name), None)

    def drop(self, entry: Entry) -> list[Entry]:
        """Forget a directory and what is below it."""
        dropped = [entry]
        for below in list(self.kids(entry)):
            dropped += self.drop(below)
        entry.gone = True
        if self.entries.get(entry.inode.uid) is entry:
            del self.entries[entry.inode.uid]
        return dropped

    def saw(self, entry: Entry, name: bytes, row: bytes | None) -> list[tuple[Entry, bytes]]:
        """A file was looked at; returns other names whose rows that puts in doubt."""
        place = entry.inode.uid, name
        ino = int.from_bytes(row[24:32], "little") if row is not None and not is_dir(row) else 0
        before = self._shown.get(place, 0)
        if before and before != ino:
            self._files[before].pop(place, None)
            self._shown.pop(place)
        if ino:
            self._shown[place] = ino
            self._files.setdefault(ino, {})[place] = entry
        others = {**self._files.get(before, {}), **self._files.get(ino, {})}
        return [(e, n) for (uid, n), e in others.items() if (uid, n) != place and not e.gone]


class Watch:
    """One watch, from its arming to its end.

    Args:
        eyes: to look with. inotify: the queue. at_once: so many events are read at a time.
        doubtful: the share of drains in which a directory cannot be proven at first.
    """

    def __init__(
        self, eyes: Eyes, inotify: Inotify, *, at_once: int, doubtful: float, cached: bool
    ) -> None:
        self.eyes, self.inotify = eyes, inotify
        self.registry = Registry()
        self.enter: list[tuple[Entry, bytes, bool]] = []  # (directory, name, only what is new)
        self.ordinal = eyes.now_us()
        self._at_once, self._doubtful, self._cached = at_once, doubtful, cached
        self._empty_us = eyes.now_us()
        self._held: list[Touch] = []
        self._loose: dict[int, int] = {}
        self.uncovered: set[int] = set()

    def __repr__(self) -> str:
        return f"<Watch {self.inotify!r}>"

    # ---- arming

    def cover(self, inode: Inode, above: Entry | None, name: bytes) -> Entry:
        """A directory was opened: watch it, and note where it is."""
        entry = self.registry.entries.get(inode.uid)
        if entry is None:
            entry = self.registry.entries[inode.uid] = Entry(inode, None, name)
        self._sit(entry, above, name, self.eyes.now_us())
        try:
            self.inotify.add(inode)
        except OSError:
            self.uncovered.add(inode.uid)
        else:
            entry.watched = True
            self.uncovered.discard(inode.uid)
        return entry

    # ---- draining

    def due_us(self) -> int | None:
        """Raw instant at which something is due by itself."""
        due = [touch.until_us for touch in self._held if touch.until_us]
        return min([*due, *self._loose.values()], default=None)

    @property
    def ready(self) -> bool:
        """Something can be read."""
        return not self.inotify.empty

    def drain(self) -> list[Cell | Owe]:
        """Read, and look at what was spoken of."""
        now = self.eyes.now_us()
        told = self.inotify.take(self._at_once)
        since = self._empty_us
        if self.inotify.empty:
            self._empty_us = now
        touches = {(t.entry.inode.uid, t.name): t for t in self._held}
        self._held = []
        lost = self._fold(told, touches, since, now)
        claims = self._resolve(touches, now)
        root = self.eyes.mount.root
        if lost and root is not None:
            claims.append(self._owe(root.key, b"/", "overflow", deep=True))
        for uid, until in list(self._loose.items()):
            if until <= now:
                del self._loose[uid]
                entry = self.registry.entries.get(uid)
                if entry is not None and entry.above is None:
                    self._drop(entry)
        return claims

    def _touch(
        self, touches: dict[tuple[int, bytes], Touch], entry: Entry, name: bytes, since: int
    ) -> Touch:
        found = touches.get((entry.inode.uid, name))
        if found is None:
            found = touches[entry.inode.uid, name] = Touch(entry, name, since)
        return found

    def _fold(
        self, told: list[Told], touches: dict[tuple[int, bytes], Touch], since: int, now: int
    ) -> bool:
        lost = False
        halves: dict[int, Touch] = {}
        for one in told:
            if one is OVERFLOW:
                lost = True
                continue
            entry = self.registry.entries.get(one.folder.uid)
            if entry is None:
                continue
            if one.word == "ignored":
                self._drop(entry)
            elif one.word == "self":
                continue
            elif not one.name:
                self._touch(touches, entry, b"", since).add(one.word)
            else:
                touch = self._touch(touches, entry, one.name, since)
                touch.add(one.word)
                if one.word in _NAMES:
                    self._touch(touches, entry, b"", since)
                    if one.child.folder:
                        self._seat(touch, one, halves, now)
        return lost

    def _seat(self, touch: Touch, one: Told, halves: dict[int, Touch], now: int) -> None:
        """A directory came to, or left, a watched place."""
        kid = self.registry.at(touch.entry, one.name)
        if one.word == "from" and kid is not None:
            self._unseat(kid, now)
            touch.pair = kid.inode.uid
            halves[one.cookie] = touch
        elif one.word == "to" and one.cookie in halves:
            start = halves.pop(one.cookie)
            child = self.registry.entries.get(start.pair)
            if child is not None:
                self._sit(child, touch.entry, one.name, now)
                touch.pair = start.pair
        elif one.word == "delete" and kid is not None:
            self._unseat(kid, now)

    def _sit(self, entry: Entry, above: Entry | None, name: bytes, now: int) -> None:
        """A directory stands there now, also when `above` was last seen below it. None stands in
        itself: what was known of its place was old."""
        if above is entry:
            return
        between = above
        while between is not None and between.above is not entry:
            between = between.above
        if between is not None:  # a move not heard of yet took `above` out of there
            self._unseat(between, now)
        entry.above, entry.name = above, name
        self._loose.pop(entry.inode.uid, None)

    def _unseat(self, kid: Entry, now: int) -> None:
        kid.above = None
        self._loose[kid.inode.uid] = now + LOOSE_US

    def _drop(self, entry: Entry) -> None:
        for dropped in self.registry.drop(entry):
            self.inotify.remove(dropped.inode.uid)
            self.uncovered.discard(dropped.inode.uid)
            self._loose.pop(dropped.inode.uid, None)

    # ---- looking

    def _resolve(self, touches: dict[tuple[int, bytes], Touch], now: int) -> list[Cell | Owe]:
        claims: list[Cell | Owe] = []
        owed: dict[Key, Owe] = {}
        doubt = self._doubtful and self.eyes.machine.rng.random() < self._doubtful
        again: list[tuple[Entry, bytes]] = []
        for touch in touches.values():
            entry = touch.entry
            path = None if entry.gone or doubt else self._proven(entry)
            if path is None:
                self._unproven(touch, now, claims, owed)
                continue
            try:
                self._look(touch, path, claims, again)
            except OSError as error:
                code = error.errno or 0
                owe = self._owe(entry.inode.key, path, reason_of(code), code=code)
                owed.setdefault(entry.inode.key, owe)
        for entry, name in again:
            if (entry.inode.uid, name) not in touches and not entry.gone:
                path = self._proven(entry)
                if path is not None:
                    self._look_again(entry, name, path, claims)
        return [*claims, *owed.values()]

    def _proven(self, entry: Entry) -> bytes | None:
        """View path of a directory that is found where it should be."""
        mount = self.eyes.mount
        if mount.root is not mount.storage.root:
            return None
        return mount.storage.path(entry.inode)

    def _look(
        self, touch: Touch, path: bytes, claims: list[Cell | Owe], again: list[tuple[Entry, bytes]]
    ) -> None:
        entry, name = touch.entry, touch.name
        if not name:
            stamp = self._stamp(touch.since_us)
            own = self.eyes.mount.attributes(entry.inode, self.eyes.true_us()).own
            claims.append(_cell(entry.inode.key, b"", own, stamp, path))
            return
        if entry.reading is not None:
            entry.reading.add(name)
        value = self.eyes.sight(entry.inode, name)
        stamp = self._stamp(touch.since_us)
        folder = value is not None and is_dir(value)
        flags = touch.flags if value is not None and not folder else 0
        if touch.pair:
            came = "to" in touch.words and folder
            child = self.registry.entries.get(touch.pair)
            same = child is not None and value is not None and folder
            if same and child is not None and value is not None:
                same = edge_key(value) == child.inode.key
            flags = MOVED if came == same else 0
        claims.append(_cell(entry.inode.key, name, value, stamp, path, flags))
        if folder:
            self._reconcile(touch, path, claims)
        else:
            kid = self.registry.at(entry, name)
            if kid is not None:
                self._unseat(kid, self.eyes.now_us())
        again += self.registry.saw(entry, name, value)

    def _look_again(self, entry: Entry, name: bytes, path: bytes, claims: list[Cell | Owe]) -> None:
        """A file that changed by another of its names."""
        try:
            if entry.reading is not None:
                entry.reading.add(name)
            value = self.eyes.sight(entry.inode, name)
        except OSError:
            return
        if value is not None and not is_dir(value):
            stamp = self._stamp(self.eyes.now_us() - self.eyes.claimed_bound_us)
            claims.append(_cell(entry.inode.key, name, value, stamp, path))
            self.registry.saw(entry, name, value)

    def _reconcile(self, touch: Touch, path: bytes, claims: list[Cell | Owe]) -> None:
        """What has to be entered after a directory was seen at a name."""
        entry, name = touch.entry, touch.name
        inode = self.eyes.child(entry.inode, name)
        if inode is None:
            return
        there = self.registry.entries.get(inode.uid)
        fresh = there is None or not there.listed
        if there is not None and (there.above is not entry or there.name != name):
            self._sit(there, entry, name, self.eyes.now_us())
            if there.listed:
                self.enter.append((entry, name, False))
        came = touch.words & {"create", "to"}
        if came and fresh:
            self.enter.append((entry, name, True))
        elif came:
            own = self.eyes.mount.attributes(inode, self.eyes.true_us()).own
            stamp = self._stamp(touch.since_us)
            claims.append(_cell(inode.key, b"", own, stamp, path.rstrip(b"/") + b"/" + name))

    def _stamp(self, since_us: int) -> Stamp:
        now = self.eyes.now_us()
        self.ordinal += 1
        return Stamp(min(now, since_us) if self._cached else now, now + 1, self.ordinal, "e")

    def _unproven(
        self, touch: Touch, now: int, claims: list[Cell | Owe], owed: dict[Key, Owe]
    ) -> None:
        touch.until_us = touch.until_us or now + HOLD_US
        key = touch.entry.inode.key
        if now < touch.until_us and not touch.entry.gone:
            self._held.append(touch)
        elif touch.last in _UNMADE:
            self.ordinal += 1
            stamp = Stamp(touch.since_us, now + 1, self.ordinal, "w")
            claims.append(_cell(key, touch.name, None, stamp, b""))
        elif touch.name or "attrib" in touch.words:
            owed.setdefault(key, self._owe(key, b"", "not_yet"))

    def _owe(self, key: Key, path: bytes, reason: str, *, deep: bool = False, code: int = 0) -> Owe:
        now = self.eyes.now_us() + 1
        stamp, origin = Stamp(now, now, 0, "s"), Origin.REALTIME
        return Owe(
            dir=key, deep=deep, reason=reason, stamp=stamp, origin=origin, path=path, errno=code
        )


def _cell(
    key: Key, name: bytes, value: bytes | None, stamp: Stamp, path: bytes, flags: int = 0
) -> Cell:
    return Cell(
        dir=key, name=name, value=value, stamp=stamp, origin=Origin.REALTIME, flags=flags, path=path
    )
