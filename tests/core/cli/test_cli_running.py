"""`status|stop|reload`, `pipe`, `session`: what runs, from outside."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fustor_core.cli.running import first_scans_over

Fustor = Callable[..., Any]


def pipe(**changes: Any) -> dict[str, Any]:
    return {
        "id": "data",
        "source": "fs",
        "sink": "view",
        "view": "data",
        "state": 66,
        "flags": ["RUNNING", "MESSAGE_PHASE"],
        "role": "leader",
        "watched_dirs": 1204,
        "uncovered": ["/a", "/b"],
        "last_error": None,
        **changes,
    }


def status(make: Any, **changes: Any) -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "pid": 4711,
        "uptime_s": 131.0,
        "home": "/home",
        "roles": ["agent", "fusion"],
        "views": [make.view_status("data", b"/srv/data")],
        "pipes": [pipe()],
        **changes,
    }


def test_status_tells_what_a_source_warns_of(fustor: Fustor, server: Any, make: Any) -> None:
    told = pipe(uncovered=["/"], warnings=["the caches are older than they say"])
    server.answer("/status", status(make, pipes=[told]))
    done = fustor("status")
    assert b"all polled" in done.out
    assert b"the caches are older than they say" in done.out


def test_status(fustor: Fustor, server: Any, make: Any) -> None:
    server.answer("/status", status(make))
    done = fustor("status")
    assert done.code == 0
    for part in (
        b"process 4711, up for 2 m 11 s",
        b"/srv/data",
        b"1,204 files",
        b"complete",
        b"fs \xe2\x86\x92 view",
        b"RUNNING|MESSAGE_PHASE",
        b"2 polled",
    ):
        assert part in done.out
    assert fustor("status", "--json").document == status(make)


def test_status_waits_for_the_first_scan(fustor: Fustor, server: Any, make: Any) -> None:
    assert first_scans_over({"ready": True, "views": [], "pipes": []})
    assert not first_scans_over(status(make, ready=False))
    scanning = status(make, pipes=[pipe(state=34, flags=["RUNNING", "SNAPSHOT_PHASE"])])
    looks = [scanning, scanning, status(make)]
    server.answer("/status", lambda _: looks.pop(0) if len(looks) > 1 else looks[0])
    done = fustor("status", "--wait", "--json")
    assert (done.code, done.document) == (0, status(make))
    server.answer("/status", scanning)
    assert fustor("status", "--json").code == 0
    assert fustor("status", "--wait", "--timeout", "200ms").code == 124


@pytest.mark.parametrize(
    ("pipes", "gaps", "over"),
    [
        ([pipe()], [], True),
        ([], [], True),
        ([pipe(flags=["RUNNING", "SNAPSHOT_PHASE"])], [], False),
        ([pipe(flags=["RUNNING"], view="other")], [], True),
        ([pipe(flags=["RUNNING", "PAUSED"]), pipe()], [], True),
        ([pipe()], [{"reason": "not_yet", "path": "/"}], False),
        ([pipe()], [{"reason": "permission", "path": "/"}], True),
    ],
)
def test_over_means_the_first_scan_not_completeness(
    make: Any, pipes: list[Any], gaps: list[Any], over: bool
) -> None:
    view = make.view_status("data", b"/", quality=make.quality(complete=not gaps, unscanned=gaps))
    assert first_scans_over(status(make, views=[view], pipes=pipes)) is over


def test_status_may_come_before_the_server(program: Fustor, make: Any, home: Path) -> None:
    server = make.server(home / "fusion" / "api.sock")
    server.answer("/status", status(make))
    with program("status", "--wait", "--json", stderr=subprocess.STDOUT) as waiting:
        server.start()
        try:
            out, _ = waiting.communicate(timeout=20)
        finally:
            server.stop()
    assert waiting.returncode == 0, out


HOLDER = """
import fcntl, json, os, signal, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
json.dump({"pid": os.getpid(), "role": "up", "started_at": "2020-11-21T10:00:00Z"}, lock)
lock.flush()
print("held", flush=True)
signal.pause()
"""


@pytest.fixture
def holder(home: Path) -> Any:
    """A process that holds the state directory and ends by SIGTERM."""
    for part in ("fusion", "agent"):
        (home / part).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDER, str(home / "fusion" / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_stop_asks_the_server_and_waits_for_the_end(
    fustor: Fustor, holder: Any, server: Any
) -> None:

    def stop(_: Any) -> Any:
        holder.terminate()
        return {"stopping": True}

    server.answer("/pipes", {"pipes": [pipe()]})
    server.answer("/stop", stop, "POST")
    told = fustor("stop", "--json")
    done = {"generation": None, "started": [], "stopped": ["data"], "changed": [], "untouched": [],
            "errors": []}  # fmt: skip
    assert (told.code, told.document) == (0, done)
    assert holder.wait(20) is not None


@pytest.mark.parametrize("deed", ["pause", "resume", "restart"])
def test_what_can_be_done_to_a_pipe(fustor: Fustor, server: Any, make: Any, deed: str) -> None:
    server.answer(f"/pipes/data/{deed}", pipe(), "POST")
    assert fustor("pipe", deed, "data", "--json").document == pipe()
    done = fustor("pipe", deed, "data")
    assert (done.code, done.out) == (0, b"")
    assert f"{deed}: data is RUNNING|MESSAGE_PHASE" in done.err
    server.answer(f"/pipes/other/{deed}", make.problem("no-such-pipe", 404, "no pipe"), "POST")
    assert fustor("pipe", deed, "other").code == 5
    assert fustor("pipe", deed).code == 2


def test_stop_signals_a_process_that_does_not_answer(fustor: Fustor, holder: Any) -> None:
    assert fustor("stop").code == 0
    assert holder.wait(20) is not None


def test_stop_when_nothing_runs(fustor: Fustor) -> None:
    assert fustor("stop").code == 4


def test_stop_that_takes_too_long(fustor: Fustor, holder: Any, server: Any) -> None:
    server.answer("/pipes", {"pipes": []})
    server.answer("/stop", {"stopping": True}, "POST")
    done = fustor("stop", "--timeout", "200ms", "--json")
    assert done.code == 124
    assert done.problem["pid"] == holder.pid


def test_reload(fustor: Fustor, server: Any, make: Any) -> None:
    document = {"generation": 3, "started": ["b"], "stopped": [], "changed": [], "untouched": ["a"],
                "errors": []}  # fmt: skip
    server.answer("/reload", document, "POST")
    done = fustor("reload", "--role", "agent")
    assert done.code == 0
    assert "started: b; untouched: a" in done.err
    assert server.requests[-1].body == {"role": "agent", "restart": True}
    assert fustor("reload", "--no-restart").code == 0
    assert server.requests[-1].body == {"role": None, "restart": False}
    assert fustor("reload", "--role", "king").code == 2
    fault = {"file": "/c.yaml", "line": 3, "column": 5, "message": "unknown key", "key": "x"}
    server.answer("/reload", {**document, "errors": [fault]}, "POST")
    wrong = fustor("reload")
    assert wrong.code == 3
    assert "/c.yaml:3:5: unknown key" in wrong.err
    refused = make.problem("malformed", 400, "unknown key pipe", file="/c.yaml", line=3, column=1,
                           excerpt="pipe:", suggestion="pipes")  # fmt: skip
    server.answer("/reload", refused, "POST")
    wrong = fustor("reload")
    assert wrong.code == 3
    assert "/c.yaml:3:1: unknown key pipe" in wrong.err
    assert "3 | pipe:" in wrong.err
    both = [{"file": "/c.yaml", "line": n, "column": 1, "message": f"fault {n}"} for n in (3, 7)]
    refused = make.problem("malformed", 422, "fault 3", file="/c.yaml", line=3, errors=both)
    server.answer("/reload", refused, "POST")
    wrong = fustor("reload")
    assert wrong.code == 3
    assert "/c.yaml:3:1: fault 3" in wrong.err
    assert "/c.yaml:7:1: fault 7" in wrong.err
    assert wrong.err.count("nothing has changed") == 1
    failed = {**document, "errors": [{"name": "receiver:x", "message": "cannot listen"}]}
    server.answer("/reload", failed, "POST")
    assert fustor("reload").code == 7


def test_pipes(fustor: Fustor, server: Any) -> None:
    server.answer("/pipes", {"pipes": [pipe(last_error="it broke\x1b[0m")]})
    done = fustor("pipe", "list")
    assert done.code == 0
    assert b"\x1b" not in done.out
    assert b"it broke" in done.out
    assert fustor("pipe", "list", "--json").document["pipes"][0]["state"] == 66
    assert fustor("pipe", "show", "data", "--json").document == pipe(last_error="it broke\x1b[0m")
    assert b"watched_dirs" in fustor("pipe", "show", "data").out
    assert fustor("pipe", "show", "nope").code == 5


def test_pipes_prefer_the_agents_socket(fustor: Fustor, server: Any, make: Any, home: Path) -> None:
    agent = make.server(home / "agent" / "api.sock")
    agent.answer("/pipes", {"pipes": []})
    agent.start()
    try:
        assert fustor("pipe", "list", "--json").document == {"pipes": []}
        assert fustor("view", "list").code == 0
    finally:
        agent.stop()


def test_sessions(fustor: Fustor, server: Any) -> None:
    session = {"session_id": "s1", "pipe": "data", "view": "data", "role": "leader",
               "state": "ACTIVE", "last_active_at": "2020-01-01T00:00:00Z"}  # fmt: skip
    server.answer("/sessions", {"sessions": [session, {**session, "view": "other"}]})
    assert len(fustor("session", "list").lines) == 2
    assert fustor("session", "list", "--view", "data", "--json").document == {"sessions": [session]}
    assert fustor("session", "list", "--view", "nope").code == 5


def test_the_holder_is_held(holder: Any, home: Path) -> None:
    """The fixture does what the tests above rely on."""
    with open(home / "fusion" / "lock") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert json.load(lock)["pid"] == holder.pid
    assert os.getpgid(holder.pid)


# ------------------------------------------------------------------ agent and fusion, both at once


@pytest.fixture
def agent(home: Path, make: Any, server: Any) -> Any:
    """A second process: an agent on the same state directory as `server`."""
    made = make.server(home / "agent" / "api.sock")
    made.path.parent.mkdir(parents=True, exist_ok=True)
    made.start()
    yield made
    made.stop()


def test_the_status_of_two_processes_is_one(
    fustor: Fustor, server: Any, agent: Any, make: Any
) -> None:
    server.answer("/status", status(make, roles=["fusion"], pipes=[], ready=True))
    agent.answer("/status", status(make, roles=["agent"], views=[], ready=False, pid=4712))
    told = fustor("status", "--json").document
    assert told["roles"] == ["agent", "fusion"]
    assert (len(told["views"]), len(told["pipes"]), told["ready"]) == (1, 1, False)
    assert fustor("status", "--role", "agent", "--json").document["pid"] == 4712
    assert fustor("status", "--role", "fusion", "--json").document["pipes"] == []
    assert fustor("status", "--role", "king").code == 2


def test_a_reload_reaches_both(fustor: Fustor, server: Any, agent: Any) -> None:
    document = {"generation": 2, "started": [], "stopped": [], "changed": [], "errors": []}
    server.answer("/reload", {**document, "untouched": ["view:a"]}, "POST")
    agent.answer("/reload", {**document, "untouched": ["p"]}, "POST")
    assert fustor("reload", "--json").document["untouched"] == ["p", "view:a"]
    assert fustor("reload", "--json", "--role", "agent").document["untouched"] == ["p"]


def test_a_socket_that_a_killed_process_has_left(
    fustor: Fustor, agent: Any, home: Path, make: Any
) -> None:
    agent.answer("/status", status(make))
    (home / "fusion" / "api.sock").unlink()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(home / "fusion" / "api.sock"))
    left.close()
    assert fustor("status").code == 0


def test_a_part_of_a_process_that_runs_both_is_not_stopped(fustor: Fustor, home: Path) -> None:
    with ExitStack() as held:
        for part in ("agent", "fusion"):
            (home / part).mkdir(parents=True)
            lock = held.enter_context((home / part / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            json.dump({"pid": os.getpid(), "role": "up", "started_at": "x"}, lock)
            lock.flush()
        done = fustor("stop", "--role", "agent")
    assert done.code == 8
    assert "without --role" in done.err
