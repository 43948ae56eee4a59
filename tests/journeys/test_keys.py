"""Keys of a program that serves on TCP: made, used, ended, with open sessions and waits."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from fustor_core.bootstrap import House
from fustor_core.config import load_config, up_config
from fustor_core.contracts import Hello
from fustor_core.wire import write_hello

pytestmark = pytest.mark.anyio

LIMIT_S = 30.0
CUT_S = 10.0  # promised is a second; the rest is the time of a busy machine
SESSIONS = "/api/v1/pipe/sessions/"
CONFIG = """
version: 1
views: {data: {}, other: {}}
receivers: {main: {driver: http, listen: ["unix", "127.0.0.1:0"]}}
"""
JSON = {"Content-Type": "application/json"}
HELLO = Hello(
    protocol=(1,),
    agent_id="agent-1",
    pipe="far",
    view="data",
    source={"driver": "fs"},
    line={"boot": "b", "process": "1"},
    can={"realtime": True, "scan": True},
    client="test",
)


@dataclass
class Town:
    """A house that serves, and how it is reached."""

    house: House
    url: str
    home: Path
    told: list[dict[str, Any]]

    def client(self, key: str = "") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=LIMIT_S)

    async def ask(self, name: str, **arguments: Any) -> dict[str, Any]:
        return await self.house.fusion.command(name, arguments)

    async def key(self, *scopes: str, views: str = "*", **more: Any) -> dict[str, Any]:
        asked = {"scopes": scopes, "views": [views], "pipes": ["*"], **more}
        return await self.ask("key-create", **asked)


@asynccontextmanager
async def serving(home: Path, loaded: Any) -> AsyncIterator[Town]:
    told: list[dict[str, Any]] = []
    stop = anyio.Event()
    with ExitStack() as held:
        house = House(loaded, home, told.append)
        house.open(held)
        async with anyio.create_task_group() as group:
            group.start_soon(house.live, stop)
            receiver: Any = house.premises.receivers["main"]
            with anyio.fail_after(LIMIT_S):
                await receiver.ready.wait()
            url = next(a for a in receiver.addresses if a.startswith("http"))
            yield Town(house, url, home, told)
            stop.set()


def configured(folder: Path) -> Any:
    """Two views, served on TCP too."""
    config = folder / "fusion.yaml"
    config.write_text(CONFIG)
    return load_config([config], os.environ)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with serving(tmp_path / "h", configured(tmp_path)) as made:
        yield made


async def until(reached: Callable[[], Any]) -> None:
    with anyio.fail_after(LIMIT_S):
        while not reached():
            await anyio.lowlevel.checkpoint()


async def test_a_program_that_reads_files_has_no_key_of_its_own(town: Town) -> None:
    assert await town.ask("keys") == {"keys": []}
    async with town.client() as nobody:
        assert (await nobody.get("/api/v1/views")).status_code == 401
    assert not any("key" in event for event in town.told)


async def test_up_has_a_key_for_its_run_alone(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    loaded = up_config([tmp_path / "tree"], listen="127.0.0.1:0")
    async with serving(tmp_path / "h", loaded) as town:
        await until(lambda: [event for event in town.told if event["event"] == "ready"])
        (ready,) = [event for event in town.told if event["event"] == "ready"]
        async with town.client(ready["key"]) as owner:
            assert (await owner.get("/api/v1/keys")).status_code == 200
        assert town.url == ready["url"]
    assert not (tmp_path / "h" / "fusion" / "keys.json").exists()
    async with serving(tmp_path / "h", loaded) as town, town.client(ready["key"]) as owner:
        assert (await owner.get("/api/v1/keys")).status_code == 401


async def test_keys_are_there_after_a_restart(tmp_path: Path) -> None:
    loaded = configured(tmp_path)
    async with serving(tmp_path / "h", loaded) as town:
        made, gone = await town.key("read"), await town.key("read")
        await town.ask("key-revoke", id=gone["id"])
        async with town.client(made["key"]) as client:
            assert (await client.get("/api/v1/views")).status_code == 200
    async with serving(tmp_path / "h", loaded) as town:
        listed = {key["id"]: key for key in (await town.ask("keys"))["keys"]}
        assert listed[made["id"]]["last_used"] is not None, "written at the end"
        for key, status in ((made, 200), (gone, 401)):
            async with town.client(key["key"]) as client:
                assert (await client.get("/api/v1/views")).status_code == status


@pytest.mark.parametrize("how", ["revoked", "expired", "rotated"])
async def test_a_session_ends_with_its_key(town: Town, how: str) -> None:
    made = await town.key("push", views="data", expires_s=0.6 if how == "expired" else None)
    async with town.client(made["key"]) as agent:
        reply = await agent.post(SESSIONS, content=write_hello(HELLO), headers=JSON)
        assert reply.status_code == 201, reply.text
        session = reply.json()["session_id"]
        (listed,) = (await town.ask("sessions"))["sessions"]
        assert (listed["key_id"], listed["client_ip"]) == (made["id"], "127.0.0.1")
        if how == "revoked":
            await town.ask("key-revoke", id=made["id"])
        elif how == "rotated":
            await town.ask("key-rotate", id=made["id"], overlap_s=0.0)
        with anyio.fail_after(CUT_S):
            while (await town.ask("sessions"))["sessions"]:
                await anyio.lowlevel.checkpoint()
        beat = await agent.post(f"{SESSIONS}{session}/heartbeat", content=b"{}", headers=JSON)
        assert beat.status_code == 401


async def test_another_key_cannot_use_a_session(town: Town) -> None:
    made, other = await town.key("push"), await town.key("push")
    async with town.client(made["key"]) as agent, town.client(other["key"]) as thief:
        reply = await agent.post(SESSIONS, content=write_hello(HELLO), headers=JSON)
        session = reply.json()["session_id"]
        path = f"{SESSIONS}{session}/heartbeat"
        pulse = b'{"state": 2, "queue": 0, "unacked_bytes": 0, "scan": null, "uncovered_b64": []}'
        assert (await thief.post(path, content=pulse, headers=JSON)).status_code in (403, 404)
        await thief.delete(f"{SESSIONS}{session}")
        assert (await agent.post(path, content=pulse, headers=JSON)).status_code == 200


async def test_a_key_for_another_view_opens_no_session(town: Town) -> None:
    made = await town.key("push", views="oth*")
    async with town.client(made["key"]) as agent:
        reply = await agent.post(SESSIONS, content=write_hello(HELLO), headers=JSON)
    assert reply.status_code == 403
    assert (await town.ask("sessions"))["sessions"] == []


async def test_a_wait_over_the_network_ends_with_its_key(town: Town, tmp_path: Path) -> None:
    made = await town.key("read")
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(made["key"])
    words = ["--server", town.url, "--key-file", str(file), "view", "wait", "data:/x", "--exists"]
    command = [sys.executable, "-m", "fustor_core", *words]
    async with town.client((await town.key("read"))["key"]) as watcher:

        async def streams(count: int) -> None:
            """Returns when so many are open."""
            page = ""
            while f"fustor_http_open_streams {count}.0" not in page.splitlines():
                page = (await watcher.get("/metrics")).text

        async with await anyio.open_process(command) as process:
            with anyio.fail_after(LIMIT_S):
                await streams(1)
            await town.ask("key-revoke", id=made["id"])
            with anyio.fail_after(CUT_S):
                await streams(0)
            with anyio.fail_after(LIMIT_S):
                assert await process.wait() == 6
            assert process.stderr is not None
            said = (await process.stderr.receive()).decode()
    assert "fst_" not in said
    assert "revoked" in said
