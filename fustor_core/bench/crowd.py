"""Those who watch the live state, and those whose state it is, each in a process of its own.

``python -m fustor_core.bench.crowd watch SOCKET NUMBER`` and ``… beat SOCKET NUMBER`` say on one
line that they stand; when their stdin is closed they say what they saw and did, and end. Times are
on the monotonic clock, which all processes of a host share.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from itertools import count
from typing import Any

import msgspec

from fustor_core import wire
from fustor_core.bench.connection import OPENED_S_MAX, SESSIONS, Connection, Unanswered, frames
from fustor_core.contracts import Grant, Pulse

VIEW = "bench"
TIMEOUT_S = 60.0  # of a session: a busy machine is no reason to end one
BEAT_S = 4.0
STATE = 70  # RUNNING | MESSAGE_PHASE, with CONF_OUTDATED: any word of flags will do
FACTS = 20  # sessions a second that come, and as many that go
FACT_S = 1.5  # between both: longer than anybody may be late
OPEN_AT_ONCE = 50
GONE_PATH = re.compile(r"sessions\.([^.\\]+)\Z")
CAME, WENT = "+", "-"


class Frame(msgspec.Struct):
    """What is looked at in a message of the live state."""

    update_mask: list[str]
    payload: dict[str, msgspec.Raw]
    base_seq: int


def facts_in(raw: bytes) -> list[str]:
    """Sessions that came (``+id``) or went (``-id``) by this message; none in a whole state."""
    frame = msgspec.json.decode(raw, type=Frame)
    named = [found[1] for found in map(GONE_PATH.match, frame.update_mask) if found]
    if not frame.base_seq or not named:
        return []
    told = frame.payload.get("sessions")
    there = msgspec.json.decode(told, type=dict[str, msgspec.Raw]) if told is not None else {}
    return [(CAME if name in there else WENT) + name for name in named]


class Crowd:
    """Watchers, and what they have seen."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._last: tuple[bytes, list[str]] = (b"", [])
        self.seen: dict[str, list[int]] = {}
        self.frames = self.bytes = 0
        self.pause_ns = 0
        self.all_stand = asyncio.Event()
        self._standing = 0

    def __repr__(self) -> str:
        return f"<Crowd of {self._standing} of {self._number}>"

    async def watch(self, socket: str) -> None:
        """One watcher."""
        first = True
        async for raw in frames(socket):
            now = time.monotonic_ns()
            if first:
                first = False
                self._standing += 1
                if self._standing == self._number:
                    self.all_stand.set()
                continue
            self.frames += 1
            self.bytes += len(raw)
            if raw != self._last[0]:  # all are told the same: it is read once
                self._last = raw, facts_in(raw)
            for fact in self._last[1]:
                self.seen.setdefault(fact, []).append(now)

    async def pauses(self) -> None:
        """The longest time for which this process did not come to run."""
        while True:
            due = time.monotonic_ns() + 10_000_000
            await asyncio.sleep(0.01)
            self.pause_ns = max(self.pause_ns, time.monotonic_ns() - due)


async def watch(socket: str, number: int) -> None:
    """Holds watchers until stdin ends."""
    crowd = Crowd(number)
    tasks = [asyncio.create_task(crowd.watch(socket)) for _ in range(number)]
    stand = asyncio.create_task(crowd.all_stand.wait())
    await _unless_one_fails(stand, tasks, OPENED_S_MAX)
    tasks.append(asyncio.create_task(crowd.pauses()))
    crowd.frames = crowd.bytes = 0
    began, cpu = time.monotonic(), time.process_time()
    _say(standing=number)
    await _unless_one_fails(_stdin_ended(), tasks, None)
    _say(
        seen=crowd.seen,
        frames=crowd.frames,
        bytes=crowd.bytes,
        longest_pause_ms=crowd.pause_ns / 1e6,
        cpu_s=time.process_time() - cpu,
        seconds=time.monotonic() - began,
    )
    os._exit(0)  # the sockets end with the process


async def beat(socket: str, number: int) -> None:
    """Holds sessions whose figures change all the time, and lets others come and go."""
    gate = asyncio.Semaphore(OPEN_AT_ONCE)
    facts: dict[str, int] = {}
    beats = 0

    async def stand(pipe: str) -> tuple[Connection, Grant]:
        async with gate:
            connection = Connection(socket)
            return connection, await connection.open(VIEW, pipe, timeout_s=TIMEOUT_S)

    async def live(connection: Connection, grant: Grant, first_s: float) -> None:
        nonlocal beats
        path = f"{SESSIONS}{grant.session_id}/heartbeat"
        due = time.monotonic() + first_s
        for queue in count():
            await asyncio.sleep(due - time.monotonic())
            pulse = Pulse(state=STATE, queue=queue, unacked_bytes=17 * queue)
            status, reply = await connection.ask("POST", path, wire.write_pulse(pulse))
            if status != 200:
                raise Unanswered(f"a heartbeat was refused: {status} {reply!r}")
            beats += 1
            due = max(due + BEAT_S, time.monotonic())

    async def come_and_go(pipe: str) -> None:
        connection = idle.pop() if idle else Connection(socket)
        at_ns = time.monotonic_ns()
        grant = await connection.open(VIEW, pipe, timeout_s=TIMEOUT_S)
        facts[CAME + grant.session_id] = at_ns
        await asyncio.sleep(FACT_S)
        at_ns = time.monotonic_ns()
        status, reply = await connection.ask("DELETE", f"{SESSIONS}{grant.session_id}")
        if status != 204:
            raise Unanswered(f"a session was not closed: {status} {reply!r}")
        facts[WENT + grant.session_id] = at_ns
        idle.append(connection)

    async def facts_for_ever() -> None:
        async with asyncio.TaskGroup() as group:
            due = time.monotonic()
            for number in count():
                group.create_task(come_and_go(f"fact-{number}"))
                due += 1 / FACTS
                await asyncio.sleep(due - time.monotonic())

    idle: list[Connection] = []
    opened = await asyncio.gather(*(stand(f"node-{n}") for n in range(number)))
    tasks = [asyncio.create_task(live(*one, BEAT_S * n / number)) for n, one in enumerate(opened)]
    tasks.append(asyncio.create_task(facts_for_ever()))
    _say(standing=number)
    await _unless_one_fails(_stdin_ended(), tasks, None)
    _say(facts=facts, beats=beats)
    os._exit(0)  # the connections end with the process


async def _unless_one_fails(
    awaited: asyncio.Future[Any], tasks: list[asyncio.Task[None]], within_s: float | None
) -> None:
    """Waits for one thing beside tasks that have no end.

    Raises:
        Unanswered: it did not happen in time. Or whatever ended one of the tasks.
    """
    done, _ = await asyncio.wait(
        [awaited, *tasks], timeout=within_s, return_when=asyncio.FIRST_COMPLETED
    )
    for task in done:
        await task
    if awaited not in done:
        raise Unanswered(f"not all of them stand after {within_s} s")


def _stdin_ended() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


def _say(**document: object) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    PART, SOCKET, NUMBER = sys.argv[1:]
    asyncio.run({"watch": watch, "beat": beat}[PART](SOCKET, int(NUMBER)))
