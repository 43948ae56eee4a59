"""Directories that have not changed since they were last sent, at a glance (arbitration.md §4)."""

from __future__ import annotations

import os
from typing import NamedTuple

from fustor_core.claims import Same, Silence, Stamp
from fustor_core.contracts import Scope, leads_to, walk_order
from fustor_core.files.identity import Spot
from fustor_core.files.listing import Kid, Lister, kind_of
from fustor_core.files.members import READ_AT_ONCE, members


class Silent(NamedTuple):
    """A directory as it was: the claim, its child directories, and the operations it took."""

    claim: Same
    kids: list[Kid]
    operations: int


def unchanged(spot: Spot, scope: Scope, lister: Lister) -> Silent | None:
    """A directory, open for reading, that is as it was sent last; None when that is not known.

    In the tier ``directories`` its attributes alone are compared; names are read only where there
    are directories below, to find them. One that cannot be read is left to who reads it whole.
    """
    recall = scope.recall
    if recall is None:
        return None
    start = lister.now_us()
    st = os.fstat(spot.fd)
    silence = Silence(st.st_ctime_ns, st.st_mtime_ns, st.st_ino, st.st_nlink)
    leaf = recall.silent(spot.key, silence)
    if leaf is None:
        return None
    kids: list[Kid] = []
    count = 0
    every = scope.tier == "names"
    if every or not leaf:
        try:
            names, inos, kids = members(spot, lister, leaf=leaf, every=every)
        except OSError:
            return None
        count = len(names)
        if every and not recall.holds(spot.key, b"\0".join(names), inos):
            return None
    end = lister.now_us() + 1
    stamp = Stamp(start - lister.cache_bound_us, end, start, kind_of(spot.key))
    claim = Same(dir=spot.key, silence=silence, stamp=stamp, origin=scope.origin, path=spot.path)
    return Silent(claim, kids, 2 + len(kids) + count // READ_AT_ONCE)


def glanced(parent: Spot, kid: Kid, scope: Scope, lister: Lister) -> Same | None:
    """A directory without directories that is as it was sent last, without opening it.

    Args:
        parent: where it is. kid: as its parent was just read.
    """
    start = lister.now_us()
    try:
        st = os.lstat(kid.name, dir_fd=parent.fd)
    except OSError:
        return None
    if scope.recall is None or st.st_ino != kid.key.ino or st.st_dev != parent.dev:
        return None
    silence = Silence(st.st_ctime_ns, st.st_mtime_ns, st.st_ino, st.st_nlink)
    if not scope.recall.silent(kid.key, silence):
        return None
    stamp = Stamp(start - lister.cache_bound_us, lister.now_us() + 1, start, kind_of(kid.key))
    path = parent.below(kid.name)
    return Same(dir=kid.key, silence=silence, stamp=stamp, origin=scope.origin, path=path)


def passed_by(spot: Spot, scope: Scope | None, lister: Lister) -> list[Kid] | None:
    """Of a directory that this audit has told of already, the children that it has not; else None.

    One that cannot be read is left to who reads it whole and says why.
    """
    after = scope.after if scope is not None else b""
    if not after or walk_order(spot.path) > walk_order(after):
        return None
    try:
        _, _, kids = members(spot, lister, leaf=False, every=False)
    except OSError:
        return None
    paths = [spot.below(kid.name) for kid in kids]
    told = [walk_order(path) <= walk_order(after) and not leads_to(path, after) for path in paths]
    return [kid for kid, one in zip(kids, told, strict=True) if not one]
