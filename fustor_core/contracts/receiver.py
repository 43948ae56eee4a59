"""What fusion hands to a receiver: the way in, and the way to the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from fustor_core.claims import (
    Ack,
    Batch,
)
from fustor_core.contracts.sink import Answer, Grant, Hello, Pulse
from fustor_core.contracts.view import Page, Query

Right = Literal["push", "read", "scan", "admin"]
RIGHTS: frozenset[Right] = frozenset({"push", "read", "scan", "admin"})


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller may do.

    Args:
        key_id: the key that was shown; "" = no key was needed: this process, or the Unix socket.
        rights: scopes of the key. views, pipes: globs of what they hold for.
    """

    key_id: str = ""
    rights: frozenset[Right] = RIGHTS
    views: tuple[str, ...] = ("*",)
    pipes: tuple[str, ...] = ("*",)

    def covers(self, right: Right, *, view: str | None = None, pipe: str | None = None) -> bool:
        """Whether it holds for this; what is left out is not asked about."""
        return (
            right in self.rights
            and (view is None or any(fnmatchcase(view, glob) for glob in self.views))
            and (pipe is None or any(fnmatchcase(pipe, glob) for glob in self.pipes))
        )


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that a receiver serves to browsers. Whoever reaches the server may read it.

    Args:
        path: in the URL: ``/``, or below ``/assets/``.
        media_type: with its charset, where it is text.
        content: as it is sent.
        lasting: the path changes whenever the content does, so it may be kept for ever.
    """

    path: str
    media_type: str
    content: bytes = field(repr=False)
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request of the way in, and what it says of its clock.

    Args:
        access: what it may do. client_ip: where it comes from, "" for a socket or this process.
        sent_us: the agent's raw clock when the request left; None = it did not say.
        echo: (`server_time` of the last reply, the agent's raw clock when that came in), or None.
    """

    access: Access = field(default_factory=Access)
    client_ip: str = ""
    sent_us: int | None = None
    echo: tuple[int, int] | None = None


HERE = Caller()
"""A caller in this process: it may everything, and its clock is ours."""


class Accept(Protocol):
    """The way in: what a receiver hands to fusion. Raises the errors of `fustor_core.errors`.

    A session is bound to the key that opened it: another key gets `Forbidden`, whatever it knows.
    """

    async def open(self, hello: Hello, caller: Caller = HERE) -> Grant: ...

    async def beat(self, session_id: str, pulse: Pulse, caller: Caller = HERE) -> Answer: ...

    async def push(
        self, session_id: str, batch: Batch, body: bytes, caller: Caller = HERE
    ) -> Ack: ...

    async def close(self, session_id: str, caller: Caller = HERE) -> None: ...

    async def summoned(self, session_id: str) -> None: ...  # returns when commands wait


class Ask(Protocol):
    """The way to the answers. Documents are those of interfaces.md §2, ready for JSON.

    Raises `NoSuchView`, `QueryError`, `CursorTooOld`, `IllegalTransition`. It does not know who
    asks: a receiver checks each request's right with `access` before it comes here.
    """

    def access(self, bearer: str) -> Access:
        """What a bearer key may do.

        Raises:
            Unauthorized: it is not known, expired or revoked.
        """
        ...

    async def ended(self, key_id: str) -> None:
        """Return when a key is revoked or expires: open streams end then. "" never does."""
        ...

    def query(self, view: str, query: Query) -> AsyncIterator[Page]: ...

    def follow(
        self, view: str, path: bytes, since: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]: ...

    def views(self) -> list[dict[str, Any]]: ...

    def status(self) -> dict[str, Any]: ...

    async def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]: ...

    def refused(self, request: str, why: str) -> None:
        """A receiver has refused a request: for the audit log. Who it was stands in `ASKER`.

        Args:
            request: method and path, without its query. why: one word.
        """
        ...

    async def stirred(self, since: int) -> int:
        """Return when something has happened that people watch for: a machine has moved, a batch
        was taken, somebody asked for something.

        Args:
            since: what this returned the last time; less than all there were: it returns at once.
        """
        ...

    @property
    def vis_update_rate(self) -> float:
        """How often watchers are told what flows, in Hz."""
        ...

    def assets(self) -> Sequence[Asset]:
        """The files that plugins have for browsers."""
        ...


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
