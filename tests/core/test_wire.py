"""The control plane on the wire: what one end writes the other reads, and garbage is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core import wire
from fustor_core.claims import Ack, Key, Owed, Quarantined
from fustor_core.contracts import Answer, Command, Grant, Hello, Pulse
from fustor_core.errors import MalformedClaim, UnsupportedProtocol

paths = st.binary(max_size=40)
HELLO = Hello(
    agent_id="host-1",
    pipe="p",
    view="v",
    source={"driver": "fs", "root_b64": "L2Q=", "identity": "x", "birth": "btime"},
    line={"boot": "b", "process": "1", "mount": "m", "cache_bound_s": 3.0},
    can={"realtime": True, "scan": False},
    session_timeout_s=12.5,
    protocol=(1, 2),
    client="fustor/1",
)


def test_hello_comes_back() -> None:
    assert wire.read_hello(wire.write_hello(HELLO)) == HELLO


def test_grant_comes_back() -> None:
    grant = Grant("s", "leader", 3, 30.0, 10.0, 600.0, 120.0, 77, birth="handle", rows=5)
    assert wire.read_grant(wire.write_grant(grant)) == grant


@given(st.lists(paths, max_size=5), st.none() | st.just({"started_us": 1, "progress_us": 2}))
def test_pulse_comes_back(uncovered: list[bytes], scan: dict[str, int] | None) -> None:
    if scan is not None:
        scan = {**scan, "directories": 4}
    pulse = Pulse(66, 1, 2, scan, tuple(uncovered))
    assert wire.read_pulse(wire.write_pulse(pulse)) == pulse


@given(paths, st.none() | st.just(Key(0, 5, -3)))
def test_answer_comes_back(path: bytes, key: Key | None) -> None:
    answer = Answer("follower", 0, 9, (Command("c", "watch", ((key, path),), True, 5.0),))
    assert wire.read_answer(wire.write_answer(answer)) == answer


@given(paths)
def test_ack_comes_back(path: bytes) -> None:
    refused = (Quarantined(0, "bad", path), Quarantined(2, "worse"))
    ack = Ack(4, 5, refused, (Owed(Key(1, 2, 3), path, True),))
    assert wire.read_ack(wire.write_ack(ack)) == ack


@pytest.mark.parametrize("offered", [[], [0], [2, 3]])
def test_no_protocol_in_common_names_what_is_spoken(offered: list[int]) -> None:
    document = {**json.loads(wire.write_hello(HELLO)), "protocol": offered}
    with pytest.raises(UnsupportedProtocol) as told:
        wire.read_hello(json.dumps(document).encode())
    assert told.value.supported == wire.SPOKEN


def test_a_newer_peer_is_understood() -> None:
    document = {**json.loads(wire.write_hello(HELLO)), "protocol": [1, 9], "mood": "new"}
    hello = wire.read_hello(json.dumps(document).encode())
    assert wire.chosen_protocol(hello.protocol) == 1


READERS = [wire.read_hello, wire.read_grant, wire.read_pulse, wire.read_answer, wire.read_ack]
GARBAGE: list[Any] = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}" * 2,
    b'{"protocol": "1"}',
    b"[" * 100_000,
    b'{"state": -1}',
    b'{"state": 1e400}',
    b'{"acked": "1"}',
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_is_malformed(read: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(MalformedClaim):
        read(body)


@pytest.mark.parametrize(
    "change",
    [
        {"agent_id": ""},
        {"agent_id": "x" * 300},
        {"session_timeout_seconds": 0},
        {"session_timeout_seconds": 1e9},
        {"source": {"root_b64": "%%%"}},
        {"can": {"scan": "yes"}},
        {"line": []},
    ],
)
def test_a_hello_with_a_bad_field_is_malformed(change: dict[str, Any]) -> None:
    document = {**json.loads(wire.write_hello(HELLO)), **change}
    with pytest.raises(MalformedClaim):
        wire.read_hello(json.dumps(document).encode())


def test_clock_headers_come_back() -> None:
    headers = wire.clock_headers(5, (-7, 8))
    assert wire.read_clock(headers[wire.SENT], headers[wire.ECHO]) == (5, (-7, 8))
    assert wire.read_clock(None, None) == (None, None)


@pytest.mark.parametrize(
    ("sent", "echo"), [("x", None), ("1", "2"), ("1", "2,y"), ("9" * 30, None)]
)
def test_bad_clock_headers_are_malformed(sent: str, echo: str | None) -> None:
    with pytest.raises(MalformedClaim):
        wire.read_clock(sent, echo)
