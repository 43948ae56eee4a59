"""Sessions, roles, keys, and refusals in the way that such an agent understands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from fustor_core.claims import (
    Ack,
    Batch,
    Key,
    Listing,
    Origin,
    Root,
    Row,
    Stamp,
    encode_batch,
    pack_rows,
)
from fustor_core.contracts import Hello, boottime_us
from fustor_core.keys import asked

from .conftest import AUDIT_S, BASE, KEY, LIMIT_S, Agent, World, deleted, event, folder, living, row


async def test_a_session_as_the_agent_expects_it(world: World, agent: Agent) -> None:
    assert agent.session.keys() >= {"session_id", "role", "session_timeout_seconds", "message"}
    assert agent.session["role"] == "leader"
    assert agent.session["session_timeout_seconds"] == 30
    assert agent.session["audit_interval_sec"] == AUDIT_S
    ((session, _),) = world.pipeline.session_list()
    assert (session.agent_id, session.pipe, session.key_id) == ("agent-1", "pipe", "v08-site")


async def test_a_heartbeat_as_the_agent_expects_it(agent: Agent) -> None:
    told = await agent.beat()
    assert (told["status"], told["role"], told["commands"]) == ("ok", "leader", [])


async def test_the_second_agent_follows_and_leads_when_the_first_has_gone(
    world: World, agent: Agent
) -> None:
    other = Agent(agent.client, "agent-2:pipe")
    await other.open()
    assert other.session["role"] == "follower"
    gone = await agent.client.delete(f"{BASE}/session/{agent.id}")
    assert gone.json() == {"status": "terminated", "session_id": agent.id}
    assert (await other.beat())["role"] == "leader"


async def test_the_end_of_an_unknown_session_is_no_error(agent: Agent) -> None:
    gone = await agent.client.delete(f"{BASE}/session/nobody")
    assert (gone.status_code, gone.json()["status"]) == (200, "terminated")


async def test_scans_of_a_follower_have_no_effect_its_events_do(world: World, agent: Agent) -> None:
    other = Agent(agent.client, "agent-2:pipe")
    await other.open()
    told = await other.push(event(row("/stale"), source="snapshot"), kind="snapshot")
    assert told.status_code == 200  # it goes on until its next heartbeat says what it is
    await agent.snapshot(folder("/"))
    await other.push(event(row("/seen")))
    assert await world.paths() == ["/seen"]


async def test_an_agent_that_comes_back_takes_the_place_of_its_old_session(
    world: World, agent: Agent
) -> None:
    again = Agent(agent.client)
    await again.open()
    assert again.session["role"] == "leader"
    late = await agent.push(event(row("/late")))
    assert late.status_code == 419


async def test_an_unknown_session_is_obsolete(agent: Agent) -> None:
    agent.session["session_id"] = "nobody"
    assert (await agent.push(event(row("/f")))).status_code == 419
    reply = await agent.post("/session/nobody/heartbeat", {"can_realtime": True})
    assert reply.status_code == 419
    assert reply.json()["detail"]


async def test_a_session_grows_only_so_old(tmp_path: Path) -> None:
    async with living(tmp_path, renew=0.001) as world, world.client() as client:
        agent = Agent(client)
        await agent.open()
        assert (await agent.push(event(row("/f")))).status_code == 419
        assert world.pipeline.session_list() == []


async def test_keys(world: World) -> None:
    for key, status in ((None, 401), ("wrong", 401), ("fst_no_such", 401), (KEY, 200)):
        async with world.client(key) as client:
            assert (await client.get(f"{BASE}/session/")).status_code == status
    made = await world.fusion.keys.create(asked(["push"], ["v"], ["*"]))
    other = await world.fusion.keys.create(asked(["push"], ["elsewhere"], ["*"]))
    reader = await world.fusion.keys.create(asked(["read"], ["*"], ["*"]))
    for key, status in ((made["key"], 200), (other["key"], 403), (reader["key"], 403)):
        async with world.client(key) as client:
            reply = await client.post(f"{BASE}/session/", json={"task_id": f"{status}:p"})
            assert reply.status_code == status
    async with world.client(made["key"]) as client:
        reply = await client.get(f"{BASE}/session/")
        assert reply.json() == {"view_id": "v", "status": "authorized"}


async def test_a_session_belongs_to_its_key(world: World, agent: Agent) -> None:
    made = await world.fusion.keys.create(asked(["push"], ["v"], ["*"]))
    async with world.client(made["key"]) as client:
        stranger = Agent(client)
        stranger.session = agent.session
        assert (await stranger.push(event(row("/f")))).status_code == 403
        assert (await client.delete(f"{BASE}/session/{agent.id}")).status_code == 403
        assert await stranger.sentinel() == []


BAD: list[tuple[str, str, Any, int]] = [
    ("POST", "/session/", b"{", 422),
    ("POST", "/session/", b"", 422),
    ("POST", "/session/", b'{"task_id": 1}', 422),
    ("POST", "/session/", b"x" * (100 << 10), 413),
    ("POST", "/ingest/{id}/events", b"\xff", 422),
    ("POST", "/ingest/{id}/events", b'{"events": [{"rows": [{}]}]}', 422),
    ("POST", "/ingest/{id}/events", b" " * (70 << 10), 413),
    ("POST", "/session/{id}/heartbeat", b'{"can_realtime": "?"}', 422),
    ("POST", "/consistency/sentinel/feedback", b'{"updates": {}}', 422),
    ("GET", "/nowhere", b"", 404),
    ("PUT", "/session/", b"", 404),
    ("GET", "/ingest/{id}/events", b"", 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), BAD)
async def test_bad_requests_are_refused_in_the_old_form(
    tmp_path: Path, method: str, path: str, body: bytes, status: int
) -> None:
    async with living(tmp_path, max_body_bytes="64KiB") as world, world.client() as client:
        agent = Agent(client)
        await agent.open()
        where = f"{BASE}{path.format(id=agent.id)}"
        reply = await client.request(method, where, content=body)
        assert reply.status_code == status
        assert isinstance(reply.json()["detail"], str)
        assert (await agent.push(event(row("/f")))).status_code == 200


async def test_rows_that_cannot_be_used_are_counted(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"))
    reply = await agent.push(event({"path": "/no-size"}, row("/good")), deleted("/../etc"))
    assert reply.status_code == 200
    assert reply.json() == {"status": "ok", "count": 1, "skipped": 2}
    assert await world.paths() == ["/good"]


async def test_a_view_that_is_not_there_is_a_conflict(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with living(tmp_path, view="elsewhere") as world, world.client() as client:
        reply = await client.post(f"{BASE}/session/", json={"task_id": "a:p"})
        assert reply.status_code == 409
        assert "elsewhere" in reply.json()["detail"]
    assert "there is no view 'elsewhere'" in caplog.text


async def test_a_scan_on_demand_is_passed_on(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), folder("/a"))
    await world.fusion.command("scan", {"view": "v", "path": b"/a", "recursive": True})
    commands = (await agent.beat())["commands"]
    assert [(c["type"], c["path"], c["recursive"]) for c in commands] == [("scan", "/a", True)]
    done = {"events": [], "source_type": "job_complete", "metadata": {"job_id": "x"}}
    reply = await agent.post(f"/ingest/{agent.id}/events", done)
    assert reply.status_code == 200


async def test_a_view_of_other_agents_is_refused(world: World) -> None:
    await others(world)
    async with world.client() as client:
        reply = await client.post(f"{BASE}/session/", json={"task_id": "agent-1:pipe"})
        assert reply.status_code == 409
        assert "a view of its own" in reply.json()["detail"]
    assert [s.agent_id for s, _ in world.pipeline.session_list()] == ["new"]
    assert await world.paths() == ["/new"]


async def test_scans_of_other_agents_are_refused_where_old_ones_push(
    world: World, agent: Agent
) -> None:
    await agent.snapshot(folder("/"), row("/old"))
    (refused,) = (await others(world)).quarantined
    assert refused.reason == "unproven_root"
    assert await world.paths() == ["/old"]


async def others(world: World) -> Ack:
    """An agent of ours, which names directories by inode, lists its root."""
    line = {"boot": "b", "process": "1", "mount": "m", "cache_bound_s": 0}
    can = {"realtime": True, "scan": True}
    grant = await world.fusion.open(Hello("new", "p", "v", {}, line, can))
    now = boottime_us()
    stamp, key = Stamp(now, now, now, "l"), Key(0, 5, 7)
    names, rows = pack_rows({b"new": Row(size=1)})
    listing = Listing(
        dir=key, names=names, rows=rows, stamp=stamp, origin=Origin.ON_DEMAND, path=b"/"
    )
    batch = Batch(1, 1, grant.epoch, [Root(key=key, identity="disk", stamp=stamp), listing])
    return await world.fusion.push(grant.session_id, batch, encode_batch(batch))


async def test_a_body_that_never_ends_is_given_up(tmp_path: Path) -> None:
    async with living(tmp_path, body_timeout=0.1) as world:
        host, port = world.receiver.addresses[0].removeprefix("http://").split(":")
        head = f"POST {BASE}/session/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
        with anyio.fail_after(LIMIT_S):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(f"{head}Content-Length: 99\r\n\r\n{{".encode())
                assert (await stream.receive()).startswith(b"HTTP/1.1 408")
