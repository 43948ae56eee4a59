"""Directories that have not changed since they were last sent, at a glance (arbitration.md §4)."""

from __future__ import annotations

import os
import stat
import sys
from array import array
from typing import NamedTuple

from fustor_core.claims import Same, Silence, Stamp
from fustor_core.contracts import Scope
from fustor_core.files.identity import Spot
from fustor_core.files.listing import Kid, Lister, kind_of

READ_AT_ONCE = 100
"""So many names come with one operation of the storage, about."""
_ENCODING = sys.getfilesystemencoding()


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
            names, inos, kids = _members(spot, lister, every=every)
        except OSError:
            return None
        count = len(names)
        if every and not recall.holds(spot.key, b"\0".join(names), inos):
            return None
    end = lister.now_us() + 1
    stamp = Stamp(start - lister.cache_bound_us, end, start, kind_of(spot.key))
    claim = Same(dir=spot.key, silence=silence, stamp=stamp, origin=scope.origin, path=spot.path)
    return Silent(claim, kids, 2 + len(kids) + count // READ_AT_ONCE)


def _members(
    spot: Spot, lister: Lister, *, every: bool
) -> tuple[list[bytes], array[int], list[Kid]]:
    """Sorted names, an inode for each, and the directories among them; no file is looked at.

    Args:
        every: else those of directories alone.
    """
    with os.scandir(spot.fd) as opened:
        entries = list(opened)
    folders = [entry.is_dir(follow_symlinks=False) for entry in entries]
    if not every:
        entries = [entry for entry, folder in zip(entries, folders, strict=True) if folder]
        folders = [True] * len(entries)
    text = "\0".join([entry.name for entry in entries])
    names = text.encode(_ENCODING, "surrogateescape").split(b"\0") if entries else []
    ino_of = dict(zip(names, [entry.inode() for entry in entries], strict=True))
    test = lister.exclusion.within(spot.path)
    kids: list[Kid] = []
    for name in [name for name, folder in zip(names, folders, strict=True) if folder]:
        sight = lister.prober.sight(spot.fd, name)
        if not stat.S_ISDIR(sight.mode):
            continue
        key, crossing = lister.prober.child(spot, name, sight)
        ino_of[name] = key.ino
        reason = "other_device" if crossing and not lister.cross else ""
        kids.append(Kid(name, key, "excluded" if test is not None and test(name) else reason))
    kids.sort()
    if test is not None:
        there = {kid.name for kid in kids}
        names = [name for name in names if name in there or not test(name)]
    names.sort()
    return names, array("Q", [ino_of[name] for name in names]), kids
