"""The other end in memory: fusion's door, the sinks that lead to it, a receiver in front of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
from pydantic import BaseModel

from fustor_core.claims import (
    LEADER_ONLY,
    Ack,
    Batch,
    Cell,
    Claim,
    Listing,
    Origin,
    Quarantined,
    decode_batch,
    encode_batch,
)
from fustor_core.contracts import (
    HERE,
    Accept,
    Answer,
    Ask,
    Caller,
    Command,
    Grant,
    Hello,
    Pulse,
    boottime_us,
)
from fustor_core.errors import SequenceGap, SessionObsoletedError, StaleEpochError, Unreachable
from fustor_core.soundness import fault


@dataclass(slots=True)
class Guest:
    """A live session of the door.

    Attributes:
        acks: stored replies by number; beats: every pulse that came.
    """

    session_id: str
    hello: Hello
    acks: dict[int, Ack] = field(default_factory=dict)
    beats: list[Pulse] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)


class MemoryDoor:
    """Sessions, numbers and epochs as fusion keeps them; what was accepted stands in `batches`.

    Args:
        leads: whether a session may lead at all; False makes everyone a follower.
    """

    def __init__(self, *, leads: bool = True) -> None:
        self.now_us: Callable[[], int] = boottime_us
        self.batches: list[Batch] = []
        self.epoch = 0
        self.leader: str | None = None
        self.timeout_s, self.heartbeat_s = 30.0, 10.0
        self.audit_s, self.sentinel_s = 600.0, 120.0
        self.birth = "btime"
        self.opened: list[Hello] = []
        self.callers: list[Caller] = []  # of each `open`, `beat` and `push`
        self.closed: list[str] = []
        self.owed: Callable[[Batch], Ack] | None = None  # makes the reply, for acks that owe
        self._guests: dict[str, Guest] = {}
        self._gone: dict[str, str] = {}
        self._leads = leads
        self._faults: dict[str, list[Exception]] = defaultdict(list)
        self._cut: Exception | None = None
        self._count = 0
        self._news = anyio.Event()
        self._gate = anyio.Event()
        self._gate.set()

    def __repr__(self) -> str:
        return f"<MemoryDoor {len(self._guests)} sessions, {len(self.batches)} batches>"

    # -- the contract `Accept`

    async def open(self, hello: Hello, caller: Caller = HERE) -> Grant:
        """A session; the one that this agent pipe had before is replaced."""
        await self._arrive("open")
        self.callers.append(caller)
        for guest in list(self._guests.values()):
            if (guest.hello.agent_id, guest.hello.pipe) == (hello.agent_id, hello.pipe):
                self.end(guest.session_id, "replaced")
        self._count += 1
        session_id = f"session-{self._count}"
        self._guests[session_id] = Guest(session_id, hello)
        self.opened.append(hello)
        if self._leads and self.leader is None:
            self._elect(session_id)
        self._tell()
        return Grant(
            session_id=session_id,
            role=self._role(session_id),
            epoch=self.epoch,
            session_timeout_s=max(self.timeout_s, hello.session_timeout_s or 0),
            heartbeat_interval_s=self.heartbeat_s,
            audit_interval_s=self.audit_s,
            sentinel_interval_s=self.sentinel_s,
            server_time=self.now_us(),
            birth=self.birth,
        )

    async def beat(self, session_id: str, pulse: Pulse, caller: Caller = HERE) -> Answer:
        """The role as it is now, and the commands that wait."""
        await self._arrive("beat")
        self.callers.append(caller)
        guest = self._admit(session_id)
        guest.beats.append(pulse)
        commands, guest.commands = tuple(guest.commands), []
        self._tell()
        return Answer(self._role(session_id), self.epoch, self.now_us(), commands)

    async def push(self, session_id: str, batch: Batch, body: bytes, caller: Caller = HERE) -> Ack:
        """All or nothing; a repeat is answered as before; `body` is the batch as it was sent."""
        await self._arrive("push")
        self.callers.append(caller)
        await self._gate.wait()
        guest = self._admit(session_id)
        if batch.seq in guest.acks:
            return guest.acks[batch.seq]
        expected = len(guest.acks) + 1
        if batch.seq != expected:
            raise SequenceGap(f"batch {batch.seq} after {expected - 1}", expected=expected)
        leads = self._role(session_id) == "leader" and batch.epoch == self.epoch
        if not leads and any(claim.origin in LEADER_ONLY for claim in batch.claims):
            raise StaleEpochError(
                f"epoch {batch.epoch} is over", epoch=self.epoch, role=self._role(session_id)
            )
        bad = [(i, fault(claim)) for i, claim in enumerate(batch.claims)]
        quarantined = tuple(Quarantined(i, reason) for i, reason in bad if reason)
        self.batches.append(decode_batch(body))
        ack = Ack(batch.seq, self.now_us(), quarantined)
        if self.owed is not None:
            ack = Ack(batch.seq, self.now_us(), quarantined, self.owed(batch).owed)
        guest.acks[batch.seq] = ack
        self._tell()
        return ack

    async def summoned(self, session_id: str) -> None:
        """Return when a command waits for this session's next heartbeat."""
        guest = self._admit(session_id)
        while not guest.commands:
            await self._news.wait()

    async def close(self, session_id: str, caller: Caller = HERE) -> None:
        """The session is over; unknown ones do nothing."""
        await self._arrive("close")
        self.closed.append(session_id)
        self.end(session_id, "unknown")
        self._tell()

    # -- what tests do to it

    @property
    def guests(self) -> list[Guest]:
        """The live sessions, oldest first."""
        return list(self._guests.values())

    @property
    def claims(self) -> list[Claim]:
        """Every accepted claim, in the order of acceptance."""
        return [claim for batch in self.batches for claim in batch.claims]

    @property
    def names(self) -> list[bytes]:
        """The names that single claims were about, in their order."""
        return [claim.name for claim in self.claims if isinstance(claim, Cell)]

    @property
    def scan_origins(self) -> set[Origin]:
        """Why directories were listed."""
        return {claim.origin for claim in self.claims if isinstance(claim, Listing)}

    def fail(self, where: str, *errors: Exception) -> None:
        """The next calls (``open``, ``beat``, ``push``, ``close``) raise, one error each."""
        self._faults[where].extend(errors)

    def cut(self, error: Exception | None = None) -> None:
        """Everything raises until `mend`."""
        self._cut = error or Unreachable("the line is cut")

    def mend(self) -> None:
        """The line works again."""
        self._cut = None

    def hold(self) -> None:
        """Pushes arrive but are not answered until `release`."""
        self._gate = anyio.Event()

    def release(self) -> None:
        """Pushes are answered again."""
        self._gate.set()

    def end(self, session_id: str, reason: str = "expired") -> None:
        """The session is gone, for this reason (419); the next oldest leads."""
        if self._guests.pop(session_id, None) is None:
            return
        self._gone[session_id] = reason
        if self.leader == session_id:
            self.leader = None
            if self._leads and self._guests:
                self._elect(next(iter(self._guests)))

    def demote(self) -> None:
        """Nobody leads, and nobody shall until `promote`."""
        self._leads, self.leader = False, None
        self.epoch += 1

    def promote(self, session_id: str | None = None) -> None:
        """This session leads, by default the oldest, under a new epoch."""
        self._leads = True
        self._elect(session_id or next(iter(self._guests)))

    def ask(self, command: Command, session_id: str | None = None) -> None:
        """The command rides home with the next heartbeat."""
        self._guests[session_id or next(iter(self._guests))].commands.append(command)

    async def until(self, reached: Callable[[MemoryDoor], bool], limit_s: float = 10.0) -> None:
        """Wait until `reached(door)`; asked again whenever something has come in.

        Raises:
            TimeoutError: not within `limit_s`.
        """
        with anyio.fail_after(limit_s):
            while not reached(self):
                await self._news.wait()

    # -- inside

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _arrive(self, where: str) -> None:
        await anyio.lowlevel.checkpoint()
        if self._cut is not None:
            raise self._cut
        if self._faults[where]:
            raise self._faults[where].pop(0)

    def _admit(self, session_id: str) -> Guest:
        if session_id not in self._guests:
            reason = self._gone.get(session_id, "unknown")
            raise SessionObsoletedError(f"session {session_id} is over", reason=reason)
        return self._guests[session_id]

    def _elect(self, session_id: str) -> None:
        self.leader = session_id
        self.epoch += 1

    def _role(self, session_id: str) -> str:
        return "leader" if self.leader == session_id else "follower"


class MemorySink:
    """A sink with sessions; behind it stands a `MemoryDoor` of its own, or the one attached."""

    class Config(BaseModel):
        """Options: the view."""

        view: str = "memory"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.door = MemoryDoor()
        self._accept: Accept = self.door
        self._session_id = ""

    def __repr__(self) -> str:
        return f"<MemorySink {self.config.view} {self._session_id or 'no session'}>"

    def attach(self, accept: Accept) -> None:
        """Lead to this door instead of the own one."""
        self._accept = accept

    async def open(self, hello: Hello) -> Grant:
        """A new session."""
        grant = await self._accept.open(hello)
        self._session_id = grant.session_id
        return grant

    async def beat(self, pulse: Pulse) -> Answer:
        """A sign of life."""
        return await self._accept.beat(self._session_id, pulse)

    async def send(self, batch: Batch) -> Ack:
        """The batch stands in the door's list when this returns."""
        return await self._accept.push(self._session_id, batch, encode_batch(batch))

    async def close(self) -> None:
        """The session is over; without one nothing happens."""
        session_id, self._session_id = self._session_id, ""
        if session_id:
            await self._accept.close(session_id)


class ListSink:
    """A sink without sessions: batches end in a list."""

    class Config(BaseModel):
        """No options."""

    def __init__(self, config: Config) -> None:
        self.batches: list[Batch] = []
        self.faults: list[Exception] = []
        self._news = anyio.Event()

    def __repr__(self) -> str:
        return f"<ListSink {len(self.batches)} batches>"

    async def send(self, batch: Batch) -> Ack:
        """The batch stands in the list when this returns."""
        await anyio.lowlevel.checkpoint()
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(batch)
        self._news.set()
        self._news = anyio.Event()
        return Ack(batch.seq)

    async def until(self, reached: Callable[[ListSink], bool], limit_s: float = 10.0) -> None:
        """Wait until `reached(sink)`; asked again after each batch.

        Raises:
            TimeoutError: not within `limit_s`.
        """
        with anyio.fail_after(limit_s):
            while not reached(self):
                await self._news.wait()


class MemoryReceiver:
    """A receiver without a wire: `caller` stands for a client at the other end."""

    class Config(BaseModel):
        """No options."""

    def __init__(self, config: Config) -> None:
        self._accept: Accept | None = None
        self._ask: Ask | None = None
        self.ready = anyio.Event()

    def __repr__(self) -> str:
        return f"<MemoryReceiver {'serving' if self._accept else 'idle'}>"

    async def serve(self, accept: Accept, ask: Ask) -> None:
        """Calls go through until this is cancelled."""
        self._accept, self._ask = accept, ask
        self.ready.set()
        try:
            await anyio.sleep_forever()
        finally:
            self._accept = self._ask = None
            self.ready = anyio.Event()

    @property
    def ask(self) -> Ask:
        """The way to the answers.

        Raises:
            Unreachable: it does not serve.
        """
        if self._ask is None:
            raise Unreachable("nobody serves")
        return self._ask

    async def open(self, hello: Hello) -> Grant:
        """As a client opens a session."""
        return await self._there().open(hello)

    async def beat(self, session_id: str, pulse: Pulse) -> Answer:
        """As a client beats."""
        return await self._there().beat(session_id, pulse)

    async def send(self, session_id: str, body: bytes) -> Ack:
        """As a client pushes: bytes, decoded here, once."""
        return await self._there().push(session_id, decode_batch(body), body)

    async def close(self, session_id: str) -> None:
        """As a client closes."""
        await self._there().close(session_id)

    def _there(self) -> Accept:
        if self._accept is None:
            raise Unreachable("nobody serves")
        return self._accept
