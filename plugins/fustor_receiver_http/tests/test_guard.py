"""TCP: the Host check, then the key; the Unix socket needs neither."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from fustor_receiver_http.guard import host_name

KEY = "fst_test_a-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
HEALTH = ["/livez", "/readyz", "/startupz", "/version"]
OPEN = [*HEALTH, "/api/v1/login"]


async def test_tcp_answers_with_the_key(served: Any) -> None:
    for headers in (BEARER, {"X-API-Key": KEY}, {"Authorization": f"bearer  {KEY}"}):
        reply = await served.tcp.get("/api/v1/views/v/stat", headers=headers)
        assert reply.status_code == 200, headers


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Bearer {KEY}x")],
        [("Authorization", f"Bearer {KEY[:-1]}")],
        [("Authorization", f"Basic {KEY}")],
        [("Authorization", KEY)],
        [("X-API-Key", "wrong")],
        [("X-API-Key", "")],
        [("X-API-Key", "wrong"), ("Authorization", f"Bearer {KEY}")],
        [("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer wrong")],
        [("Authorization", b"Bearer \xff\xfe")],
    ],
)
async def test_without_the_key_tcp_tells_nothing(served: Any, headers: Any) -> None:
    schema = (await served.unix.get("/openapi.json")).json()
    paths = [path for path in schema["paths"] if path not in OPEN]
    for path in [*paths, "/docs", "/openapi.json", "/made-up", "/livez/", "//livez"]:
        url = path.replace("{view}", "v").replace("{id}", "x").replace("{name}", "x")
        reply = await served.tcp.get(url, headers=headers)
        assert reply.status_code in (401, 429), url  # many wrong keys have to wait
        assert ("WWW-Authenticate" in reply.headers) == (reply.status_code == 401)
        assert ("Retry-After" in reply.headers) == (reply.status_code == 429)
        slug = "unauthorized" if reply.status_code == 401 else "slow-down"
        assert reply.json()["type"] == f"urn:fustor:problem:{slug}"
    assert served.ask.asked == []
    assert served.ask.told == []


async def test_work_needs_the_key_as_well(served: Any) -> None:
    for method, path in (("POST", "/stop"), ("DELETE", "/views/v"), ("POST", "/views/v/scan")):
        reply = await served.tcp.request(method, "/api/v1" + path)
        assert reply.status_code == 401
    assert served.ask.told == []


@pytest.mark.parametrize("path", HEALTH)
async def test_health_is_open_to_all(served: Any, path: str) -> None:
    assert (await served.tcp.get(path)).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1:80", "[::1]", "[::1]:8"])
async def test_names_of_loopback_are_served(served: Any, host: str) -> None:
    reply = await served.tcp.get("/api/v1/views", headers={**BEARER, "Host": host})
    assert reply.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8102", "localhost.evil", "", "::2"])
@pytest.mark.parametrize("path", ["/api/v1/views", "/livez", "/docs"])
async def test_foreign_names_are_not(served: Any, host: str, path: str) -> None:
    reply = await served.tcp.get(path, headers={**BEARER, "Host": host})
    assert reply.status_code == 421
    assert reply.json()["type"] == "urn:fustor:problem:misdirected"
    assert "allowed_hosts" in reply.json()["remedy"]


@pytest.mark.parametrize("head", ["", "Host: localhost\r\nHost: evil.example\r\n"])
async def test_no_name_and_two_names_are_not_served(served: Any, head: str) -> None:
    host, port = served.tcp.base_url.host, served.tcp.base_url.port
    async with await anyio.connect_tcp(host, port) as stream:
        await stream.send(f"GET /livez HTTP/1.0\r\n{head}\r\n".encode())
        with anyio.fail_after(20):
            assert (await stream.receive()).startswith(b"HTTP/1.1 421 ")


async def test_names_can_be_allowed(serve: Any) -> None:
    async with serve(tcp=True, allowed_hosts=["Files.example"]) as served:
        for host, status in (("files.EXAMPLE:8102", 200), ("other.example", 421)):
            reply = await served.tcp.get("/livez", headers={"Host": host})
            assert reply.status_code == status


async def test_the_unix_socket_needs_neither_name_nor_key(served: Any) -> None:
    reply = await served.unix.get("/api/v1/views", headers={"Host": "evil.example"})
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.b:1", "a.b"), ("[::1]:2", "::1"), ("::1", "::1"), ("", ""), ("x.", "x"), ("[", "")],
)
def test_a_host_header_has_a_name(host: str, name: str) -> None:
    assert host_name(host) == name
