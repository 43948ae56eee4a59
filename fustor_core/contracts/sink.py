"""What a sink promises: it takes batches and makes them durable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import msgspec
from pydantic import BaseModel

from fustor_core.claims import (
    Ack,
    Batch,
    Key,
)


@dataclass(frozen=True, slots=True)
class Hello:
    """What a pipe says when it opens a session (interfaces.md §3, `POST /pipe/sessions/`)."""

    agent_id: str
    pipe: str
    view: str
    source: dict[str, Any]
    line: dict[str, Any]  # {boot, process, mount, cache_bound_s}
    can: dict[str, bool]
    session_timeout_s: float | None = None
    protocol: tuple[int, ...] = (1,)
    client: str = "fustor"


class Rest(msgspec.Struct, frozen=True):
    """A whole scan that another session has begun, for a new leader to go on with.

    Attributes:
        after: view path up to which, in the order of a walk, every directory was looked at.
        session: who did. age_s: how long ago it began.
    """

    after: bytes = msgspec.field(name="after_b64")
    session: str = ""
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """A session, as granted. Durations in seconds. `rest`: for a leader, what there is to go on."""

    session_id: str
    role: str
    epoch: int
    session_timeout_s: float
    heartbeat_interval_s: float
    audit_interval_s: float
    sentinel_interval_s: float
    server_time: int
    next_seq: int = 1
    birth: str = "btime"
    batch_bytes: int = 8 << 20
    rows: int = 100_000
    protocol: int = 1
    rest: Rest | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a pipe says with each heartbeat. `scan`: {started_us, progress_us, directories}."""

    state: int
    queue: int = 0
    unacked_bytes: int = 0
    scan: dict[str, int] | None = None
    uncovered: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """Work that fusion asks of an agent; rides home in a heartbeat reply.

    Attributes:
        kind: ``scan`` (a job), ``look`` (stat names), ``list`` (list directories), ``watch``.
        targets: (key or None, view path).
    """

    id: str
    kind: str
    targets: tuple[tuple[Key | None, bytes], ...]
    recursive: bool = False
    deadline_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a heartbeat. `rest`: as in a grant."""

    role: str
    epoch: int
    server_time: int
    commands: tuple[Command, ...] = ()
    rest: Rest | None = None


@runtime_checkable
class Sink(Protocol):
    """Takes batches.

    `send` returns only when the batch is durable at the other end; it is called for one batch at a
    time, in the order of their numbers. It raises the errors of `fustor_core.errors` and does not
    retry: the pipe does.
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    async def send(self, batch: Batch) -> Ack: ...


@runtime_checkable
class Sessioned(Protocol):
    """A sink with sessions: `open` before the first `send`, `beat` beside, `close` at the end."""

    async def open(self, hello: Hello) -> Grant: ...

    async def beat(self, pulse: Pulse) -> Answer: ...

    async def close(self) -> None: ...


@runtime_checkable
class Introduced(Protocol):
    """A sink without sessions that is told whose claims it gets, and when no more will come.

    `begin` comes before the first `send` and may be called again after an error; `end` comes after
    the last one. Both raise the errors of `fustor_core.errors`.
    """

    async def begin(self, hello: Hello) -> None: ...

    async def end(self) -> None: ...
