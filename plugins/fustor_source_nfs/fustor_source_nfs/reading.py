"""Reading one directory, in the process that looks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import msgspec

from fustor_core.claims import ROW_BYTES, Cell, Listing, Origin, Root, Stamp, is_dir, split_names
from fustor_core.contracts import boottime_us
from fustor_core.files.exclusion import NameTest
from fustor_core.files.identity import Spot
from fustor_core.files.inotify import Inotify
from fustor_core.files.listing import GONE, OPEN, Kid, Lister, reason_of, row_of
from fustor_core.files.looking import fresh_row, is_file, revalidated
from fustor_core.files.names import entries
from fustor_source_nfs.frames import Child, Found, Read
from fustor_source_nfs.way import Way, failed

FRESH_MOST = 2000  # files of one directory that are opened for a look past the caches


class Reading:
    """Reads directories.

    Args:
        root: host path. way, lister: of the process. ears: where watches are made.
        silly: which names are silly renames, if they are hidden.
        goes_on: told that the storage answers.
    """

    def __init__(
        self,
        root: bytes,
        way: Way,
        lister: Lister,
        *,
        ears: Inotify | None,
        silly: NameTest | None,
        goes_on: Callable[[], object],
    ) -> None:
        self._root = root
        self._way = way
        self._lister = lister
        self._ears = ears
        self._silly = silly
        self._goes_on = goes_on

    def read(self, task: Read) -> Found:
        """The listing of a directory, or what stands there instead.

        Raises:
            RootVanished: the root is not proven. OSError: the storage does not work.
        """
        found = self._way.above(task.path, task.origin)
        if isinstance(found, Found):
            return found
        at, name, steps = found
        try:
            return self._listed(at, name, task, steps)
        finally:
            os.close(at.fd)

    def _listed(self, at: Spot, name: bytes, task: Read, steps: int) -> Found:
        """Read the directory `name` in `at`; `at` itself without a name."""
        origin, via = task.origin, (at.key, name) if name else None
        test = self._lister.exclusion.within(at.path)
        if name and test is not None and test(name):
            return Found(gone=True)
        crossing, fd, since_us = False, -1, boottime_us()
        fresh = task.fresh and revalidated(
            self._lister, name or self._root, at.fd if name else None
        )
        try:
            fd = os.open(name or b".", OPEN, dir_fd=at.fd)
            if name:
                spot, crossing = self._lister.prober.opened(at, name, fd)
            else:
                spot = at._replace(fd=fd, ctime_ns=os.fstat(fd).st_ctime_ns)
        except OSError as err:
            if fd >= 0:
                os.close(fd)
            if name and err.errno in GONE:
                return self._way.edge(at, name, origin)
            return self._unread(at, name, origin, failed(err))
        try:
            if task.key is not None and spot.key != task.key:
                return self._way.edge(at, name, origin)
            if crossing and not self._lister.cross:
                return Found(gone=True)
            wd = armed(self._ears, fd)
            reading = self._lister.read(spot, origin, via, None)
            listing = reading.listing
            cells: list[Cell] = []
            if fresh:
                listing, cells = self._fresh(fd, listing, since_us)
            hidden = self._hidden(fd)
        finally:
            os.close(fd)
        kids = reading.kids
        claims: list[Cell | Listing | Root] = [listing, *cells]
        claims += [kept for kid in kids if kid.left_out for kept in self._kept_out(spot, kid, task)]
        return Found(
            claims=claims,
            kids=[Child(*kid) for kid in kids],
            hidden=hidden,
            operations=steps + 3 + len(reading.listing.rows) // ROW_BYTES,
            wd=wd,
        )

    def _fresh(self, fd: int, listing: Listing, since_us: int) -> tuple[Listing, list[Cell]]:
        """The listing with attributes of now; names whose file cannot be opened become weak.

        Those are told beside it, as old as the caches may be: no event will speak of them.
        """
        names = split_names(listing.names)
        if not listing.complete or not self._lister.cache_bound_us or len(names) > FRESH_MOST:
            return listing, []
        rows, weak, cells = bytearray(listing.rows), [], []
        for at, name in enumerate(names):
            self._goes_on()
            place = slice(at * ROW_BYTES, (at + 1) * ROW_BYTES)
            if is_dir(rows[place]):
                continue
            try:
                if is_file(bytes(rows[place])):
                    rows[place] = fresh_row(fd, name)
                    continue
            except PermissionError:
                pass
            except OSError:
                return listing, []  # it changed, or fails: the next look tells
            weak.append(name)
            cells.append(_beside(listing, name, bytes(rows[place])))
        end_us = boottime_us() + 1
        stamp = Stamp(since_us, end_us, since_us, listing.stamp.kind)
        told = msgspec.structs.replace(listing, rows=bytes(rows), weak=tuple(weak), stamp=stamp)
        return told, cells

    def _kept_out(self, spot: Spot, kid: Kid, task: Read) -> list[Listing]:
        """A directory left out by choice, without rows: only the fact is shown."""
        via = (spot.key, kid.name)
        return [
            self._lister.unread(
                kid.key, spot.below(kid.name), task.origin, via, reason=kid.left_out
            )
        ]

    def _hidden(self, fd: int) -> list[bytes]:
        silly = self._silly
        try:
            return [name for name in entries(fd) if silly(name)] if silly is not None else []
        except OSError:
            return []

    def _unread(self, at: Spot, name: bytes, origin: Origin, code: int) -> Found:
        """An incomplete listing of a directory that cannot be opened."""
        key, path, via, own = at.key, at.path, None, None
        if name:
            sight = self._lister.prober.sight(at.fd, name)
            if not stat.S_ISDIR(sight.mode):
                return self._way.edge(at, name, origin)
            key, _ = self._lister.prober.child(at, name, sight)
            path, via = at.below(name), (at.key, name)
            own = row_of(os.lstat(name, dir_fd=at.fd))
        reason = reason_of(code)
        return Found(
            claims=[self._lister.unread(key, path, origin, via, reason=reason, code=code, own=own)],
            operations=4,
        )


def _beside(listing: Listing, name: bytes, row: bytes) -> Cell:
    """One name of a listing by itself."""
    seen = listing.stamp
    return Cell(
        dir=listing.dir,
        name=name,
        value=row,
        stamp=Stamp(seen.f, seen.t, 0, "s"),
        origin=listing.origin,
        path=listing.path,
    )


def armed(ears: Inotify | None, fd: int) -> int:
    """The watch on the directory that is open on `fd`; -1 when none can be had."""
    if ears is None:
        return -1
    try:
        return ears.add(fd)
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.ENOMEM, errno.EACCES, errno.ENOENT):
            return -1
        raise
