"""The routes of forests: several views asked as one (interfaces.md §3)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from fustor_core.client import BASE
from fustor_core.contracts import Ask
from fustor_receiver_http.documents import Document
from fustor_receiver_http.parameters import Parameters, Placed
from fustor_receiver_http.scopes import access_of, limits


class BestParameters(Placed):
    by: Literal["complete", "file_count", "total_size", "latest_mtime"] | None = Field(
        None, description="what makes a copy the best; left out: as configured"
    )


def routes(ask: Ask) -> APIRouter:
    """The routes below ``/forests``."""
    router = APIRouter(prefix=f"{BASE}/forests", tags=["read"])

    @router.get("", summary="All forests")
    async def forests(request: Request, asked: Annotated[Parameters, Query()]) -> Response:
        return Document(await ask.command("forests", limits(access_of(request.scope))))

    @router.get("/{forest}/best", summary="Which view holds the best copy of a path")
    async def best(
        forest: str, request: Request, asked: Annotated[BestParameters, Query()]
    ) -> Response:
        arguments = {"forest": forest, "path": asked.place(), "by": asked.by}
        arguments |= limits(access_of(request.scope))
        return Document(await ask.command("best", arguments))

    return router
