"""What a directory owes, itself or because of one above it (arbitration.md §6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fustor_core.arbitration import merge, order
from fustor_core.claims import Key
from fustor_core.registers import Seen
from fustor_view_file.directory import Directory


def later_of(held: Seen | None, new: Seen) -> Seen:
    """One stamp for two obligations: who looked later than it pays both."""
    if held is None:
        return new
    told = order(held, new)
    return new if told > 0 else held if told < 0 else merge(held, new)


def note(directory: Directory, stamp: Seen, reason: str, errno: int, *, deep: bool) -> None:
    """A directory owes a listing that looks later than `stamp`, with all below it when `deep`."""
    directory.owed = later_of(directory.owed, stamp)
    if reason in ("", "not_yet") and directory.reason:  # what is known of it says more
        reason, errno = directory.reason, directory.errno
    directory.because(reason or "not_yet", errno, deep=directory.deep or deep)


class Debt(NamedTuple):
    """What a directory owed, with all below it, when another one below it went."""

    debtor: Directory
    stamp: Seen


class Along:
    """Debts that move along (docs/decisions/0028-what-is-owed-moves-along.md).

    What a directory owes with all below comes down to them with the listings that pay it. Who moves
    out before that may come where the walk that pays has been. In the middle of a move a directory
    sits nowhere: what its debtors owed is kept until it sits somewhere, or the batch is over.
    """

    def __init__(self) -> None:
        self._debts: dict[Key, list[Debt]] = {}

    def __repr__(self) -> str:
        return f"<Along {len(self._debts)}>"

    def leaves(self, directory: Directory) -> None:
        """A directory is about to leave its seat."""
        at = directory.parent
        while at is not None:
            if at.owed is not None and at.deep:
                self._debts.setdefault(directory.key, []).append(Debt(at, at.owed))
            at = at.parent

    def arrives(self, directory: Directory) -> Seen | None:
        """What it owes from now on: the debts of those that are not above it any more."""
        found = None
        for debtor, stamp in self._debts.pop(directory.key, ()):
            owed = debtor.owed if debtor.deep and directory.is_below(debtor) else None
            if owed is None or later_of(owed, stamp) != owed:
                found = later_of(found, stamp)
        return found

    def strays(self) -> Iterator[tuple[Key, Seen]]:
        """Who still sits nowhere, and what all its debtors owed."""
        debts, self._debts = self._debts, {}
        for key, owed in debts.items():
            found = None
            for _, stamp in owed:
                found = later_of(found, stamp)
            if found is not None:
                yield key, found
