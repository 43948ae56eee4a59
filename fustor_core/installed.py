"""Entry points of what is installed, read once and again when a folder of packages has changed.

Looking through the metadata of all distributions takes some fifteen milliseconds, and a start asks
thirty times. Installers make or remove a folder beside the packages, so those are looked at each
time; for what such a look can miss (a file that came into a folder of metadata late) nothing is
held for long.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint, entry_points

PREFIX = "fustor."
HELD_S_MAX = 10.0

Stamp = tuple[tuple[str, int], ...]


class Installed:
    """The entry points whose groups are ours.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[str, list[EntryPoint]] = {}
        self._owners: dict[int, tuple[str, str]] = {}  # by the id of a distribution that is held
        self._stamp: Stamp | None = None
        self._until_s = 0.0

    def __repr__(self) -> str:
        return f"<Installed {', '.join(self._read) or 'not read'}>"

    def entries(self, group: str) -> list[EntryPoint]:
        """Those of a group, by name."""
        self._refresh()
        return self._read.get(group, [])

    def owner(self, entry: EntryPoint) -> tuple[str, str]:
        """Name and version of the distribution, "" each when its metadata is damaged."""
        if entry.dist is None:
            return "", ""
        self._refresh()
        known = self._owners.get(id(entry.dist))
        return _owner(entry.dist) if known is None else known

    def _refresh(self) -> None:
        stamp, now_s = _stamp(), self._clock()
        if stamp == self._stamp and now_s < self._until_s:
            return
        read: dict[str, list[EntryPoint]] = {}
        owners: dict[int, tuple[str, str]] = {}
        found = entry_points()
        for group in found.groups:
            if group.startswith(PREFIX):
                read[group] = sorted(found.select(group=group), key=lambda entry: entry.name)
                owners |= {
                    id(entry.dist): _owner(entry.dist) for entry in read[group] if entry.dist
                }
        self._read, self._owners = read, owners
        self._stamp, self._until_s = stamp, now_s + HELD_S_MAX


INSTALLED = Installed()
"""One for the process: what is installed is the same for all."""


def _owner(distribution: Distribution) -> tuple[str, str]:
    named = distribution.metadata
    return named["Name"] or "", named["Version"] or ""


def _stamp() -> Stamp:
    """When each folder that packages are looked for in has changed."""
    found = []
    for place in sys.path:
        try:
            found.append((place, os.stat(place or ".").st_mtime_ns))
        except OSError:
            found.append((place, 0))
    return tuple(found)
