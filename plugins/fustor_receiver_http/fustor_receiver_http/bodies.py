"""Bodies of the way in: read as they come, in bounded time, with bounds on every size.

A body is counted twice, as it is received and as it is unpacked, and nothing is unpacked that the
bounds would not hold. A batch of exactly one listing may be larger than others: one huge directory
cannot be sent in parts. Which it is stands in its first bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import zstandard
from starlette.types import Receive, Scope

from fustor_core.errors import FustorError, SlowDown
from fustor_core.wire import EXPANSION_MAX
from fustor_receiver_http.problems import Answered, malformed

RATE_LEAST = 4096  # bytes a second that a client has to send on average, after its patience
EXPANSION_FREE = 1 << 20  # so much may come out of anything
WINDOW_MAX = 8 << 20  # memory of one decompression
SLICE = 1024  # packed bytes that are unpacked in one go: not even of a bomb come 40 MiB of these
HEAD = 64  # bytes in which the kind of a batch can be told
RETRY_S = 1.0
LINGER_S = 2.0
LINGER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what comes in.

    Args:
        batch_bytes: of a batch, as received and unpacked. listing_bytes: the same for one that is
            a single listing. held_bytes: of all batches that are read at one time.
        patience_s: how long a body may take; longer by a second for each `RATE_LEAST` bytes.
    """

    batch_bytes: int = 8 << 20
    listing_bytes: int = 256 << 20
    held_bytes: int = 512 << 20
    patience_s: float = 30.0


class Gone(FustorError):
    """The client broke off; there is nobody to answer."""

    def __init__(self) -> None:
        super().__init__("the client has gone away")


class Incoming:
    """The body of one request, as it comes.

    Attributes:
        whole: all of it has been received, or there is none. stalled: the rest does not come.
    """

    def __init__(self, scope: Scope, receive: Receive, patience_s: float) -> None:
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        # the parser refuses lengths that are no numbers, and more than one
        self.length = int(lengths[0]) if lengths else None
        self.whole = not chunked and not self.length
        self.stalled = False
        self._receive = receive
        self._patience_s = patience_s
        self._begun = anyio.current_time()
        self._received = 0

    async def part(self) -> bytes:
        """The next piece, of any size; not to be asked for when it is whole.

        Raises:
            Answered: it comes too slowly. Gone: the client broke off.
        """
        deadline = self._begun + self._patience_s + self._received / RATE_LEAST
        with anyio.CancelScope(deadline=deadline) as patience:
            message = await self._receive()
        if patience.cancelled_caught:
            self.stalled = True
            raise Answered(
                "slow-down",
                f"the body stopped coming after {self._received} bytes",
                remedy="send it again",
                status=408,
                fields={"retry_after_s": RETRY_S},
            )
        if message["type"] == "http.disconnect":
            raise Gone
        part: bytes = message.get("body", b"")
        self._received += len(part)
        self.whole = not message.get("more_body", False)
        return part

    async def linger(self) -> None:
        """Receives what still comes, for a while: a client that is busy sending reads no reply."""
        left = LINGER_BYTES
        with anyio.move_on_after(LINGER_S):
            while not self.whole and not self.stalled and left > 0:
                message = await self._receive()
                left -= len(message.get("body", b""))
                self.whole = not message.get("more_body", False)


class Room:
    """Bytes of batches that are held at one time, over all requests."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held = 0

    def __repr__(self) -> str:
        return f"<Room {self.held} of {self.bytes_max} bytes>"

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A share for one request, given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.held


class Share:
    """What one request holds. Made by `Room.share`."""

    def __init__(self, room: Room) -> None:
        self.held = 0
        self._room = room

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            SlowDown: others hold too many.
        """
        room = self._room
        if room.held + size > room.bytes_max:
            raise SlowDown(
                f"batches of {room.held} bytes are being read at the moment", retry_after_s=RETRY_S
            )
        room.held += size
        self.held += size


async def read_small(incoming: Incoming, limit: int) -> bytes:
    """The body of a request of the control plane.

    Raises:
        Answered: 413 it is larger than `limit`; 408. Gone.
    """
    if (incoming.length or 0) > limit:
        raise too_large(limit)
    content = bytearray()
    while not incoming.whole:
        content += await incoming.part()
        if len(content) > limit:
            raise too_large(limit)
    return bytes(content)


async def read_batch(incoming: Incoming, limits: Limits, share: Share, *, packed: bool) -> bytes:
    """The body of a batch, unpacked.

    Args:
        packed: it is compressed with zstd.

    Raises:
        Answered: 413 too large, 400 not to be unpacked, 408. SlowDown: no room. Gone.
    """
    if (incoming.length or 0) > packed_bound(limits.listing_bytes):
        raise too_large(limits.batch_bytes, limits.listing_bytes)
    gathering = Gathering(limits, share)
    unpacking = Unpacking() if packed else None
    while not incoming.whole:
        part = await incoming.part()
        if unpacking is None:
            gathering.add(part)
        else:
            for plain in unpacking.feed(part):
                gathering.add(plain)
        gathering.received(len(part))
    if unpacking is not None:
        unpacking.end()
    return gathering.content()


class Gathering:
    """The parts of a batch, and what they come to."""

    def __init__(self, limits: Limits, share: Share) -> None:
        self._limits = limits
        self._share = share
        self._limit = limits.batch_bytes
        self._parts: list[bytes] = []
        self._head = b""
        self._size = 0
        self._received = 0

    def received(self, size: int) -> None:
        """So many bytes came over the wire.

        Raises:
            Answered: 413.
        """
        self._received += size
        if self._received > packed_bound(self._limit):
            self._widen()
            if self._received > packed_bound(self._limit):
                raise too_large(self._limit, self._limits.listing_bytes)

    def add(self, plain: bytes) -> None:
        """So they read, unpacked.

        Raises:
            Answered: 413. SlowDown: no room.
        """
        self._share.take(len(plain))
        self._parts.append(plain)
        self._size += len(plain)
        if len(self._head) < HEAD:
            self._head += plain[: HEAD - len(self._head)]
        if self._size > self._limit:
            self._widen()
            if self._size > self._limit:
                raise too_large(self._limit, self._limits.listing_bytes)

    def content(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)

    def _widen(self) -> None:
        if is_one_listing(self._head):
            self._limit = self._limits.listing_bytes


class Unpacking:
    """One zstd frame, bit by bit."""

    def __init__(self) -> None:
        made = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX)
        self._stream = made.decompressobj()
        self._packed = self._plain = 0

    def feed(self, part: bytes) -> Iterator[bytes]:
        """What comes out of a part, in pieces.

        Raises:
            Answered: 400: it is no zstd, expands like a bomb, or goes on after its end.
        """
        for start in range(0, len(part), SLICE):
            piece = part[start : start + SLICE]
            if self._stream.eof:
                raise malformed("the body goes on after the end of its zstd frame")
            try:
                plain = self._stream.decompress(piece)
            except zstandard.ZstdError as error:
                raise malformed(f"the body is no zstd: {error}") from error
            if self._stream.unused_data:
                raise malformed("the body goes on after the end of its zstd frame")
            self._packed += len(piece)
            self._plain += len(plain)
            if self._plain > EXPANSION_FREE + EXPANSION_MAX * self._packed:
                raise malformed(
                    f"the body expands more than {EXPANSION_MAX}-fold",
                    remedy="send it without compression",
                )
            yield plain

    def end(self) -> None:
        """The body is over.

        Raises:
            Answered: 400: the frame is not.
        """
        if not self._stream.eof:
            raise malformed("the body ends before its zstd frame does")


def packed_bound(size: int) -> int:
    """The largest that so many bytes become by compressing them, if they cannot be compressed."""
    return size + (size >> 8) + 64


def too_large(limit: int, listing_limit: int | None = None) -> Answered:
    """The error for a body that is larger than `limit` bytes (413).

    Args:
        listing_limit: what holds instead for a batch of one listing.
    """
    most = f"a body holds {limit} bytes at most here"
    if listing_limit not in (None, limit):
        most += f", {listing_limit} if it is one listing"
    return Answered(
        "too-large",
        most,
        remedy="send less at once, or raise max_batch_bytes and max_listing_bytes there",
        fields={"limit": limit},
    )


def is_one_listing(head: bytes) -> bool:
    """Whether a batch that begins with these bytes is exactly one claim, a listing."""
    try:
        at = _array(head, 0)[1]
        for _ in ("protocol", "seq", "epoch"):
            at += 1 + _INTEGERS.get(head[at], 0)
        claims, at = _array(head, at)
        _, at = _array(head, at)
        return claims == 1 and head[at : at + 2] == b"\xa1l"
    except (IndexError, ValueError):
        return False


_INTEGERS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


def _array(head: bytes, at: int) -> tuple[int, int]:
    """(count, place of the first member) of the msgpack array that begins at `at`.

    Raises:
        ValueError: there is none. IndexError: the head is over.
    """
    kind = head[at]
    if kind & 0xF0 == 0x90:
        return kind & 0x0F, at + 1
    if kind not in (0xDC, 0xDD):
        raise ValueError("no array")
    width = 2 if kind == 0xDC else 4
    return int.from_bytes(head[at + 1 : at + 1 + width]), at + 1 + width
