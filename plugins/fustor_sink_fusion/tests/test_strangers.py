"""Servers that are not fusion: whatever they say, a pipe gets an error that it knows."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
from fustor_sink_fusion import FusionSink
from fustor_sink_fusion.replies import SLOWEST_S, error_for
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.errors import PipeError, Refused, SlowDown, TooLarge, Unreachable
from fustor_core.lane import REPLY_BYTES_MAX
from fustor_core.testing.promises import hello

KEY = "fst_id_a-canary-of-a-key"
LIMIT_S = 20.0
Say = Callable[[bytes], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def saying(reply: bytes) -> AsyncIterator[str]:
    """The address of a server that says the same to everyone, then closes."""

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            try:
                await stream.receive()
                await stream.send(reply)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}"
        group.cancel_scope.cancel()


def sink(url: str, **options: Any) -> FusionSink:
    options = {"url": url, "key": KEY, "view": "v", "timeout": 1.0, **options}
    return FusionSink(FusionSink.Config.model_validate(options))


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


PROBLEM = "Content-Type: application/problem+json"


def problem(status: int, slug: str, **fields: Any) -> bytes:
    document = {"type": f"urn:fustor:problem:{slug}", "title": "t", "status": status, **fields}
    return http(f"{status} X", json.dumps(document).encode(), PROBLEM)


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (b"", Unreachable, "cannot reach"),
        (b"SSH-2.0-OpenSSH_9\r\n", Unreachable, "cannot reach"),
        (b"\x15\x03\x01\x00\x02\x02\x46", Unreachable, "cannot reach"),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{", Unreachable, "cannot reach"),
        (http("200 OK", b"<html>sign in</html>"), Unreachable, "does not answer as a fusion"),
        (http("201 Created", b"{}"), Unreachable, "does not answer as a fusion"),
        (http("201 Created", b"[" * 9000), Unreachable, "does not answer as a fusion"),
        (http("404 Not Found", b"nginx"), Unreachable, "does not answer as a fusion"),
        (http("502 Bad Gateway", b"<html>"), Unreachable, "answers with status 502"),
        (http("500 X", b"Internal Server Error"), Unreachable, "answers with status 500"),
        (http("503 X", b"maintenance", "Retry-After: 5"), Unreachable, "status 503"),
        (http("429 X", b"", "Retry-After: 7"), SlowDown, "busy"),
        (http("429 X", b"", "Retry-After: soon"), SlowDown, "busy"),
        (http("401 X", b"<html>"), Refused, "not by fusion itself"),
        (http("403 X", b"<html>"), Refused, "not by fusion itself"),
        (http("413 X", b"<html>"), TooLarge, "server before fusion"),
        (http("301 X", b"", "Location: http://evil/"), Refused, "redirects"),
        (http("307 X", b"", "Location: /there"), Refused, "redirects"),
        (http("400 X", b"plain HTTP to a TLS port"), Unreachable, "does not answer as a fusion"),
        (http("418 X", b"{", PROBLEM), Unreachable, "."),
        (http("500 X", b'{"type": 7, "status": "x"}', PROBLEM), Unreachable, "."),
        (http("409 X", b'{"type": "urn:fustor:problem:sequence-gap", "expected": "x"}', PROBLEM),
         Unreachable, "does not answer"),
        (problem(404, "no-such-view", view="v", known=["w"]), Unreachable, "views here: w"),
        (problem(404, "no-such-view"), Unreachable, "add it there"),
        (problem(404, "no-such-route"), Unreachable, "."),
        (problem(400, "unsupported-protocol", supported=[2]), Refused, "."),
        (problem(400, "malformed", detail="bad"), Refused, "bad"),
        (problem(415, "unsupported-media"), Refused, "."),
        (problem(421, "misdirected", remedy="allowed_hosts"), Refused, "allowed_hosts"),
        (problem(413, "too-large", limit=5), TooLarge, "."),
        (problem(408, "slow-down", retry_after_s=1.5), SlowDown, "."),
        (problem(409, "view-locked"), Unreachable, "."),
        (problem(500, "internal", detail="our fault"), Unreachable, "our fault"),
    ],
)  # fmt: skip
async def test_whatever_is_said_is_an_error_that_a_pipe_knows(
    reply: bytes, kind: type[PipeError], text: str
) -> None:
    async with saying(reply) as url:
        one = sink(url)
        with pytest.raises(PipeError, match=text) as raised:
            await one.open(hello())
        assert type(raised.value) is kind
        told = str(raised.value)
        assert url in told, "it names the address"
        assert KEY not in told + repr(one) + repr(one.config)
        with pytest.raises(PipeError):
            await one.open(hello())
        await one.close()


async def test_a_redirect_is_not_followed() -> None:
    """The key is for the server that was named."""
    async with saying(http("200 OK", b"{}")) as other:
        reply = http("307 X", b"", f"Location: {other}/api/v1/pipe/sessions/")
        async with saying(reply) as url:
            one = sink(url)
            with pytest.raises(Refused, match="not followed"):
                await one.open(hello())
            await one.close()


async def test_an_endless_reply_is_not_read() -> None:
    async with saying(http("201 X", b" " * (REPLY_BYTES_MAX + 1))) as url:
        one = sink(url)
        with pytest.raises(Unreachable, match="a reply of over"):
            await one.open(hello())
        await one.close()


@given(st.integers(200, 599), st.binary(max_size=60), st.sampled_from(["a/b", "", PROBLEM[14:]]))
def test_any_reply_is_an_error_that_a_pipe_knows(status: int, body: bytes, kind: str) -> None:
    assert isinstance(error_for("https://h", status, body, {"content-type": kind}), PipeError)


KINDS = st.sampled_from(
    "too-large slow-down sequence-gap stale-epoch session-obsolete no-such-view x".split()
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([1])
FIELDS = st.sampled_from("limit retry_after_s expected epoch role reason view known".split())


@given(KINDS, st.dictionaries(FIELDS, VALUES), VALUES)
def test_any_problem_is_too(slug: str, fields: dict[str, Any], status: Any) -> None:
    document = {"type": f"urn:fustor:problem:{slug}", **fields, "status": status}
    body = json.dumps(document).encode()
    headers = {"content-type": "application/problem+json"}
    error = error_for("https://h", 409, body, headers)
    assert isinstance(error, PipeError)
    assert 0 < getattr(error, "retry_after_s", 1) <= SLOWEST_S


async def test_nobody_is_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        for url in (
            f"http://127.0.0.1:{taken.getsockname()[1]}",
            f"unix:{tmp_path}/nothing",
            "https://name.invalid:1",
        ):
            one = sink(url)
            with pytest.raises(Unreachable) as raised:
                await one.open(hello())
            assert f"cannot reach {url}: " in str(raised.value)
            assert str(raised.value).endswith("; does fusion run there, and is the address right?")
            await one.close()


async def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    for place in (tmp_path / "none.pem", tmp_path):
        one = sink("https://127.0.0.1:1", ca=place)
        with pytest.raises(Unreachable, match=str(place)):
            await one.open(hello())
    (tmp_path / "odd.pem").write_text("no certificate")
    one = sink("https://127.0.0.1:1", ca=tmp_path / "odd.pem")
    with pytest.raises(Unreachable, match=r"odd\.pem"):
        await one.open(hello())


async def test_tls_to_a_server_without_it() -> None:
    async with saying(http("400 Bad Request", b"")) as url:
        one = sink(url.replace("http:", "https:"))
        with pytest.raises(Unreachable, match="no trusted connection"):
            await one.open(hello())
        await one.close()


async def test_a_server_that_takes_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as deaf:
        one = sink(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=0.2)
        with anyio.fail_after(LIMIT_S):
            with pytest.raises(Unreachable, match=r"within 0\.2 s"):
                await one.open(hello())
        await one.close()


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with saying(http("200 OK", b"the proxy has the key")) as proxy:
        for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        async with saying(problem(401, "unauthorized", detail="itself")) as url:
            one = sink(url)
            with pytest.raises(Refused, match="itself"):
                await one.open(hello())
            await one.close()
