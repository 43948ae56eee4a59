"""What a package brings of compiled code for directories: without it nothing changes.

It has an entry point of the group ``fustor.looks``, which names a module with

- ``FORMAT``: of all that it promises, the one below, else it is not used;
- ``read(fd, stopped)``: of an open directory what `Read` says. The plain case only: of whatever is
  odd it says None, and `fustor_core.files.listing` reads the directory in its own way;
- ``stores(names, rows)``: what `fustor_core.soundness.stores` says of any blobs;
- ``adds_up(rows, before_ns)``: of at least one row how many there are, their bytes, the newest
  mtime and the newest change, where all are of regular files with one link, older than
  `before_ns`, each of at most 2^50 bytes; else None. Sums wrap at 64 bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from typing import NamedTuple

from fustor_core.installed import INSTALLED
from fustor_core.soundness import Stores

GROUP = "fustor.looks"
FORMAT = 2

Seen = tuple[int, int, int | None, int, int, bool]
"""The fields of a `Sight`, in their order."""
Answer = tuple[bytes, bytes, dict[bytes, Seen]]
"""Sorted names joined by NUL, their rows as `ROW` packs them, what was seen of each directory."""
Read = Callable[[int, Callable[[], bool]], Answer | None]
"""Asks the second argument now and then whether to end, and says None then, too."""
AddsUp = Callable[[bytes, int], tuple[int, int, int, int] | None]


class Compiled(NamedTuple):
    """What was found.

    Attributes:
        read, stores, adds_up: None where there is none.
        told: what it is, or why what is installed is not used.
    """

    read: Read | None = None
    told: str = "not installed"
    stores: Stores | None = None
    adds_up: AddsUp | None = None

    @property
    def fault(self) -> bool:
        """One is installed, and cannot be used."""
        return self.read is None and self != Compiled()


@functools.cache
def compiled() -> Compiled:
    """What is installed; one that comes later is for the next start."""
    return chosen(INSTALLED.entries(GROUP))


def chosen(entries: Sequence[EntryPoint]) -> Compiled:
    """The one that is used of those in the group."""
    owners = [" ".join(INSTALLED.owner(entry)).strip() or entry.value for entry in entries]
    if len(entries) != 1:
        return Compiled(None, f"one too many: {', '.join(owners)}") if entries else Compiled()
    try:
        module = entries[0].load()
        found = getattr(module, "FORMAT", None)
        if found != FORMAT:
            other = f"{owners[0]} is of format {found}, this program of {FORMAT}"
            return Compiled(None, other)
        return Compiled(module.read, owners[0], module.stores, module.adds_up)
    except (ImportError, AttributeError, ValueError) as error:
        return Compiled(None, f"{owners[0]} cannot be loaded: {type(error).__name__}: {error}")
