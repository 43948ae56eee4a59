"""A leader is killed: how long until its successor leads, and whether anybody waits meanwhile.

A server and two agents on one tree, each a process of its own. The leader is killed with kill -9
while one question after the other is asked.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fustor_core.bench.asker import Asker, Broken
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Goal, Report

VIEW = "bench"
TIMEOUT_S = 6.0
GRACE_S = 2.0
FILES = 200
ASK_EVERY_S = 0.02  # between two questions to the server: other processes decide when it is so
WAIT_S_MAX = 60.0


def measure(report: Report, folder: Path, rounds: int) -> None:
    """So many times, each with a new pair of agents.

    Args:
        folder: for the tree and the homes.
    """
    root = folder / "tree"
    root.mkdir()
    for number in range(FILES):
        (root / f"f{number}").write_bytes(b"x" * number)
    config = folder / "fusion.yaml"
    view = {"session_timeout_seconds": TIMEOUT_S}
    config.write_text(json.dumps({"version": 1, "views": {VIEW: view}}), "utf-8")
    late, silent = [], []
    with Program(folder / "server", ["fusion", "-c", os.fspath(config)]) as server:
        server.wait_for("ready")
        for number in range(rounds):
            took_s, silence_s = _once(report, server, folder / f"r{number}", root)
            late.append(took_s)
            silent.append(silence_s)
    section = f"failover, session timeout {TIMEOUT_S:g} s"
    goal = Goal("≤", TIMEOUT_S + GRACE_S)
    timeout = ("session timeout", [TIMEOUT_S] * rounds)
    report.add(
        section,
        Figure("leader killed → its successor leads", "s", late, *timeout, goal, row="failover"),
        Figure("longest time without an answer", "s", silent, goal=Goal("≤", 1.0), row="silence"),
    )


def _once(report: Report, server: Program, folder: Path, root: Path) -> tuple[float, float]:
    """Seconds until the successor led, and the longest time without a right answer."""
    folder.mkdir()
    with ExitStack() as held:
        agents = {name: _agent(server, folder / name, root) for name in ("one", "two")}
        for agent in agents.values():
            held.callback(agent.kill)
            agent.start()
        client = held.enter_context(server.client())
        names = {f"{folder.name}-{name}": agent for name, agent in agents.items()}
        leader = _leader(client, names)
        _wait_for_all(client, len(names))
        began = last = time.perf_counter()
        names[leader].kill()
        longest = 0.0
        while True:
            led = _ask(report, client, names, leader)
            now = time.perf_counter()
            longest, last = max(longest, now - last - ASK_EVERY_S), now
            if led:
                return now - began, longest
            if now - began > WAIT_S_MAX:
                report.check(False, f"nobody led within {WAIT_S_MAX:g} s of the end of the leader")
                return WAIT_S_MAX, longest
            time.sleep(ASK_EVERY_S)


def _agent(server: Program, home: Path, root: Path) -> Program:
    """One that is not started yet; its pipe is named by round and agent."""
    pipe = {
        "source": {"driver": "fs", "root": os.fspath(root)},
        "sink": {"driver": "fusion", "url": f"unix:{server.socket}", "view": VIEW},
        "session_timeout_seconds": TIMEOUT_S,
        "heartbeat_interval_sec": TIMEOUT_S / 3,
    }
    config = home.with_suffix(".yaml")
    name = f"{home.parent.name}-{home.name}"
    document = {"version": 1, "agent": {"id": name}, "pipes": {name: pipe}}
    config.write_text(json.dumps(document), "utf-8")
    return Program(home, ["agent", "-c", os.fspath(config)])


def _sessions(client: Asker) -> list[dict[str, Any]]:
    return list(client.get("sessions").json()["sessions"])


def _leader(client: Asker, names: dict[str, Program]) -> str:
    """The pipe that leads, once one of these does."""
    deadline = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline:
        for session in _sessions(client):
            if session["role"] == "leader" and session["pipe"] in names:
                return str(session["pipe"])
        time.sleep(ASK_EVERY_S)
    raise RuntimeError("none of the agents leads")


def _wait_for_all(client: Asker, number: int) -> None:
    """Until all agents have sessions and the whole tree is in the view."""
    deadline = time.monotonic() + WAIT_S_MAX
    place = f"views/{VIEW}/du"
    while time.monotonic() < deadline:
        live = [session for session in _sessions(client) if session["state"] == "ACTIVE"]
        reply = client.get(place, {"path": "/"})
        if len(live) >= number and reply.right and reply.json()["rollup"]["files"] == FILES:
            return
        time.sleep(ASK_EVERY_S)
    raise RuntimeError("the agents have not filled the view")


def _ask(report: Report, client: Asker, names: dict[str, Program], before: str) -> bool:
    """One question; whether another one leads by now."""
    try:
        files = client.get(f"views/{VIEW}/du", {"path": "/"}).json()["rollup"]["files"]
        report.check(files == FILES, f"{files} of {FILES} files while the leader is dead")
        leaders = {one["pipe"] for one in _sessions(client) if one["role"] == "leader"}
    except Broken as error:
        report.check(False, f"no answer while the leader is dead: {error}")
        return False
    return bool(leaders & names.keys() - {before})
