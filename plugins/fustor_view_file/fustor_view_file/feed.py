"""What changed, in order, with cursors that say "too old" instead of guessing."""

from __future__ import annotations

from collections import deque

import msgspec

from fustor_core.errors import CursorTooOld, QueryError

KEPT = 100_000


class Change(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One change of the view (interfaces.md §1). `row` is None for a deletion or a resync."""

    number: int
    at_us: int
    wall_ns: int
    kind: str
    path: bytes
    from_path: bytes | None
    row: bytes | None
    origin: str
    flags: tuple[str, ...]
    observed: tuple[int, int]


class Feed:
    """The last `KEPT` changes, numbered densely from 1 over the life of the view's state.

    Attributes:
        head: number of the newest change. floor: the oldest cursor that can still be answered.
    """

    def __init__(self, incarnation: str, head: int = 0, kept: int = KEPT) -> None:
        self.incarnation = incarnation
        self.head = head
        self._kept: deque[Change] = deque(maxlen=kept)

    @property
    def floor(self) -> int:
        """The oldest number after which everything is still here."""
        return self.head - len(self._kept)

    def add(self, change: Change) -> None:
        """Append a change whose number is `head + 1`."""
        self.head = change.number
        self._kept.append(change)

    def cursor(self, number: int | None = None) -> str:
        """The cursor that stands behind a change, by default behind the newest."""
        return f"{self.incarnation}-{self.head if number is None else number}"

    def number(self, cursor: str) -> int:
        """The number in a cursor.

        Raises:
            QueryError: no cursor of this program.
            CursorTooOld: of another state, or behind what is kept.
        """
        incarnation, dash, text = cursor.rpartition("-")
        if not dash or not text.isascii() or not text.isdigit():
            raise QueryError(
                f"{cursor!r} is no cursor", remedy="leave it out to get the current one"
            )
        number = int(text)
        if incarnation != self.incarnation or not self.floor <= number <= self.head:
            raise CursorTooOld(
                f"the change feed does not reach back to {cursor!r}", cursor=self.cursor()
            )
        return number

    def since(self, number: int, limit: int | None = None) -> list[Change]:
        """The changes behind a number, oldest first."""
        skip = number - self.floor
        kept = list(self._kept)[skip:] if skip < len(self._kept) // 2 else self._tail(number)
        return kept if limit is None else kept[:limit]

    def _tail(self, number: int) -> list[Change]:
        out: list[Change] = []
        for change in reversed(self._kept):
            if change.number <= number:
                break
            out.append(change)
        out.reverse()
        return out

    def restore(self, changes: list[Change]) -> None:
        """Put back changes that the state kept; they end at `head`."""
        self._kept.extend(changes)

    def all(self) -> list[Change]:
        """Everything that is kept."""
        return list(self._kept)

    def __repr__(self) -> str:
        return f"<Feed {self.floor}..{self.head}>"
