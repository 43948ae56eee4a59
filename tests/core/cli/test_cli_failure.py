"""How the program ends: exit codes, one clear message, a problem document, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Fustor = Callable[..., Any]


def test_nothing_runs_here(fustor: Fustor, home: Path) -> None:
    done = fustor("status")
    assert done.code == 4
    assert str(home) in done.err
    assert "fustor up DIR" in done.err
    assert fustor("view", "ls", "--json").problem["type"].endswith(":unreachable")


def test_a_socket_that_nobody_listens_on(fustor: Fustor, home: Path) -> None:
    (home / "fusion").mkdir(parents=True)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(home / "fusion" / "api.sock"))
    left.close()
    done = fustor("status")
    assert done.code == 4
    assert "fustor up DIR" in done.err


def test_a_server_that_is_not_there(fustor: Fustor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    done = fustor("--server", f"http://127.0.0.1:{port}", "status")
    assert done.code == 4
    assert str(port) in done.err


@pytest.mark.parametrize("address", ["nonsense", "ftp://x", "http://", "http://[::1"])
def test_a_server_address_that_is_none(fustor: Fustor, address: str) -> None:
    assert fustor("status", "--server", address).code in (2, 4)


def test_a_server_that_is_no_fustor(fustor: Fustor, server: Any) -> None:
    server.answer("/status", b"<html>")
    assert fustor("status").code == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("view", "lss"),
        ("view", "ls", "--nonsense"),
        ("view", "stat"),
        ("view", "ls", "--limit", "x"),
        ("view", "ls", "--limit", "0"),
        ("status", "--timeout", "soon"),
        ("status", "--json", "--jsonl"),
        ("view", "wait", "--exists", "--gone"),
        ("view", "stable", "--for", "-3"),
    ],
)
def test_usage(fustor: Fustor, server: Any, arguments: tuple[str, ...]) -> None:
    done = fustor(*arguments)
    assert done.code == 2
    assert done.out == b""
    assert done.err
    if "--json" not in arguments:
        assert done.err.startswith("fustor: ")
        told = fustor(*arguments, "--json")
        assert told.code == 2
        assert told.problem["type"] == "urn:fustor:problem:usage"


def test_a_typing_error_is_understood(fustor: Fustor) -> None:
    done = fustor("vew")
    assert done.code == 2
    assert "'view'" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--json", "view", "list"),
        ("view", "--json", "list"),
        ("view", "list", "--json"),
        ("view", "list", "--json", "--timeout", "5s", "-q"),
        ("--timeout=5s", "view", "-q", "list", "--json"),
        ("-qv", "view", "list", "-v", "--json"),
    ],
)
def test_global_options_stand_anywhere(
    fustor: Fustor, server: Any, arguments: tuple[str, ...]
) -> None:
    done = fustor(*arguments)
    assert done.code == 0
    assert done.document["views"][0]["view"] == "data"


def test_more_talk_tells_the_requests(fustor: Fustor, server: Any) -> None:
    done = fustor("view", "list", "--json", "-v")
    assert done.document["views"]
    assert "GET /api/v1/views: 200" in done.err


def test_a_commands_own_option_takes_its_value(fustor: Fustor, server: Any) -> None:
    server.lines["/api/v1/views/data/find"] = [b'{"summary": {"matches": 0, "quality": {}}}']
    assert fustor("view", "find", "--owner", "7", "--in", "/x", "--", "--json").code == 0
    asked = server.asked("/views/data/find")[0]
    assert (asked["pattern"], asked["owner"], asked["path"]) == ("--json", "7", "/x")
    odd = fustor("view", "find", "--size", "-1G", "x")
    assert odd.code == 0
    assert server.asked("/views/data/find")[1]["size"] == "-1G"


def test_a_silent_server_runs_into_the_timeout(fustor: Fustor, home: Path) -> None:
    (home / "fusion").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(home / "fusion" / "api.sock"))
        silent.listen()
        assert fustor("status", "--timeout", "200ms").code == 124


def test_a_socket_in_a_deep_folder(fustor: Fustor, make: Any, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 100] * 2)
    server = make.server(deep / "fusion" / "api.sock")
    server.answer("/views", {"views": []})
    server.start()
    try:
        for _ in range(3):
            assert fustor("--home", str(deep), "view", "list", "--json").document == {"views": []}
        folders = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        assert str(deep / "fusion") not in [os.readlink(path) for path in folders]
        named = fustor("--server", f"unix:{deep}/fusion/api.sock", "view", "list", "--json")
        assert named.code == 0
    finally:
        server.stop()


@pytest.mark.parametrize("reachable", [False, True], ids=["folder", "socket"])
def test_a_socket_of_another_user_is_denied(
    fustor: Fustor, own_server: Any, home: Path, reachable: bool
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    assert fustor("view", "list").code == 0
    own_server.path.chmod(0o600)
    for folder in (home / "fusion", *home.parents[:-2]) if reachable else ():
        folder.chmod(0o755)
    if reachable:
        home.chmod(0o755)
    os.seteuid(65534)
    try:
        done = fustor("view", "list")
    finally:
        os.seteuid(0)
    assert done.code == 6, done.err
    assert "permission denied" in done.err


def test_reading_a_part_is_no_failure(program: Fustor, server: Any, make: Any) -> None:
    many = [make.entry(b"/%06d" % number) for number in range(5000)]
    lines = [json.dumps(entry).encode() for entry in many]
    server.lines["/api/v1/views/data/find"] = [*lines, b'{"summary": {"quality": {}}}']
    with program("view", "find", "*") as found:
        assert found.stdout.readline() == b"/000000\n"
        found.stdout.close()
        err = found.stderr.read()
    assert (found.returncode, err) == (0, b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(program: Fustor, server: Any, number: int, code: int) -> None:
    with program("view", "watch", "--jsonl") as watching:
        assert watching.stdout.readline() == b'{"cursor": "c0"}\n'
        assert server.followed.wait(20)
        watching.send_signal(number)
        out, err = watching.communicate(timeout=30)
    assert (watching.returncode, out, err) == (code, b"", b"")


def test_tracebacks_only_with_debug(fustor: Fustor) -> None:
    assert "Traceback" not in fustor("status").err
    assert "Traceback" in fustor("status", "--debug").err


def test_a_bug_is_told_as_one(home: Path) -> None:
    """A broken reply is a bug of the server; the message is still one, with a remedy."""
    code = "import sys; from fustor_core.cli import program; program.build = None; program.run()"
    for extra, shown in (((), False), (("--debug",), True)):
        done = subprocess.run(
            [sys.executable, "-c", code, *extra], check=False, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is shown
        assert ("--debug" in done.stderr) is not shown


def test_the_earlier_system_is_refused(tmp_path: Path) -> None:
    found = tmp_path / "fustor_core-0.8.17.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Name: fustor-core\nVersion: 0.8.17\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "fustor_core", "status", "--json"],
        check=False,
        capture_output=True,
        env=environment,
    )
    assert done.returncode == 3
    assert "pip uninstall fustor-core" in json.loads(done.stderr)["remedy"]


def test_help_is_light_and_lists_what_there_is(fustor: Fustor) -> None:
    done = fustor("--help")
    assert done.code == 0
    words = {line.split()[0] for line in done.lines if line.startswith(b"  ")}
    assert {b"up", b"agent", b"fusion", b"view", b"doctor", b"--server"} <= words
    assert b"complete" not in words, "it is for shells, not for people"
    assert fustor("view", "--help").code == 0
    assert fustor("view").code == 0
    assert fustor("--version").out.startswith(b"fustor ")
