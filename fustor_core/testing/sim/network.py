"""The network between agents and fusion: delay, loss, duplicates, cuts of either direction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from pydantic import BaseModel

from fustor_core.claims import Ack, Batch, decode_batch, encode_batch
from fustor_core.contracts import Accept, Access, Answer, Caller, Grant, Hello, Pulse
from fustor_core.errors import FustorError, SessionObsoletedError, Unreachable
from fustor_core.testing.sim.host import Machine

POLL_S = 10.0  # a wait for commands is asked again
Act = Callable[[Accept, Caller], Awaitable[Any]]
Told = Callable[[str], None]


class Door(Protocol):
    """Where requests arrive."""

    def arrived(self, handle: Callable[[Accept], Awaitable[None]]) -> bool: ...


class Promised(Protocol):
    """Hears what fusion has promised to an agent."""

    def acknowledged(self, session: str, seq: int) -> None: ...

    def leads(self, session: str, epoch: int) -> None: ...


@dataclass(slots=True)
class Line:
    """The way between one agent and fusion.

    Attributes:
        least_s, most_s: of the delay of a message. loss, twice: shares of messages lost, or
            delivered again later. up, down: messages pass towards fusion, and back.
    """

    least_s: float = 0.001
    most_s: float = 0.01
    loss: float = 0.0
    twice: float = 0.0
    up: bool = True
    down: bool = True


class SimSink:
    """The sink of an agent of a simulated world; what the real one sends over HTTP.

    Args:
        machine: of the agent. line: the way. door: at its end.
        point: told the name of each window that is passed. count: told what happened.
        timeout_s: a request without an answer is given up. promised: told what fusion promises.
    """

    class Config(BaseModel):
        """Nothing can be set."""

    def __init__(
        self,
        machine: Machine,
        line: Line,
        door: Door,
        rng: Random,
        *,
        point: Told,
        count: Told,
        timeout_s: float,
        promised: Promised,
    ) -> None:
        self._promised = promised
        self._machine, self._line, self._door, self._rng = machine, line, door, rng
        self._point, self._count, self._timeout_s = point, count, timeout_s
        self._session = ""
        self._echo: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<SimSink of {self._machine.name} session={self._session or None}>"

    async def open(self, hello: Hello) -> Grant:
        """Open a session."""
        self._echo = None
        grant: Grant = await self._ask("open", lambda door, caller: door.open(hello, caller))
        self._session = grant.session_id
        self._echo = (grant.server_time, self._machine.raw_us())
        if grant.role == "leader":
            self._promised.leads(grant.session_id, grant.epoch)
        return grant

    async def send(self, batch: Batch) -> Ack:
        """Push a batch."""
        session, body = self._live(), encode_batch(batch)
        self._point("agent.sends")

        async def push(door: Accept, caller: Caller) -> Ack:
            return await door.push(session, decode_batch(body), body, caller)

        ack: Ack = await self._ask("push", push)
        self._point("agent.acknowledged")
        self._promised.acknowledged(session, ack.acked)
        for one in ack.quarantined:
            self._count("quarantined." + one.reason)
        self._echo = (ack.server_time, self._machine.raw_us())
        return ack

    async def beat(self, pulse: Pulse) -> Answer:
        """A heartbeat."""
        session = self._live()
        answer: Answer = await self._ask("beat", lambda d, c: d.beat(session, pulse, c))
        self._echo = (answer.server_time, self._machine.raw_us())
        if answer.role == "leader":
            self._promised.leads(session, answer.epoch)
        return answer

    async def close(self) -> None:
        """End the session."""
        session, self._session = self._session, ""
        if session:
            await self._ask("close", lambda door, caller: door.close(session, caller))

    async def summoned(self) -> None:
        """Return when fusion has commands."""
        session = self._live()
        await self._ask("summoned", lambda door, _: door.summoned(session), waits=True)

    def _live(self) -> str:
        if not self._session:
            raise SessionObsoletedError("no session is open", reason="unknown")
        return self._session

    async def _ask(self, what: str, act: Act, *, waits: bool = False) -> Any:
        """One request and its answer."""
        machine, rng = self._machine, self._rng
        await machine.gate()
        caller = Caller(Access(), "", machine.raw_us(), self._echo)
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        box: list[Any] = []

        def end() -> None:
            if not over.done():
                over.set_result(None)

        def reply(result: Any) -> None:
            if not box:
                box.append(result)
                end()

        async def handle(door: Accept) -> None:
            result: Any = Unreachable("connection reset")
            try:
                result = await act(door, caller)
            except FustorError as error:
                result = error
                self._count("error." + type(error).__name__)
            except BaseException:
                self._pass(lambda: reply(result), up=False)  # the process ends
                raise
            self._point("fusion.replies")
            self._pass(lambda: reply(result), up=False)

        def deliver() -> None:
            if not self._door.arrived(handle):
                self._pass(lambda: reply(Unreachable("connection refused")), up=False)

        self._pass(deliver, up=True)
        if not waits and rng.random() < self._line.twice:
            self._count("net.twice")
            self._later(rng.uniform(0, 4 * self._line.most_s), lambda: self._pass(deliver, up=True))
        timer = loop.call_later(POLL_S if waits else self._timeout_s, end)
        try:
            await over
        finally:
            timer.cancel()
        await machine.gate()
        if not box and waits:
            return None
        if not box:
            self._count("net.timeout")
            raise Unreachable(f"no answer to {what} within {self._timeout_s:g} s")
        if isinstance(box[0], FustorError):
            raise box[0]
        return box[0]

    def _pass(self, act: Callable[[], None], *, up: bool) -> None:
        """A message goes over the line, or gets lost."""
        line, rng = self._line, self._rng
        delay = rng.uniform(line.least_s, line.most_s)
        if rng.random() < line.loss:
            self._count("net.lost")
            return

        def arrive() -> None:
            if line.up if up else line.down:
                act()
            else:
                self._count("net.cut")

        self._later(delay, arrive)

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_s, act)
