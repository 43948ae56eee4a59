"""What a directory owes, itself or because of one above it (arbitration.md §6)."""

from __future__ import annotations

from collections.abc import Callable
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

    Args:
        owe: makes a directory owe; as `Tree.owe`.
    """

    def __init__(self, owe: Callable[..., None]) -> None:
        self._owe = owe
        self._debts: dict[Key, list[Debt]] = {}

    def __repr__(self) -> str:
        return f"<Along {len(self._debts)}>"

    def leaves(self, directory: Directory) -> None:
        """A directory is about to leave its seat."""
        found, at = [], directory.parent
        while at is not None:
            if at.owed is not None and at.deep:
                found.append(Debt(at, at.owed))
            found += self._debts.get(at.key, ())  # it is in the middle of a move itself
            at = at.parent
        if found:
            self._debts.setdefault(directory.key, []).extend(found)

    def arrives(self, directory: Directory) -> None:
        """It owes from now on what those did that are not above it any more.

        Where it has no seat, these are all.
        """
        found = None
        for debtor, stamp in self._debts.pop(directory.key, ()):
            owed = debtor.owed if debtor.deep and directory.is_below(debtor) else None
            if owed is None or later_of(owed, stamp) != owed:
                found = later_of(found, stamp)
        if found is not None and not directory.left_out:
            self._owe(directory, found, deep=True, reason="not_yet", quiet=True)

    def strays(self) -> list[Key]:
        """Who has left a seat, and arrived nowhere."""
        return list(self._debts)
