"""An event's way: from a tree through pipe, session, journal and arbitrator into a view."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from fustor_core.config.model import Pipe
from fustor_core.contracts import Query
from fustor_core.fusion import Fusion
from fustor_core.peers import FusionOptions
from fustor_core.pipe_words import Host
from fustor_core.pipeline import AgentPipeline, FusionPipeline
from fustor_core.testing import (
    MemoryArbitrator,
    MemoryReceiver,
    MemorySink,
    MemorySource,
    MemoryView,
)

pytestmark = pytest.mark.anyio

LIMIT_S = 20.0
BOOT = "boot"
FILES = {"a": 1, "b/c": 2, "b/d/e": 3}


class World:
    """A tree, and one view that is fed from it by pipes of several hosts."""

    def __init__(self, folder: Path) -> None:
        self.source = MemorySource(MemorySource.Config(files=FILES))
        self.folder = folder
        self.fusion = self._fusion()
        self.states: list[tuple[str, int]] = []
        self._moved = anyio.Event()

    def _fusion(self) -> FusionPipeline:
        options = FusionOptions("v", 30.0, 0.0, 120.0, 100)
        view = MemoryView(MemoryView.Config())
        arbitrator = MemoryArbitrator(MemoryArbitrator.Config())
        return FusionPipeline(options, view, arbitrator, self.folder, boot=BOOT)

    def pipe(
        self, name: str, source: MemorySource | None = None, **config: object
    ) -> AgentPipeline:
        """A pipe from the tree to the view."""
        sink = MemorySink(MemorySink.Config(view="v"))
        sink.attach(Fusion({"v": self.fusion}))
        block = {"driver": "memory", "view": "v"}
        model = Pipe.model_validate({"source": {"driver": "memory"}, "sink": block, **config})
        host = Host(f"agent-{name}", BOOT, name)
        return AgentPipeline(name, model, source or self.source, sink, host, on_move=self._note)

    def _note(self, move: Any) -> None:
        self.states.append((move.subject, int(move.new)))
        self._moved.set()
        self._moved = anyio.Event()

    async def reach(self, pipe: AgentPipeline, state: int) -> None:
        """Wait until a pipe is in this state."""
        with anyio.fail_after(LIMIT_S):
            while int(pipe.state) != state:
                await self._moved.wait()

    async def shows(self, right: dict[str, int]) -> None:
        """Wait until the view holds exactly these files, complete; each batch is looked at."""
        with anyio.fail_after(LIMIT_S):
            while True:
                fed = self.fusion.fed
                if self.files() == right and self.ask("status")["quality"]["complete"]:
                    return
                await fed.wait()

    def ask(self, verb: str, path: bytes = b"/") -> dict[str, Any]:
        """A whole answer."""
        document: dict[str, Any] = {}
        for page in self.fusion.view.read(Query(verb, path, limit=None), self.fusion.moment()):
            listed = {page.list_name: page.items} if page.list_name else {}
            document |= listed | (page.document or {})
        return document

    def files(self, path: bytes = b"/") -> dict[str, int]:
        """Every file that the view holds, with its size."""
        found: dict[str, int] = {}
        for entry in self.ask("ls", path)["entries"]:
            below = path.rstrip(b"/") + b"/" + entry["name"].encode()
            if entry["type"] == "dir":
                found |= self.files(below)
            else:
                found[below.decode()] = entry["size"]
        return found

    @asynccontextmanager
    async def running(self, *pipes: AgentPipeline) -> AsyncIterator[anyio.abc.TaskGroup]:
        """The view and these pipes run inside; pipes end first."""
        self.fusion.open()
        async with anyio.create_task_group() as group:
            await group.start(self.fusion.run)
            async with anyio.create_task_group() as agents:
                for pipe in pipes:
                    agents.start_soon(pipe.run)
                yield agents
                for pipe in pipes:
                    pipe.stop()
            group.cancel_scope.cancel()

    def restart(self) -> None:
        """Fusion begins anew, from its journal."""
        self.fusion = self._fusion()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "v")


START = {"/a": 1, "/b/c": 2, "/b/d/e": 3}


async def test_a_scan_and_then_events_reach_the_view(world: World) -> None:
    pipe = world.pipe("one")
    async with world.running(pipe):
        await world.shows(START)
        await world.reach(pipe, 66)
        world.source.write("b/new", 7)
        world.source.write("a", 9)
        world.source.remove("b/c")
        await world.shows({"/a": 9, "/b/new": 7, "/b/d/e": 3})
        world.source.move("b", "elsewhere")
        await world.shows({"/a": 9, "/elsewhere/new": 7, "/elsewhere/d/e": 3})
    assert [state for _, state in world.states] == [1, 2, 258, 2, 34, 66, 1024, 512, 0]


async def test_events_during_the_snapshot_are_not_lost(world: World) -> None:
    pipe = world.pipe("one")
    at_gate = world.source.hold()
    async with world.running(pipe):
        await at_gate.wait()
        world.source.write("b/early", 5)
        world.source.remove("a")
        world.source.release()
        await world.shows({"/b/c": 2, "/b/d/e": 3, "/b/early": 5})


async def test_an_overflow_is_listed_again(world: World) -> None:
    pipe = world.pipe("one")
    async with world.running(pipe):
        await world.reach(pipe, 66)
        await world.shows(START)
        with world.source.unseen():
            world.source.write("b/unseen", 5)
        world.source.lose()
        await world.shows({**START, "/b/unseen": 5})


async def test_a_follower_s_events_count_and_a_new_leader_scans(world: World) -> None:
    first, second = (
        world.pipe("one"),
        world.pipe("two", world.source.twin(), heartbeat_interval_sec=0.05),
    )
    async with world.running(first) as agents:
        await world.reach(first, 66)
        agents.start_soon(second.run)
        await world.reach(second, 70)
        first.stop()
        await world.reach(first, 0)
        await world.reach(second, 66)
        world.source.write("late", 4)
        await world.shows({**START, "/late": 4})
        second.stop()


async def test_what_was_acknowledged_is_there_after_a_restart(world: World) -> None:
    pipe = world.pipe("one")
    async with world.running(pipe):
        await world.shows(START)
        await world.reach(pipe, 66)
        world.source.write("b/new", 7)
        await world.shows({**START, "/b/new": 7})
    world.restart()
    async with world.running():
        assert world.files() == {**START, "/b/new": 7}
        assert world.ask("status")["quality"]["stale"], "nobody feeds it"


async def test_a_restarted_pipe_finds_what_changed_meanwhile(world: World) -> None:
    async with world.running(world.pipe("one")):
        await world.shows(START)
    world.source.write("b/meanwhile", 6)
    world.source.remove("a")
    world.restart()
    async with world.running(world.pipe("one")):
        await world.shows({"/b/c": 2, "/b/d/e": 3, "/b/meanwhile": 6})


async def test_a_vanished_tree_deletes_nothing(world: World) -> None:
    pipe = world.pipe("one", error_retry_interval=0.05, heartbeat_interval_sec=0.05)
    async with world.running(pipe):
        await world.shows(START)
        await world.reach(pipe, 66)
        world.source.vanish()
        await world.reach(pipe, 258)
        assert world.files() == START
        world.source.come_back()
        world.source.write("back", 1)
        await world.reach(pipe, 66)
        await world.shows({**START, "/back": 1})


async def test_a_session_that_is_gone_costs_nothing(world: World) -> None:
    pipe = world.pipe("one")
    async with world.running(pipe):
        await world.reach(pipe, 66)
        session_id = pipe.link.session_id
        assert session_id is not None
        await world.fusion.close_session(session_id)
        world.source.write("b/after", 8)
        await world.shows({**START, "/b/after": 8})
        assert pipe.link.session_id != session_id


async def test_a_receiver_s_clients_come_through_the_same_door(world: World) -> None:
    """The same view, fed by a pipe and asked through a receiver."""
    receiver = MemoryReceiver(MemoryReceiver.Config())
    pipe = world.pipe("one")
    async with world.running(pipe) as agents:
        fusion = Fusion({"v": world.fusion})
        agents.start_soon(receiver.serve, fusion, fusion)
        await receiver.ready.wait()
        await world.shows(START)
        pages = [page async for page in receiver.ask.query("v", Query("stat", b"/b/c"))]
        assert pages[-1].document is not None
        assert pages[-1].document["entry"]["size"] == START["/b/c"]
        agents.cancel_scope.cancel()
