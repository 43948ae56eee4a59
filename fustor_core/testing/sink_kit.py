"""What every sink promises, as checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fustor_core.claims import PROTOCOL, Ack, Batch, Claim, Origin
from fustor_core.contracts import (
    Accept,
    Answer,
    Attached,
    Grant,
    Introduced,
    Pulse,
    Sessioned,
    Sink,
)
from fustor_core.errors import (
    PipeError,
    SequenceGap,
    SessionObsoletedError,
    StaleEpochError,
)
from fustor_core.testing.door import MemoryDoor
from fustor_core.testing.promises import cell, configured, hello, kept, listing, run

ROLES = ("leader", "follower")


@dataclass(slots=True)
class Case:
    """What is checked: a driver class, its configuration, and doors for those that need one."""

    cls: Any
    config: Any
    door: Callable[[], Accept]

    def sink(self) -> Any:
        """A new sink with a door of its own."""
        return self.at(self.door())

    def at(self, door: Accept) -> Any:
        """A new sink at this door."""
        sink = self.cls(self.config)
        if isinstance(sink, Attached):
            sink.attach(door)
        return sink


def sink_kit(cls: Any, config: Any, *, door: Callable[[], Accept] = MemoryDoor) -> None:
    """Check every promise of `contracts.Sink`, and of `Sessioned` for those that have sessions.

    Each check opens sessions of its own; what is sent are a few claims about a root directory.

    Args:
        cls: the driver.
        config: an instance of its `Config`; for a sink that ends elsewhere, of an end that answers.
        door: makes the door for a sink that ends in this process.

    Raises:
        BrokenPromise: names the promise, and what was found instead.
    """
    configured(cls, config)
    case = Case(cls, config, door)
    kept("a sink has `send`", isinstance(case.sink(), Sink))
    for check in (*(SESSIONED if isinstance(case.sink(), Sessioned) else ()), *CHECKS):
        run(check, case)


def batch(seq: int, epoch: int = 0, *claims: Claim) -> Batch:
    """A small batch; without claims given, of one realtime claim."""
    return Batch(PROTOCOL, seq, epoch, list(claims) or [cell(at=seq)])


async def opened(case: Case, sink: Any, pipe: str = "kit") -> Grant:
    """A session for a sink that has sessions; else what stands for one."""
    if isinstance(sink, Sessioned):
        return await sink.open(replace(hello(pipe)))
    if _introduced(sink):
        await sink.begin(hello(pipe))
    return Grant("", "leader", 0, 0, 0, 0, 0, 0)


async def ended(sink: Any) -> None:
    """The end of a sink that has one and no sessions."""
    if _introduced(sink):
        await sink.end()


def _introduced(sink: Any) -> bool:
    return isinstance(sink, Introduced) and not isinstance(sink, Sessioned)


async def raised(send: Any, argument: Any) -> PipeError | None:
    """The error of `fustor_core.errors` that a call raises, None when it raises none."""
    try:
        await send(argument)
    except PipeError as error:
        return error
    return None


async def check_send(case: Case) -> None:
    """Batches are acknowledged by their numbers."""
    sink = case.sink()
    grant = await opened(case, sink)
    for seq in range(grant.next_seq, grant.next_seq + 3):
        ack = await sink.send(batch(seq))
        kept("`send` returns an acknowledgement", isinstance(ack, Ack), ack)
        kept("an acknowledgement names the batch", ack.acked == seq, ack)
    await ended(sink)


async def check_begin(case: Case) -> None:
    """A sink that is introduced ends, and may be introduced again."""
    sink = case.sink()
    if not _introduced(sink):
        return
    for _ in range(2):
        await sink.begin(hello())
        kept("a sink that has begun takes batches", (await sink.send(batch(1))).acked == 1)
        await sink.end()
    await sink.end()
    error = await raised(sink.send, batch(2))
    kept("a sink that has ended takes nothing", isinstance(error, PipeError), repr(error))


async def check_grant(case: Case) -> None:
    """What a session is granted."""
    grant = await opened(case, case.sink())
    kept("`open` returns a grant", isinstance(grant, Grant), grant)
    kept("a session has an id", grant.session_id)
    kept("a session's role is leader or follower", grant.role in ROLES, grant.role)
    kept("the numbers of a session begin at 1", grant.next_seq == 1, grant.next_seq)
    room = 0 < grant.heartbeat_interval_s <= grant.session_timeout_s / 3
    kept("two heartbeats may be lost within the timeout", room, grant.heartbeat_interval_s)


async def check_beat(case: Case) -> None:
    """Heartbeats tell the role."""
    sink = case.sink()
    grant = await opened(case, sink)
    answer = await sink.beat(Pulse(state=2))
    kept("`beat` returns an answer", isinstance(answer, Answer), answer)
    same = (answer.role, answer.epoch) == (grant.role, grant.epoch)
    kept("a heartbeat tells role and epoch", same, answer)


async def check_repeat(case: Case) -> None:
    """A batch that was acknowledged before is acknowledged again, and changes nothing."""
    sink = case.sink()
    await opened(case, sink)
    once = batch(1)
    first = await sink.send(once)
    again = await sink.send(once)
    kept("a repeated batch gets the stored acknowledgement", again == first, again)
    ack = await sink.send(batch(2))
    kept("a repeated batch consumes no number", ack.acked == 2, ack)


async def check_gap(case: Case) -> None:
    """A batch is missing."""
    sink = case.sink()
    await opened(case, sink)
    error = await raised(sink.send, batch(2))
    kept("a gap raises SequenceGap", isinstance(error, SequenceGap), repr(error))
    told = isinstance(error, SequenceGap) and error.expected == 1
    kept("a gap names the number that is expected", told, repr(error))
    ack = await sink.send(batch(1))
    kept("what raised had no effect", ack.acked == 1, ack)


async def check_epoch(case: Case) -> None:
    """Scan claims of a past leadership are refused, evidence that was watched is not."""
    sink = case.sink()
    grant = await opened(case, sink)
    stale = grant.epoch + 1000
    error = await raised(sink.send, batch(1, stale, listing(Origin.SNAPSHOT, a=1)))
    kept("scan claims of another epoch raise StaleEpochError", _is(error, StaleEpochError), error)
    ack = await sink.send(batch(1, stale))
    kept("a stale epoch consumes no number and fences no realtime claim", ack.acked == 1, ack)
    ack = await sink.send(batch(2, stale, listing(Origin.ON_DEMAND, a=1)))
    kept("scans on demand are never fenced", ack.acked == 2, ack)


async def check_obsolete(case: Case) -> None:
    """One live session for each agent pipe."""
    door = case.door()
    old, new = case.at(door), case.at(door)
    await opened(case, old)
    await opened(case, new)
    error = await raised(old.send, batch(1))
    kept("a replaced session raises SessionObsoletedError", _is(error, SessionObsoletedError))
    error = await raised(old.beat, Pulse(state=2))
    kept("a replaced session's heartbeat raises too", _is(error, SessionObsoletedError))
    ack = await new.send(batch(1))
    kept("the new session begins at 1", ack.acked == 1, ack)


async def check_reopen(case: Case) -> None:
    """A sink is opened again after its session is gone."""
    sink = case.sink()
    once = await opened(case, sink)
    await sink.send(batch(1))
    again = await opened(case, sink)
    kept("each `open` is a new session", once.session_id != again.session_id, again.session_id)
    ack = await sink.send(batch(1))
    kept("the numbers of a session begin at 1", ack.acked == 1, ack)


async def check_close(case: Case) -> None:
    """The end."""
    sink = case.sink()
    await opened(case, sink)
    await sink.close()
    await sink.close()
    error = await raised(sink.send, batch(1))
    kept("a closed session raises SessionObsoletedError", _is(error, SessionObsoletedError))


async def check_quarantine(case: Case) -> None:
    """One bad claim does not cost the batch."""
    sink = case.sink()
    await opened(case, sink)
    bad = cell(b"a/b")
    ack = await sink.send(batch(1, 0, cell(b"a"), bad, cell(b"c", at=2)))
    kept("a batch with a bad claim is taken", ack.acked == 1, ack)
    found = [one.index for one in ack.quarantined]
    kept("the acknowledgement names the quarantined claim", found == [1], found)


def _is(error: PipeError | None, kind: type[PipeError]) -> bool:
    return isinstance(error, kind)


CHECKS = (check_send, check_begin)
SESSIONED = (
    check_grant,
    check_beat,
    check_repeat,
    check_gap,
    check_epoch,
    check_obsolete,
    check_reopen,
    check_close,
    check_quarantine,
)
