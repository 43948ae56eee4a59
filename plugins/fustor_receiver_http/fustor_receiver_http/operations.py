"""The hot routes in OpenAPI: they are no routes of FastAPI, so they are described here."""

from __future__ import annotations

from typing import Any

from fustor_core import wire
from fustor_core.claims import MEDIA_TYPE
from fustor_core.problems import MEDIA_TYPE as PROBLEM
from fustor_receiver_http.documents import JSON
from fustor_receiver_http.ingest import SESSIONS
from fustor_receiver_http.live import SOCKET
from fustor_receiver_http.replies import complete

PREFIX = "wire"  # of the schemas' names: FastAPI has its own
CLOCK = (
    (wire.SENT, "the client's monotonic clock when the request left, in microseconds"),
    (wire.ECHO, "`server_time` of the last reply, and the client's clock when that came in"),
)
PUSH = ("400", "401", "403", "408", "413", "415", "419", "421", "429", "503", "507")


def describe(schema: dict[str, Any]) -> dict[str, Any]:
    """The same description with the hot routes in it."""
    refs, parts = wire.schemas(f"#/components/schemas/{PREFIX}{{name}}")
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    components.update({PREFIX + name: part for name, part in parts.items()})
    batch = {
        MEDIA_TYPE: {
            "schema": {"type": "string", "contentMediaType": MEDIA_TYPE, "format": "binary"}
        }
    }
    one = f"{SESSIONS}/{{id}}"
    schema["paths"].update(
        {
            f"{SESSIONS}/": _operation(
                "post", "Open a session", _json(refs["hello"]), ("201", _json(refs["grant"])), "404"
            ),
            one: _operation("delete", "End a session, known or not", None, ("204", None)),
            f"{one}/heartbeat": _operation(
                "post", "A sign of life", _json(refs["pulse"]), ("200", _json(refs["answer"]))
            ),
            f"{one}/batches": _operation(
                "post",
                "Push a batch of claims; durable when it is answered",
                batch,
                ("200", _json(refs["ack"])),
                "409",
                "412",
            ),
        }
    )
    for path in (one, f"{one}/heartbeat", f"{one}/batches"):
        for operation in schema["paths"][path].values():
            operation["parameters"].append(
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            )
    schema["paths"][SOCKET] = {"get": _socket()}
    return complete(schema)


def _socket() -> dict[str, Any]:
    """The WebSocket; OpenAPI has no words for what comes over it."""
    named = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in ("ticket", "run", "resume")
    ]
    problem = {"description": "A problem document", "content": {PROBLEM: {"schema": {}}}}
    return {
        "tags": ["read"],
        "summary": "Live state: what is there, then every change of a field, as it happens",
        "parameters": named,
        "responses": {"101": {"description": "Frames of JSON follow"}, "426": problem},
    }


def _operation(
    method: str, summary: str, body: Any, done: tuple[str, Any], *more: str
) -> dict[str, Any]:
    status, content = done
    operation: dict[str, Any] = {
        "tags": ["push"],
        "summary": summary,
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": False,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in CLOCK
        ],
        "responses": {
            status: {"description": summary, **({"content": content} if content else {})},
            **{
                failed: {
                    "description": "A problem document",
                    "content": {PROBLEM: {"schema": {"type": "object"}}},
                }
                for failed in sorted({*PUSH, *more})
            },
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return {method: operation}


def _json(schema: Any) -> dict[str, Any]:
    return {JSON: {"schema": schema}}
