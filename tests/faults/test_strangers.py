"""Clients that are slow, many, or never end: nobody else waits for them, and nothing is used up."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.conftest import times as times  # noqa: PLC0414
from tests.hosts.stranger import Stranger
from tests.hosts.world import Site, until
from tests.hosts.writers import SlowWriter

from .machine import Machine

SLOW = 150
HELD_S = 6.0
PATIENCE_S = 90.0
DESCRIPTORS = 20  # that the server may still open
BEAT_P99_S = 0.25  # of heartbeats in a crowd (reliability.md §4.2, row 27); asked of a nightly run
ALIVE_S = 600.0

pytestmark = pytest.mark.faults


@contextmanager
def connections(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """So many, each of which has said this and says no more by itself."""
    made = []
    try:
        for _ in range(count):
            made.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            made[-1].sendall(said)
        yield made
    finally:
        for one in made:
            one.close()


@pytest.mark.parametrize("part", ["head", "body"])
def test_slow_requests_hold_nobody_up(place: Site, part: str) -> None:
    """A byte now and then, from many; then they are hung up on."""
    alpha = place.agent("alpha", mounted=False)
    place.start()
    session = place.sessions()[0]["session_id"]
    head = f"POST /api/v1/pipe/sessions/ HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\n".encode()
    if part == "body":
        key = place.key("push")
        head += f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n".encode()
        head += b"Content-Length: 100000\r\n\r\n{"
    with place.polled(), SlowWriter(place.tree / "steady.log", 0.2):
        with connections(place.port, SLOW, head) as slow:
            begun = time.monotonic()
            alive = list(slow)
            while time.monotonic() - begun < HELD_S:
                for one in list(alive):
                    try:
                        one.sendall(b"x")
                    except OSError:
                        alive.remove(one)
                time.sleep(0.5)  # that is how slow they are
            until(lambda: all(map(_over, slow)), PATIENCE_S, place.tails)
        place.settles()
        assert alpha.state == 66
        assert place.sessions()[0]["session_id"] == session, "the honest session was lost"


def _over(connection: socket.socket) -> bool:
    """Whether the server has hung up, or answered that it will not wait."""
    connection.setblocking(False)
    try:
        return connection.recv(1) in (b"", b"H")
    except BlockingIOError:
        return False
    except OSError:
        return True


def somebody_new_is_answered(port: int) -> bool:
    """And not hung up on, as happens until those who have gone are known to be gone."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as new:
            new.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return new.recv(5) == b"HTTP/"
    except ConnectionError:
        return False


def test_a_server_without_descriptors(place: Site, machine: Machine) -> None:
    """It takes nobody new, keeps whom it has, and goes on when there are some again."""
    place.agent("alpha", mounted=False)
    place.start()
    process = place.fusion.process
    assert process is not None
    held = len(list(place.folder.__class__(f"/proc/{process.pid}/fd").iterdir()))
    usual = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    tight = (held + DESCRIPTORS, usual[1])
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, tight)
    with connections(place.port, 4 * DESCRIPTORS, b"GET /"):
        (place.tree / "meanwhile").write_text("1")
        time.sleep(HELD_S)  # that is how long there are none
        assert process.poll() is None, place.fusion.tail()
    until(lambda: somebody_new_is_answered(place.port), PATIENCE_S, place.fusion.tail)
    place.settles(PATIENCE_S)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, usual)
    (place.tree / "afterwards").write_text("1")
    place.settles(PATIENCE_S)


@pytest.mark.amount("--crowd")
def test_a_crowd_of_sessions(place: Site, machine: Machine, amount: int) -> None:
    """None expires by the server's own load; heartbeats do not wait."""
    place.start_fusion()
    with Stranger(place.port, place.key("push")) as some:
        sessions = []
        for number in range(amount):
            reply = some.open(
                agent_id=f"agent-{number}", pipe=f"pipe-{number}", session_timeout_s=ALIVE_S
            )
            assert reply.status_code == 201, f"{number}: {reply.status_code} {reply.text[:300]}"
            sessions.append(reply.json()["session_id"])
        took = []
        for session in sessions:
            begun = time.monotonic()
            reply = some.beat(session_id=session)
            took.append(time.monotonic() - begun)
            assert reply.status_code == 200, f"{reply.status_code} {reply.text[:300]}"
        took.sort()
        p99 = took[int(len(took) * 0.99) - 1]
        print(f"{amount} sessions: a heartbeat takes {p99 * 1000:.1f} ms at p99")
        assert p99 < BEAT_P99_S or not machine.nightly
        assert len(place.sessions()) == amount
