"""The sink: sessions, heartbeats and batches over two lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread
import zstandard

from fustor_core import tracing, wire
from fustor_core.claims import MEDIA_TYPE, Ack, Batch, encode_batch
from fustor_core.client import BASE
from fustor_core.contracts import Answer, Grant, Hello, Pulse, boottime_us
from fustor_core.errors import MalformedClaim, SessionObsoletedError
from fustor_sink_fusion.options import Options
from fustor_sink_fusion.replies import error_for, wrong_content

if TYPE_CHECKING:
    from fustor_core.lane import Lane

SESSIONS = f"{BASE}/pipe/sessions/"
JSON = "application/json"
LEVEL = 3
THREAD_BYTES = 1 << 20  # larger batches are packed beside the loop
PATHS_BYTES_MAX = 512 << 10  # of what a heartbeat tells; it has to stay small
Read = TypeVar("Read")


class FusionSink:
    """Pushes batches to a fusion server.

    Two lanes: heartbeats do not wait behind a batch that is on its way. Neither is open before
    the first request, nor after `close`.
    """

    Config = Options

    def __init__(self, config: Options) -> None:
        self.config = config
        self._session = ""
        self._echo: tuple[int, int] | None = None
        self._lanes: dict[str, Lane] = {}

    def __repr__(self) -> str:
        config = self.config
        return f"<FusionSink {config.url} view={config.view} session={self._session or None}>"

    async def open(self, hello: Hello) -> Grant:
        """Open a session with the view.

        Raises:
            PipeError: none could be had.
        """
        self._session = ""
        self._echo = None  # fusion's clock may be another one now
        body = wire.write_hello(hello)
        grant = await self._ask("control", "POST", "", body, JSON, wire.read_grant)
        self._echoed(grant.server_time)
        self._session = grant.session_id
        return grant

    async def send(self, batch: Batch) -> Ack:
        """Push a batch; it is durable there when this returns.

        Raises:
            PipeError: it is not, or there was no answer.
        """
        path = f"{self._live()}/batches"
        body, packed = encode_batch(batch), False
        if self.config.packs:
            body, packed = await _smaller(body)
        with tracing.span("fustor.push", view=self.config.view, bytes=len(body)):
            ack = await self._ask(
                "data", "POST", path, body, MEDIA_TYPE, wire.read_ack, packed=packed
            )
        self._echoed(ack.server_time)
        return ack

    async def beat(self, pulse: Pulse) -> Answer:
        """A heartbeat.

        Raises:
            PipeError: there was no answer, or a bad one.
        """
        path = f"{self._live()}/heartbeat"
        body = wire.write_pulse(_trimmed(pulse))
        answer = await self._ask("control", "POST", path, body, JSON, wire.read_answer)
        self._echoed(answer.server_time)
        return answer

    async def close(self) -> None:
        """End the session, and the connections.

        Raises:
            PipeError: fusion could not be told.
        """
        try:
            if self._session:
                path, self._session = self._live(), ""
                await self._ask("control", "DELETE", path, b"", JSON, _nothing)
        finally:
            lanes, self._lanes = self._lanes, {}
            for lane in lanes.values():
                await lane.close()

    async def _ask(
        self,
        name: str,
        method: str,
        path: str,
        body: bytes,
        kind: str,
        read: Callable[[bytes], Read],
        *,
        packed: bool = False,
    ) -> Read:
        """One request on a lane, and what its reply says.

        Raises:
            PipeError: as the reply says, or there was none.
        """
        url = self.config.url
        headers = {"Content-Type": kind} if body else {}
        if packed:
            headers["Content-Encoding"] = wire.ENCODING
        headers |= wire.clock_headers(boottime_us(), self._echo) | tracing.carried()
        reply = await self._lane(name).ask(method, SESSIONS + path, body, headers)
        if not 200 <= reply.status < 300:
            raise error_for(url, reply.status, reply.body, reply.headers)
        try:
            return read(reply.body)
        except MalformedClaim as error:
            raise wrong_content(url) from error

    def _echoed(self, server_time: int) -> None:
        self._echo = (server_time, boottime_us())

    def _lane(self, name: str) -> Lane:
        if name not in self._lanes:
            # what only a pipe that runs needs: configuration is read without it
            from fustor_core.lane import Lane, Reach

            config = self.config
            reach = Reach(
                config.url,
                config.url,
                "does fusion run there, and is the address right?",
                config.key.get_secret_value() if config.key is not None else "",
                config.ca,
                config.cert,
                config.timeout,
            )
            self._lanes[name] = Lane(reach)
        return self._lanes[name]

    def _live(self) -> str:
        """The session as a part of a path.

        Raises:
            SessionObsoletedError: none is open.
        """
        if not self._session:
            raise SessionObsoletedError("no session is open", reason="unknown")
        return quote(self._session, safe="")


def _nothing(body: bytes) -> None:
    """What a reply without a body says."""


def _trimmed(pulse: Pulse) -> Pulse:
    """The same without the paths that would make it large."""
    size = 0
    for count, path in enumerate(pulse.uncovered):
        size += len(path)
        if size > PATHS_BYTES_MAX:
            return Pulse(
                pulse.state, pulse.queue, pulse.unacked_bytes, pulse.scan, pulse.uncovered[:count]
            )
    return pulse


async def _smaller(body: bytes) -> tuple[bytes, bool]:
    """The body compressed, and whether it is: one that shrinks like a bomb is sent as it is."""
    if len(body) > THREAD_BYTES:
        packed = await anyio.to_thread.run_sync(_packed, body)
    else:
        packed = _packed(body)
    if len(packed) >= len(body) or len(packed) * wire.EXPANSION_MAX < 2 * len(body):
        return body, False
    return packed, True


def _packed(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(body)
