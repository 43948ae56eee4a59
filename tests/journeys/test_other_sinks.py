"""Pipes that end elsewhere than in a view: in files, on stdout, at a URL. The installed command."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("fustor")
LIMIT_S = 30.0
LOOK_S = 0.05
NAMES = ["a", "empty", "sub", "sub/b", "sub/deep", "sub/deep/c", "sub/\udcff"]
QUICK = {"error_retry_interval": 0.2, "max_backoff_seconds": 0.4, "audit_interval_sec": 0}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    for name in ("a", "sub/b", "sub/deep/c", "sub/\udcff"):
        (root / name).write_text(name, errors="surrogateescape")
    return root


@contextmanager
def running(
    tmp_path: Path, tree: Path, sink: dict[str, Any], *words: str, **pipe: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """`fustor … -c FILE` with one pipe; its stdout is `stdout` in the folder."""
    config = tmp_path / "config.yaml"
    source = {"driver": "fs", "root": str(tree)}
    made = {"source": source, "sink": sink, **QUICK, **pipe}
    config.write_text(json.dumps({"version": 1, "pipes": {"out": made}}))
    with (tmp_path / "stdout").open("ab") as out, (tmp_path / "stderr").open("ab") as err:
        process = subprocess.Popen(
            [COMMAND, "--home", tmp_path / "home", *words, "-c", config],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def ended(process: subprocess.Popen[bytes]) -> None:
    """A clean stop."""
    process.terminate()
    assert process.wait(LIMIT_S) == 0


def until(holds: Callable[[], bool], told: Callable[[], object]) -> None:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < LIMIT_S, told()
        time.sleep(LOOK_S)  # between two looks at what another process does


def path_of(document: dict[str, Any], field: str = "path") -> str:
    if field in document:
        return str(document[field])
    return os.fsdecode(base64.b64decode(document[f"{field}_b64"]))


def folded(claims: Iterable[dict[str, Any]]) -> set[str]:
    """The names that are there, as somebody finds them who knows nothing but the lines."""
    there: set[str] = set()
    for claim in claims:
        path = path_of(claim).strip("/")
        if claim["kind"] == "listing":
            names = [path_of(entry, "name") for entry in claim["entries"]]
            there |= {f"{path}/{name}".strip("/") for name in names}
        elif claim["kind"] == "entry" and claim["row"] is not None:
            there.add(path)
        elif claim["kind"] == "entry":
            there = {name for name in there if name != path and not name.startswith(f"{path}/")}
    return there


def read(*paths: Path) -> list[dict[str, Any]]:
    """The whole lines of files."""
    data = b"".join(path.read_bytes() for path in paths if path.exists())
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def change(tree: Path) -> list[str]:
    """Something happens; the names that are there then."""
    (tree / "new").write_text("new")
    (tree / "sub" / "b").rename(tree / "moved")
    (tree / "a").unlink()
    return sorted([*NAMES[1:3], *NAMES[4:], "moved", "new"])


@pytest.mark.parametrize("words", ["run", "agent"])
def test_every_name_is_in_the_file_and_changes_follow(
    tmp_path: Path, tree: Path, words: str
) -> None:
    out = tmp_path / "out"
    current = out / "claims.jsonl"

    def names() -> list[str]:
        return sorted(folded(read(current)))

    with running(tmp_path, tree, {"driver": "file", "folder": str(out)}, words) as process:
        until(lambda: names() == sorted(NAMES), names)
        wanted = change(tree)
        until(lambda: names() == wanted, names)
        ended(process)
    assert {line["origin"] for line in read(current)} == {"snapshot", "realtime"}
    assert {line["pipe"] for line in read(current)} == {"out"}
    assert (tmp_path / "stdout").read_bytes() == b""


def test_after_kill_9_the_file_goes_on_whole(tmp_path: Path, tree: Path) -> None:
    out = tmp_path / "out"
    sink = {"driver": "file", "folder": str(out), "rotate_size": 4000}

    def lines() -> list[dict[str, Any]]:
        return read(*sorted(out.glob("claims.0*.jsonl")), out / "claims.jsonl")

    def names() -> list[str]:
        return sorted(folded(lines()))

    def starts() -> int:
        return len({line["start"] for line in lines()})

    with running(tmp_path, tree, sink, "run") as process:
        until(lambda: starts() == 1 and names() == sorted(NAMES), names)
        (tree / "flicker").write_text("x")
        process.kill()
        process.wait()
    (tree / "flicker").unlink()
    with (out / "claims.jsonl").open("ab") as file:
        file.write(b'{"kind":"entry","path":"/torn')
    (tree / "between").write_text("x")
    with running(tmp_path, tree, sink, "run") as process:
        until(lambda: starts() == 2 and "between" in names(), names)
        (tree / "flicker").write_text("x")
        until(lambda: "flicker" in names(), names)
        (tree / "flicker").unlink()
        until(lambda: names() == sorted([*NAMES, "between"]), names)
        ended(process)
    assert b"torn" not in b"".join(path.read_bytes() for path in out.glob("claims*"))


def test_claims_are_events_on_stdout(tmp_path: Path, tree: Path) -> None:
    stdout = tmp_path / "stdout"

    def claims() -> list[dict[str, Any]]:
        return [line for line in read(stdout) if line["event"] == "claim"]

    with running(tmp_path, tree, {"driver": "echo"}, "--jsonl", "run") as process:
        until(lambda: folded(claims()) == set(NAMES), claims)
        wanted = change(tree)
        until(lambda: sorted(folded(claims())) == wanted, claims)
        until(lambda: any(line["event"] == "ready" for line in read(stdout)), claims)
        ended(process)
    assert read(stdout)[-1]["event"] == "stopped"


class Taken(BaseHTTPRequestHandler):
    """Takes whatever is posted; one request a connection, so that none outlives the server."""

    claims: list[dict[str, Any]]
    refusals: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.refusals.pop(0) if self.refusals else 200
        if status == 200:
            self.claims += json.loads(body)["claims"]
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def taking(port: int, claims: list[dict[str, Any]], *refusals: int) -> Iterator[None]:
    kind = type("Taking", (Taken,), {"claims": claims, "refusals": list(refusals)})
    server = ThreadingHTTPServer(("127.0.0.1", port), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(LIMIT_S)


def told_pipe(tmp_path: Path) -> dict[str, Any]:
    """Its document, from beside; {} while nothing answers."""
    done = subprocess.run(
        [COMMAND, "--home", tmp_path / "home", "pipe", "show", "out", "--json"],
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
    )
    document: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return document


@pytest.mark.long
def test_a_url_that_is_away_and_comes_back_gets_everything(tmp_path: Path, tree: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (tmp_path / "secret").write_text("a-secret-of-both-ends\n")
    sink = {
        "driver": "webhook",
        "url": f"http://127.0.0.1:{port}/hook",
        "secret": f"${{file:{tmp_path / 'secret'}}}",
        "timeout": "1s",
    }
    claims: list[dict[str, Any]] = []

    def pipe() -> dict[str, Any]:
        return told_pipe(tmp_path)

    with running(tmp_path, tree, sink, "agent", max_consecutive_errors=100) as process:
        until(lambda: "cannot reach" in (pipe().get("last_error") or ""), pipe)
        assert process.poll() is None
        with taking(port, claims, 500, 429, 503):
            until(lambda: folded(claims) == set(NAMES), lambda: (claims, pipe()))
            until(lambda: pipe().get("state") == 66, pipe)
            assert pipe()["role"] == "leader"
            ended_names = change(tree)
            until(lambda: sorted(folded(claims)) == ended_names, lambda: claims)
        (tree / "while-away").write_text("x")
        until(lambda: "cannot reach" in (pipe().get("last_error") or ""), pipe)
        with taking(port, claims):
            until(lambda: "while-away" in folded(claims), lambda: (claims, pipe()))
        with taking(port, claims, 400):
            (tree / "refused").write_text("x")
            until(lambda: pipe().get("state") == 8, pipe)
            subprocess.run(
                [COMMAND, "--home", tmp_path / "home", "pipe", "resume", "out"],
                check=True,
                capture_output=True,
                timeout=LIMIT_S,
            )
            until(lambda: "refused" in folded(claims), lambda: (claims, pipe()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) in (0, 143)
