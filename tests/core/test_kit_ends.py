"""The kits of sinks and receivers: every broken promise is caught by name."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from fustor_core.claims import Ack, Batch, decode_batch, encode_batch
from fustor_core.contracts import Accept, Answer, Ask, Grant, Hello, Pulse
from fustor_core.errors import PipeError, SequenceGap, StaleEpochError, Unreachable
from fustor_core.testing import (
    BrokenPromise,
    ListSink,
    MemoryDoor,
    MemoryReceiver,
    MemorySink,
    receiver_kit,
    sink_kit,
)
from fustor_core.testing.receiver_kit import CALLED, CHECKS
from fustor_core.testing.sink_kit import CHECKS as SENDING
from fustor_core.testing.sink_kit import SESSIONED

replace = dataclasses.replace


def test_the_sinks_in_memory_keep_every_promise() -> None:
    sink_kit(MemorySink, MemorySink.Config())
    sink_kit(ListSink, ListSink.Config())


class Mute(ListSink):
    async def send(self, batch: Batch) -> Ack:
        return Ack(batch.seq + 1)


class Silent(MemorySink):
    async def beat(self, pulse: Pulse) -> Answer:
        answer = await super().beat(pulse)
        return replace(answer, epoch=answer.epoch + 1)


class Greedy(MemorySink):
    async def open(self, hello: Hello) -> Grant:
        return replace(await super().open(hello), heartbeat_interval_s=29.0)


class Renumbered(MemorySink):
    async def open(self, hello: Hello) -> Grant:
        return replace(await super().open(hello), next_seq=0)


class Twice(MemorySink):
    """Takes a repeat as a new batch."""

    shift = -1

    async def send(self, batch: Batch) -> Ack:
        if batch.seq == 1:
            self.shift += 1
        moved = Batch(batch.protocol, batch.seq + self.shift, batch.epoch, batch.claims)
        return await super().send(moved)


class Gapless(MemorySink):
    """Takes what comes after a gap, or hides which batch is missing."""

    async def send(self, batch: Batch) -> Ack:
        try:
            return await super().send(batch)
        except SequenceGap as gap:
            raise Unreachable("something is missing") from gap


class Unfenced(MemorySink):
    async def send(self, batch: Batch) -> Ack:
        try:
            return await super().send(batch)
        except StaleEpochError:
            return Ack(batch.seq)


class Crowded(MemorySink):
    """Every sink is another agent: nobody is replaced."""

    async def open(self, hello: Hello) -> Grant:
        return await super().open(replace(hello, agent_id=f"{hello.agent_id}-{id(self)}"))


class Stuck(MemorySink):
    """One session for ever."""

    grant: Grant | None = None

    async def open(self, hello: Hello) -> Grant:
        self.grant = self.grant or await super().open(hello)
        return self.grant


class Lingering(MemorySink):
    async def close(self) -> None:
        return


class Prim(MemorySink):
    """Refuses a batch for one bad claim."""

    async def send(self, batch: Batch) -> Ack:
        ack = await super().send(batch)
        if ack.quarantined:
            raise PipeError("a bad claim")
        return ack


class Endless(ListSink):
    """Is told the end, and goes on."""

    async def begin(self, hello: Hello) -> None:
        return

    async def end(self) -> None:
        return


SINKS = [
    (Endless, "check_begin", "that has ended takes nothing"),
    (Mute, "check_send", "names the batch"),
    (Greedy, "check_grant", "two heartbeats"),
    (Renumbered, "check_grant", "begin at 1"),
    (Silent, "check_beat", "role and epoch"),
    (Twice, "check_repeat", "stored acknowledgement"),
    (Gapless, "check_gap", "raises SequenceGap"),
    (Unfenced, "check_epoch", "StaleEpochError"),
    (Crowded, "check_obsolete", "replaced session raises"),
    (Stuck, "check_reopen", "each `open` is a new session"),
    (Lingering, "check_close", "closed session raises"),
    (Prim, "check_quarantine", "bad claim"),
]


@pytest.mark.parametrize(("broken", "check", "promise"), SINKS)
def test_a_sink_s_broken_promise_is_named(broken: Any, check: str, promise: str) -> None:
    with pytest.raises((BrokenPromise, PipeError), match=promise) as caught:
        sink_kit(broken, broken.Config())
    assert check in [frame.name for frame in caught.traceback]


def test_every_check_of_sinks_has_caught_something() -> None:
    names = {check.__name__ for check in (*SENDING, *SESSIONED)}
    assert {check for _, check, _ in SINKS} == names


# -- receivers


@asynccontextmanager
async def call(receiver: MemoryReceiver) -> AsyncIterator[MemoryReceiver]:
    await receiver.ready.wait()
    yield receiver


def test_the_receiver_in_memory_keeps_every_promise() -> None:
    receiver_kit(MemoryReceiver, MemoryReceiver.Config(), call=call)
    receiver_kit(MemoryReceiver, MemoryReceiver.Config())


class Brief(MemoryReceiver):
    async def serve(self, accept: Accept, ask: Ask) -> None:
        return


class Garbling(MemoryReceiver):
    async def send(self, session_id: str, body: bytes) -> Ack:
        batch = decode_batch(body)
        other = encode_batch(Batch(batch.protocol, batch.seq, batch.epoch, batch.claims * 2))
        return await super().send(session_id, other)


class Deaf(MemoryReceiver):
    async def serve(self, accept: Accept, ask: Ask) -> None:
        await super().serve(MemoryDoor(), ask)


class Careless(MemoryReceiver):
    async def close(self, session_id: str) -> None:
        return


RECEIVERS = [
    (Brief, "check_serve", "does not end by itself"),
    (Garbling, "check_push", "arrives as it was sent"),
    (Deaf, "check_push", "`open` reaches the door"),
    (Careless, "check_push", "`close` reaches the door"),
]


@pytest.mark.parametrize(("broken", "check", "promise"), RECEIVERS)
def test_a_receiver_s_broken_promise_is_named(broken: Any, check: str, promise: str) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(BrokenPromise, match=promise), flatten_subgroups=True, allow_unwrapped=True
    ):
        receiver_kit(broken, broken.Config(), call=call)


def test_every_check_of_receivers_has_caught_something() -> None:
    assert {check for _, check, _ in RECEIVERS} == {c.__name__ for c in (*CHECKS, *CALLED)}


def test_a_kit_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asleep(ListSink):
        async def send(self, batch: Batch) -> Ack:
            await anyio.sleep_forever()
            return Ack(0)

    monkeypatch.setattr("fustor_core.testing.promises.LIMIT_S", 0.05)
    with pytest.raises(BrokenPromise, match="nothing waits for ever"):
        sink_kit(Asleep, Asleep.Config())
