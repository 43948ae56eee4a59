"""Questions over a Unix socket by one kept connection, so lean that the answer is what is timed."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from fustor_core.errors import FustorError

TIMEOUT_S = 60.0
READ_BYTES = 1 << 16
LOOK_S = 0.002  # between two looks for a server that starts: nothing else tells that it listens


class BadStatus(FustorError):
    """The server has not answered what was asked."""


# What a connection raises when the server is not there, or breaks off.
Broken = (OSError, http.client.HTTPException)
_IDLE = (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected)


class Reply(NamedTuple):
    """Status and whole body."""

    status: int
    content: bytes

    def good(self) -> Reply:
        """This one.

        Raises:
            BadStatus: it is no answer.
        """
        if self.status != HTTPStatus.OK:
            raise BadStatus(
                f"status {self.status}: {self.content[:500].decode(errors='replace')}",
                remedy="the program that is measured has a fault; its log stands in its folder",
            )
        return self

    @property
    def right(self) -> bool:
        """Whether it is an answer."""
        return self.status == HTTPStatus.OK

    def json(self) -> Any:
        """The document in it.

        Raises:
            BadStatus: it is no answer.
        """
        return json.loads(self.good().content)


class _Unix(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Asker:
    """One connection.

    Args:
        path: of the socket. place: what stands before every question, e.g. ``/api/v1``.
        timeout_s: of an answer; None: for ever.
    """

    def __init__(self, path: str, place: str = "", timeout_s: float | None = TIMEOUT_S) -> None:
        self._connection = _Unix(path, timeout_s)
        self._place = place

    def __repr__(self) -> str:
        return f"<Asker {self._place}>"

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def get(
        self,
        place: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Asks and reads the whole answer.

        Raises:
            OSError, HTTPException: there was none (`Broken`).
        """
        reply = self._sent(place, params, headers)
        return Reply(reply.status, reply.read())

    def first(
        self,
        place: str,
        params: Mapping[str, str] | None,
        runs: Callable[[], bool],
        within_s: float,
    ) -> Reply:
        """As `get`, of a server that is being started.

        Args:
            runs: whether its process has not ended. within_s: how long it may take.

        Raises:
            OSError, HTTPException: it has ended, or took longer (`Broken`).
        """
        until_s = time.monotonic() + within_s
        while True:
            try:
                return self.get(place, params)
            except Broken:
                if not runs() or time.monotonic() > until_s:
                    raise
                time.sleep(LOOK_S)

    def follow(
        self, place: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> Iterator[bytes]:
        """What comes of an answer without an end, as it comes.

        Raises:
            BadStatus: it is no answer. OSError, HTTPException: it breaks off.
        """
        reply = self._sent(place, params, headers)
        if reply.status != HTTPStatus.OK:
            Reply(reply.status, reply.read()).good()
        while chunk := reply.read1(READ_BYTES):
            yield chunk

    def _sent(
        self, place: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None
    ) -> http.client.HTTPResponse:
        query = "&".join(f"{name}={quote(value)}" for name, value in (params or {}).items())
        address = f"{self._place}/{place.lstrip('/')}" + (f"?{query}" if query else "")
        kept = self._connection.sock is not None
        while True:
            try:
                self._connection.request("GET", address, headers=dict(headers or {}))
                return self._connection.getresponse()
            except Broken as error:
                self._connection.close()  # the next question opens another
                if not (kept and isinstance(error, _IDLE)):
                    raise
                kept = False  # nobody asked for so long that the server closed it
