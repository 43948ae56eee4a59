"""A source of the user's own: rooms and their sizes, as names in one directory."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import BaseModel

from fustor_core.claims import Listing, Row
from fustor_core.contracts import Scope


class Rooms:
    class Config(BaseModel):
        rooms: dict[str, int]

    def __init__(self, config: Config) -> None:
        self.rooms = config.rooms

    async def scan(self, scope: Scope) -> AsyncIterator[Listing]:
        rows = {name.encode(): Row(size=size) for name, size in self.rooms.items()}
        yield scope.listing(b"/", rows)
