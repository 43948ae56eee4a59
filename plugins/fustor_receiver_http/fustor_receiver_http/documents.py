"""JSON replies and the small JSON bodies of requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from fustor_receiver_http.problems import Answered, invalid

BODY_BYTES_MAX = 64 << 10
JSON = "application/json"

M = TypeVar("M", bound=BaseModel)


class Document(Response):
    """A document as JSON, integers exact."""

    media_type = JSON

    def __init__(
        self, document: Any, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(
            encoded(document),
            status_code=status,
            headers={"Cache-Control": "no-store", **(headers or {})},
        )


def encoded(document: Any) -> bytes:
    """The document as JSON. A tree may be nested deeper than an encoder's stack allows."""
    try:
        return msgspec.json.encode(document)
    except RecursionError:
        return b"".join(_pieces(document))


def _pieces(document: Any) -> Iterator[bytes]:
    """The JSON text piece by piece, with a stack of our own."""
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, msgspec.Raw):
            yield bytes(item)
        elif isinstance(item, dict):
            waiting.append(msgspec.Raw(b"}"))
            for number, (name, value) in enumerate(reversed(item.items())):
                mark = b"," if number < len(item) - 1 else b""
                waiting += [value, msgspec.Raw(mark + msgspec.json.encode(name) + b":")]
            yield b"{"
        elif isinstance(item, list):
            waiting.append(msgspec.Raw(b"]"))
            for number, value in enumerate(reversed(item)):
                waiting += [value, msgspec.Raw(b"," if number < len(item) - 1 else b"")]
            yield b"["
        else:
            yield msgspec.json.encode(item)


async def body_of(request: Request, model: type[M]) -> M:
    """The body of a request; none, not a byte of it, is the model's defaults.

    Raises:
        Answered: 413 too large, 415 no JSON, 400 not what the model says.
    """
    content = await _content(request)
    if content:
        kind = request.headers.get("Content-Type", JSON).partition(";")[0].strip().lower()
        if kind != JSON or "Content-Encoding" in request.headers:
            raise Answered(
                "unsupported-media", f"a body is plain {JSON} here", fields={"supported": [JSON]}
            )
    try:
        return model.model_validate_json(content or b"{}", strict=True)
    except ValidationError as error:
        known = [field.alias or name for name, field in model.model_fields.items()]
        raise invalid(error.errors(), known) from error


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """What `body_of` takes, for OpenAPI."""
    content = {JSON: {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": False, "content": content}}


async def _content(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_BYTES_MAX:
            raise Answered(
                "too-large",
                f"a body holds {BODY_BYTES_MAX} bytes at most here",
                headers={"Connection": "close"},
                fields={"limit": BODY_BYTES_MAX},
            )
    return bytes(content)
