"""The client: requests, streams, and what goes wrong on the way."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fustor_core.client import Client, TimedOut, local_server, path_params
from fustor_core.errors import QueryError, Refused, Unreachable
from fustor_core.problems import Problem


@pytest.fixture
def client(server: Any) -> Iterator[Client]:
    with Client(f"unix:{server.path}", timeout_s=5) as made:
        yield made


def test_a_request(client: Client, server: Any) -> None:
    server.answer("/x", {"a": 1 << 63}, "POST")
    params = {"yes": True, "no": False, "none": None, "n": 7, "list": ["a", "b"], "s": "ü&"}
    assert client.ask("POST", "/x", params=params, body={"b": 2}) == {"a": 1 << 63}
    (request,) = server.requests
    assert request.body == {"b": 2}
    assert request.params == {"yes": "true", "no": "false", "n": "7", "list": "b", "s": "ü&"}


def test_an_empty_reply_is_an_empty_document(client: Client, server: Any) -> None:
    server.answer("/x", (204, b""))
    assert client.get("/x") == {}


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b"\xff", b"7"])
def test_a_reply_that_is_no_document(client: Client, server: Any, content: bytes) -> None:
    server.answer("/x", content)
    with pytest.raises(Unreachable):
        client.get("/x")


def test_a_problem(client: Client, server: Any, make: Any) -> None:
    server.answer("/x", make.problem("absent", 404, "not there"))
    with pytest.raises(Problem, match="not there") as caught:
        client.get("/x")
    assert caught.value.slug == "absent"


def test_it_finds_a_server_that_was_restarted(own_server: Any) -> None:
    own_server.answer("/x", {})
    with Client(f"unix:{own_server.path}", timeout_s=5) as client:
        assert client.get("/x") == {}
        own_server.stop()
        with pytest.raises(Unreachable):
            client.get("/x")
        own_server.start()
        assert client.get("/x") == {}


@pytest.mark.parametrize("path", [b"/a", "/ü".encode(), b"/\xff", b"/a\n b", b"/+/%20"])
def test_paths_arrive_as_they_are(client: Client, server: Any, make: Any, path: bytes) -> None:
    server.answer("/x", {})
    client.get("/x", path_params(path))
    assert server.requests[0].params == make.named(path)


# ------------------------------------------------------------------ streams


def raw_server(home: Path, *pieces: bytes) -> Callable[[], None]:
    """Answers one request with the very bytes, then hangs up; returns how to end it."""
    home.mkdir(parents=True, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(home / "s"))
    listening.listen()

    def serve() -> None:
        taken, _ = listening.accept()
        with taken:
            taken.recv(65536)
            for piece in pieces:
                taken.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()

    def end() -> None:
        thread.join()
        listening.close()

    return end


HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def streamed(home: Path, *chunks: bytes, whole: bool = True) -> list[bytes]:
    last = (b"0\r\n\r\n",) if whole else ()
    end = raw_server(home, HEAD, *(chunk(piece) for piece in chunks), *last)
    lines: list[bytes] = []
    try:
        with Client(f"unix:{home}/s") as client, client.stream("/x", silence_s=5) as batches:
            for batch in batches:
                lines += batch
    finally:
        end()
    return lines


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    """Text may hold every other line separator of Unicode."""
    odd = '{"a": "\u2028\x85\x0b"}'.encode()
    assert streamed(tmp_path, odd[:9], odd[9:] + b"\n\n{}\n" + b'{"b"', b": 1}") == [
        odd, b"{}", b'{"b": 1}',
    ]  # fmt: skip


def test_a_stream_that_breaks_off(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        streamed(tmp_path, b"{}\n", whole=False)


def test_a_stream_that_ends_with_a_problem(tmp_path: Path, make: Any) -> None:
    _, problem = make.problem("absent", 404, "it went away")
    with pytest.raises(Problem, match="it went away"):
        streamed(tmp_path, b"{}\n", json.dumps({"problem": problem}).encode() + b"\n")


def test_a_heartbeat_is_an_empty_batch(client: Client, server: Any) -> None:
    server.heartbeat_s = 0.01
    with client.stream("/views/data/changes", {"follow": True}, silence_s=5) as batches:
        assert json.loads(next(batches)[0]) == {"cursor": "c0"}
        assert next(batches) == []
        server.change("created", b"/a")
        while not (lines := next(batches)):
            pass
        assert json.loads(lines[0])["path"] == "/a"


def test_a_stream_that_is_silent_for_too_long(client: Client, server: Any) -> None:
    following = client.stream("/views/data/changes", {"follow": True}, silence_s=0.2)
    with pytest.raises(TimedOut), following as batches:
        list(batches)


def test_a_stream_that_is_refused(client: Client, server: Any, make: Any) -> None:
    server.answer("/x", make.problem("forbidden", 403, "no"))
    with pytest.raises(Refused), client.stream("/x", silence_s=1):
        pass


# ------------------------------------------------------------------ addresses


def test_the_local_server(tmp_path: Path) -> None:
    assert local_server(tmp_path) == f"unix:{tmp_path}/fusion/api.sock"
    (tmp_path / "agent").mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "agent" / "api.sock"))
    left.close()
    assert local_server(tmp_path) == f"unix:{tmp_path}/agent/api.sock"
    assert local_server(tmp_path, agent_first=True) == f"unix:{tmp_path}/agent/api.sock"
    os.unlink(tmp_path / "agent" / "api.sock")
    assert local_server(tmp_path, agent_first=True) == f"unix:{tmp_path}/agent/api.sock"


def test_an_address_that_is_none() -> None:
    with pytest.raises(QueryError):
        Client("nonsense").get("/x")


def test_a_key_is_sent_over_tcp() -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            taken, _ = listening.accept()
            with taken:
                asked.append(taken.recv(65536))
                taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        with Client(f"http://127.0.0.1:{port}/", key="fst_1_x") as client:
            assert client.get("/views") == {}
        thread.join()
    assert asked[0].startswith(b"GET /api/v1/views HTTP/1.1\r\n")
    assert b"authorization: bearer fst_1_x\r\n" in asked[0].lower()
