"""The compiled way to read a directory, where a package brings one: without it nothing changes.

A package has it as an entry point of the group ``fustor.looks``, which names a module with

- ``FORMAT``: of what it gives back, the one below, else it is not used;
- ``read(fd, stopped)``: of an open directory what `Read` says. The plain case only: of whatever is
  odd it says None, and `fustor_core.files.listing` reads the directory in its own way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from typing import NamedTuple

from fustor_core.installed import INSTALLED

GROUP = "fustor.looks"
FORMAT = 1

Seen = tuple[int, int, int | None, int, int, bool]
"""The fields of a `Sight`, in their order."""
Answer = tuple[bytes, bytes, dict[bytes, Seen]]
"""Sorted names joined by NUL, their rows as `ROW` packs them, what was seen of each directory."""
Read = Callable[[int, Callable[[], bool]], Answer | None]
"""Asks the second argument now and then whether to end, and says None then, too."""


class Compiled(NamedTuple):
    """What was found.

    Attributes:
        read: None where there is none.
        told: what it is, or why what is installed is not used.
    """

    read: Read | None = None
    told: str = "not installed"

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
    except (ImportError, AttributeError, ValueError) as error:
        return Compiled(None, f"{owners[0]} cannot be loaded: {type(error).__name__}: {error}")
    found = getattr(module, "FORMAT", None)
    if found != FORMAT:
        return Compiled(None, f"{owners[0]} makes rows of format {found}, this program {FORMAT}")
    return Compiled(module.read, owners[0])
