"""A real server on a Unix socket that serves documents of interfaces.md, and ways to run fustor."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
import uvicorn

from fustor_core.cli import main

BASE = "/api/v1"
KINDS = {"file": 0o100644, "dir": 0o040755, "symlink": 0o120777}


def named(path: bytes, key: str = "path") -> dict[str, str]:
    """A name as documents carry it."""
    try:
        return {key: path.decode()}
    except UnicodeDecodeError:
        return {f"{key}_b64": base64.b64encode(path).decode()}


def quality(**changes: Any) -> dict[str, Any]:
    return {
        "as_of": "2020-11-21T10:00:00Z",
        "as_of_us": 1_000_000_000,
        "age_s": 0.5,
        "complete": True,
        "unscanned": [],
        "unscanned_total": 0,
        "suspects": 0,
        "debts": 0,
        "blind": 0,
        "stale": False,
        "frozen": False,
        "epoch": 3,
        **changes,
    }


def rollup(**changes: Any) -> dict[str, Any]:
    zero = ("files", "dirs", "others", "bytes", "suspects", "debts", "blind")
    return {**dict.fromkeys(zero, 0), "newest_mtime_ns": 0, "changed_us": 0, **changes}


def entry(path: bytes, kind: str = "file", size: int = 0, **changes: Any) -> dict[str, Any]:
    made = {
        "view": "data",
        **named(path),
        **named(path.rpartition(b"/")[2] or b"/", "name"),
        "type": kind,
        "size": size,
        "mtime_ns": 1_700_000_000_123_456_789,
        "ctime_ns": 1_700_000_000_123_456_789,
        "ino": (1 << 63) + 11,
        "mode": KINDS[kind],
        "uid": 0,
        "gid": 0,
        "nlink": 1,
        "flags": [],
        "origin": "snapshot",
        "observed": [1_000_000, 1_250_000],
    }
    if kind == "dir":
        made["rollup"] = rollup()
    return {**made, **changes}


def view_status(name: str, root: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "view": name,
        **named(root, "root"),
        "driver": "file",
        "arbitrator": "fs",
        "files": 1204,
        "dirs": 33,
        "bytes": 5 << 30,
        "entries": 1237,
        "quality": quality(),
        "sessions": 1,
        **changes,
    }


def problem(slug: str, status: int, detail: str, **more: Any) -> tuple[int, dict[str, Any]]:
    document = {"type": f"urn:fustor:problem:{slug}", "title": slug, "status": status}
    return status, {**document, "detail": detail, "instance": "/x", **more}


Answer = Any  # a document, (status, document), or a function of the parameters that returns one


class Door:
    """A running uvicorn, which lets every request through to one server after the other.

    Starting one takes a moment, so most tests share it: the socket in their state directory is a
    symbolic link to this one.
    """

    def __init__(self, path: Path, server: Server | None = None) -> None:
        self.path = path
        self.server = server
        path.parent.mkdir(parents=True, exist_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        listening.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
        listening.listen(64)
        config = uvicorn.Config(
            self, lifespan="off", log_level="critical", timeout_graceful_shutdown=1, loop="asyncio"
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([listening],))
        self._thread.start()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.server is not None
        await self.server(scope, receive, send)

    def close(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self.path.unlink(missing_ok=True)


class Server:
    """Serves what it was told to, and follows a list of changes as the real one does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[tuple[str, str], Answer] = {}
        self.lines: dict[str, list[bytes]] = {}
        self.requests: list[SimpleNamespace] = []
        self.changes: list[dict[str, Any]] = []
        self.heartbeat_s = 60.0
        self.missing: dict[str, Answer] = {}  # by path: what is answered instead of changes
        self._grown = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = 0
        self._door: Door | None = None
        self.followed = threading.Event()

    def start(self) -> None:
        """Listens by itself; may be stopped and started again."""
        self._grown = asyncio.Event()  # belongs to the loop of this start
        self.path.unlink(missing_ok=True)
        self._door = Door(self.path, self)

    def stop(self) -> None:
        self.end_streams()
        if self._door is not None:
            self._door.close()
        self._door = self._loop = None

    def answer(self, path: str, answer: Answer, method: str = "GET") -> None:
        self.answers[method, BASE + path] = answer

    def asked(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        """The parameters of every request to a path."""
        return [r.params for r in self.requests if (r.method, r.path) == (method, BASE + path)]

    def change(self, kind: str, path: bytes, **more: Any) -> None:
        """Something happens; those who follow are told."""
        cursor = f"c{len(self.changes) + 1}"
        at = "2020-11-21T10:00:00Z"
        self.changes.append(
            {"cursor": cursor, "at": at, "kind": kind, **named(path), "origin": "realtime", **more}
        )
        self._wake()

    def end_streams(self) -> None:
        """Every open stream ends properly, as when the server stops."""
        self._ended += 1
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._grown.set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._loop = asyncio.get_running_loop()
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        params = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        path, method = scope["path"], scope["method"]
        sent = json.loads(body) if body else None
        self.requests.append(SimpleNamespace(method=method, path=path, params=params, body=sent))
        accept = dict(scope["headers"]).get(b"accept", b"").decode()
        if path.endswith("/changes") and params.get("path") in self.missing:
            status, document = self.missing[params["path"]]
            await _reply(send, status, document, "application/problem+json")
        elif path.endswith("/changes") and (method, path) not in self.answers:
            if params.get("follow") == "true":
                await self._follow(params, send)
            else:
                await _reply(send, 200, self._page(params))
        elif "ndjson" in accept and path in self.lines:
            await _reply(send, 200, b"\n".join(self.lines[path]) + b"\n", "application/x-ndjson")
        else:
            answer = self.answers.get((method, path), problem("no-such-route", 404, path))
            answer = answer(params) if callable(answer) else answer
            status, document = answer if isinstance(answer, tuple) else (200, answer)
            kind = "application/json" if status < 400 else "application/problem+json"
            await _reply(send, status, document, kind)

    def _page(self, params: Mapping[str, str]) -> dict[str, Any]:
        now = f"c{len(self.changes)}"
        if "since" not in params:
            return {"changes": [], "cursor": now, "more": False}
        begin = int(params["since"][1:])
        page = self.changes[begin : begin + int(params.get("limit", 1000))]
        end = begin + len(page)
        return {"changes": page, "cursor": f"c{end}", "more": end < len(self.changes)}

    async def _follow(self, params: Mapping[str, str], send: Any) -> None:
        at, ended = int(params.get("since", f"c{len(self.changes)}")[1:]), self._ended
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        first = json.dumps({"cursor": f"c{at}"}).encode() + b"\n"
        await send({"type": "http.response.body", "body": first, "more_body": True})
        self.followed.set()
        while ended == self._ended:
            fresh, at = self.changes[at:], len(self.changes)
            lines = b"".join(json.dumps(change).encode() + b"\n" for change in fresh) or b"\n"
            await send({"type": "http.response.body", "body": lines, "more_body": True})
            self._grown.clear()
            try:
                await asyncio.wait_for(self._grown.wait(), self.heartbeat_s)
            except TimeoutError:
                pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _reply(send: Any, status: int, content: Any, kind: str = "application/json") -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Done:
    """How a run of the program ended."""

    code: int
    out: bytes
    err: str
    document: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.out.startswith(b"{") and self.out.count(b"\n") == 1:
            self.document = json.loads(self.out)

    @property
    def lines(self) -> list[bytes]:
        return self.out.split(b"\n")[:-1]

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document on stderr; it is the only thing there."""
        made: dict[str, Any] = json.loads(self.err)
        return made


@pytest.fixture
def make() -> SimpleNamespace:
    """The documents of interfaces.md, made by the dozen."""
    return SimpleNamespace(
        entry=entry,
        named=named,
        problem=problem,
        quality=quality,
        rollup=rollup,
        view_status=view_status,
        server=Server,
    )


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FUSTOR_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that the view `data` watches."""
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    made = Door(tmp_path_factory.mktemp("door") / "s")
    yield made
    made.close()


@pytest.fixture
def server(home: Path, root: Path, door: Door) -> Iterator[Server]:
    """A server with the one view `data`."""
    made = Server(home / "fusion" / "api.sock")
    made.answer("/views", {"views": [view_status("data", os.fsencode(root))]})
    made.path.parent.mkdir(parents=True, exist_ok=True)
    made.path.symlink_to(door.path)
    door.server = made
    yield made
    made.end_streams()


@pytest.fixture
def own_server(home: Path, root: Path) -> Iterator[Server]:
    """The same, with a socket of its own: it can be stopped and started."""
    made = Server(home / "fusion" / "api.sock")
    made.answer("/views", {"views": [view_status("data", os.fsencode(root))]})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def fustor(home: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    """Runs a command in this process."""

    def run(*arguments: str | bytes) -> Done:
        capfdbinary.readouterr()
        words = [os.fsdecode(word) for word in arguments]
        code = main(["--home", str(home), *words])
        out, err = capfdbinary.readouterr()
        return Done(code, out, err.decode())

    return run


@pytest.fixture
def program(home: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts the program as a process of its own."""

    def start(*arguments: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fustor_core", "--home", str(home), *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, **pipes)

    return start


@pytest.fixture
def terminal(home: Path) -> Callable[..., tuple[int, str]]:
    """Runs the program with a terminal as its stdout; returns exit code and what was shown."""

    def run(*arguments: str | bytes, **environment: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "fustor_core", "--home", str(home), *arguments]
        settings = {"TERM": "xterm", "COLUMNS": "100", "LC_ALL": "C.UTF-8", **environment}
        done = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**os.environ, **settings},
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            shown += piece
        os.close(ours)
        done.communicate()
        return done.returncode, shown.decode().replace("\r\n", "\n")

    return run
