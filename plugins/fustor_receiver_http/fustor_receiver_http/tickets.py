"""How a browser gets in: tickets for the WebSocket, and links that give a key once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fustor_core.client import BASE
from fustor_core.contracts import Access, Ask
from fustor_core.vouchers import TEXT_MAX, Vouchers
from fustor_receiver_http.documents import Document, body_of, body_schema
from fustor_receiver_http.parameters import Parameters
from fustor_receiver_http.routes import Routes
from fustor_receiver_http.scopes import access_of

LOGIN = f"{BASE}/login"
TICKET_S = 30.0

Tickets = Vouchers[Access]


class LinkBody(Parameters):
    scopes: list[Literal["read", "scan", "admin"]] = Field(
        ["read", "scan"], min_length=1, description="what the key may do that it gives"
    )
    views: list[str] = Field(["*"], description="globs of the views that it holds for")
    pipes: list[str] = Field(["*"], description="globs of the pipes that it holds for")


class LoginBody(Parameters):
    code: str = Field(max_length=TEXT_MAX, description="what a link ends with")


def routes(ask: Ask, tickets: Tickets) -> Routes:
    """The routes with which a browser gets in."""
    router = Routes(prefix=BASE)

    @router.post(
        "/state/tickets",
        tags=["read"],
        summary="A ticket that opens the WebSocket of the live state once, soon",
        status_code=201,
        openapi_extra=body_schema(Parameters),
    )
    async def ticket(request: Request) -> Response:
        await body_of(request, Parameters)
        text = tickets.make(access_of(request.scope))
        return Document({"ticket": text, "lives_s": tickets.lives_s}, status=201)

    @router.post(
        "/login/links",
        tags=["admin"],
        summary="The end of a link to the page: who follows it first gets a key for half a day",
        status_code=201,
        openapi_extra=body_schema(LinkBody),
    )
    async def link(request: Request) -> Response:
        body = await body_of(request, LinkBody)
        return Document(await ask.command("link", body.model_dump()), status=201)

    @router.post(
        "/login",
        tags=["login"],
        summary="The key that a link gives, once",
        openapi_extra=body_schema(LoginBody),
    )
    async def login(request: Request) -> Response:
        body = await body_of(request, LoginBody)
        return Document(await ask.command("login", {"code": body.code}))

    return router


def ticket_in(query: bytes) -> str | None:
    """The ticket that stands in a query, if there is one."""
    given = parse_qs(query.decode("ascii", "replace")).get("ticket", [])
    return given[0] if len(given) == 1 else None


def is_ours(origins: Iterable[bytes], host: bytes, names: Iterable[str]) -> bool:
    """Whether a WebSocket may be opened by the page that asks for it.

    Browsers let any page open one to any place, and say which page it is. Programs say nothing.

    Args:
        origins: every Origin header. host: the Host header. names: hosts under which the page is
            known beside that, as behind a proxy.
    """
    given = list(origins)
    if not given:
        return True
    if len(given) > 1:
        return False
    try:
        origin = urlsplit(given[0].decode("ascii"))
        name = origin.hostname or ""
    except (UnicodeDecodeError, ValueError):
        return False
    if origin.scheme not in ("http", "https"):
        return False
    return origin.netloc.lower() == host.decode("latin-1").lower() or name in set(names)
