"""What every receiver promises, as checks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio

from fustor_core.claims import PROTOCOL, Ack, Batch, encode_batch
from fustor_core.config import State
from fustor_core.contracts import (
    Access,
    Answer,
    Asset,
    Grant,
    Hello,
    Page,
    Pulse,
    Query,
    Receiver,
)
from fustor_core.errors import NoSuchView, SessionObsoletedError, Unauthorized
from fustor_core.testing.door import MemoryDoor
from fustor_core.testing.promises import cell, configured, hello, kept, run

START_S = 0.2
STOP_S = 10.0


class Caller(Protocol):
    """A client at the other end of a receiver's wire: what it is told raises as it was raised."""

    async def open(self, hello: Hello) -> Grant: ...

    async def beat(self, session_id: str, pulse: Pulse) -> Answer: ...

    async def send(self, session_id: str, body: bytes) -> Ack: ...

    async def close(self, session_id: str) -> None: ...


Call = Callable[[Any], AbstractAsyncContextManager[Caller]]


class NoAnswers:
    """Answers for a kit that asks nothing: one view, empty."""

    async def query(self, view: str, query: Query) -> AsyncIterator[Page]:
        """One page without items.

        Raises:
            NoSuchView: any view but ``kit``.
        """
        if view != "kit":
            raise NoSuchView(view, ["kit"])
        yield Page([], "", {"view": view, "verb": query.verb})

    async def follow(
        self, view: str, path: bytes, since: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Nothing ever changes."""
        await anyio.sleep_forever()
        yield []

    def access(self, bearer: str) -> Access:
        """One key is known, ``kit``; it may everything.

        Raises:
            Unauthorized: any other.
        """
        if bearer != "kit":
            raise Unauthorized("not the kit's key")
        return Access("kit")

    async def ended(self, key_id: str) -> None:
        """The key stays good."""
        await anyio.sleep_forever()

    def views(self) -> list[dict[str, Any]]:
        """The one view."""
        return [{"view": "kit"}]

    def status(self) -> dict[str, Any]:
        """The one view."""
        return {"views": self.views(), "pipes": []}

    async def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Says the command back."""
        return {"name": name, **arguments}

    def refused(self, request: str, why: str) -> None:
        """Nobody writes it down."""

    async def stirred(self, since: int) -> int:
        """Nothing ever happens."""
        await anyio.sleep_forever()
        return since

    @property
    def vis_update_rate(self) -> float:
        """The default."""
        return State().vis_update_rate

    def assets(self) -> Sequence[Asset]:
        """None."""
        return ()


@dataclass(slots=True)
class Case:
    """What is checked: a driver class, its configuration, and a client for it."""

    cls: Any
    config: Any
    call: Call | None


def receiver_kit(cls: Any, config: Any, *, call: Call | None = None) -> None:
    """Check every promise of `contracts.Receiver`.

    Args:
        cls: the driver.
        config: an instance of its `Config` that listens where it disturbs nobody.
        call: given the serving receiver, a context in which a client of it is ready. Without it
            only beginning and end are checked.

    Raises:
        BrokenPromise: names the promise, and what was found instead.
    """
    configured(cls, config)
    kept("a receiver has `serve`", isinstance(cls(config), Receiver))
    case = Case(cls, config, call)
    for check in (*CHECKS, *(CALLED if call else ())):
        run(check, case)


async def check_serve(case: Case) -> None:
    """It serves until it is cancelled, and can serve again."""
    receiver = case.cls(case.config)
    for _ in range(2):
        ended = False
        async with anyio.create_task_group() as group:

            async def serve() -> None:
                nonlocal ended
                await receiver.serve(MemoryDoor(), NoAnswers())
                ended = True

            group.start_soon(serve)
            await anyio.sleep(START_S)
            kept("`serve` does not end by itself", not ended)
            group.cancel_scope.cancel()
            group.cancel_scope.deadline = anyio.current_time() + STOP_S


async def check_push(case: Case) -> None:
    """What a client sends arrives as it was sent."""
    receiver = case.cls(case.config)
    door = MemoryDoor()
    async with anyio.create_task_group() as group:
        group.start_soon(receiver.serve, door, NoAnswers())
        assert case.call is not None
        async with case.call(receiver) as caller:
            grant = await caller.open(hello())
            kept("`open` reaches the door", [h.pipe for h in door.opened] == ["kit"], door.opened)
            sent = Batch(PROTOCOL, 1, grant.epoch, [cell()])
            ack = await caller.send(grant.session_id, encode_batch(sent))
            kept("the door's acknowledgement reaches the client", ack.acked == 1, ack)
            kept("a batch arrives as it was sent", door.batches == [sent], door.batches)
            answer = await caller.beat(grant.session_id, Pulse(state=2))
            kept("`beat` reaches the door", answer.epoch == grant.epoch, answer)
            await caller.close(grant.session_id)
            kept("`close` reaches the door", door.closed == [grant.session_id], door.closed)
            try:
                await caller.send(grant.session_id, encode_batch(sent))
                error = "nothing"
            except SessionObsoletedError as obsolete:
                error = obsolete.reason
            kept("the door's errors reach the client", error == "unknown", error)
        group.cancel_scope.cancel()


CHECKS = (check_serve,)
CALLED = (check_push,)
