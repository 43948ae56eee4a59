"""Live state over the WebSocket: what is told, how soon, to whom, and who is dropped."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fustor_receiver_http import live as live_route
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fustor_core import keys
from fustor_core.live import applied
from fustor_core.state import socket_address

KEY = "fst_test_a-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
PATH = "/api/v1/state/ws"
LIMIT_S = 20.0


class Reader:
    """What a client does: it keeps the state, and checks that no number is missing."""

    def __init__(self, connection: ClientConnection) -> None:
        self.socket = connection
        self.state: dict[str, Any] = {}
        self.seq = 0
        self.run = ""
        self.frames: list[dict[str, Any]] = []

    async def take(self) -> dict[str, Any]:
        """The next frame, applied."""
        with anyio.fail_after(LIMIT_S):
            frame = json.loads(await self.socket.recv())
        assert frame["event_type"] == "state_update"
        assert frame["base_seq"] in (0, self.seq), frame
        mask = [tuple(path.split(".")) for path in frame["update_mask"]]
        self.state = applied(self.state if frame["base_seq"] else {}, mask, frame["payload"])
        self.seq, self.run = frame["seq"], frame["run"]
        self.frames.append(frame)
        return frame

    async def until(self, found: Any) -> dict[str, Any]:
        """Frames until the state is as wanted; the last one."""
        with anyio.fail_after(LIMIT_S):
            frame = await self.take()
            while not found(self.state):
                frame = await self.take()
        return frame

    async def closed(self) -> int:
        """The code with which the server closes; frames before are taken."""
        with anyio.fail_after(LIMIT_S):
            try:
                while True:
                    await self.take()
            except ConnectionClosed as end:
                return end.rcvd.code if end.rcvd is not None else 1006


def url(served: Any, query: str = "") -> str:
    return str(served.tcp.base_url).replace("http", "ws", 1).rstrip("/") + PATH + query


@asynccontextmanager
async def watching(served: Any, query: str = "", **more: Any) -> AsyncIterator[Reader]:
    options = {"additional_headers": BEARER, "proxy": None, **more}
    async with connect(url(served, query), **options) as connection:
        yield Reader(connection)


async def refused(served: Any, query: str = "", **more: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as caught:
        async with watching(served, query, **more):
            pass
    reply = caught.value.response
    return reply.status_code, json.loads(reply.body)


async def test_the_first_frame_is_the_whole_state(served: Any) -> None:
    async with watching(served) as reader:
        frame = await reader.take()
    assert frame["base_seq"] == 0
    assert frame["update_mask"] == ["process", "views", "pipes", "sessions", "jobs", "runs"]
    assert reader.state["views"]["v"]["quality"]["complete"] is True
    assert "age_s" not in reader.state["views"]["v"]["quality"]
    assert reader.state["pipes"] == {"p": {"id": "p", "state": 66, "queue": 4}}
    assert isinstance(frame["timestamp"], float)


async def test_a_fact_is_told_by_its_field_without_a_tick(serve: Any) -> None:
    async with serve(tcp=True) as served:
        served.ask.rate_hz = 0.001
        async with watching(served) as reader:
            await reader.take()
            served.ask.pipes[0]["state"] = 2
            served.ask.stir()
            await reader.take()  # from here on no tick comes
            served.ask.pipes[0] |= {"state": 8, "queue": 5}
            served.ask.stir()
            frame = await reader.take()
            assert frame["update_mask"] == ["pipes.p.state"]
            assert frame["payload"] == {"pipes": {"p": {"state": 8}}}
            served.ask.pipes.append({"id": "q", "state": 2, "queue": 0})
            served.ask.stir()
            assert (await reader.take())["update_mask"] == ["pipes.q"]
            del served.ask.pipes[1]
            served.ask.stir()
            frame = await reader.take()
            assert (frame["update_mask"], frame["payload"]) == (["pipes.q"], {})
        assert reader.state["pipes"] == {"p": {"id": "p", "state": 8, "queue": 4}}


async def test_what_flows_is_told_with_the_tick(served: Any) -> None:
    served.ask.rate_hz = 20.0
    async with watching(served) as reader:
        await reader.take()
        served.ask.pipes[0]["queue"] = 5
        frame = await reader.take()
    assert frame["payload"] == {"pipes": {"p": {"queue": 5}}}


async def test_nobody_watches_nobody_looks(served: Any) -> None:
    served.ask.rate_hz = 50.0
    async with watching(served) as reader:
        await reader.take()
    with anyio.fail_after(LIMIT_S):
        looked = -1
        while looked != served.ask.statuses:
            looked = served.ask.statuses
            await anyio.sleep(0.3)  # many ticks: silence is only seen by waiting


async def test_all_who_see_the_same_are_told_the_same(served: Any) -> None:
    async with watching(served) as one, watching(served) as other:
        await one.take()
        await other.take()
        served.ask.pipes[0]["state"] = 8
        served.ask.stir()
        await one.until(lambda state: state["pipes"]["p"]["state"] == 8)
        await other.until(lambda state: state["pipes"]["p"]["state"] == 8)
    assert one.frames[-1] == other.frames[-1]


async def test_a_reader_resumes_where_it_was(served: Any) -> None:
    async with watching(served) as first:
        await first.take()
    served.ask.pipes[0]["state"] = 8
    served.ask.pipes[0]["last_error"] = "why"
    async with watching(served, f"?run={first.run}&resume={first.seq}") as second:
        second.state, second.seq = first.state, first.seq
        frame = await second.take()
        assert frame["base_seq"] == first.seq
        assert sorted(frame["update_mask"]) == ["pipes.p.last_error", "pipes.p.state"]
        assert second.state["pipes"]["p"]["state"] == 8


@pytest.mark.parametrize(
    "query", ["?run=other&resume=1", "?run=R&resume=99", "?resume=1", "?run=R"]
)
async def test_who_cannot_resume_begins_anew(served: Any, query: str) -> None:
    async with watching(served) as first:
        await first.take()
    async with watching(served, query.replace("R", first.run)) as second:
        assert (await second.take())["base_seq"] == 0
        assert set(second.state) == {"process", "views", "pipes", "sessions", "jobs", "runs"}


async def test_a_reader_may_ask_again(served: Any) -> None:
    async with watching(served) as reader:
        await reader.take()
        await reader.socket.send(json.dumps({"resume": 0}))
        assert (await reader.take())["base_seq"] == 0


@pytest.mark.parametrize(
    "text", ["", "x", "{}", '{"resume": "1"}', '{"stop": 1}', b"\xff", "[" * 999]
)
async def test_nonsense_ends_the_socket_and_nothing_else(served: Any, text: Any) -> None:
    async with watching(served) as reader, watching(served) as other:
        await other.take()
        await reader.socket.send(text)
        assert await reader.closed() == 1008
        served.ask.pipes[0]["state"] = 8
        served.ask.stir()
        await other.until(lambda state: state["pipes"]["p"]["state"] == 8)


async def test_a_message_that_is_too_long_ends_the_socket(served: Any) -> None:
    async with watching(served) as reader:
        await reader.socket.send("x" * 100_000)
        assert await reader.closed() in (1009, 1012)


async def test_a_key_that_ends_closes_its_socket_alone(served: Any) -> None:
    made = await served.ask.keys.create(keys.asked(["read"]))
    bearer = {"Authorization": f"Bearer {made['key']}"}
    async with watching(served) as other, watching(served, additional_headers=bearer) as reader:
        await other.take()
        await reader.take()
        await served.ask.keys.revoke(made["id"])
        assert await reader.closed() == 4401
        served.ask.pipes[0]["state"] = 8
        served.ask.stir()
        await other.until(lambda state: state["pipes"]["p"]["state"] == 8)


async def test_a_run_is_seen_with_a_key_that_holds_for_all(served: Any) -> None:
    node = {"status": "executing"}
    served.ask.lists["runs"] = {"runs": [{"id": "r", "nodes": {"snapshot_v": node}}]}
    async with watching(served) as reader:
        await reader.take()
        assert reader.state["runs"]["r"]["nodes"] == {"snapshot_v": {"status": "executing"}}
        done = {"id": "r", "nodes": {"snapshot_v": {"status": "succeeded"}}}
        served.ask.lists["runs"] = {"runs": [done]}
        served.ask.stir()
        assert (await reader.take())["update_mask"] == ["runs.r.nodes.snapshot_v.status"]
    made = await served.ask.keys.create(keys.asked(["read"], ["v"]))
    limited = {"additional_headers": {"Authorization": f"Bearer {made['key']}"}}
    async with watching(served, **limited) as reader:
        await reader.take()
        assert reader.state["runs"] == {}


async def test_a_watcher_sees_what_its_key_covers(served: Any) -> None:
    served.ask.pipes = [{"id": "p", "view": "v"}, {"id": "secret", "view": "secret"}]
    served.ask.lists = {
        "sessions": {"sessions": [{"session_id": "s", "pipe": "secret", "view": "secret"}]},
        "jobs": {"jobs": [{"id": "j", "view": "v"}, {"id": "k", "view": "secret"}]},
    }
    for scopes, jobs in ((["read", "scan"], {"j"}), (["read"], set())):
        made = await served.ask.keys.create(keys.asked(scopes, ["v"]))
        bearer = {"Authorization": f"Bearer {made['key']}"}
        async with watching(served, additional_headers=bearer) as reader:
            frame = await reader.take()
        assert "secret" not in json.dumps(frame)
        assert set(reader.state["jobs"]) == jobs
        assert set(reader.state["pipes"]) == {"p"}


async def test_one_that_takes_nothing_is_dropped_and_the_others_are_not(serve: Any) -> None:
    async with serve(tcp=True, stall=2.0) as served:
        served.ask.pipes[0]["last_error"] = "x" * (16 << 20)  # more than the buffers of a socket
        host, port = served.tcp.base_url.host, served.tcp.base_url.port
        stuck = socket.create_connection((host, port), LIMIT_S)
        with stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nX-API-Key: {KEY}\r\n"
            head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            stuck.sendall(f"{head}Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode())
            await until_open(served, 1)
            served.ask.pipes[0]["last_error"] = None
            served.ask.stir()
            async with watching(served, max_size=None) as other:
                await other.until(lambda state: state["pipes"]["p"]["last_error"] is None)
                await until_open(served, 2)
                await until_open(served, 1)
                served.ask.pipes[0]["state"] = 8
                served.ask.stir()
                await other.until(lambda state: state["pipes"]["p"]["state"] == 8)


async def until_open(served: Any, count: int) -> None:
    """The page of metrics counts those who watch."""
    with anyio.fail_after(LIMIT_S):
        page = ""
        while f"fustor_http_open_streams {count}.0" not in page:
            page = (await served.unix.get("/metrics")).text


async def test_news_for_sockets_that_close_are_no_fault(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(tcp=True) as served:
        served.ask.rate_hz = 1000.0

        async def change() -> None:
            while True:
                served.ask.pipes[0]["queue"] += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as changing:
            changing.start_soon(change)
            for _ in range(20):
                async with watching(served) as reader:
                    await reader.take()
            async with watching(served) as reader:
                await reader.take()
                served.stop()
                assert await reader.closed() == 1012
            changing.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def test_the_end_of_the_server_ends_the_sockets(serve: Any) -> None:
    async with serve(tcp=True) as served, watching(served) as reader:
        await reader.take()
        served.stop()
        assert await reader.closed() in (1009, 1012)


async def test_the_unix_socket_needs_no_key(served: Any) -> None:
    with socket_address(served.socket) as address:
        async with unix_connect(address, f"ws://localhost{PATH}") as connection:
            reader = Reader(connection)
            await reader.take()
    assert "v" in reader.state["views"]


async def test_without_a_key_nobody_watches(served: Any) -> None:
    assert (await refused(served, additional_headers={}))[0] == 401
    status, problem = await refused(served, additional_headers={"X-API-Key": "wrong"})
    assert (status, problem["type"]) == (401, "urn:fustor:problem:unauthorized")
    pushing = await served.ask.keys.create(keys.asked(["push"]))
    bearer = {"Authorization": f"Bearer {pushing['key']}"}
    assert (await refused(served, additional_headers=bearer))[0] == 403


async def test_a_ticket_opens_once(served: Any) -> None:
    reply = await served.tcp.post("/api/v1/state/tickets", headers=BEARER)
    assert reply.status_code == 201
    ticket = reply.json()["ticket"]
    async with watching(served, f"?ticket={ticket}", additional_headers={}) as reader:
        await reader.take()
    for query in (f"?ticket={ticket}", "?ticket=nonsense", "?ticket="):
        assert (await refused(served, query, additional_headers={}))[0] == 401
    read = await served.tcp.get(f"/api/v1/views?ticket={ticket}")
    assert read.status_code == 401, "a ticket opens nothing else"


async def test_a_ticket_is_worth_what_its_key_is(served: Any) -> None:
    made = await served.ask.keys.create(keys.asked(["read"], ["other"]))
    headers = {"Authorization": f"Bearer {made['key']}"}
    ticket = (await served.tcp.post("/api/v1/state/tickets", headers=headers)).json()["ticket"]
    await served.ask.keys.revoke(made["id"])
    async with watching(served, f"?ticket={ticket}", additional_headers={}) as reader:
        assert await reader.closed() == 4401
    assert reader.state.get("views", {}) == {}


@pytest.mark.parametrize("kind", ["same", "none"])
async def test_the_own_page_and_programs_may_watch(served: Any, kind: str) -> None:
    origin = str(served.tcp.base_url).rstrip("/") if kind == "same" else None
    async with watching(served, origin=origin) as reader:
        await reader.take()


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://[", ""]
)
async def test_a_page_of_another_site_may_not(served: Any, origin: str) -> None:
    status, problem = await refused(served, additional_headers={**BEARER, "Origin": origin})
    assert (status, problem["type"]) == (403, "urn:fustor:problem:forbidden")
    assert "another site" in problem["detail"]


async def test_a_name_that_is_allowed_may_stand_before_it(serve: Any) -> None:
    async with (
        serve(tcp=True, allowed_hosts=["fusion.example"]) as served,
        watching(served, origin="https://fusion.example") as reader,
    ):
        await reader.take()


async def test_a_plain_request_is_told_to_upgrade(served: Any) -> None:
    reply = await served.tcp.get(PATH, headers=BEARER)
    assert reply.status_code == 426
    assert reply.headers["Upgrade"] == "websocket"
    posted = await served.tcp.post(PATH, headers=BEARER)
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/", "/api/v1/views", "/api/v1/pipe/sessions/", "/livez"])
async def test_no_other_route_is_a_websocket(served: Any, path: str) -> None:
    address = url(served).replace(PATH, path)
    with pytest.raises(InvalidStatus) as caught:
        async with connect(address, additional_headers=BEARER, proxy=None):
            pass
    assert caught.value.response.status_code == 404


async def test_too_many_are_asked_to_come_later(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_route, "MOST_WATCHERS", 1)
    async with serve(tcp=True) as served, watching(served) as reader:
        await reader.take()
        status, problem = await refused(served)
        assert (status, problem["retry_after_s"]) == (429, 5.0)
