"""What each route needs: one table, and the one place where it is checked.

A route that is not in the table is refused to everybody. Lists show what the key covers and leave
out the rest; a thing with a name that the key does not cover is refused, there or not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fustor_core.client import BASE
from fustor_core.contracts import RIGHTS, Access, Ask, Right
from fustor_core.errors import Forbidden, FustorError, NoSuchView
from fustor_receiver_http.problems import response_of

ACCESS = "fustor.access"
"""Where a request's scope says what its caller may do."""

NOBODY = Access(rights=frozenset(), views=(), pipes=())
"""A caller who has shown nothing."""

Reach = Literal["", "view", "pipe", "job", "forest", "everything"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route needs.

    Args:
        right: a scope of the key; None: nothing at all.
        reach: what the key's globs have to cover: the view, pipe, job or forest in the path, or
            everything there is; "" = the route itself leaves out what they do not cover.
    """

    right: Right | None
    reach: Reach = ""


def _rules() -> dict[tuple[str, str], Rule]:
    sessions, view = "/pipe/sessions", "/views/{view}"
    verbs = "ls tree stat du find stable changes explain suspects debts blind-spots status"
    table = {
        # Fusion binds what is below a session to its key; `open` looks at view and pipe itself.
        ("POST", f"{sessions}/"): Rule("push"),
        ("DELETE", f"{sessions}/{{id}}"): Rule("push"),
        ("POST", f"{sessions}/{{id}}/heartbeat"): Rule("push"),
        ("POST", f"{sessions}/{{id}}/batches"): Rule("push"),
        ("GET", "/views"): Rule("read"),
        ("GET", view): Rule("read", "view"),
        **{("GET", f"{view}/{verb}"): Rule("read", "view") for verb in verbs.split()},
        ("DELETE", view): Rule("admin", "view"),
        ("POST", f"{view}/scan"): Rule("scan", "view"),
        ("POST", f"{view}/confirm"): Rule("admin", "view"),
        ("GET", "/forests"): Rule("read"),
        ("GET", "/forests/{forest}/best"): Rule("read", "forest"),
        ("GET", "/jobs"): Rule("scan"),
        ("GET", "/jobs/{id}"): Rule("scan", "job"),
        ("DELETE", "/jobs/{id}"): Rule("scan", "job"),
        ("GET", "/sessions"): Rule("read"),
        ("GET", "/status"): Rule("read"),
        ("GET", "/pipes"): Rule("read"),
        ("GET", "/pipes/{id}"): Rule("read", "pipe"),
        ("POST", "/pipes/{id}/pause"): Rule("admin", "pipe"),
        ("POST", "/pipes/{id}/resume"): Rule("admin", "pipe"),
        ("POST", "/pipes/{id}/restart"): Rule("admin", "pipe"),
        ("GET", "/machines"): Rule("read"),
        ("GET", "/machines/{name}"): Rule("read"),
        ("GET", "/plugins"): Rule("read"),
        ("GET", "/config"): Rule("admin", "everything"),
        ("GET", "/keys"): Rule("admin", "everything"),
        ("POST", "/keys"): Rule("admin", "everything"),
        ("DELETE", "/keys/{id}"): Rule("admin", "everything"),
        ("POST", "/keys/{id}/rotate"): Rule("admin", "everything"),
        ("POST", "/login/links"): Rule("admin", "everything"),
        ("GET", "/state/ws"): Rule("read"),
        ("POST", "/state/tickets"): Rule("read"),
        ("POST", "/login"): Rule(None),
        ("POST", "/stop"): Rule("admin", "everything"),
        ("POST", "/reload"): Rule("admin", "everything"),
        ("GET", "/log-levels"): Rule("admin", "everything"),
        ("POST", "/log-level"): Rule("admin", "everything"),
    }
    outside = {
        ("GET", "/livez"): Rule(None),
        ("GET", "/readyz"): Rule(None),
        ("GET", "/startupz"): Rule(None),
        ("GET", "/version"): Rule(None),
        ("GET", "/metrics"): Rule("read"),
        ("GET", "/openapi.json"): Rule("read"),
        ("GET", "/docs"): Rule("read"),
    }
    return {(method, BASE + path): rule for (method, path), rule in table.items()} | outside


RULES: Mapping[tuple[str, str], Rule] = _rules()
"""(method, template of the path) → what it needs."""

OPEN = frozenset(path for (_, path), rule in RULES.items() if rule.right is None)
"""Paths that are answered without a key."""

LISTS: Mapping[str, tuple[str, str]] = {
    "pipe": ("pipes", "id"),
    "job": ("jobs", "id"),
    "forest": ("forests", "forest"),
}
"""reach → the command that lists what there is, and the field that names one."""


def access_of(scope: Mapping[str, Any]) -> Access:
    """What the caller of a request may do; nothing, where no guard has said so."""
    found = scope.get(ACCESS)
    return found if isinstance(found, Access) else NOBODY


def everything(access: Access) -> bool:
    """Whether the globs of a key leave nothing out."""
    return "*" in access.views and "*" in access.pipes


def permit(ask: Ask) -> Callable[[Request], Awaitable[None]]:
    """The check that is made before every route."""

    async def permitted(request: Request) -> None:
        template = getattr(request.scope.get("route"), "path", "")
        rule = RULES.get((request.method, template))
        if rule is None:
            raise Forbidden(f"no right is stated for {request.method} {template}")
        await check(ask, access_of(request.scope), rule, request.path_params)

    return permitted


async def check(ask: Ask, access: Access, rule: Rule, named: Mapping[str, str]) -> None:
    """Let a request pass.

    Args:
        named: parameters in the path.

    Raises:
        Forbidden: the key lacks the scope, or its globs do not cover what is named.
    """
    if rule.right is None:
        return
    if rule.right not in access.rights:
        raise Forbidden(
            f"the key has no scope {rule.right!r}", remedy="ask with a key that has this scope"
        )
    if rule.reach == "" or everything(access):
        return
    if rule.reach == "everything":
        raise Forbidden(
            "this is for keys that hold for all views and pipes",
            remedy="ask with such a key, or on the server's own socket",
        )
    if rule.reach == "view":
        name = named["view"]
        covered = access.covers(rule.right, view=name)
    else:
        listed, field = LISTS[rule.reach]
        name = named[rule.reach if rule.reach in named else "id"]
        document = await ask.command(listed, limits(access))
        pipe = field if rule.reach == "pipe" else ""
        shown = covered_of(access, rule.right, document.get(listed) or (), pipe=pipe)
        covered = any(str(item.get(field)) == name for item in shown)
    if not covered:
        raise Forbidden(
            f"the key does not cover the {rule.reach} {name!r}",
            remedy="ask with a key whose views and pipes cover it",
        )


def limits(access: Access) -> dict[str, Any]:
    """Arguments of a command that leaves out itself what a key does not cover."""
    return {} if everything(access) else {"views": access.views}


def covered_of(
    access: Access, right: Right, documents: Iterable[dict[str, Any]], *, pipe: str = ""
) -> list[dict[str, Any]]:
    """Those documents of a list that a key covers.

    Args:
        documents: with a field `view`; one without belongs to no view here.
        pipe: the field that names the pipe, "" = none does.
    """
    if right in access.rights and everything(access):
        return list(documents)
    return [
        document
        for document in documents
        if access.covers(
            right, view=document.get("view"), pipe=document.get(pipe) if pipe else None
        )
    ]


class Gate:
    """Before a hot route: the right of the rows at and below its place, which is one.

    Args:
        place: a path; one that ends with ``/`` stands for all below it.
        app: the hot route. It sees to views and pipes itself.

    Raises:
        LookupError: the table has no row for this place, or several rights.
    """

    def __init__(self, place: str, app: ASGIApp) -> None:
        rights = {rule.right for (_, path), rule in RULES.items() if _at(place, path)}
        if len(rights) != 1:
            raise LookupError(f"the table of routes states {len(rights)} rights for {place}")
        self._rule = Rule(rights.pop())
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        access = access_of(scope)
        if self._rule.right is None or self._rule.right in access.rights:
            await self._app(scope, receive, send)
        else:
            refusal = Forbidden(
                f"the key has no scope {self._rule.right!r}",
                remedy="ask with a key that has this scope",
            )
            await response_of(refusal, scope["path"])(scope, receive, send)


def shown_to(access: Access, error: FustorError) -> FustorError:
    """An error as the holder of a key may see it."""
    if isinstance(error, NoSuchView):
        known = [view for view in error.known if any(access.covers(r, view=view) for r in RIGHTS)]
        return NoSuchView(error.view, known)
    return error


def _at(place: str, path: str) -> bool:
    return path.rstrip("/") == place or (place.endswith("/") and path.startswith(place))
