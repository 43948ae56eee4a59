"""Batches as bytes, good and bad, and ways to push them."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import zstandard
from fustor_receiver_http.bodies import (
    Limits,
)
from fustor_receiver_http.ingest import SESSIONS, Ingest

from fustor_core import wire
from fustor_core.claims import MEDIA_TYPE, PROTOCOL, Batch, Origin, encode_batch
from fustor_core.testing import MemoryDoor
from fustor_core.testing.promises import cell, hello, listing

LIMIT_S = 20.0
KEY = "fst_test_a-secret-of-the-tests"
KIB, MIB = 1 << 10, 1 << 20
BATCH = {"Content-Type": MEDIA_TYPE}
ZSTD = {**BATCH, "Content-Encoding": "zstd"}
ONE = encode_batch(Batch(PROTOCOL, 1, 0, [cell()]))


def packed(body: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(body)


def wide(body: bytes) -> bytes:
    """Compressed so that 128 MiB are needed to unpack it."""
    options = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=options).compressobj()
    return stream.compress(body) + stream.flush()


def many(size: int) -> bytes:
    """A batch of many claims with at least so many bytes."""
    claims = [cell(b"%0200d" % (number * 7919)) for number in range(size // 290 + 1)]
    return encode_batch(Batch(PROTOCOL, 1, 0, claims))


def one_listing(size: int) -> bytes:
    """A batch of one listing with at least so many bytes, of a directory with odd names."""
    claim = listing(Origin.REALTIME, **{f"{i:08d}": i for i in range(size // 57 + 1)})
    return encode_batch(Batch(PROTOCOL, 1, 0, [claim]))


def refused(reply: Any, status: int, slug: str) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    document: dict[str, Any] = reply.json()
    assert document["type"] == f"urn:fustor:problem:{slug}"
    return document


async def opened(served: Any) -> str:
    body = wire.write_hello(hello())
    headers = {"Content-Type": "application/json"}
    reply = await served.unix.post(SESSIONS, content=body, headers=headers)
    return f"{SESSIONS}/{wire.read_grant(reply.content).session_id}/batches"


async def pushed(
    parts: list[bytes], *, encoding: bytes = b"identity", ingest: Ingest | None = None
) -> tuple[int, bytes]:
    """(status, body) of a push of these parts, straight at the application; 0 = no answer."""
    ingest = ingest or Ingest(MemoryDoor(), Limits())
    left = list(parts)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-encoding", encoding),
        (b"transfer-encoding", b"chunked"),
    ]
    path = f"{SESSIONS}/x/batches"
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "client": None}
    await ingest(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return (sent[0]["status"] if sent else 0), body
