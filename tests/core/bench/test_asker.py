"""The connection of the benchmarks: whole answers, streams as they come, and broken servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fustor_core.bench.asker import Asker, BadStatus, Broken


@contextmanager
def server(place: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """Sends one answer after the other on one connection; collects the questions."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(1)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                for answer in answers:
                    asked.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(20)


def test_it_asks_with_its_place_and_parameters(tmp_path: Path) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    with server(tmp_path / "s", answer, answer) as asked, Asker(str(tmp_path / "s"), "/x") as one:
        assert one.get("stat", {"path": "/ö b"}).json() == {"a": 1}
        assert one.get("/du").content == b'{"a": 1}'
    assert asked[0].startswith(b"GET /x/stat?path=/%C3%B6%20b HTTP/1.1\r\n")
    assert asked[1].startswith(b"GET /x/du HTTP/1.1\r\n")


def test_a_stream_comes_piece_by_piece(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    with server(tmp_path / "s", head + body), Asker(str(tmp_path / "s")) as one:
        assert b"".join(one.follow("changes", {}, {})) == b"abc"


def test_what_is_no_answer_says_so(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"
    refused = pytest.raises(BadStatus, match="status 404: none")
    with server(tmp_path / "s", answer), Asker(str(tmp_path / "s")) as one, refused:
        one.get("stat").json()


def test_it_asks_again_where_nobody_answered(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with Asker(str(tmp_path / "s")) as one:
        for _ in range(2):
            with pytest.raises(Broken):
                one.get("stat")
        with server(tmp_path / "s", answer):
            assert one.get("stat").json() == {}


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with Asker(str(tmp_path / "s")) as one:
        with server(tmp_path / "s", answer):
            assert one.get("stat").json() == {}
        (tmp_path / "s").unlink()
        with server(tmp_path / "s", answer):
            assert one.get("stat").json() == {}
        with pytest.raises(Broken):
            one.get("stat")  # it is closed, and the next one is, too
