"""The routes of keys: what there is, a new one, an end, a change of one for another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fustor_core.client import BASE
from fustor_core.contracts import Ask
from fustor_core.units import Seconds
from fustor_receiver_http.documents import Document, body_of, body_schema
from fustor_receiver_http.parameters import Parameters
from fustor_receiver_http.routes import Routes

YEARS_MAX_S = 100 * 366 * 86_400.0


class KeyBody(Parameters):
    scopes: list[Literal["push", "read", "scan", "admin"]] = Field(
        ["read"], min_length=1, description="what it may do"
    )
    views: list[str] = Field(["*"], description="globs of the views that it holds for")
    pipes: list[str] = Field(["*"], description="globs of the pipes that it holds for")
    expires: Seconds | None = Field(
        None,
        gt=0,
        le=YEARS_MAX_S,
        description="it lives for so long; left out: until it is revoked",
    )


class RotationBody(Parameters):
    overlap: Seconds = Field(
        0.0, ge=0, le=YEARS_MAX_S, description="for how long the old key is good, too"
    )


def routes(ask: Ask) -> Routes:
    """The routes below ``/keys``; no answer but that to a new key holds a secret."""
    router = Routes(prefix=f"{BASE}/keys", tags=["admin"])

    @router.get("", summary="All keys, without their secrets")
    async def listed(request: Request, asked: Parameters) -> Response:
        return Document(await ask.command("keys", {}))

    @router.post(
        "",
        summary="A new key; its text is shown this once",
        status_code=201,
        openapi_extra=body_schema(KeyBody),
    )
    async def create(request: Request) -> Response:
        body = await body_of(request, KeyBody)
        arguments = {
            "scopes": body.scopes,
            "views": body.views,
            "pipes": body.pipes,
            "expires_s": body.expires,
        }
        return Document(await ask.command("key-create", arguments), status=201)

    @router.delete("/{id}", summary="A key ends now, with its sessions and streams")
    async def revoke(
        id: str,  # noqa: A002 - the name of the path parameter
        request: Request,
        asked: Parameters,
    ) -> Response:
        return Document(await ask.command("key-revoke", {"id": id}))

    @router.post(
        "/{id}/rotate",
        summary="A new key with the same rights; the old one ends, at once or after an overlap",
        status_code=201,
        openapi_extra=body_schema(RotationBody),
    )
    async def rotate(
        id: str,  # noqa: A002 - the name of the path parameter
        request: Request,
    ) -> Response:
        body = await body_of(request, RotationBody)
        arguments = {"id": id, "overlap_s": body.overlap}
        return Document(await ask.command("key-rotate", arguments), status=201)

    return router
