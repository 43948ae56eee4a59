"""Who is in a directory, without a look at any file: what a cheap audit compares."""

from __future__ import annotations

import operator
import os
import sys

from fustor_core.files.identity import Spot
from fustor_core.files.listing import Kid, Lister

READ_AT_ONCE = 100
"""So many names come with one operation of the storage, about."""
_ENCODING = sys.getfilesystemencoding()
_name = operator.attrgetter("name")
_inode = os.DirEntry.inode


def members(
    spot: Spot, lister: Lister, *, leaf: bool, every: bool
) -> tuple[list[bytes], int, list[Kid]]:
    """Sorted names, the sum of their inodes, and the directories among them.

    Args:
        spot: open for reading.
        leaf: there were no directories: if there are now, the rest is of another sum.
        every: names of files, too.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(spot.fd) as opened:
        entries = list(opened)
    test = lister.exclusion.within(spot.path)
    if leaf and test is None:
        names = _encoded(entries)
        names.sort()
        return names, sum(map(_inode, entries)), []
    folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    files = [entry for entry in entries if not entry.is_dir(follow_symlinks=False)] if every else []
    kept = [
        (name, entry.inode())
        for name, entry in zip(_encoded(files), files, strict=True)
        if test is None or not test(name)
    ]
    kids: list[Kid] = []
    for name in sorted(_encoded(folders)):
        key, crossing = lister.prober.child(spot, name, lister.prober.sight(spot.fd, name))
        reason = "other_device" if crossing and not lister.cross else ""
        kids.append(Kid(name, key, "excluded" if test is not None and test(name) else reason))
        kept.append((name, key.ino))
    return sorted(name for name, _ in kept), sum(ino for _, ino in kept), kids


def _encoded(entries: list[os.DirEntry[str]]) -> list[bytes]:
    """Names as bytes, in one go."""
    text = "\0".join(map(_name, entries))
    return text.encode(_ENCODING, "surrogateescape").split(b"\0") if entries else []
