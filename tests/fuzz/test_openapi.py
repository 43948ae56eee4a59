"""Every route of the served OpenAPI, with input that it describes and with input that it forbids.

A real `fustor up` on a small tree, reached over TCP with a key. Nothing that anybody sends is a
5xx, and every reply is as the description says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.fuzz

READY_S = 60.0
LOOK_S = 0.1
RUN_S = 1800.0
HERE = Path(__file__).parent
# Not: that whatever fits the description is taken, two parameters may exclude each other. Nor that
# each wrong key gets a 401: after many of them it is a 429.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,"
    "allow_header_conformance"
)
STOP = "/api/v1/stop"


@dataclass(frozen=True)
class Served:
    """A running program.

    Args:
        url: where it listens. key: what it wants to see there.
    """

    process: subprocess.Popen[bytes]
    url: str
    key: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`fustor up` on a small tree."""
    folder = tmp_path_factory.mktemp("fuzz")
    tree = folder / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    for name in (b"one", b"a/two", b"a/b/three", b"a/\xff"):
        (tree / os.fsdecode(name)).write_bytes(name)
    command = [sys.executable, "-m", "fustor_core", "--home", str(folder / "home"), "--jsonl"]
    with (folder / "log").open("wb") as log, (folder / "events").open("wb") as events:
        process = subprocess.Popen(
            [*command, "up", str(tree), "--name", "tree", "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stdout=events,
            stderr=log,
        )
    try:
        ready = _ready(folder / "events")
        yield Served(process, ready["url"], ready["key"])
    finally:
        process.terminate()
        process.wait(READY_S)
    told = (folder / "log").read_text()
    assert "Traceback" not in told, told


def _ready(events: Path) -> dict[str, Any]:
    """The event that says where it listens."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        for line in events.read_bytes().splitlines():
            if line.endswith(b"}") and json.loads(line)["event"] == "ready":
                return dict(json.loads(line))
        time.sleep(LOOK_S)
    raise AssertionError(f"not ready: {events.read_bytes()!r}")


def fuzz(served: Served, folder: Path, *words: str) -> None:
    """Runs schemathesis; what it found is the failure's text."""
    program = Path(sys.executable).with_name("schemathesis")
    authorization = f"Authorization: Bearer {served.key}"
    command = [str(program), "run", f"{served.url}/openapi.json", "-H", authorization]
    command += ["--checks", CHECKS, "--request-timeout", "20", "--no-color", *words]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": _paths()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def _paths() -> str:
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(HERE), *([given] if given else [])])


def test_no_reply_is_a_fault_of_ours(
    served: Served, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    examples = str(request.config.getoption("--examples"))
    same = request.config.getoption("--same")
    again = [] if same is None else ["--seed", str(same)]
    fuzz(served, tmp_path, "--exclude-path", STOP, "--max-examples", examples, *again)
    assert served.process.poll() is None
    headers = {"Authorization": f"Bearer {served.key}"}
    told = httpx.get(f"{served.url}/api/v1/views/tree/du", headers=headers).json()
    assert told["rollup"]["files"] == 4


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"role": "king"}', "application/json"),
        (b'{"roles": "agent"}', "application/json"),
        (b"[]", "application/json"),
        (b"\xff", "application/json"),
        (b"[" * 10_000, "application/json"),
        (b"role=agent", "application/x-www-form-urlencoded"),
    ],
)
def test_only_sense_stops_it(served: Served, body: bytes, kind: str) -> None:
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": kind}
    reply = httpx.post(f"{served.url}{STOP}", content=body, headers=headers, timeout=READY_S)
    assert reply.status_code in (400, 415)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert served.process.poll() is None
