"""Looks that are cheaper than reading a directory, in the process that looks."""

from __future__ import annotations

import os
import stat

from fustor_core.claims import Cell, Origin, Silence, Stamp
from fustor_core.contracts import boottime_us
from fustor_core.files.identity import Spot
from fustor_core.files.inotify import Inotify
from fustor_core.files.listing import OPEN, Kid, Lister, kind_of, row_of
from fustor_core.files.looking import fresh_row, is_file, look_at
from fustor_core.files.members import READ_AT_ONCE, members
from fustor_source_nfs.frames import Child, Found, Glance, Glimpse, Stats, Touch, Touched
from fustor_source_nfs.reading import armed
from fustor_source_nfs.way import OPEN_PATH, Way, failed

GONE = Found(gone=True, operations=4)
INOS_BYTES = 24  # of a sum of inode numbers


class Glancing:
    """Looks at directories and names without reading everything.

    Args:
        way, lister: of the process. ears: where watches are made.
    """

    def __init__(self, way: Way, lister: Lister, ears: Inotify | None) -> None:
        self._way = way
        self._lister = lister
        self._ears = ears

    def glance(self, task: Glance) -> Found:
        """A directory's own attributes, and its members as far as they are asked for.

        Raises:
            RootVanished: the root is not proven. OSError: the storage does not work.
        """
        start = boottime_us()
        spot = self._way.at(task.path, task.key, OPEN)
        if spot is None:
            return GONE
        try:
            wd = armed(self._ears, spot.fd)
            silence = _silence(os.fstat(spot.fd))
            found: list[bytes] = []
            kids: list[Kid] = []
            inos = 0
            if task.folders or task.every:
                leaf = not task.folders
                found, inos, kids = members(spot, self._lister, leaf=leaf, every=task.every)
        finally:
            os.close(spot.fd)
        f = start - self._lister.cache_bound_us
        return Found(
            kids=[Child(*kid) for kid in kids],
            operations=4 + len(kids) + len(found) // READ_AT_ONCE,
            wd=wd,
            key=spot.key,
            stamp=Stamp(f, boottime_us() + 1, start, kind_of(spot.key)),
            silence=silence,
            names=b"\0".join(found) if task.every else b"",
            inos=inos.to_bytes(INOS_BYTES, "little"),
        )

    def stats(self, task: Stats) -> Found:
        """Attributes of child directories; those that are no directories now are left out.

        Raises:
            RootVanished: the root is not proven. OSError: the storage does not work.
        """
        start = boottime_us()
        spot = self._way.at(task.path, task.key, OPEN_PATH)
        if spot is None:
            return GONE
        found = []
        try:
            for name in task.names:
                self._lister.stopped()
                try:
                    st = os.lstat(name, dir_fd=spot.fd)
                except OSError:
                    continue  # who reads it says why
                if stat.S_ISDIR(st.st_mode) and st.st_dev == spot.dev:
                    found.append(Glimpse(name, st.st_ino, _silence(st)))
        finally:
            os.close(spot.fd)
        f = start - self._lister.cache_bound_us
        stamp = Stamp(f, boottime_us() + 1, start, "l")
        return Found(glimpses=found, stamp=stamp, operations=2 + len(task.names))

    def touch(self, task: Touch) -> Found:
        """Names as they are after their events, in the order of their looks.

        Raises:
            RootVanished: the root is not proven. OSError: the storage does not work.
        """
        spot = self._way.at(task.path, task.key, OPEN_PATH)
        if spot is None:
            return GONE
        cells, code = [], 0
        test = self._lister.exclusion.within(spot.path)
        try:
            for one in task.names:
                self._lister.stopped()
                if one.name and test is not None and test(one.name):
                    continue
                try:
                    cells.append(self._touched(spot, one))
                except OSError as err:
                    code = failed(err)
        finally:
            os.close(spot.fd)
        return Found(claims=list(cells), code=code, operations=2 + 2 * len(task.names))

    def _touched(self, spot: Spot, one: Touched) -> Cell:
        """What a name is after its events; not older than they are, or as old as the caches."""
        f, name = boottime_us(), one.name
        if not name:
            value: bytes | None = row_of(os.fstat(spot.fd))
        else:
            value = look_at(self._lister.prober, spot, name)
        if self._lister.cache_bound_us:
            f = min(f, one.since_us)
            if not one.fresh and value is not None and is_file(value):
                row = self._opened(spot, name)
                value = row or value
                f -= 0 if row is not None else self._lister.cache_bound_us
        return Cell(
            dir=spot.key,
            name=name,
            value=value,
            stamp=Stamp(f, boottime_us() + 1, one.at, "e"),
            origin=Origin.REALTIME,
            flags=one.flags if value is not None else 0,
            path=spot.path,
        )

    def _opened(self, spot: Spot, name: bytes) -> bytes | None:
        """The row of a file past the caches; None when that cannot be."""
        if not self._lister.caching.revalidates:
            return None
        try:
            return fresh_row(spot.fd, name)
        except OSError:
            return None


def _silence(st: os.stat_result) -> Silence:
    return Silence(st.st_ctime_ns, st.st_mtime_ns, st.st_ino, st.st_nlink)
