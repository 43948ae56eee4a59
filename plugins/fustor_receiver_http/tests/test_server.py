"""Where it listens, how it begins and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from fustor_receiver_http import HttpReceiver
from fustor_receiver_http.app import Front
from fustor_receiver_http.metrics import Meter
from fustor_receiver_http.receiver import place_of
from fustor_receiver_http.server import HEAD_BYTES_MAX
from fustor_receiver_http.streams import Streams
from starlette.responses import PlainTextResponse

from fustor_core.client import Client
from fustor_core.contracts import Access
from fustor_core.errors import ConfigError, StateError
from fustor_core.testing import MemoryDoor, receiver_kit
from fustor_core.testing.receiver_kit import NoAnswers

LIMIT_S = 20.0
KEY = "fst_test_a-secret-of-the-tests"


def configured(**options: Any) -> HttpReceiver:
    return HttpReceiver(HttpReceiver.Config.model_validate(options))


def test_it_keeps_the_promises_of_a_receiver(tmp_path: Path) -> None:
    config = HttpReceiver.Config(socket_path=tmp_path / "api.sock")
    receiver_kit(HttpReceiver, config)


async def test_the_socket_is_for_its_owner_alone_and_goes_with_the_server(serve: Any) -> None:
    before = os.umask(0)
    try:
        async with serve() as served:
            mode = served.socket.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
    finally:
        os.umask(before)
    assert not served.socket.exists()


@pytest.mark.parametrize("turns", range(0, 40, 4))
async def test_it_may_be_stopped_before_it_accepts(tmp_path: Path, turns: int) -> None:
    receiver = configured(listen=[f"unix:{tmp_path}/s"])
    ask, door = NoAnswers(), MemoryDoor()
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(receiver.serve, door, ask)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert not (tmp_path / "s").exists()


async def test_a_socket_in_a_deep_folder_is_served(serve: Any, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a-folder-with-a-rather-long-name"] * 6)
    folder.mkdir(parents=True)
    async with serve(socket=folder / "api.sock") as served:
        assert len(os.fsencode(served.socket)) > 107
        assert (await served.unix.get("/livez")).status_code == 200
        client = Client(f"unix:{served.socket}")
        found = await anyio.to_thread.run_sync(client.get, "/views")
        client.close()
        assert found == {"views": served.ask.views()}
    assert not served.socket.exists()


async def test_a_socket_left_behind_is_replaced_and_a_file_is_not(
    serve: Any, tmp_path: Path
) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "api.sock"))
    left.close()
    async with serve() as served:
        assert (await served.unix.get("/livez")).status_code == 200
    (tmp_path / "api.sock").write_text("mine")
    with pytest.raises(StateError):
        configured(socket_path=tmp_path / "api.sock").bind()
    assert (tmp_path / "api.sock").read_text() == "mine"


def test_an_address_in_use_is_said_and_nothing_stays_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = tmp_path / "api.sock"
        receiver = configured(listen=["unix", address], socket_path=path)
        with pytest.raises(ConfigError, match="cannot listen on") as found:
            receiver.bind()
        assert "port" in found.value.remedy
        assert not path.exists()
        assert receiver.addresses == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"listen": ["0.0.0.0:0"]}, "in the clear"),
        ({"listen": ["[::]:0"]}, "in the clear"),
        ({"listen": [":0"]}, "no address"),
        ({"listen": ["localhost"]}, "no address"),
        ({"listen": ["localhost:70000"]}, "no address"),
        ({"listen": ["localhost:-1"]}, "no address"),
        ({"listen": ["unix"]}, "no absolute path"),
        ({"listen": ["unix:here"]}, "no absolute path"),
    ],
)
def test_an_address_that_must_not_be_is_refused(options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        configured(**options).bind()


def test_behind_a_proxy_it_may_listen_beyond_loopback() -> None:
    receiver = configured(listen=["0.0.0.0:0"], behind_proxy=True)
    receiver.bind()
    assert receiver.addresses[0].startswith("http://0.0.0.0:")


def test_addresses_mean_what_they_say(tmp_path: Path) -> None:
    assert place_of("unix", tmp_path).path == tmp_path
    assert place_of("unix:/a/b:c", None).path == Path("/a/b:c")
    place = place_of("[::1]:8102", None)
    assert (place.host, place.port) == ("::1", 8102)


async def test_addresses_are_known_once_bound(serve: Any) -> None:
    async with serve(tcp=True) as served:
        unix, tcp = served.receiver.addresses
        assert unix == f"unix:{served.socket}"
        client = Client(tcp, key=KEY)
        found = await anyio.to_thread.run_sync(client.get, "/views")
        client.close()
        assert found == {"views": served.ask.views()}
    assert served.receiver.addresses == []


async def test_a_bound_socket_takes_connections_before_it_is_served(tmp_path: Path) -> None:
    receiver = configured(socket_path=tmp_path / "api.sock")
    receiver.bind()
    with socket.socket(socket.AF_UNIX) as early:
        early.settimeout(LIMIT_S)
        early.connect(str(tmp_path / "api.sock"))
        early.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        async with anyio.create_task_group() as group:
            group.start_soon(receiver.serve, *served_by())
            received = await anyio.to_thread.run_sync(early.recv, 4096)
            assert received.startswith(b"HTTP/1.1 200 ")
            group.cancel_scope.cancel()


def served_by() -> tuple[Any, Any]:
    from fustor_core.testing import MemoryDoor
    from fustor_core.testing.receiver_kit import NoAnswers

    return MemoryDoor(), NoAnswers()


async def test_signals_stay_the_programs(serve: Any) -> None:
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    async with serve():
        assert {name: signal.getsignal(name) for name in before} == before


async def test_a_request_that_runs_may_end_when_the_server_stops(serve: Any) -> None:
    async with serve(grace=10) as served:
        served.ask.gate = go = anyio.Event()
        replies: list[httpx.Response] = []

        async def ask() -> None:
            with anyio.CancelScope(shield=True):
                replies.append(await served.unix.get("/api/v1/views/v/stat"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            with anyio.fail_after(LIMIT_S):
                await served.ask.begun.wait()
            served.stop()
            go.set()
    assert [reply.status_code for reply in replies] == [200]


async def test_a_head_without_end_is_refused(served: Any) -> None:
    for start in (b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n"):
        filler = b"X: y\r\n" if start.endswith(b"\n") else b"a"
        async with await anyio.connect_unix(served.socket) as stream:
            received = b""
            with anyio.fail_after(LIMIT_S):
                try:
                    await stream.send(start)
                    for _ in range(100):
                        await stream.send(filler * (HEAD_BYTES_MAX // len(filler) // 4))
                    received = await stream.receive()
                except (anyio.BrokenResourceError, anyio.EndOfStream):
                    received = received or b"closed"
            assert received == b"closed" or received.startswith(b"HTTP/1.1 400 ")
    assert (await served.unix.get("/livez")).status_code == 200


async def test_a_long_but_bounded_head_is_served(served: Any) -> None:
    path = "/" + "x" * (HEAD_BYTES_MAX // 3)
    reply = await served.unix.get("/api/v1/views/v/stat", params={"path": path})
    assert reply.status_code == 200
    assert served.ask.asked[-1].path == path.encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_400(served: Any, sent: bytes) -> None:
    async with await anyio.connect_unix(served.socket) as stream:
        await stream.send(sent)
        with anyio.fail_after(LIMIT_S):
            assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")
    assert served.ask.told == []


async def test_requests_may_come_many_at_once(served: Any) -> None:
    requests = 50

    async def ask(number: int) -> None:
        params = {"path": f"/{number}"}
        reply = await served.unix.get("/api/v1/views/v/stat", params=params)
        assert reply.json()["path"] == f"/{number}"

    async with anyio.create_task_group() as group:
        for number in range(requests):
            group.start_soon(ask, number)
    assert {query.path for query in served.ask.asked} == {b"/%d" % n for n in range(requests)}


async def test_hot_routes_come_first_and_are_counted() -> None:
    async def cold(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("cold")(scope, receive, send)

    async def hot(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("hot")(scope, receive, send)

    _, ask = served_by()
    meter = Meter(ask, Streams(heartbeat_s=1, stall_s=1, ended=ask.ended))
    front = Front(cold, meter, {"/hot/": hot, "/exact": hot})
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        paths = ("/hot/1", "/exact", "/exact/1", "/hot", "/")
        told = {path: (await client.get(path)).text for path in paths}
    assert told == {
        "/hot/1": "hot",
        "/exact": "hot",
        "/exact/1": "cold",
        "/hot": "cold",
        "/": "cold",
    }
    page = meter.page(Access()).decode()
    assert 'fustor_http_requests_total{method="GET",route="none",status="200"} 5.0' in page
