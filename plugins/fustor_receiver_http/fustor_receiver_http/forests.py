"""The routes of forests: several views asked as one (interfaces.md §3)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fustor_core.client import BASE
from fustor_core.contracts import Ask
from fustor_receiver_http.documents import Document
from fustor_receiver_http.parameters import Parameters, Placed
from fustor_receiver_http.routes import Routes
from fustor_receiver_http.scopes import access_of, limits


class BestParameters(Placed):
    by: Literal["complete", "file_count", "total_size", "latest_mtime"] | None = Field(
        None, description="what makes a copy the best; left out: as configured"
    )


def routes(ask: Ask) -> Routes:
    """The routes below ``/forests``."""
    router = Routes(prefix=f"{BASE}/forests", tags=["read"])

    @router.get("", summary="All forests")
    async def forests(request: Request, asked: Parameters) -> Response:
        return Document(await ask.command("forests", limits(access_of(request.scope))))

    @router.get("/{forest}/best", summary="Which view holds the best copy of a path")
    async def best(forest: str, request: Request, asked: BestParameters) -> Response:
        arguments = {"forest": forest, "path": asked.place(), "by": asked.by}
        arguments |= limits(access_of(request.scope))
        return Document(await ask.command("best", arguments))

    return router
