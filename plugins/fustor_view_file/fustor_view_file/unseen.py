"""The names of a directory that came while nobody saw it happen, kept as one blob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fustor_core.claims import split_names
from fustor_view_file.pack import SPLIT_ROWS


class Unseen(Mapping[bytes, int]):
    """Name → number of the scan that found it first, where one scan found them all.

    As a rule it is the very blob of the pack, and so takes nothing; a dictionary of them would take
    twice as much as the entries themselves.
    """

    __slots__ = ("names", "number")

    def __init__(self, names: bytes, number: int) -> None:
        self.names, self.number = names, number

    def __getitem__(self, name: bytes) -> int:
        if name not in self:
            raise KeyError(name)
        return self.number

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and b"\0%b\0" % name in b"\0%b\0" % self.names

    def __iter__(self) -> Iterator[bytes]:
        return iter(split_names(self.names))

    def __len__(self) -> int:
        return self.names.count(b"\0") + 1

    def __repr__(self) -> str:
        return f"<Unseen {len(self)} of scan {self.number}>"


def unseen(names: bytes, number: int) -> Mapping[bytes, int]:
    """All of these names, which are not none; a name of many is found sooner in a dictionary."""
    if names.count(b"\0") < SPLIT_ROWS:
        return Unseen(names, number)
    return dict.fromkeys(split_names(names), number)
