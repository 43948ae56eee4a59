"""The floor of any answer: an ASGI application that sends constant bytes, served as ours is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any


async def answer(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """As many bytes as ``?bytes=`` says, at the end of the query."""
    if scope["type"] != "http":
        return
    size = int(scope["query_string"].rpartition(b"=")[2])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * size})
