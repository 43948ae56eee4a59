"""A client of the HTTP API, for people at a terminal: one request at a time, no event loop.

`lane` is imported only when a request is about to be sent: what needs no server must not pay.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fustor_core.errors import FustorError, QueryError, Refused, Unreachable
from fustor_core.problems import error_of, problem_document

if TYPE_CHECKING:
    import ssl

    from fustor_core.lane import Connection

BASE = "/api/v1"
TIMEOUT_S = 10.0
PROBE_S = 1.0
UNIX = "unix:"
NDJSON = "application/x-ndjson"
CA = "SSL_CERT_FILE"


class TimedOut(Unreachable):
    """The server is there, but nothing came from it for as long as the caller wanted to wait."""


class Client:
    """One server.

    Args:
        server: ``unix:/path/of/socket``, ``http://host:port`` or ``https://host:port``; then
            SSL_CERT_FILE of the environment may name the CAs that are trusted.
        key: bearer key, for TCP.
        timeout_s: longest silence of the server within one request.
        trace: told a line about each request.
        cert: PEM file of a certificate and its private key, for a server that wants one.

    Every method raises `Unreachable` when the server cannot be reached or breaks off, `TimedOut`
    when it stays silent, and for a problem document the error of `error_of`.
    """

    def __init__(
        self,
        server: str,
        *,
        key: str | None = None,
        timeout_s: float | None = TIMEOUT_S,
        trace: Callable[[str], None] | None = None,
        cert: Path | None = None,
    ) -> None:
        self.server = server
        self.timeout_s = timeout_s
        self._key = key
        self._trace = trace
        self._cert = cert
        self._http: Connection | None = None
        self._held = ExitStack()  # what a socket in a deep folder is reached through

    def __repr__(self) -> str:
        return f"<Client {self.server} {'open' if self._http else 'idle'}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Drops the connection; the next request opens another."""
        if self._http is not None:
            self._http.close()
            self._http = None
        self._held.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The document at `path` (below the base)."""
        return self.ask("GET", path, params=params)

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Sends one request and returns the document of its reply, ``{}`` when it has none.

        Args:
            method: HTTP verb.
            path: below the base, e.g. ``/views/data/stat``.
            params: query; None values are left out, booleans become ``true`` and ``false``.
            body: sent as JSON.
        """
        connection = self._open()
        from fustor_core import lane

        begun = time.monotonic()
        try:
            reply = connection.request(
                method,
                BASE + path,
                params=_query(params),
                content=None if body is None else json.dumps(body).encode(),
                headers={} if body is None else {"Content-Type": "application/json"},
            )
        except lane.Errors as error:
            raise self._failure(error) from error
        if self._trace is not None:
            spent_ms = (time.monotonic() - begun) * 1000
            self._trace(
                f"{method} {reply.url.raw_path.decode()}: {reply.status_code}, "
                f"{len(reply.content)} bytes in {spent_ms:.1f} ms"
            )
        if reply.status_code >= 400:
            raise error_of(problem_document(reply.status_code, reply.content, reply.headers))
        return self._document(reply.content)

    @contextmanager
    def stream(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        silence_s: float | None,
    ) -> Iterator[Iterator[list[bytes]]]:
        """Opens an NDJSON stream; the iterator yields the lines that came together, without ends.

        A silent server sends blank lines now and then: these come as empty lists.

        Args:
            path, params: as for `ask`.
            silence_s: longest wait for the next bytes, then `TimedOut`; None: for ever.
        """
        connection = self._open()
        from fustor_core import lane

        try:
            with connection.stream(
                "GET",
                BASE + path,
                params=_query(params),
                headers={"Accept": NDJSON},
                timeout=lane.patience(self.timeout_s, silence_s),
            ) as reply:
                if reply.status_code >= 400:
                    content = reply.read()
                    raise error_of(problem_document(reply.status_code, content, reply.headers))
                yield _lines(reply.iter_bytes())
        except lane.Errors as error:
            raise self._failure(error) from error

    def _open(self) -> Connection:
        if self._http is not None:
            return self._http
        if self.server.startswith(UNIX):
            path = self.server.removeprefix(UNIX)
            _require_socket(path)
            from fustor_core import lane
            from fustor_core.state import socket_address

            uds = self._held.enter_context(socket_address(Path(path)))
            self._http = lane.connection(
                "http://localhost", socket=uds, timeout_s=self.timeout_s, verify=False
            )
            return self._http
        if not self.server.startswith(("http://", "https://")):
            raise QueryError(
                f"no server address: {self.server!r}",
                remedy="write unix:/path/of/socket, http://host:port or https://host:port",
            )
        from fustor_core import lane

        try:
            self._http = lane.connection(
                self.server.rstrip("/"),
                key=self._key or "",
                timeout_s=self.timeout_s,
                verify=self._trusted(),
            )
        except ValueError as error:
            raise QueryError(f"no server address: {self.server!r} ({error})") from error
        return self._http

    def _trusted(self) -> ssl.SSLContext | bool:
        """What the server's certificate is checked with, and the one that is shown to it.

        Raises:
            QueryError: a file cannot be used.
        """
        from fustor_core import lane

        if not self.server.startswith("https:"):
            return False
        ca = os.environ.get(CA)
        try:
            return lane.trusted(Path(ca) if ca else None, self._cert)
        except lane.BadPem as bad:
            option = CA if bad.option == "ca" else "--cert"
            raise QueryError(str(bad), remedy=f"{option} names a PEM file") from bad

    def _failure(self, error: Exception) -> FustorError:
        """What an error of the connection means to the caller; the connection is given up."""
        from fustor_core import lane

        self.close()
        fault = lane.fault_of(error)
        if fault.kind == "late":
            return TimedOut(f"no answer from {self.server} in time", remedy="give more --timeout")
        if fault.kind == "trust":
            return Unreachable(
                f"the certificate of {self.server} is not trusted: {fault.reason}",
                remedy="is the address right? If its CA is your own, name the file with that CA:"
                f" {CA}=/path/of/ca.pem",
            )
        if fault.kind == "tls":
            own = "does it take this --cert?" if self._cert else "does it want a --cert of yours?"
            return Unreachable(
                f"no TLS with {self.server}: {fault.reason}",
                remedy=f"does it speak https there, and {own}",
            )
        if fault.kind == "denied":
            return _denied(self.server)
        if fault.kind == "absent" and self.server.startswith(UNIX):
            return nothing_runs(self.server)
        wants = self.server.startswith("https:") and self._cert is None
        more = ", and does it want a --cert of yours?" if wants else "?"
        return Unreachable(
            f"cannot talk to {self.server}: {fault.reason}",
            remedy=f"is it running there, is the address right{more}",
        )

    def _document(self, content: bytes) -> dict[str, Any]:
        if not content.strip():
            return {}
        try:
            document = json.loads(content)
        except ValueError as error:
            raise _stranger(self.server) from error
        if not isinstance(document, dict):
            raise _stranger(self.server)
        return document


def path_params(path: bytes, name: str = "path") -> dict[str, str]:
    """A view path as a query parameter: text when it is valid UTF-8, else ``<name>_b64``."""
    try:
        return {name: path.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": base64.b64encode(path).decode()}


def local_server(home: Path, *, agent_first: bool = False) -> str:
    """Address of the socket under a state directory, whether or not anything listens there.

    Args:
        home: the state directory.
        agent_first: look for the agent's socket before the fusion's.
    """
    sockets = [home / role / "api.sock" for role in ("fusion", "agent")]
    if agent_first:
        sockets.reverse()
    there = [path for path in sockets if _exists(path)]
    if len(there) > 1 and not _listens(there[0]):
        there.reverse()  # one that a killed process has left
    return UNIX + os.path.abspath(there[0] if there else sockets[0])


def nothing_runs(server: str) -> Unreachable:
    """The error for a local server that is not there."""
    home = os.path.dirname(os.path.dirname(server.removeprefix(UNIX)))
    return Unreachable(
        f"nothing runs here: no server listens in {home}",
        remedy="start one with `fustor up DIR`, or name another with --home or --server",
    )


def _query(params: Mapping[str, Any] | None) -> dict[str, str | list[str]]:
    query: dict[str, str | list[str]] = {}
    for name, value in (params or {}).items():
        if isinstance(value, bool):
            query[name] = "true" if value else "false"
        elif isinstance(value, list | tuple):
            query[name] = [str(item) for item in value]
        elif value is not None:
            query[name] = str(value)
    return query


def _lines(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Whole lines of a byte stream, those that came together; only a newline ends a line.

    Blank lines are left out; a chunk that brought nothing else, a heartbeat, is an empty list.

    Raises:
        FustorError: the stream ends with a problem document.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if whole:
            yield _sound([line for line in whole if line.strip()])
    if rest.strip():
        yield _sound([rest])


def _sound(lines: list[bytes]) -> list[bytes]:
    if lines and lines[-1].startswith(b'{"problem"'):
        raise error_of(json.loads(lines[-1])["problem"])
    return lines


def _exists(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM)


def _listens(path: Path) -> bool:
    from fustor_core.state import connect_socket

    try:
        connect_socket(path, PROBE_S).close()
    except OSError as error:
        return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def _require_socket(path: str) -> None:
    """Fails before httpx is imported when there is no socket at all.

    Raises:
        Unreachable: nothing is there. Refused: it cannot be looked at.
    """
    try:
        os.stat(path)
    except PermissionError as error:
        raise _denied(UNIX + path) from error
    except OSError as error:
        raise nothing_runs(UNIX + path) from error


def _denied(server: str) -> Refused:
    return Refused(
        f"permission denied: {server}",
        remedy="the socket belongs to the user who started the server; ask as that user",
    )


def _stranger(server: str) -> FustorError:
    return Unreachable(
        f"{server} does not answer as a fustor server does", remedy="is the address right?"
    )
