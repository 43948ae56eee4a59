"""What fusion hands to a receiver: the way in, and the way to the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from fustor_core.claims import (
    Ack,
    Batch,
)
from fustor_core.contracts.sink import Answer, Grant, Hello, Pulse
from fustor_core.contracts.view import Page, Query


class Accept(Protocol):
    """The way in: what a receiver hands to fusion. Raises the errors of `fustor_core.errors`."""

    async def open(self, hello: Hello) -> Grant: ...

    async def beat(self, session_id: str, pulse: Pulse) -> Answer: ...

    async def push(self, session_id: str, batch: Batch, body: bytes) -> Ack: ...

    async def close(self, session_id: str) -> None: ...

    async def summoned(self, session_id: str) -> None: ...  # returns when commands wait


class Ask(Protocol):
    """The way to the answers. Documents are those of interfaces.md §2, ready for JSON.

    Raises `NoSuchView`, `QueryError`, `CursorTooOld`, `IllegalTransition`.
    """

    def query(self, view: str, query: Query) -> AsyncIterator[Page]: ...

    def follow(
        self, view: str, path: bytes, since: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]: ...

    def views(self) -> list[dict[str, Any]]: ...

    def status(self) -> dict[str, Any]: ...

    async def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]: ...


@runtime_checkable
class Receiver(Protocol):
    """Serves requests until it is cancelled. `serve` decodes at the border, once, and no policy."""

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    async def serve(self, accept: Accept, ask: Ask) -> None: ...


@runtime_checkable
class Attached(Protocol):
    """A sink that ends in this process: it is given fusion's door once, before anything else."""

    def attach(self, accept: Accept) -> None: ...
