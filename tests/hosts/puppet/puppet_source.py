"""A source that does what files in its root say; for processes that tests start.

hold-arm, bad-arm       the watch takes its time, or cannot be had
hold-scan, bad-scan     a scan stands still, or fails
fail                    the watch breaks
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel

from fustor_core.claims import Cell, Listing, Owe, Row
from fustor_core.contracts import Scope

LOOK_S = 0.02


class Puppet:
    class Config(BaseModel):
        root: Path

    def __init__(self, config: Any) -> None:
        self._root: Path = config.root

    def _says(self, word: str) -> bool:
        return (self._root / word).exists()

    async def _obey(self, what: str) -> None:
        while self._says(f"hold-{what}"):  # noqa: ASYNC110 - who takes it away is another process
            await anyio.sleep(LOOK_S)
        if self._says(f"bad-{what}"):
            raise OSError(errno.EIO, f"bad-{what}")

    async def scan(self, scope: Scope) -> AsyncIterator[Listing]:
        await self._obey("scan")
        yield scope.listing(b"/", {b"file": Row(size=1)})

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[list[Cell | Listing | Owe]]]:
        await self._obey("arm")
        yield self._seen()

    async def _seen(self) -> AsyncIterator[list[Cell | Listing | Owe]]:
        while not self._says("fail"):  # noqa: ASYNC110 - as above
            await anyio.sleep(LOOK_S)
        raise OSError(errno.EIO, "the strings were cut")
        yield []
