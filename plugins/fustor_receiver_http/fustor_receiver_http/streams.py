"""Answers that are sent while they are made: lines of JSON (NDJSON), or server-sent events.

A stream ends when its source does, when the client goes away, when the client takes nothing for
`stall_s`, when the key that opened it is good no longer, and when the server stops. A silent
stream sends a blank line every `heartbeat_s`, so that a client that has vanished is noticed;
nothing else is done in between.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
import msgspec
from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fustor_core.contracts import Ask, Page
from fustor_core.errors import FustorError, Unauthorized
from fustor_receiver_http.problems import line_of
from fustor_receiver_http.scopes import access_of

FAREWELL_S = 0.5  # for the last line to a client whose key has ended
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


class Ending(Protocol):
    """Something open that can be told to end, properly."""

    def end(self) -> None: ...


class Streams:
    """Those that are open; sockets, too.

    Args:
        heartbeat_s: longest silence. stall_s: longest time that a client may take nothing.
        ended: returns when a key is good no longer.
    """

    def __init__(
        self,
        *,
        heartbeat_s: float,
        stall_s: float,
        ended: Callable[[str], Awaitable[None]],
    ) -> None:
        self.ended = ended
        self.heartbeat_s = heartbeat_s
        self.stall_s = stall_s
        self.stopped = False
        self._open: set[Ending] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, chunks: AsyncIterator[bytes], *, sse: bool = False) -> Stream:
        """A reply that sends what the iterator yields; it closes the iterator."""
        return Stream(self, chunks, sse=sse)

    def stop(self) -> None:
        """Ends all that are open, properly, and all that come."""
        self.stopped = True
        for stream in list(self._open):
            stream.end()

    def enter(self, stream: Ending) -> None:
        """Counts a stream that begins."""
        self._open.add(stream)
        if self.stopped:
            stream.end()

    def leave(self, stream: Ending) -> None:
        """Forgets one that is over."""
        self._open.discard(stream)


class Stream(Response):
    """One reply of unknown length. Made by `Streams.open`."""

    def __init__(self, streams: Streams, chunks: AsyncIterator[bytes], *, sse: bool) -> None:
        super().__init__(
            media_type=SSE if sse else NDJSON,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._streams = streams
        self._chunks = chunks
        self._encode = _events if sse else _encoder.encode_lines
        self._blank = b":\n\n" if sse else b"\n"
        self._making = CancelScope()
        self._last: list[dict[str, Any]] = []
        self._sent_at = 0.0

    def end(self) -> None:
        """Stops its source; what was sent stays a well-formed reply."""
        self._making.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it all; comes back early when the client is gone."""
        self._streams.enter(self)
        try:
            async with anyio.create_task_group() as group:
                whole = group.cancel_scope
                group.start_soon(_watch, receive, whole)
                key_id = access_of(scope).key_id
                if key_id:
                    group.start_soon(self._until_ended, key_id, whole)
                send = self._bounded(send, whole)
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
                await self._fill(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                whole.cancel()
        finally:
            self._streams.leave(self)

    async def _fill(self, send: Send) -> None:
        """Passes the source on, with blanks where it is silent."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._beat, send)
            # the source is read and closed by the task that opened it
            with self._making:
                async with closing(_told(self._chunks, self._encode)) as chunks:
                    async for chunk in chunks:
                        await send(_body(chunk))
            if self._last:
                await send(_body(self._encode(self._last)))
            group.cancel_scope.cancel()

    async def _until_ended(self, key_id: str, whole: CancelScope) -> None:
        """Ends it when its key does, whether or not the client takes the last line."""
        await self._streams.ended(key_id)
        self._last = [line_of(Unauthorized("the key has expired or was revoked"))]
        self.end()
        await anyio.sleep(FAREWELL_S)
        whole.cancel()

    async def _beat(self, send: Send) -> None:
        while True:
            silent_s = anyio.current_time() - self._sent_at
            if silent_s >= self._streams.heartbeat_s:
                await send(_body(self._blank))
            else:
                await anyio.sleep(self._streams.heartbeat_s - silent_s)

    def _bounded(self, send: Send, whole: CancelScope) -> Send:
        """A send that gives the stream up when the client takes nothing."""

        async def bounded(message: Any) -> None:
            with anyio.move_on_after(self._streams.stall_s) as patience:
                await send(message)
            if patience.cancelled_caught:
                whole.cancel()
                await anyio.lowlevel.checkpoint()
            self._sent_at = anyio.current_time()

        return bounded


def closing(source: AsyncIterator[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    """Closes an iterator at the end of the block, if it can be closed."""
    return aclosing(source) if isinstance(source, AsyncGenerator) else nullcontext(source)


async def pages(first: Page, rest: AsyncIterator[Page]) -> AsyncIterator[bytes]:
    """The pages of an answer as lines: the items, then ``{"summary": …}`` with their count.

    Args:
        first: was read already. rest: those after it; closed at the end.
    """
    count = 0
    page: Page | None = first
    async with closing(rest):
        while page is not None:
            count += len(page.items)
            if page.items:
                yield _encoder.encode_lines(page.items)
            if page.document is not None:
                counted = {page.list_name: count} if page.list_name else {}
                yield _encoder.encode({"summary": {**counted, **page.document}}) + b"\n"
                return
            page = await anext(rest, None)


async def follow(
    ask: Ask, streams: Streams, view: str, path: bytes, since: str | None, *, sse: bool
) -> Stream:
    """The changes of a view from a cursor on, until the client goes; the first line is the cursor.

    Args:
        since: None: from now on.

    Raises:
        NoSuchView, CursorTooOld, QueryError: before anything is sent.
    """
    source = ask.follow(view, path, since)
    # the cursor comes at once, or the error does
    first: list[dict[str, Any]] = await anext(source, [])
    return streams.open(_changes(first, source, _events if sse else _encoder.encode_lines), sse=sse)


async def _changes(
    first: list[dict[str, Any]],
    rest: AsyncIterator[list[dict[str, Any]]],
    encode: Callable[[list[Any]], bytes],
) -> AsyncIterator[bytes]:
    async with closing(rest):
        yield encode(first)
        async for changes in rest:
            yield encode(changes)


def _events(changes: list[dict[str, Any]]) -> bytes:
    """Server-sent events: a change each, with its cursor as the id to resume from."""
    parts = []
    for change in changes:
        kind = "change" if "kind" in change else next(iter(change))
        cursor = change.get("cursor")
        if cursor is not None:
            parts.append(f"id: {cursor}\n".encode())
        parts.append(f"event: {kind}\ndata: ".encode() + _encoder.encode(change) + b"\n\n")
    return b"".join(parts)


async def _told(
    chunks: AsyncIterator[bytes], encode: Callable[[list[Any]], bytes]
) -> AsyncIterator[bytes]:
    """The chunks; what goes wrong in mid-stream becomes the last line, ``{"problem": …}``."""
    async with closing(chunks):
        try:
            async for chunk in chunks:
                yield chunk
        except FustorError as error:
            yield encode([line_of(error)])


async def _watch(receive: Receive, whole: CancelScope) -> None:
    """Ends the work when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    whole.cancel()


def _body(chunk: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


def accepted(request: Request, *offered: str) -> str:
    """The media type of `offered` that the client asks for by name, else JSON.

    A wildcard means JSON; where several are named, the one of the highest weight, then the first.
    """
    best, weight = "application/json", 0.0
    for part in ",".join(request.headers.getlist("Accept")).split(","):
        name, *options = (word.strip().lower() for word in part.split(";"))
        value = _weight(options)
        if value > weight and (name in offered or name == "application/json"):
            best, weight = name, value
    return best


def _weight(options: list[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return min(float(option[2:]), 1.0)
            except ValueError:
                return 0.0
    return 1.0
