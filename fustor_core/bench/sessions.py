"""What many sessions see of a server that takes a snapshot at full rate: how late heartbeats are.

One process holds the sessions, each on its own connection with a heartbeat whenever one is due;
another pushes whole listings as fast as they are acknowledged. Both speak the protocol themselves.
As a module: ``… beat SOCKET NUMBER TIMEOUT_S`` and ``… push SOCKET FILES FILES_A_FOLDER ROUNDS``,
until their stdin is closed; then they print what they saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from fustor_core import open_files, wire
from fustor_core.bench import gauges, synthetic
from fustor_core.bench.children import Child
from fustor_core.bench.connection import SESSIONS, Connection
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Report
from fustor_core.claims import (
    MEDIA_TYPE,
    PROTOCOL,
    Batch,
    encode_batch,
)
from fustor_core.contracts import Grant, Pulse

VIEW = "bench"
TIMEOUT_S = 6.0  # of a session: short, so that a server that stands still is found out
FOLDERS = 10_000
FILES = 100  # in each folder
FOR_EVER = 1 << 30
OPEN_AT_ONCE = 50
GONE = 419
WHY_BYTES = 300  # of a refusal
MANY = 1000  # so many beat as seldom as agents do by default
CALM_TIMEOUT_S = 30.0
CONFIG = f"""version: 1
views: {{{VIEW}: {{session_timeout_seconds: {TIMEOUT_S}, max_sessions: 20000}}}}
"""
FRUGAL = CONFIG.replace("{session", "{memory_budget: %d, session")
"""The same with a budget in bytes."""


def measure(
    report: Report, folder: Path, sessions: int, seconds: float, pin: str | None
) -> dict[str, float]:
    """Latencies of heartbeats without a load, then beside a snapshot.

    Args:
        folder: for the home. sessions: how many beat. seconds: for how long, each time.

    Returns:
        The figures by name.
    """
    timeout_s = TIMEOUT_S if sessions < MANY else CALM_TIMEOUT_S
    seconds = max(seconds, timeout_s)
    file = folder / "sessions.yaml"
    file.write_text(CONFIG, "utf-8")
    with Program(folder / "home", ["run", "-c", os.fspath(file)], pin) as program:
        program.wait_for("ready")
        with script("beat", program, str(sessions), str(timeout_s)) as beating:
            standing = beating.told()["sessions"]
            used_s = program.cpu_s()
            time.sleep(seconds)
            used_s = program.cpu_s() - used_s
            loaded_from = _now()
            with script("push", program, str(FOLDERS * FILES), str(FILES), "0") as pushing:
                time.sleep(seconds)
                pushed = pushing.ended()
            loaded_to = _now()
            listed = _listed(program)
            beats = beating.ended()
    idle = [ms for at, ms, _ in beats["beats"] if at < loaded_from]
    busy = [ms for at, ms, _ in beats["beats"] if loaded_from <= at < loaded_to]
    gone = sum(status == GONE for _, _, status in beats["beats"])
    odd = [one for one in beats["beats"] if one[2] not in (200, GONE)]
    report.check(standing == sessions, f"{standing} of {sessions} sessions were opened")
    report.check(gone == 0, f"{gone} heartbeats came to sessions that had expired")
    report.check(listed == sessions, f"{listed} of {sessions} sessions stand at the end")
    report.check(not odd, f"{len(odd)} heartbeats were refused: {odd[:3]}")
    report.check(pushed["refused"] == 0, f"a batch was refused: {pushed['why']}")
    report.check(pushed["rows"] > 0, "no row was pushed")
    expected = len(busy) * timeout_s / 3
    report.check(
        expected > sessions * seconds / 2, f"only {len(busy)} heartbeats beside the snapshot"
    )
    section = f"{sessions} sessions beside a snapshot"
    rate = pushed["rows"] / (loaded_to - loaded_from)
    report.add(
        section,
        *(_latency(name, busy, idle, share) for name, share in SHARES),
        Figure("sessions that expired", "", [float(gone + max(0, sessions - listed))]),
        Figure("rows of the snapshot", "k/s", [rate / 1000]),
        Figure("CPU of the server without it", "% of a core", [100 * used_s / seconds]),
    )
    return {
        "sessions": sessions,
        "idle_p99_ms": gauges.percentile(idle or [0.0], 99),
        "busy_p99_ms": gauges.percentile(busy or [0.0], 99),
        "idle_cpu_percent": 100 * used_s / seconds,
        "rows_per_s": rate,
    }


SHARES = (("p50", 50.0), ("p99", 99.0), ("longest", 100.0))


def _latency(name: str, busy: list[float], idle: list[float], share: float) -> Figure:
    ours, theirs = ([gauges.percentile(found or [float("inf")], share)] for found in (busy, idle))
    return Figure(f"heartbeat → reply, {name}", "ms", ours, "no snapshot", theirs)


def script(word: str, program: Program, *more: str) -> Child:
    """One of the other processes; its log lies beside the program's home."""
    words = ["-m", "fustor_core.bench.sessions", word, os.fspath(program.socket), *more]
    return Child(words, program.home.with_name(f"{word}.log"))


def _listed(program: Program) -> int:
    """How many of the sessions that beat are live, as the server says."""
    with program.client() as client:
        found = client.get("sessions").json()["sessions"]
    return sum(session["pipe"].startswith("beat") for session in found)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# ---- the clients


async def beat(socket: str, number: int, timeout_s: float) -> None:
    """Opens sessions and beats in each; prints every heartbeat at the end."""
    gate = asyncio.Semaphore(OPEN_AT_ONCE)
    beats: list[tuple[float, float, int]] = []
    pulse = wire.write_pulse(Pulse(state=70, queue=0, unacked_bytes=0))

    async def live(name: str, begin: float, opened: asyncio.Future[None]) -> None:
        async with gate:
            connection = Connection(socket)
            grant = await connection.open(VIEW, name, timeout_s=timeout_s)
        opened.set_result(None)
        path = f"{SESSIONS}{grant.session_id}/heartbeat"
        due = _now() + grant.heartbeat_interval_s * begin
        while True:
            await asyncio.sleep(due - _now())
            # from when it was due: a client that could not ask in time has waited, too
            status, _ = await connection.ask("POST", path, pulse)
            beats.append((due, (_now() - due) * 1000, status))
            due = max(due + grant.heartbeat_interval_s, _now())

    open_files.allow()
    loop = asyncio.get_running_loop()
    places: list[asyncio.Future[None]] = [loop.create_future() for _ in range(number)]
    lives: list[
        asyncio.Future[Any]
    ] = [  # each beats from when it was opened: opening all takes longer than a timeout
        asyncio.ensure_future(live(f"beat-{n}", n / number, place))
        for n, place in enumerate(places)
    ]
    stand: asyncio.Future[Any] = asyncio.gather(*places)
    await asyncio.wait([stand, *lives], return_when=asyncio.FIRST_COMPLETED)
    print(json.dumps({"sessions": sum(place.done() for place in places)}), flush=True)
    ended: asyncio.Future[Any] = loop.run_in_executor(None, sys.stdin.read)
    await asyncio.wait([ended, *lives], return_when=asyncio.FIRST_COMPLETED)
    for one in lives:
        if one.done():
            one.result()
    print(json.dumps({"beats": beats}), flush=True)
    os._exit(0)  # the connections end with the process


async def _beat_until(word: asyncio.Future[Any], connection: Connection, grant: Grant) -> None:
    """Keep a session alive until something is said."""
    pulse = wire.write_pulse(Pulse(state=70, queue=0, unacked_bytes=0))
    path = f"{SESSIONS}{grant.session_id}/heartbeat"
    while not word.done():
        await asyncio.wait([word], timeout=grant.heartbeat_interval_s)
        if not word.done():
            await connection.ask("POST", path, pulse)


async def push(socket: str, files: int, per_folder: int, rounds: int) -> None:
    """Pushes a tree as its leader, again and again with other times; prints how many rows.

    Args:
        rounds: how often; 0: until stdin is closed. The last of several is sent by digests.
    """
    connection = Connection(socket)
    grant = await connection.open(VIEW, "push", timeout_s=TIMEOUT_S, scan=True)
    path = f"{SESSIONS}{grant.session_id}/batches"
    tree = synthetic.Tree(files, per_folder)
    seen: dict[str, Any] = dict.fromkeys(("rows", "batches", "refused", "wire_bytes"), 0)
    seen["why"] = ""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read) if not rounds else None
    seq = 0
    for number in range(rounds or FOR_EVER):
        if rounds:  # the server's figures are read between two rounds
            print(json.dumps(seen), flush=True)
            word = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            await _beat_until(word, connection, grant)
        for claims in tree.batches(number, digests=bool(rounds) and number > 0):
            seq += 1
            body = encode_batch(Batch(PROTOCOL, seq, grant.epoch, claims))
            status, reply = await connection.ask("POST", path, body, MEDIA_TYPE)
            seen["batches"] += 1
            seen["wire_bytes"] += len(body)
            if status != 200:
                seen["refused"] += 1
                seen["why"] = f"{status} {reply[:WHY_BYTES].decode(errors='replace')}"
                break
            seen["rows"] += synthetic.rows_of(claims, per_folder)
            if ended is not None and ended.done():
                break
        if seen["refused"] or (ended is not None and ended.done()):
            break
    print(json.dumps(seen), flush=True)
    os._exit(0)


if __name__ == "__main__":
    verb, at, *numbers = sys.argv[1:]
    if verb == "beat":
        asyncio.run(beat(at, int(numbers[0]), float(numbers[1])))
    else:
        asyncio.run(push(at, *(int(number) for number in numbers)))
