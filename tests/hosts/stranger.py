"""Requests of somebody who is no agent: over real HTTP on TCP, byte by byte as they please."""

from __future__ import annotations

import socket
from typing import Any

import httpx

from fustor_core.claims import PROTOCOL, Batch, Claim, Origin, Root, Stamp, encode_batch
from fustor_core.contracts import Hello, boottime_us
from fustor_core.wire import clock_headers, write_hello

from .world import VIEW

MSGPACK = "application/vnd.fustor.batch+msgpack"
ANSWER_S = 15.0


class Stranger:
    """A client with a key, a context manager.

    Args:
        port: where the server listens. key: a bearer key, or none.
    """

    def __init__(self, port: int, key: str | None, agent_id: str = "stranger") -> None:
        self.port = port
        self.key = key
        self.agent_id = agent_id
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=ANSWER_S
        )
        self.session_id = ""
        self.epoch = 0
        self.role = ""

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.http.close()

    def hello(self, **changes: Any) -> Hello:
        """A hello as an agent says it, but for these."""
        said: dict[str, Any] = {
            "agent_id": self.agent_id,
            "pipe": "stranger",
            "view": VIEW,
            "source": {"driver": "fs", "root_b64": "L2RhdGE=", "identity": "stranger"},
            "line": {"boot": "another", "process": "1", "mount": "m", "cache_bound_s": 0},
            "can": {"realtime": True, "scan": False},
            "session_timeout_s": 3.0,
        }
        return Hello(**{**said, **changes})

    def open(self, **changes: Any) -> httpx.Response:
        """A session; remembers it when it is granted."""
        return self.post("/pipe/sessions/", write_hello(self.hello(**changes)))

    def opened(self, **changes: Any) -> str:
        """A session that must be granted; its id."""
        reply = self.open(**changes)
        assert reply.status_code == 201, reply.text
        told = reply.json()
        self.session_id, self.epoch, self.role = told["session_id"], told["epoch"], told["role"]
        return self.session_id

    def post(self, path: str, body: bytes, kind: str = "application/json", **headers: str) -> Any:
        """One request."""
        clock = clock_headers(boottime_us(), None)
        return self.http.post(
            path, content=body, headers={**clock, "Content-Type": kind, **headers}
        )

    def push(self, body: bytes, session_id: str | None = None, **headers: str) -> httpx.Response:
        """A batch, or what shall be taken for one."""
        where = f"/pipe/sessions/{session_id or self.session_id}/batches"
        return self.post(where, body, MSGPACK, **headers)

    def batch(self, seq: int, claims: list[Claim], epoch: int | None = None) -> bytes:
        """The body of a batch."""
        return encode_batch(Batch(PROTOCOL, seq, self.epoch if epoch is None else epoch, claims))

    def beat(self, state: int = 70, session_id: str | None = None) -> httpx.Response:
        """A heartbeat."""
        where = f"/pipe/sessions/{session_id or self.session_id}/heartbeat"
        return self.post(where, b'{"state": %d, "queue": 0, "unacked_bytes": 0}' % state)


def now(kind: str = "s") -> Stamp:
    """A look of this instant."""
    at = boottime_us()
    return Stamp(at, at, 0, kind)


def root(identity: str, key: Any, origin: Origin = Origin.REALTIME) -> Root:
    """Proof of a root."""
    return Root(key=key, identity=identity, stamp=now(), origin=origin)


def raw(port: int, request: bytes, within_s: float = ANSWER_S) -> bytes:
    """The first bytes that come back for what is no HTTP, or is not whole; then it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(65536)


def refused(reply: httpx.Response, *statuses: int, slug: str | None = None) -> dict[str, Any]:
    """A problem document with one of these statuses; never 5xx.

    Raises:
        AssertionError: it is something else.
    """
    said = f"{reply.request.method} {reply.request.url}: {reply.status_code} {reply.text[:300]}"
    assert 400 <= reply.status_code < 500, said
    assert not statuses or reply.status_code in statuses, said
    assert reply.headers["content-type"].startswith("application/problem+json"), said
    document: dict[str, Any] = reply.json()
    assert document["type"].startswith("urn:fustor:problem:"), said
    assert document["status"] == reply.status_code, said
    assert "Traceback" not in reply.text, said
    if slug is not None:
        assert document["type"] == f"urn:fustor:problem:{slug}", said
    return document
