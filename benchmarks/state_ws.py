"""How soon watchers of the live state hear of a change, while much of it flows.

One process serves the real receiver in front of nodes that change; another holds the watchers,
each on a WebSocket of its own. A discrete change carries the time at which it was made, on the
clock that both share, so commit → receipt is measured for every change and every watcher.
As a script: ``state_ws.py serve SOCKET`` and ``state_ws.py watch SOCKET NUMBER``, until their
stdin is closed; then they print what they did and saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gauges
from report import Figure, Goal, Report

NODES = 1000
FLOWING = 5000  # changes a second of fields that flow
DISCRETE = 50  # changes a second that are facts
STEP_S = 0.02
START_S = 60.0
SETTLE_S = 2.0  # before the first change that counts, and after the last one
GOAL_MS = 200.0
MARK = re.compile(rb'"last_error":"(\d+)"')
SHARES = (("p50", 50.0), ("p99", 99.0), ("longest", 100.0))


def measure(report: Report, folder: Path, watchers: int, seconds: float) -> None:
    """Latencies of discrete changes at many watchers.

    Args:
        folder: for the socket. watchers: how many. seconds: for how long changes are made.
    """
    socket = folder / "live.sock"
    with _script("serve", socket) as serving, _script("watch", socket, str(watchers)) as watching:
        standing = json.loads(_line(watching))["watching"]
        time.sleep(SETTLE_S)
        began = time.monotonic_ns()
        time.sleep(seconds)
        ended = time.monotonic_ns()
        time.sleep(SETTLE_S)  # so that the last ones can come, too
        made = _end(serving)
        seen = _end(watching)
    marks = [int(mark) for mark in made["marks"] if began <= int(mark) < ended]
    late = {int(mark): ms for mark, ms in seen["late_ms"].items() if began <= int(mark) < ended}
    missed = sum(watchers - len(late.get(mark, ())) for mark in marks)
    every = [ms for found in late.values() for ms in found]
    report.check(standing == watchers, f"{standing} of {watchers} watchers stand")
    report.check(len(marks) > seconds * DISCRETE / 4, f"only {len(marks)} changes were made")
    report.check(missed == 0, f"{missed} changes were not told to some watcher")
    frames = seen["frames"] / watchers / max(seen["seconds"], 1e-9)
    report.add(
        f"{watchers} watchers of {NODES} nodes, {FLOWING}/s flow",
        *(
            Figure(
                f"fact → watcher, {name}",
                "ms",
                [gauges.percentile(every or [float("inf")], share)],
                goal=Goal("≤", GOAL_MS) if share == 100.0 else None,
            )
            for name, share in SHARES
        ),
        Figure("facts", "/s", [len(marks) / seconds]),
        Figure("frames for each watcher", "/s", [frames]),
        Figure("processor time of the server", "%", [100 * made["cpu_s"] / made["seconds"]]),
        Figure("processor time of the watchers", "%", [100 * seen["cpu_s"] / seen["seconds"]]),
    )


# ---- the other processes


async def serve(path: str) -> None:
    """Serves nodes that change until stdin ends."""
    import anyio
    from fustor_receiver_http import HttpReceiver

    from fustor_core.testing import MemoryDoor

    nodes = _nodes()
    config = HttpReceiver.Config.model_validate({"listen": [f"unix:{path}"], "grace": 1})
    marks: list[str] = []
    began, cpu = time.monotonic(), time.process_time()
    async with anyio.create_task_group() as group:
        group.start_soon(HttpReceiver(config).serve, MemoryDoor(), nodes)
        group.start_soon(_change, nodes, marks)
        await _stdin_ended()
        spent = {"cpu_s": time.process_time() - cpu, "seconds": time.monotonic() - began}
        group.cancel_scope.cancel()
    print(json.dumps({"marks": marks, **spent}))


def _nodes() -> Any:
    """An `Ask` whose status has many pipes, which are the nodes here."""
    import anyio

    from fustor_core.testing.receiver_kit import NoAnswers

    class Nodes(NoAnswers):
        def __init__(self) -> None:
            self.pipes = [
                {"id": f"n{number}", "state": 66, "flags": ["RUNNING", "MESSAGE_PHASE"],
                 "queue": 0, "unacked_bytes": 0, "last_error": None}
                for number in range(NODES)
            ]  # fmt: skip
            self.stirs = 0
            self.stirring = anyio.Event()

        def status(self) -> dict[str, Any]:
            return {"version": "bench", "views": [], "pipes": self.pipes}

        async def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
            return {"sessions": [], "jobs": []}

        async def stirred(self, since: int) -> int:
            while self.stirs <= since:
                await self.stirring.wait()
            return self.stirs

        def stir(self) -> None:
            self.stirs += 1
            self.stirring.set()
            self.stirring = anyio.Event()

    return Nodes()


async def _change(nodes: Any, marks: list[str]) -> None:
    """Changes fields of nodes in turn, at the rates that are measured."""
    import anyio

    flowing = facts = 0
    began = time.monotonic()
    while True:
        passed = time.monotonic() - began
        while flowing < passed * FLOWING:
            pipe = nodes.pipes[flowing % NODES]
            pipe["queue"], pipe["unacked_bytes"] = flowing, 17 * flowing
            flowing += 1
        while facts < passed * DISCRETE:
            marks.append(str(time.monotonic_ns()))
            nodes.pipes[facts % NODES]["last_error"] = marks[-1]
            facts += 1
            nodes.stir()
        await anyio.sleep(STEP_S)


async def watch(path: str, number: int) -> None:
    """Holds watchers until stdin ends."""
    from websockets.asyncio.client import unix_connect

    late: dict[str, list[float]] = {}
    frames = standing = 0
    all_stand = asyncio.Event()

    async def one() -> None:
        nonlocal frames, standing
        async with unix_connect(
            path,
            "ws://localhost/api/v1/state/ws",
            compression=None,
            max_size=None,
            open_timeout=START_S,
        ) as socket:
            await socket.recv(decode=False)
            standing += 1
            if standing == number:
                all_stand.set()
            while True:
                frame = await socket.recv(decode=False)
                now = time.monotonic_ns()
                frames += 1
                for mark in MARK.findall(frame):
                    late.setdefault(mark.decode(), []).append((now - int(mark)) / 1e6)

    await asyncio.to_thread(_wait_for, path)
    tasks = [asyncio.create_task(one()) for _ in range(number)]
    await asyncio.wait_for(all_stand.wait(), START_S)
    began, cpu, frames = time.monotonic(), time.process_time(), 0
    print(json.dumps({"watching": standing}), flush=True)
    await _stdin_ended()
    passed, spent = time.monotonic() - began, time.process_time() - cpu
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps({"late_ms": late, "frames": frames, "cpu_s": spent, "seconds": passed}))


def _wait_for(path: str) -> None:
    """Returns when the server listens."""
    deadline = time.monotonic() + START_S
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(STEP_S)


async def _stdin_ended() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


@contextmanager
def _script(word: str, socket: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of the other processes; its end is waited for."""
    command = [sys.executable, __file__, word, os.fspath(socket), *more]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def _line(process: subprocess.Popen[bytes]) -> bytes:
    """What the process tells next.

    Raises:
        RuntimeError: it has failed; why stands on stderr.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} has ended with {process.wait()}")
    return line


def _end(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Ends a process; gives what it tells then."""
    assert process.stdin is not None
    process.stdin.close()
    found: dict[str, Any] = json.loads(_line(process))
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        import anyio as _anyio

        _anyio.run(serve, sys.argv[2], backend_options={"use_uvloop": True})
    elif sys.argv[1:2] == ["watch"]:
        asyncio.run(watch(sys.argv[2], int(sys.argv[3])))
    else:
        sys.exit(__doc__)
