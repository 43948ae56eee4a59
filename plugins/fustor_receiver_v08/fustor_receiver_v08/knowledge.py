"""What the view knows: asked through fusion's own answers, never kept here."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

from fustor_core.contracts import Ask, Query, view_names


class Knowledge:
    """Questions to one view.

    Args:
        ask: the way to the answers. view: its name.
    """

    def __init__(self, ask: Ask, view: str) -> None:
        self._ask = ask
        self._view = view

    def __repr__(self) -> str:
        return f"<Knowledge of {self._view}>"

    async def below(self, path: bytes) -> list[tuple[bytes, ...]]:
        """Every entry below a path, by its names; none where no directory is known."""
        query = Query("find", path, limit=None, pattern=b"*")
        return [names_of(entry) async for entry in self._entries(query)]

    async def some(self, path: bytes, most: int) -> list[bytes]:
        """Paths of some entries of a directory."""
        found = self._entries(Query("ls", path, limit=most))
        return [path_of(entry) async for entry in found]

    async def unseen(self, path: bytes, since_us: int) -> list[bytes]:
        """Paths of a directory's entries that nobody has looked at since this fusion time."""
        found = self._entries(Query("ls", path, limit=None))
        return [path_of(entry) async for entry in found if _seen_us(entry) < since_us]

    async def doubtful(self, most: int, before_us: int) -> list[bytes]:
        """Paths of entries that are disputed, then of suspects last seen before a fusion time."""
        out = {path_of(e): None async for e in self._entries(Query("debts", limit=most))}
        left = most - len(out)
        if left > 0:
            found = self._entries(Query("suspects", limit=left))
            out.update([(path_of(e), None) async for e in found if _seen_us(e) < before_us])
        return list(out)

    async def _entries(self, query: Query) -> AsyncIterator[dict[str, Any]]:
        async for page in self._ask.query(self._view, query):
            for entry in page.items:
                yield entry


def path_of(entry: dict[str, Any]) -> bytes:
    """The view path of an entry."""
    if "path_b64" in entry:
        return base64.b64decode(entry["path_b64"])
    return str(entry["path"]).encode()


def names_of(entry: dict[str, Any]) -> tuple[bytes, ...]:
    """The names of its path."""
    return tuple(view_names(path_of(entry)))


def _seen_us(entry: dict[str, Any]) -> int:
    observed = entry.get("observed")
    return int(observed[1]) if observed else 0
