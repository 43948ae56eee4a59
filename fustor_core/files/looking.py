"""Looking at single names from the root downward, as the sentinel does (arbitration.md §7).

On a mount that remembers answers each look revalidates: a directory by opening it by name, so that
names in it, absent ones too, are asked for again when it has changed; a file by opening it and
`fstat`. What cannot be opened is claimed as old as the mount's bound allows.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from fustor_core.claims import Cell, Origin, Stamp, edge_key, edge_row, is_dir
from fustor_core.contracts import view_names
from fustor_core.files.identity import Prober, Spot
from fustor_core.files.listing import GONE, OPEN, Lister, row_of
from fustor_core.files.rooted import RootProof

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPE_AT = 33  # of a row: the high byte of its mode
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def inside(path: bytes) -> bool:
    """Whether a path is one of a view, so that walking it can never leave the root."""
    try:
        view_names(path)
    except ValueError:
        return False
    return True


def look(proof: RootProof, lister: Lister, paths: Sequence[bytes], origin: Origin) -> list[Cell]:
    """Claims of every edge on the way to these view paths, and of the last name of each.

    A walk ends at the first name that is no directory; what cannot be seen (EACCES, EIO) is not
    claimed. A directory at the end of a path, ``/`` itself too, is claimed by its own attributes.

    Raises:
        RootVanished: the root is not proven.
    """
    cells: list[Cell] = []
    root = proof.open(lister.prober)
    try:
        seen: set[bytes] = set()
        for path in paths:
            names = [name for name in path.split(b"/") if name]
            now = lister.now_us()
            fresh = revalidated(lister, proof.path, None)
            if names:
                _Steps(lister, origin, seen, cells).down(root, names, fresh)
            else:
                cells.append(_own(lister, root, now, fresh, origin))
    finally:
        os.close(root.fd)
    return cells


class _Steps:
    """Walks down; an edge that was claimed in this round is walked, not claimed again."""

    def __init__(self, lister: Lister, origin: Origin, seen: set[bytes], cells: list[Cell]) -> None:
        self._lister = lister
        self._origin = origin
        self._seen = seen
        self._cells = cells

    def down(self, root: Spot, names: list[bytes], fresh: bool) -> None:
        """Walk.

        Args:
            fresh: the root was revalidated just now.
        """
        at, since = root, 0
        try:
            for name in names:
                since = self._lister.now_us()
                try:
                    value, fresh = self._claim(at, name, fresh)
                except OSError:
                    return
                if value is None or not is_dir(value):
                    return
                below = _below(self._lister, at, name)
                if at is not root:
                    os.close(at.fd)
                if below is None:
                    at = root
                    return
                at = below
                if at.key != edge_key(value):
                    return  # another one by now: what was claimed was true, go no further
            self._end(at, since, fresh)
        finally:
            if at is not root:
                os.close(at.fd)

    def _end(self, at: Spot, since: int, fresh: bool) -> None:
        """Claim the own attributes of the directory to which a path leads, once."""
        if at.below(b"") not in self._seen:
            self._seen.add(at.below(b""))
            self._cells.append(_own(self._lister, at, since, fresh, self._origin))

    def _claim(self, at: Spot, name: bytes, fresh: bool) -> tuple[bytes | None, bool]:
        """(value of a name, whether both it and what is below were revalidated)."""
        lister = self._lister
        f = lister.now_us()
        value, checked = _looked(lister, at, name)
        fresh = fresh and checked
        path = at.below(name)
        if path not in self._seen:
            self._seen.add(path)
            f = f if fresh else f - lister.cache_bound_us
            stamp = Stamp(f, lister.now_us() + 1, 0, "s")
            self._cells.append(_cell(at, name, value, stamp, self._origin))
        return value, fresh


def look_at(prober: Prober, parent: Spot, name: bytes) -> bytes | None:
    """The value of one name just now: a row, an edge, or None when there is nothing.

    Raises:
        OSError: it cannot be said (EIO, EACCES, …).
    """
    while True:
        try:
            st = os.lstat(name, dir_fd=parent.fd)
            if not stat.S_ISDIR(st.st_mode):
                return row_of(st)
            sight = prober.sight(parent.fd, name)
        except OSError as err:
            if err.errno in GONE:
                return None
            raise
        if stat.S_ISDIR(sight.mode):  # else it changed its type in between: look again
            return edge_row(prober.child(parent, name, sight)[0], sight.mode)


def _looked(lister: Lister, at: Spot, name: bytes) -> tuple[bytes | None, bool]:
    """(the value of a name, whether no cache of this host can have given it)."""
    value = look_at(lister.prober, at, name)
    if value is None or not lister.cache_bound_us:
        return value, True
    if is_dir(value):
        fresh = revalidated(lister, name, at.fd)
        return look_at(lister.prober, at, name), fresh
    if not lister.caching.revalidates or not is_file(value):
        return value, False
    try:
        return fresh_row(at.fd, name), True
    except PermissionError:
        return value, False
    except OSError as err:
        if err.errno in GONE:
            return look_at(lister.prober, at, name), True
        raise


def fresh_row(folder: int, name: bytes) -> bytes:
    """The row of a file by opening it, past the caches of its mount.

    Args:
        folder: descriptor of its directory.

    Raises:
        OSError: as open; PermissionError is the common one.
    """
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        return row_of(os.fstat(fd))
    finally:
        os.close(fd)


def is_file(row: bytes) -> bool:
    """Whether a 48-byte row is that of a regular file: opening anything else may do something."""
    return row[_TYPE_AT] & 0xF0 == 0x80


def revalidated(lister: Lister, name: bytes, fd: int | None) -> bool:
    """Open a directory by name; whether its own attributes and names are of now.

    Args:
        fd: of the directory that it is in; None: `name` is a host path.
    """
    if not lister.cache_bound_us:
        return True
    try:
        flags = OPEN if fd is not None else OPEN & ~os.O_NOFOLLOW
        os.close(os.open(name, flags, dir_fd=fd))
    except OSError:
        return False
    return lister.caching.revalidates


def _below(lister: Lister, at: Spot, name: bytes) -> Spot | None:
    try:
        fd = os.open(name, _PATH, dir_fd=at.fd)
    except OSError:
        return None
    try:
        return lister.prober.opened(at, name, fd)[0]
    except OSError:
        os.close(fd)
        return None


def _own(lister: Lister, at: Spot, since: int, fresh: bool, origin: Origin) -> Cell:
    """The own attributes of an open directory.

    Args:
        since: raw instant at which it was looked up. fresh: it was revalidated after that.
    """
    own = row_of(os.fstat(at.fd))
    f = since if fresh else since - lister.cache_bound_us
    return _cell(at, b"", own, Stamp(f, lister.now_us() + 1, 0, "s"), origin)


def _cell(at: Spot, name: bytes, value: bytes | None, stamp: Stamp, origin: Origin) -> Cell:
    return Cell(dir=at.key, name=name, value=value, stamp=stamp, origin=origin, path=at.path)
