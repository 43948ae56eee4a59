"""The sink `view` keeps the promises of a sink, and is nothing but a way to the door."""

from __future__ import annotations

import pytest
from fustor_sink_view import ViewSink
from pydantic import ValidationError

from fustor_core.claims import PROTOCOL, Batch, encode_batch
from fustor_core.contracts import Attached, Command, Pulse, Sessioned
from fustor_core.errors import SessionObsoletedError, Unreachable
from fustor_core.link import Summoned
from fustor_core.testing import MemoryDoor, sink_kit
from fustor_core.testing.promises import cell, hello

pytestmark = pytest.mark.anyio


def sink(door: MemoryDoor | None = None) -> ViewSink:
    made = ViewSink(ViewSink.Config(view="v"))
    if door is not None:
        made.attach(door)
    return made


def test_it_keeps_every_promise_of_a_sink() -> None:
    sink_kit(ViewSink, ViewSink.Config(view="v"))


def test_its_powers_are_found() -> None:
    made = sink()
    assert isinstance(made, Attached)
    assert isinstance(made, Sessioned)
    assert isinstance(made, Summoned)


async def test_the_door_gets_what_a_receiver_would_hand_it() -> None:
    door = MemoryDoor()
    bodies: list[bytes] = []
    push = door.push

    async def noted(session_id: str, batch: Batch, body: bytes) -> object:
        bodies.append(body)
        return await push(session_id, batch, body)

    door.push = noted  # type: ignore[assignment,method-assign]
    made = sink(door)
    await made.open(hello())
    batch = Batch(PROTOCOL, 1, 1, [cell()])
    await made.send(batch)
    assert bodies == [encode_batch(batch)]
    assert door.batches == [batch]


async def test_it_hears_at_once_that_fusion_wants_something() -> None:
    door = MemoryDoor()
    made = sink(door)
    grant = await made.open(hello())
    door.ask(Command("1", "look", ()), grant.session_id)
    await made.summoned()
    answer = await made.beat(Pulse(state=66))
    assert [command.id for command in answer.commands] == ["1"]


async def test_without_a_door_nothing_is_reached() -> None:
    with pytest.raises(Unreachable, match="view v is not served by this process"):
        await sink().open(hello())


async def test_without_a_session_nothing_is_sent() -> None:
    made = sink(MemoryDoor())
    with pytest.raises(SessionObsoletedError):
        await made.send(Batch(PROTOCOL, 1, 1, [cell()]))
    with pytest.raises(SessionObsoletedError):
        await made.beat(Pulse(state=66))
    await made.close()


def test_it_wants_to_know_its_view() -> None:
    with pytest.raises(ValidationError):
        ViewSink.Config.model_validate({})
    with pytest.raises(ValidationError):
        ViewSink.Config.model_validate({"view": "v", "url": "http://elsewhere"})
