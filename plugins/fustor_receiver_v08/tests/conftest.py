"""A receiver in front of a real view, and an agent of 0.8.17 by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fustor_arbitrator_fs import FSArbitrator
from fustor_receiver_v08 import V08Receiver
from fustor_view_file import FileView

from fustor_core.contracts import Query
from fustor_core.fusion import Fusion
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.peers import FusionOptions

KEY = "the key of the earlier system"
BASE = "/api/v1/pipe"
NS = 1_000_000_000
LIMIT_S = 10.0
AUDIT_S = 0.2


def row(path: str, size: int = 1, mtime: float = 1.5, **more: Any) -> dict[str, Any]:
    """A row of a file, as an agent of 0.8.17 writes it."""
    name = path.rpartition("/")[2]
    usual = {"path": path, "file_name": name, "size": size, "is_directory": False}
    return {**usual, "modified_time": mtime, "created_time": mtime, **more}


def folder(path: str, **more: Any) -> dict[str, Any]:
    """A row of a directory."""
    return row(path, 4096, is_directory=True, **more)


def event(
    *rows: dict[str, Any], source: str = "realtime", kind: str = "update", index: int = 1
) -> dict[str, Any]:
    """An event around rows."""
    return {
        "event_type": kind,
        "fields": list(rows[0]) if rows else [],
        "rows": list(rows),
        "index": index,
        "event_schema": "fs",
        "table": "files",
        "message_source": source,
    }


def deleted(path: str, index: int = 1) -> dict[str, Any]:
    """An event that says that a path is gone."""
    return event({"path": path}, kind="delete", index=index)


class Agent:
    """What an agent of 0.8.17 sends.

    Args:
        client: at the receiver. task: names agent and pipe.
    """

    def __init__(self, client: httpx.AsyncClient, task: str = "agent-1:pipe") -> None:
        self.client = client
        self.task = task
        self.session: dict[str, Any] = {}
        self.index = 0

    @property
    def id(self) -> str:
        """Id of its session."""
        return str(self.session["session_id"])

    async def post(self, path: str, document: Any) -> httpx.Response:
        """One request."""
        return await self.client.post(f"{BASE}{path}", json=document)

    async def open(self) -> None:
        """A session."""
        reply = await self.post("/session/", {"task_id": self.task, "source_type": "fs"})
        assert reply.status_code == 200, reply.text
        self.session = reply.json()

    async def push(
        self, *events: dict[str, Any], kind: str = "message", end: bool = False
    ) -> httpx.Response:
        """Events of one kind; those of a queue get indexes that go on."""
        for one in events:
            self.index += 1
            one["index"] = self.index
        document = {
            "session_id": self.id,
            "events": list(events),
            "source_type": kind,
            "is_end": end,
        }
        return await self.post(f"/ingest/{self.id}/events", document)

    async def snapshot(self, *rows: dict[str, Any]) -> None:
        """A whole one."""
        await self.push(event(*rows, source="snapshot"), kind="snapshot")
        await self.push(kind="snapshot", end=True)

    async def audit(self, *rows: dict[str, Any]) -> None:
        """A whole one, with the signal behind it, one interval after what was before."""
        await anyio.sleep(self.session["audit_interval_sec"])
        reply = await self.push(event(*rows, source="audit"), kind="audit")
        assert reply.status_code == 200, reply.text
        await self.push(kind="audit", end=True)
        await self.post("/consistency/audit/end", None)

    async def beat(self) -> dict[str, Any]:
        """A heartbeat."""
        reply = await self.post(f"/session/{self.id}/heartbeat", {"can_realtime": True})
        assert reply.status_code == 200, reply.text
        document: dict[str, Any] = reply.json()
        return document

    async def tasks(self) -> list[str]:
        """What its sentinel is asked to look at."""
        told = (await self.client.get(f"{BASE}/consistency/sentinel/tasks")).json()
        return list(told.get("paths", ()))

    async def finds(self, present: Collection[str], paths: Collection[str]) -> None:
        """What its sentinel says of these paths in a tree that has those."""
        updates = [
            {"path": path, "mtime": 1.5, "size": 1, "status": "exists"}
            if path in present
            else {"path": path, "mtime": 0.0, "status": "missing"}
            for path in paths
        ]
        feedback = {"type": "suspect_update", "updates": updates}
        await self.post("/consistency/sentinel/feedback", feedback)

    async def sentinel(self, *present: str) -> list[str]:
        """A round of its sentinel in a tree that has these paths; returns what it was asked."""
        paths = await self.tasks()
        if paths:
            await self.finds(present, paths)
        return paths


class World:
    """A view, fusion, and the receiver.

    Args:
        place: for the view's state. config: options of the receiver.
    """

    def __init__(self, place: Path, **config: Any) -> None:
        options = FusionOptions("v", 30, AUDIT_S, 0.001, 100)
        view = FileView(FileView.Config())
        arbitrator = FSArbitrator(FSArbitrator.Config(hot_file_threshold=0))
        self.pipeline = FusionPipeline(options, view, arbitrator, place / "v", boot="b")
        self.fusion = Fusion({"v": self.pipeline})
        usual = {"view": "v", "listen": ["127.0.0.1:0"], "keys": {"site": KEY}, "cache_bound": 0}
        self.receiver = V08Receiver(V08Receiver.Config.model_validate({**usual, **config}))

    def client(self, key: str | None = KEY) -> httpx.AsyncClient:
        """A client with a key."""
        headers = {} if key is None else {"X-API-Key": key}
        return httpx.AsyncClient(
            base_url=self.receiver.addresses[0], headers=headers, trust_env=False
        )

    async def paths(self) -> list[str]:
        """All that the view shows."""
        query = Query("find", b"/", limit=None, pattern=b"*")
        pages = self.fusion.query("v", query)
        return sorted([str(entry["path"]) async for page in pages for entry in page.items])

    async def stat(self, path: str) -> dict[str, Any]:
        """What the view says of a path."""
        document: dict[str, Any] = {}
        async for page in self.fusion.query("v", Query("stat", path.encode())):
            document = page.document or document
        return document

    async def changes(self, number: str) -> list[dict[str, Any]]:
        """The changes behind that number."""
        feed = self.pipeline.view.registers.feed  # type: ignore[attr-defined]
        query = Query("changes", since=f"{feed.incarnation}-{number}")
        return [item async for page in self.fusion.query("v", query) for item in page.items]

    async def doubts(self, agent: Agent, *present: str) -> list[str]:
        """Rounds of the sentinel until it was asked something: audits are compared behind them."""
        with anyio.fail_after(LIMIT_S):
            while not (asked := await agent.sentinel(*present)):
                await anyio.lowlevel.checkpoint()
        return asked


@asynccontextmanager
async def living(place: Path, **config: Any) -> AsyncIterator[World]:
    """A world that serves."""
    world = World(place, **config)
    world.pipeline.open()
    async with anyio.create_task_group() as group:
        await group.start(world.pipeline.run)
        world.receiver.bind()
        group.start_soon(world.receiver.serve, world.fusion, world.fusion)
        with anyio.fail_after(LIMIT_S):
            await world.receiver.ready.wait()
        yield world
        group.cancel_scope.cancel()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world that serves."""
    async with living(tmp_path) as made:
        yield made


@pytest.fixture
async def agent(world: World) -> AsyncIterator[Agent]:
    """An agent with a session."""
    async with world.client() as client:
        made = Agent(client)
        await made.open()
        yield made
