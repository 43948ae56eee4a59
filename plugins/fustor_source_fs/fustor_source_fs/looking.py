"""Looking at single names from the root downward, as the sentinel does (arbitration.md §7)."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from fustor_core.claims import Cell, Origin, Stamp, edge_key, is_dir
from fustor_source_fs.identity import Spot
from fustor_source_fs.listing import OPEN, Lister, row_of
from fustor_source_fs.rooted import RootProof
from fustor_source_fs.walk import look_at

_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def look(proof: RootProof, lister: Lister, paths: Sequence[bytes], origin: Origin) -> list[Cell]:
    """Claims of every edge on the way to these view paths, and of the last name of each.

    A walk ends at the first name that is no directory; what cannot be seen (EACCES, EIO) is not
    claimed. ``/`` itself is claimed by its own attributes.

    Raises:
        RootVanished: the root is not proven.
    """
    cells: list[Cell] = []
    root = proof.open(lister.prober)
    try:
        seen: set[bytes] = set()
        for path in paths:
            names = [name for name in path.split(b"/") if name]
            if names:
                _along(lister, root, names, origin, seen, cells)
            else:
                now = lister.now_us()
                own = row_of(os.fstat(root.fd))
                cells.append(_cell(root, b"", own, now, lister.now_us() + 1, origin))
    finally:
        os.close(root.fd)
    return cells


def _along(
    lister: Lister,
    root: Spot,
    names: list[bytes],
    origin: Origin,
    seen: set[bytes],
    cells: list[Cell],
) -> None:
    """Walk down; an edge that was claimed in this round is walked, not claimed again."""
    at = root
    try:
        for i, name in enumerate(names):
            f = lister.now_us()
            try:
                value = _fresh(lister, at, name)
            except OSError:
                return
            path = at.below(name)
            if path not in seen:
                seen.add(path)
                cells.append(_cell(at, name, value, f, lister.now_us() + 1, origin))
            if value is None or not is_dir(value) or i == len(names) - 1:
                return
            below = _below(lister, at, name)
            if at is not root:
                os.close(at.fd)
            if below is None:
                at = root
                return
            at = below
            if at.key != edge_key(value):
                return  # another one by now: what was claimed was true, go no further
    finally:
        if at is not root:
            os.close(at.fd)


def _below(lister: Lister, at: Spot, name: bytes) -> Spot | None:
    try:
        fd = os.open(name, _FLAGS, dir_fd=at.fd)
    except OSError:
        return None
    try:
        return lister.prober.opened(at, name, fd)[0]
    except OSError:
        os.close(fd)
        return None


def _fresh(lister: Lister, at: Spot, name: bytes) -> bytes | None:
    """The value of a name, past any cache of this host: opening revalidates on network mounts."""
    value = look_at(lister.prober, at, name)
    if not lister.cache_bound_us or value is None:
        return value
    if is_dir(value):
        os.close(os.open(name, OPEN, dir_fd=at.fd))
        return look_at(lister.prober, at, name)
    if not stat.S_ISREG(os.lstat(name, dir_fd=at.fd).st_mode):
        return value
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at.fd)
    try:
        return row_of(os.fstat(fd))
    finally:
        os.close(fd)


def _cell(at: Spot, name: bytes, value: bytes | None, f: int, t: int, origin: Origin) -> Cell:
    stamp = Stamp(f, t, 0, "s")
    return Cell(dir=at.key, name=name, value=value, stamp=stamp, origin=origin, path=at.path)
