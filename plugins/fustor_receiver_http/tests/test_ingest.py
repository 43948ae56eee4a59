"""The way in over HTTP: sessions, heartbeats, batches, and everything that they must not be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from fustor_receiver_http import HttpReceiver
from fustor_receiver_http.bodies import Limits
from fustor_receiver_http.described import Api
from fustor_receiver_http.ingest import PULSE_BYTES_MAX, SESSIONS, Ingest, caller_of
from fustor_receiver_http.scopes import ACCESS, NOBODY

from fustor_core import wire
from fustor_core.claims import MEDIA_TYPE, PROTOCOL, Ack, Batch, encode_batch
from fustor_core.contracts import Access, Answer, Grant, Hello, Pulse
from fustor_core.errors import DiskFull, SessionObsoletedError, SlowDown, Unreachable
from fustor_core.problems import error_of, problem_document
from fustor_core.state import socket_address
from fustor_core.testing import receiver_kit
from fustor_core.testing.promises import cell, hello

JSON = {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": MEDIA_TYPE}
LIMIT_S = 20.0


class Wire:
    """A client that speaks the protocol by hand."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def open(self, hello: Hello) -> Grant:
        return wire.read_grant(await self._post("/", wire.write_hello(hello), JSON))

    async def beat(self, session_id: str, pulse: Pulse) -> Answer:
        path = f"/{session_id}/heartbeat"
        return wire.read_answer(await self._post(path, wire.write_pulse(pulse), JSON))

    async def send(self, session_id: str, body: bytes) -> Ack:
        return wire.read_ack(await self._post(f"/{session_id}/batches", body, MSGPACK))

    async def close(self, session_id: str) -> None:
        reply = await self.http.delete(f"{SESSIONS}/{session_id}")
        assert reply.status_code == 204
        assert reply.content == b""

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        reply = await self.http.post(SESSIONS + path, content=body, headers=headers)
        if reply.status_code >= 400:
            raise error_of(problem_document(reply.status_code, reply.content, reply.headers))
        return reply.content


@pytest.fixture
def wired(served: Any) -> Wire:
    return Wire(served.unix)


def refused(reply: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document of a reply that has to be one."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = reply.json()
    assert document["type"] == f"urn:fustor:problem:{slug}"
    assert document["status"] == status
    assert document["detail"]
    return document


def test_it_keeps_every_promise_of_a_receiver(tmp_path: Path) -> None:
    @asynccontextmanager
    async def call(receiver: HttpReceiver) -> AsyncIterator[Wire]:
        with anyio.fail_after(LIMIT_S):
            await receiver.ready.wait()
        with socket_address(tmp_path / "api.sock") as uds:
            transport = httpx.AsyncHTTPTransport(uds=uds)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                yield Wire(http)

    receiver_kit(HttpReceiver, HttpReceiver.Config(socket_path=tmp_path / "api.sock"), call=call)


# -- sessions


@pytest.mark.parametrize("path", [SESSIONS, f"{SESSIONS}/"])
async def test_a_session_is_granted(served: Any, path: str) -> None:
    body = wire.write_hello(hello())
    reply = await served.unix.post(path, content=body, headers=JSON)
    assert reply.status_code == 201
    assert reply.headers["Content-Type"] == "application/json"
    grant = wire.read_grant(reply.content)
    assert grant.protocol == PROTOCOL
    assert grant.session_id == served.door.guests[-1].session_id
    assert served.door.opened[-1] == hello()


async def test_a_newer_agent_is_understood(served: Any) -> None:
    body = wire.write_hello(hello()).replace(
        b'"protocol":[1]', b'"protocol":[1,2,3],"more":{"a":1}'
    )
    reply = await served.unix.post(SESSIONS, content=body, headers=JSON)
    assert wire.read_grant(reply.content).protocol == 1


async def test_an_agent_that_speaks_nothing_of_ours_is_told_what_is_spoken(served: Any) -> None:
    body = wire.write_hello(hello()).replace(b'"protocol":[1]', b'"protocol":[7]')
    reply = await served.unix.post(SESSIONS, content=body, headers=JSON)
    assert refused(reply, 400, "unsupported-protocol")["supported"] == [1]


async def test_the_grant_tells_the_bounds_of_the_receiver(serve: Any) -> None:
    async with serve(max_batch_bytes="64KiB") as served:
        grant = await Wire(served.unix).open(hello())
    assert grant.batch_bytes == 64 << 10


async def test_the_clock_and_the_caller_are_handed_on(wired: Wire, served: Any) -> None:
    grant = await wired.open(hello())
    assert served.door.callers[-1].sent_us is None
    clock = wire.clock_headers(17, (23, 19))
    path = f"{SESSIONS}/{grant.session_id}/heartbeat"
    body = wire.write_pulse(Pulse(state=2))
    await served.unix.post(path, content=body, headers={**JSON, **clock})
    caller = served.door.callers[-1]
    assert (caller.sent_us, caller.echo, caller.client_ip) == (17, (23, 19), "")
    assert caller.access == Access()


async def test_a_claim_that_lacks_fields_costs_itself_alone(wired: Wire, served: Any) -> None:
    grant = await wired.open(hello())
    good = msgspec.msgpack.decode(msgspec.msgpack.encode(cell(b"good")))
    body = msgspec.msgpack.encode([PROTOCOL, 1, 0, [good, good[:3], good]])
    for _ in range(2):  # a repeat is answered as before
        ack = await wired.send(grant.session_id, body)
        assert ack.acked == 1
        assert [(q.index, q.name) for q in ack.quarantined] == [(1, b"good")]
    taken = served.door.claims
    assert [type(claim).__name__ for claim in taken] == ["Cell", "Owe", "Cell"]
    assert taken[1].dir == taken[0].dir


async def test_an_address_on_tcp_is_told(served: Any) -> None:
    key = {"Authorization": "Bearer fst_test_a-secret-of-the-tests"}
    body = wire.write_hello(hello())
    reply = await served.tcp.post(SESSIONS, content=body, headers={**JSON, **key})
    assert reply.status_code == 201
    assert served.door.callers[-1].client_ip == "127.0.0.1"


def test_who_asks_is_what_the_guard_says() -> None:
    access = Access("k", frozenset({"push"}), ("a*",), ("p",))
    assert caller_of({"headers": [], "client": None, ACCESS: access}).access is access
    assert caller_of({"headers": [], "client": None}).access is NOBODY


@pytest.mark.parametrize(
    ("access", "status"),
    [
        (Access("k", frozenset({"push"}), ("ki*",), ("k?t",)), 201),
        (Access("k", frozenset({"push"}), ("other",), ("*",)), 403),
        (Access("k", frozenset({"push"}), ("*",), ("other",)), 403),
        (Access("k", frozenset({"read", "scan", "admin"})), 403),
    ],
)
async def test_a_key_opens_what_it_covers(served: Any, access: Access, status: int) -> None:
    ingest = Ingest(served.door, Limits())

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        await ingest({**scope, ACCESS: access}, receive, send)

    transport = httpx.ASGITransport(app=guarded)
    before = len(served.door.opened)
    async with httpx.AsyncClient(transport=transport, base_url="http://h") as http:
        reply = await http.post(SESSIONS, content=wire.write_hello(hello()), headers=JSON)
    assert reply.status_code == status
    assert len(served.door.opened) == before + (status == 201)
    if status == 403:
        refused(reply, 403, "forbidden")


# -- what the door says


@pytest.mark.parametrize(
    ("error", "status", "slug", "wait"),
    [
        (SlowDown("m", retry_after_s=2.5), 429, "slow-down", "3"),
        (Unreachable("m"), 503, "slow-down", "5"),
        (DiskFull("m"), 507, "disk-full", None),
        (SessionObsoletedError("m", reason="revoked"), 419, "session-obsolete", None),
    ],
)
@pytest.mark.parametrize("where", ["open", "beat", "push"])
async def test_errors_of_the_door_are_told(
    wired: Wire, served: Any, where: str, error: Exception, status: int, slug: str, wait: str | None
) -> None:
    grant = await wired.open(hello())
    served.door.fail(where, error)
    path, body, headers = {
        "open": ("/", wire.write_hello(hello()), JSON),
        "beat": (f"/{grant.session_id}/heartbeat", wire.write_pulse(Pulse(state=2)), JSON),
        "push": (f"/{grant.session_id}/batches", one_batch(), MSGPACK),
    }[where]
    reply = await served.unix.post(SESSIONS + path, content=body, headers=headers)
    refused(reply, status, slug)
    assert reply.headers.get("Retry-After") == wait


async def test_a_fault_of_ours_is_a_problem_too(wired: Wire, served: Any) -> None:
    served.door.fail("open", RuntimeError("a secret of the inside"))
    reply = await served.unix.post(SESSIONS, content=wire.write_hello(hello()), headers=JSON)
    refused(reply, 500, "internal")
    assert "secret" not in reply.text


async def test_sessions_that_are_not_known(wired: Wire) -> None:
    for made_up in ("made-up", "%2e%2e", "%00", "a" * 3000, "%ff"):
        with pytest.raises(SessionObsoletedError):
            await wired.send(made_up, one_batch())
        with pytest.raises(SessionObsoletedError):
            await wired.beat(made_up, Pulse(state=2))
        await wired.close(made_up)


# -- routes


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "", "POST"),
        ("PUT", "/", "POST"),
        ("OPTIONS", "", "POST"),
        ("POST", "/x", "DELETE"),
        ("GET", "/x/batches", "POST"),
        ("DELETE", "/x/heartbeat", "POST"),
    ],
)
async def test_other_methods_are_refused(served: Any, method: str, path: str, allowed: str) -> None:
    reply = await served.unix.request(method, SESSIONS + path)
    refused(reply, 405, "method-not-allowed")
    assert reply.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "path",
    ["//", "//batches", "/x/", "/x/other", "/x/batches/", "/x/batches/y", "/..%2f../batches"],
)
async def test_other_paths_are_refused(served: Any, path: str) -> None:
    refused(await served.unix.post(SESSIONS + path, headers=JSON), 404, "no-such-route")


async def test_a_head_has_no_body(served: Any) -> None:
    reply = await served.unix.head(f"{SESSIONS}/")
    assert reply.status_code == 405
    assert reply.content == b""


async def test_requests_are_counted_by_their_template(wired: Wire, served: Any) -> None:
    grant = await wired.open(hello())
    await wired.send(grant.session_id, one_batch())
    await wired.close(grant.session_id)
    page = (await served.unix.get("/metrics")).text
    for method, route, status in (
        ("POST", "/", 201),
        ("POST", "/{id}/batches", 200),
        ("DELETE", "/{id}", 204),
    ):
        wanted = f'method="{method}",route="{SESSIONS}{route}",status="{status}"'
        assert wanted in page
    assert grant.session_id not in page


async def test_the_description_tells_of_the_hot_routes(served: Any) -> None:
    schema = (await served.unix.get("/openapi.json")).json()
    batch = schema["paths"][f"{SESSIONS}/{{id}}/batches"]["post"]
    assert MEDIA_TYPE in batch["requestBody"]["content"]
    assert {"200", "409", "412", "413", "415", "419"} <= set(batch["responses"])
    text = str(schema)
    named = {part.partition("'")[0] for part in text.split("'#/components/schemas/")[1:]}
    assert named <= set(schema["components"]["schemas"])
    assert Api(title="x", version="1").openapi()["paths"].keys() >= {f"{SESSIONS}/"}


# -- control documents


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"protocol": [1]',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"protocol":[1],"agent_id":"","pipe":"p","view":"v"}',
        b'{"protocol":1,"agent_id":"a","pipe":"p","view":"v"}',
        b'{"protocol":[1],"agent_id":"a","pipe":"p","view":7}',
        b'{"protocol":[1],"agent_id":"a","pipe":"p","view":"v","session_timeout_seconds":-1}',
        b'{"protocol":[1],"agent_id":"a","pipe":"p","view":"v","session_timeout_seconds":1e999}',
        b'{"protocol":[99999999999999999999999],"agent_id":"a","pipe":"p","view":"v"}',
        b'{"protocol":[1],"agent_id":"' + b"a" * 300 + b'","pipe":"p","view":"v"}',
        b'{"protocol":[1],"agent_id":"a","pipe":"p","view":"v","source":{"root_b64":"!"}}',
    ],
)
async def test_what_opens_no_session(served: Any, body: bytes) -> None:
    before = len(served.door.opened)
    reply = await served.unix.post(SESSIONS, content=body, headers=JSON)
    if len(body) > 64 << 10:
        assert refused(reply, 413, "too-large")["limit"] == 64 << 10
    else:
        refused(reply, 400, "malformed")
    assert len(served.door.opened) == before


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"state":-1}', b'{"state":"x"}', b"\0" * 9])
async def test_what_is_no_heartbeat(wired: Wire, served: Any, body: bytes) -> None:
    grant = await wired.open(hello())
    path = f"{SESSIONS}/{grant.session_id}/heartbeat"
    refused(await served.unix.post(path, content=body, headers=JSON), 400, "malformed")


async def test_a_heartbeat_is_small(wired: Wire, served: Any) -> None:
    grant = await wired.open(hello())
    path = f"{SESSIONS}/{grant.session_id}/heartbeat"
    reply = await served.unix.post(path, content=b" " * (PULSE_BYTES_MAX + 1), headers=JSON)
    assert refused(reply, 413, "too-large")["limit"] == PULSE_BYTES_MAX


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": MEDIA_TYPE},
        {**JSON, "Content-Encoding": "zstd"},
        {**JSON, "Content-Encoding": "gzip"},
    ],
)
async def test_control_documents_are_plain_json(served: Any, headers: dict[str, str]) -> None:
    reply = await served.unix.post(SESSIONS, content=wire.write_hello(hello()), headers=headers)
    refused(reply, 415, "unsupported-media")


@pytest.mark.parametrize(
    "clock",
    [
        {"Fustor-Sent": "soon"},
        {"Fustor-Sent": ""},
        {"Fustor-Sent": "9" * 30},
        {"Fustor-Echo": "1"},
        {"Fustor-Echo": "1,2,3"},
        {"Fustor-Echo": "a,b"},
    ],
)
async def test_a_clock_that_makes_no_sense(served: Any, clock: dict[str, str]) -> None:
    body = wire.write_hello(hello())
    reply = await served.unix.post(SESSIONS, content=body, headers={**JSON, **clock})
    refused(reply, 400, "malformed")


def one_batch(seq: int = 1) -> bytes:
    """A batch of one claim."""
    return encode_batch(Batch(PROTOCOL, seq, 0, [cell()]))
