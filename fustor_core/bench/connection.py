"""Clients of a measurement: just enough HTTP and WebSocket, so that they cost little themselves."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fustor_core import wire
from fustor_core.client import BASE
from fustor_core.contracts import Grant, Hello
from fustor_core.errors import FustorError

SESSIONS = f"{BASE}/pipe/sessions/"
STATE = f"{BASE}/state/ws"
JSON = "application/json"
CREATED, SWITCHED = 201, 101
BOOT = Path("/proc/sys/kernel/random/boot_id")
OPENED_S_MAX = 60.0
READ_BYTES = 1 << 22  # a first frame of the live state comes in few pieces
END_OF_HEAD = b"\r\n\r\n"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10  # what a frame of a WebSocket may be


class Unanswered(FustorError):
    """The server did not do what a client of a measurement asked."""


def boottime_us() -> int:
    """The clock of agents."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Connection:
    """One kept connection that asks one thing after the other.

    Args:
        socket: path where the server listens.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def __repr__(self) -> str:
        return f"<Connection to {self._socket}>"

    async def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = JSON
    ) -> tuple[int, bytes]:
        """Status and body of the reply."""
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self._socket)
        reader, writer = self._streams
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
        lines += [f"Content-Length: {len(body)}"]
        headers = wire.clock_headers(boottime_us(), None)
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        status, fields = _head(await reader.readuntil(END_OF_HEAD))
        return status, await reader.readexactly(int(fields.get("content-length", "0")))

    async def open(self, view: str, pipe: str, *, timeout_s: float, scan: bool = False) -> Grant:
        """A session of an agent that has this pipe alone.

        Args:
            scan: it may lead.

        Raises:
            Unanswered: it was refused.
        """
        hello = Hello(
            agent_id=f"agent-of-{pipe}",
            pipe=pipe,
            view=view,
            source={"driver": "none", "root_b64": "Lw==", "identity": view},
            line={"boot": BOOT.read_text("ascii").strip(), "process": pipe, "mount": view},
            can={"realtime": True, "scan": scan},
            session_timeout_s=timeout_s,
        )
        status, reply = await self.ask("POST", SESSIONS, wire.write_hello(hello))
        if status != CREATED:
            raise Unanswered(f"pipe {pipe} got no session: {status} {reply!r}")
        return wire.read_grant(reply)


async def frames(socket: str) -> AsyncIterator[bytes]:
    """The messages of the live state, as they come; without end.

    Raises:
        Unanswered: the server has closed the WebSocket.
    """
    reader, writer = await asyncio.open_unix_connection(socket, limit=READ_BYTES)
    try:
        await _upgrade(reader, writer)
        while True:
            first, second = await reader.readexactly(2)
            kind, length = first & 0x0F, second & 0x7F
            if length > 125:
                length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
            payload = await reader.readexactly(length)
            if kind == CLOSE:
                raise Unanswered(f"the server has closed a WebSocket: {payload[2:]!r}")
            if kind == PING:
                writer.write(bytes((0x80 | PONG, 0x80 | length)) + bytes(4) + payload)
            elif kind == TEXT:
                yield payload
    finally:
        writer.close()


async def _upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {STATE} HTTP/1.1", "Host: localhost", "Connection: Upgrade"]
    lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(END_OF_HEAD), OPENED_S_MAX)
    status, _fields = _head(head)
    if status != SWITCHED:
        raise Unanswered(f"no WebSocket: {status}", remedy="is a Fustor server there?")


def _head(raw: bytes) -> tuple[int, dict[str, str]]:
    """Status and header fields of a reply."""
    first, *lines = raw.decode("latin-1").lower().split("\r\n")
    fields = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name: value.strip() for name, _, value in fields}
