"""What a directory owes, itself or because of one above it (arbitration.md §6)."""

from __future__ import annotations

from fustor_core.arbitration import merge, order
from fustor_core.registers import Seen
from fustor_view_file.directory import Directory


def later_of(held: Seen | None, new: Seen) -> Seen:
    """One stamp for two obligations: who looked later than it pays both."""
    if held is None:
        return new
    told = order(held, new)
    return new if told > 0 else held if told < 0 else merge(held, new)


def owed_above(directory: Directory) -> Seen | None:
    """What it owes because directories above it do, all below them included.

    That has not come down to it yet. Where it is moved to it may never do: the walk that pays may
    have come by there already (docs/decisions/0028-what-is-owed-moves-along.md).
    """
    found, at = None, directory.parent
    while at is not None:
        if at.owed is not None and at.deep:
            found = later_of(found, at.owed)
        at = at.parent
    return found
