"""The sink: batches as signed requests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import anyio.to_thread
import msgspec

from fustor_core.claims import Ack, Batch
from fustor_core.contracts import Hello, boottime_us
from fustor_core.errors import TooLarge, Unreachable
from fustor_core.telling import Teller, quarantined, told
from fustor_sink_webhook.options import Options
from fustor_sink_webhook.replies import error_for
from fustor_sink_webhook.signature import KEY, SIGNATURE, TIMESTAMP, idempotency_key, signature

if TYPE_CHECKING:
    from fustor_core.lane import Lane

TYPES = {"json": "application/json", "ndjson": "application/x-ndjson"}
LINE_BYTES = 16 << 10  # what a server takes that takes anything
REPLY_BYTES = 64 << 10  # nothing that matters stands behind that
HEAD_BYTES = 4 << 10  # room for what stands around the claims of a request


class WebhookSink:
    """Posts claims to somebody's URL; a batch is taken when all its requests were answered."""

    Config = Options

    def __init__(self, config: Options) -> None:
        self.config = config
        self._teller: Teller | None = None
        self._lane: Lane | None = None
        self._body_bytes = config.max_body - HEAD_BYTES
        self._taken: tuple[int, set[str]] = (0, set())  # of one batch, the keys that were answered

    def __repr__(self) -> str:
        return f"<WebhookSink {self.config.server}>"

    async def begin(self, hello: Hello) -> None:
        """Note whose claims they are; nothing is sent."""
        offset_us = time.time_ns() // 1000 - boottime_us()
        self._teller = Teller(hello.agent_id, hello.pipe, secrets.token_hex(8), offset_us)
        self._taken = (0, set())

    async def send(self, batch: Batch) -> Ack:
        """Post the claims of a batch, in as many requests as they need.

        Raises:
            PipeError: not all of them were taken.
        """
        teller = self._teller
        if teller is None:
            raise Unreachable(f"{self.config.server} is not in use by this pipe")
        if self._taken[0] != batch.seq:
            self._taken = (batch.seq, set())
        groups = self._groups(told(batch, teller, LINE_BYTES))
        # a listing of many names is work: beside the loop, one request after the other
        while lines := await anyio.to_thread.run_sync(next, groups, None):
            await self._post_lines(teller, batch.seq, lines)
        return Ack(batch.seq, quarantined=quarantined(batch))

    async def end(self) -> None:
        """Close the connection."""
        self._teller = None
        lane, self._lane = self._lane, None
        if lane is not None:
            await lane.close()

    def _groups(self, lines: Iterator[bytes]) -> Iterator[list[bytes]]:
        """Lines that go together into one request."""
        group: list[bytes] = []
        size = 0
        for line in lines:
            if group and size + len(line) + 1 > self._body_bytes:
                yield group
                group, size = [], 0
            group.append(line)
            size += len(line) + 1
        if group:
            yield group

    async def _post_lines(self, teller: Teller, seq: int, lines: list[bytes]) -> None:
        """Post lines, in halves when they are too large for the server.

        Raises:
            PipeError: some of them were not taken.
        """
        groups = [lines]
        while groups:
            group = groups.pop(0)
            body = self._body(teller, seq, group)
            try:
                await self._post(body, idempotency_key(teller, seq, body))
            except TooLarge:
                if len(group) < 2:
                    raise
                half = len(group) // 2
                groups[:0] = [group[:half], group[half:]]
                self._body_bytes = max(LINE_BYTES, min(self._body_bytes, len(body) // 2))

    async def _post(self, body: bytes, key: str) -> None:
        """One request, unless it was answered before."""
        taken = self._taken[1]
        if key in taken:
            return
        if self._lane is None:
            # what only a pipe that runs needs: configuration is read without it
            from fustor_core.lane import Lane, Reach

            config = self.config
            reach = Reach(
                config.url,
                config.server,
                ca=config.ca,
                timeout_s=config.timeout,
                reply_most=REPLY_BYTES,
                cut=True,
            )
            self._lane = Lane(reach)
        now = int(time.time())
        secret = self.config.secret.get_secret_value()
        headers = {
            "Content-Type": TYPES[self.config.format],
            KEY: key,
            TIMESTAMP: str(now),
            SIGNATURE: signature(secret, now, key, body),
        }
        reply = await self._lane.ask("POST", "", body, headers)
        if not 200 <= reply.status < 300:
            raise error_for(self.config.server, reply.status, reply.headers, reply.body)
        taken.add(key)

    def _body(self, teller: Teller, seq: int, lines: Sequence[bytes]) -> bytes:
        if self.config.format == "ndjson":
            return b"".join(line + b"\n" for line in lines)
        head = msgspec.json.encode({**teller.words, "seq": seq})
        return b'%s,"claims":[%s]}' % (head[:-1], b",".join(lines))
