"""Reading one directory from beginning to end: names, one lstat a name, and how far to trust it."""

from __future__ import annotations

import errno
import operator
import os
import stat
import struct
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from fustor_core.claims import (
    ROW,
    ROW_BYTES,
    Key,
    Listing,
    Origin,
    Silence,
    Stamp,
    edge_row,
)
from fustor_core.files.compiled import compiled
from fustor_core.files.exclusion import Exclusion, NameTest
from fustor_core.files.identity import Prober, Sight, Spot
from fustor_core.files.mounting import Caching
from fustor_core.files.names import in_order
from fustor_core.files.rooted import RootProof
from fustor_core.files.stats import MOST, Stats

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})  # not a directory of that name now
ATTEMPTS = 4
SLICE = MOST  # names looked at between two looks at the stop sign
_SLOW_US = 200_000  # a directory that takes longer is not read again for the sake of one change
_I64 = (1 << 63) - 1
_U32 = (1 << 32) - 1

_columns = operator.attrgetter(
    "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_mode", "st_uid", "st_gid", "st_nlink"
)
_pack = ROW.pack
_TYPE_AT = 33  # of a row; the map makes directories 1 and all else 0
_IS_DIR = bytes(1 if high & 0xF0 == 0x40 else 0 for high in range(256))

Columns = tuple[int, int, int, int, int, int, int, int]


class Stopped(Exception):
    """The reader was told to end."""


class Watched(Protocol):
    """A directory that is watched while it is read.

    Attributes:
        reading: names that were looked at since its listing began, None when nobody is reading.
    """

    reading: set[bytes] | None


class Kid(NamedTuple):
    """A child directory as its parent's listing shows it; `left_out` is a reason or ""."""

    name: bytes
    key: Key
    left_out: str


class Reading(NamedTuple):
    """A directory as read: its claim, and the child directories behind its edges."""

    listing: Listing
    kids: list[Kid]
    changed: bool  # incomplete only because somebody wrote while it was read


def row_of(st: os.stat_result) -> bytes:
    """The 48 bytes of a stat; what a column cannot hold is cut to what it can."""
    columns = _columns(st)
    try:
        return _pack(*columns)
    except struct.error:
        return _pack(*_fitted(columns))


def reason_of(code: int) -> str:
    """The reason (interfaces.md §1) of an errno met while looking."""
    return "permission" if code in (errno.EACCES, errno.EPERM) else "io_error"


class Lister:
    """Reads directories. One for each thread.

    Args:
        prober: identities; the thread's own.
        exclusion: what is left out. cross: whether other file systems are entered.
        proof: knows the storage, once it was opened.
        now_us: the raw clock. stopped: whether to end at once.
    """

    def __init__(
        self,
        prober: Prober,
        exclusion: Exclusion,
        *,
        proof: RootProof,
        cross: bool,
        now_us: Callable[[], int],
        stopped: Callable[[], bool],
    ) -> None:
        self.prober = prober
        self.exclusion = exclusion
        self.cross = cross
        self.now_us = now_us
        self.stopped = stopped
        self._proof = proof
        self._stats: Stats | None = None  # not for who looks at single names only
        self._compiled = compiled().read

    @property
    def cache_bound_us(self) -> int:
        """How old an answer of this host's caches may be."""
        return self.caching.bound_us

    @property
    def caching(self) -> Caching:
        """What this host's caches do."""
        storage = self._proof.storage
        return storage.caching if storage is not None else Caching(0)

    def read(
        self, spot: Spot, origin: Origin, via: tuple[Key, bytes] | None, node: Watched | None
    ) -> Reading:
        """The listing of an open directory; read again when it changed meanwhile.

        Args:
            spot: the directory, opened for reading. via: where it was opened.
            node: its entry in the registry when it is watched.

        Raises:
            Stopped: told to end.
        """
        reading = self._read(spot, spot.ctime_ns, origin, via, node)
        for attempt in range(1, ATTEMPTS):
            if not reading.changed:
                break
            stamp = reading.listing.stamp
            if attempt > 1 and stamp.t - stamp.f > _SLOW_US + self.cache_bound_us:
                break
            reading = self._read(spot, os.fstat(spot.fd).st_ctime_ns, origin, via, node)
        return reading

    def unread(
        self,
        key: Key,
        path: bytes,
        origin: Origin,
        via: tuple[Key, bytes] | None,
        *,
        reason: str,
        code: int = 0,
        own: bytes | None = None,
    ) -> Listing:
        """The listing of a directory that was not read, and why."""
        now = self.now_us()
        return Listing(
            dir=key,
            names=b"",
            rows=b"",
            stamp=Stamp(now - self.cache_bound_us, now + 1, now, kind_of(key)),
            origin=origin,
            path=path,
            own=own,
            complete=False,
            reason=reason,
            errno=code,
            via=via,
        )

    def _read(
        self,
        spot: Spot,
        since_ns: int,
        origin: Origin,
        via: tuple[Key, bytes] | None,
        node: Watched | None,
    ) -> Reading:
        """One attempt; `since_ns` is the directory's ctime, looked at before."""
        fd, key, code, bound_us = spot.fd, spot.key, 0, self.cache_bound_us
        kids: list[Kid] = []
        names, rows, after = b"", b"", None
        if node is not None:
            node.reading = set()
        wall_ns, start = time.time_ns(), self.now_us()
        try:
            names, rows, kids, code = self._members(spot)
            after = os.fstat(fd)
        except OSError as err:
            code = err.errno or errno.EIO
        finally:
            end = self.now_us() + 1
            weak: tuple[bytes, ...] = ()
            if node is not None:
                if node.reading:
                    weak = tuple(sorted(node.reading))
                node.reading = None
        changed = not code and (after is None or after.st_ctime_ns != since_ns)
        whole = not code and not changed
        listing = Listing(
            dir=key,
            names=names,
            rows=rows,
            stamp=Stamp(start - bound_us, end, start, kind_of(key)),
            origin=origin,
            path=spot.path,
            own=row_of(after) if after is not None else None,
            weak=weak,
            complete=whole,
            reason="" if whole else "not_yet" if changed else reason_of(code),
            errno=code,
            silence=self.silence(after, wall_ns, start) if whole and after is not None else None,
            via=via,
        )
        return Reading(listing, kids, changed)

    def silence(self, st: os.stat_result, wall_ns: int, at_us: int) -> Silence | None:
        """Membership key of a directory, None when a later change may carry the same time.

        Args:
            st: its attributes, as after the look. wall_ns, at_us: wall time and raw instant when
                the look began.
        """
        storage = self._proof.storage
        if storage is None or wall_ns - st.st_ctime_ns <= storage.granularity_ns:
            return None
        if storage.remote and not self._proof.past(st.st_ctime_ns, at_us):
            return None
        return Silence(st.st_ctime_ns, st.st_mtime_ns, st.st_ino, st.st_nlink)

    def _members(self, spot: Spot) -> tuple[bytes, bytes, list[Kid], int]:
        """(names as one blob, rows and edges in their order, what is behind these, errno of an
        entry that could not be had or 0)."""
        test = self.exclusion.within(spot.path)
        found = self._compiled(spot.fd, self.stopped) if self._compiled is not None else None
        if found is not None:
            blob, rows, seen = found
            if not blob or (test is None and not seen):
                return blob, rows, [], 0
            sights = {name: Sight(*fields) for name, fields in seen.items()}
            names = blob.split(b"\0")
            kept, rows, kids, odd = self._edges(spot, names, rows, sights, test)
            return blob if kept is names else b"\0".join(kept), rows, kids, odd
        names, blob = in_order(spot.fd)
        if not names:
            return b"", b"", [], 0
        stats = self._looks()
        seen_rows = stats.rows(spot.fd, names) if len(names) <= SLICE else None
        if seen_rows is None:
            kept, rows, sights, code = self._entries(spot.fd, names)
            kept, rows, kids, odd = self._edges(spot, kept, rows, sights, test)
            return b"\0".join(kept), rows, kids, code or odd
        sights = stats.sights(names, seen_rows[_TYPE_AT::ROW_BYTES].translate(_IS_DIR))
        if not sights and test is None:
            return blob, seen_rows, [], 0
        kept, rows, kids, odd = self._edges(spot, names, seen_rows, sights, test)
        return blob if kept is names else b"\0".join(kept), rows, kids, odd

    def _looks(self) -> Stats:
        if self.stopped():
            raise Stopped
        self._stats = self._stats or Stats()
        return self._stats

    def _entries(
        self, fd: int, names: list[bytes]
    ) -> tuple[list[bytes], bytes, dict[bytes, Sight], int]:
        """(the names that are there, their rows, what was seen of directories, errno of an entry
        that could not be had or 0)."""
        code = 0
        parts: list[bytes] = []
        kept: list[bytes] = []
        sights: dict[bytes, Sight] = {}
        for start in range(0, len(names), SLICE):
            stats = self._looks()
            part = names[start : start + SLICE]
            rows = stats.rows(fd, part)
            if rows is None:
                part, rows, odd = _one_by_one(fd, part)
                code = code or odd
            else:
                dirs = rows[_TYPE_AT::ROW_BYTES].translate(_IS_DIR)
                sights |= stats.sights(part, dirs)
            parts.append(rows)
            kept += part
        return kept, b"".join(parts), sights, code

    def _edges(
        self,
        spot: Spot,
        names: list[bytes],
        rows: bytes,
        sights: dict[bytes, Sight],
        test: NameTest | None,
    ) -> tuple[list[bytes], bytes, list[Kid], int]:
        """Rows of child directories become edges; what is left out and no directory goes."""
        dirs = rows[_TYPE_AT::ROW_BYTES].translate(_IS_DIR)
        at = dirs.find(1)
        if at < 0 and test is None:
            return names, rows, [], 0
        cells = bytearray(rows)
        kids: list[Kid] = []
        drop = [i for i, n in enumerate(names) if not dirs[i] and test(n)] if test else []
        code = 0
        while at >= 0:
            place = slice(at * ROW_BYTES, (at + 1) * ROW_BYTES)
            try:
                cells[place], kid = self._edge(spot, names[at], sights.get(names[at]), test)
            except OSError as err:
                drop.append(at)
                code = code if err.errno in GONE else err.errno or errno.EIO
            else:
                if kid is not None:
                    kids.append(kid)
            at = dirs.find(1, at + 1)
            if not len(kids) % SLICE and self.stopped():
                raise Stopped
        for at in sorted(drop, reverse=True):
            del cells[at * ROW_BYTES : (at + 1) * ROW_BYTES]
        left = set(drop)
        names = [n for i, n in enumerate(names) if i not in left] if drop else names
        return names, bytes(cells), kids, code

    def _edge(
        self, spot: Spot, name: bytes, seen: Sight | None, test: NameTest | None
    ) -> tuple[bytes, Kid | None]:
        sight = seen or self.prober.sight(spot.fd, name)
        if not stat.S_ISDIR(sight.mode):  # it was one a moment ago
            return row_of(os.lstat(name, dir_fd=spot.fd)), None
        key, crossing = self.prober.child(spot, name, sight)
        reason = "other_device" if crossing and not self.cross else ""
        if test is not None and test(name):
            reason = "excluded"
        return edge_row(key, sight.mode), Kid(name, key, reason)

    def __repr__(self) -> str:
        return f"Lister(birth={self.prober.birth!r}, cross={self.cross})"


def kind_of(key: Key) -> str:
    """Stamp kind of a listing: an inexact key may have been reused."""
    return "l" if key.birth else "k"


def _one_by_one(fd: int, names: list[bytes]) -> tuple[list[bytes], bytes, int]:
    """As the quick way, for a directory with entries that are gone or cannot be had."""
    kept, rows, code = [], [], 0
    for name in names:
        try:
            rows.append(row_of(os.lstat(name, dir_fd=fd)))
            kept.append(name)
        except OSError as err:
            if err.errno not in GONE:
                code = code or err.errno or errno.EIO
    return kept, b"".join(rows), code


def _fitted(columns: Columns) -> Columns:
    size, mtime, ctime, ino, mode, uid, gid, nlink = columns
    return (
        max(0, size),
        max(-_I64, min(_I64, mtime)),
        max(-_I64, min(_I64, ctime)),
        ino,
        mode,
        uid,
        gid,
        min(_U32, nlink),
    )
