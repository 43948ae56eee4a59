"""A pipe takes other intervals while it runs; a new start takes everything."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from fustor_core.berth import Berth
from fustor_core.config.model import Pipe
from fustor_core.errors import Unreachable
from fustor_core.pipe_words import Host
from fustor_core.pipeline import AgentPipeline
from fustor_core.testing.door import MemoryDoor, MemorySink
from fustor_core.testing.rig import Rig
from fustor_core.testing.tree import MemorySource

pytestmark = pytest.mark.anyio


def config(**changes: Any) -> Pipe:
    whole = {
        "source": {"driver": "memory", "root": "/tree"},
        "sink": {"driver": "memory", "view": "memory"},
        **changes,
    }
    return Pipe.model_validate(whole)


async def test_another_audit_interval_holds_at_once() -> None:
    rig = Rig(audit_interval_sec=600)
    async with rig.running():
        await rig.reach(66)
        rig.pipe.adopt(config(audit_interval_sec=20))
        await rig.clock.advance(19)
        assert rig.pipe.audits.done == 0
        await rig.clock.advance(2)
        assert rig.pipe.audits.done == 1
        rig.pipe.adopt(config(audit_interval_sec=0))
        await rig.clock.advance(1000)
        assert rig.pipe.audits.done == 1
        rig.pipe.adopt(config(audit_interval_sec=20))
        await rig.clock.advance(21)
        assert rig.pipe.audits.done == 2
        assert (rig.pipe.link.session_id, rig.door.closed) == ("session-1", [])


async def test_a_change_of_something_else_does_not_put_an_audit_off() -> None:
    rig = Rig(audit_interval_sec=20)
    async with rig.running():
        await rig.reach(66)
        await rig.clock.advance(15)
        rig.pipe.adopt(config(audit_interval_sec=20, heartbeat_interval_sec=1))
        await rig.clock.advance(6)
        assert rig.pipe.audits.done == 1


async def test_another_heartbeat_interval() -> None:
    rig = Rig(audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        await rig.clock.advance(30)
        before = len(rig.door.guests[0].beats)
        rig.pipe.adopt(config(audit_interval_sec=0, heartbeat_interval_sec=1))
        await rig.clock.advance(30)
        assert len(rig.door.guests[0].beats) >= before + 20


async def test_another_back_off() -> None:
    rig = Rig(audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        rig.pipe.adopt(config(error_retry_interval=0.5, max_consecutive_errors=1))
        rig.door.cut(Unreachable("nobody there"))
        rig.source.write("new")
        await rig.reach(8)
        await rig.settle()
        assert rig.pipe.document()["backoff_s"] == 0.5


# ------------------------------------------------------------------ berths


class Yard:
    """Builds pipes as a house does."""

    def __init__(self) -> None:
        self.door = MemoryDoor()
        self.built: list[AgentPipeline] = []
        self.moved = anyio.Event()
        self.config = config()

    def build(self, generation: int, held: bool) -> AgentPipeline:
        sink = MemorySink(MemorySink.Config())
        sink.attach(self.door)
        made = AgentPipeline(
            "p",
            self.config,
            MemorySource(MemorySource.Config(files={"a": 1})),
            sink,
            Host("agent", boot="boot", process=f"1-{generation}"),
            generation=generation,
            held=held,
            on_move=self._note,
        )
        self.built.append(made)
        return made

    def _note(self, _move: object) -> None:
        self.moved.set()
        self.moved = anyio.Event()

    async def reach(self, generation: int, state: int) -> None:
        with anyio.fail_after(10):
            while len(self.built) < generation or int(self.built[-1].state) != state:
                await self.moved.wait()


async def test_each_start_is_a_new_pipeline_with_new_drivers() -> None:
    yard = Yard()
    berth = Berth(yard.build)
    async with anyio.create_task_group() as group:
        group.start_soon(berth.run)
        await yard.reach(1, 66)
        yard.config = config(session_timeout_seconds=7)
        renewed = berth.restart()
        await renewed.wait()
        await yard.reach(2, 66)
        first, second = yard.built
        assert berth.pipeline is second
        assert first.source is not second.source
        assert (second.generation, second.config.session_timeout_seconds) == (2, 7)
        assert yard.door.closed == ["session-1"]
        berth.end()
    assert len(yard.built) == 2


async def test_a_pause_outlives_a_restart_only_if_it_shall() -> None:
    yard = Yard()
    berth = Berth(yard.build)
    async with anyio.create_task_group() as group:
        group.start_soon(berth.run)
        await yard.reach(1, 66)
        berth.pipeline.pause()
        berth.restart(held=True)
        await yard.reach(2, 6)
        berth.restart()
        await yard.reach(3, 66)
        berth.end()


async def test_what_is_about_to_end_may_stay_after_all() -> None:
    yard = Yard()
    berth = Berth(yard.build)
    async with anyio.create_task_group() as group:
        group.start_soon(berth.run)
        await yard.reach(1, 66)
        berth.end()
        assert not berth.stays
        berth.stay()
        await yard.reach(2, 66)
        berth.end()


async def test_an_end_before_the_start() -> None:
    yard = Yard()
    berth = Berth(yard.build)
    berth.end()
    with anyio.fail_after(5):
        await berth.run()
    assert int(yard.built[0].state) == 0


async def test_after_a_failure_it_starts_anew() -> None:
    yard = Yard()
    berth = Berth(yard.build)

    async def broken() -> None:
        raise RuntimeError("a bug")

    yard.built[0].run = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await berth.run()
    async with anyio.create_task_group() as group:
        group.start_soon(berth.run)
        await yard.reach(2, 66)
        berth.end()
