"""What an entry must be beside its name: type, size, times, owner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fustor_core.claims import Row
from fustor_core.contracts import Query
from fustor_core.errors import QueryError
from fustor_view_file.answers.entries import TYPES, type_of

_NUMBER_OF = {name: number for number, name in TYPES.items()}


class Conditions:
    """The conditions of a query.

    Attributes:
        none: every row meets them. attributes: they are about more than the type.
        directories: such entries can meet them at all; alone: nothing else can.
    """

    def __init__(self, query: Query) -> None:
        """Take the conditions out of a query.

        Raises:
            QueryError: a type or size comparison that does not exist.
        """
        unknown = sorted(query.types - set(_NUMBER_OF))
        if unknown:
            raise QueryError(
                f"no type {unknown[0]!r}", remedy=f"there are {', '.join(sorted(_NUMBER_OF))}"
            )
        if query.size is not None and query.size[0] not in ("", "+", "-"):
            raise QueryError(
                f"no comparison {query.size[0]!r} of sizes", remedy="write +1G, -1G or 1G"
            )
        self._query = query
        self.attributes = any(
            wanted is not None
            for wanted in (query.size, query.newer_ns, query.older_ns, query.uid, query.gid)
        )
        self.none = not self.attributes and not query.types
        self.alone = query.types == {"dir"}
        self.directories = not query.types or "dir" in query.types
        kinds = [type_of(number << 12) in query.types for number in range(16)]
        self._kinds = np.array(kinds) if query.types else None

    def of_rows(self, table: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which rows meet the conditions. What it says of edges means nothing."""
        query = self._query
        met = np.ones(len(table), bool)
        if self._kinds is not None:
            met &= self._kinds[(table["mode"] >> 12) & 0xF]
        if query.size is not None:
            sign, size = query.size
            sizes = table["size"]
            met &= sizes > size if sign == "+" else sizes < size if sign == "-" else sizes == size
        if query.newer_ns is not None:
            met &= table["mtime"] >= query.newer_ns
        if query.older_ns is not None:
            met &= table["mtime"] < query.older_ns
        if query.uid is not None:
            met &= table["uid"] == query.uid
        if query.gid is not None:
            met &= table["gid"] == query.gid
        return met

    def of_row(self, row: Row) -> bool:
        """Whether one row that is no edge, or a directory's own attributes, meets them."""
        query = self._query
        if query.types and type_of(row.mode) not in query.types:
            return False
        if query.size is not None:
            sign, size = query.size
            off = row.size <= size if sign == "+" else row.size >= size
            if off if sign else row.size != size:
                return False
        if query.newer_ns is not None and row.mtime_ns < query.newer_ns:
            return False
        if query.older_ns is not None and row.mtime_ns >= query.older_ns:
            return False
        return query.uid in (None, row.uid) and query.gid in (None, row.gid)

    def of_directory(self, attributes: Row | None) -> bool:
        """Whether a directory meets them; what is not known of it meets nothing."""
        if not self.directories:
            return False
        if not self.attributes:
            return True
        return attributes is not None and self.of_row(attributes)

    def __repr__(self) -> str:
        wanted: dict[str, Any] = {"types": sorted(self._query.types)} if self._query.types else {}
        return f"<Conditions {wanted or ('some' if self.attributes else 'none')}>"
