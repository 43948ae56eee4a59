"""What goes wrong, as problem documents (RFC 9457; interfaces.md §4).

One table of slugs and one of errors. Bad input is never a 5xx: those stand for our own faults
(500), for a full disk (507), and for what is not there at the moment (503).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fustor_core.errors import (
    ConfigError,
    CursorTooOld,
    DiskFull,
    Forbidden,
    FustorError,
    IllegalTransition,
    MalformedClaim,
    NoSuchJob,
    NoSuchKey,
    NoSuchView,
    PluginError,
    QueryError,
    Refused,
    SequenceGap,
    SessionObsoletedError,
    SlowDown,
    StaleEpochError,
    StateInUse,
    TooLarge,
    Unauthorized,
    Unreachable,
    UnsupportedProtocol,
)
from fustor_core.problems import MEDIA_TYPE, URN, Problem

UNREACHABLE_RETRY_S = 5.0

Routes = Mapping[str, Mapping[str, Any]]

SLUGS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request makes no sense"),
    "unsupported-protocol": (400, "No common protocol version"),
    "unauthorized": (401, "A valid key is needed"),
    "forbidden": (403, "The key does not allow this"),
    "absent": (404, "It is not there"),
    "unknown-path": (404, "Whether it is there is not known"),
    "no-such-view": (404, "No such view"),
    "no-such-forest": (404, "No such forest"),
    "no-such-job": (404, "No such job"),
    "no-such-key": (404, "No such key"),
    "no-such-pipe": (404, "No such pipe"),
    "no-such-machine": (404, "No such state machine"),
    "no-such-route": (404, "No such route"),
    "method-not-allowed": (405, "Not with this method"),
    "sequence-gap": (409, "A batch is missing in between"),
    "view-locked": (409, "In use"),
    "illegal-transition": (409, "Not in this state"),
    "cursor-too-old": (410, "The cursor is too old"),
    "stale-epoch": (412, "The leadership has changed"),
    "too-large": (413, "The request is too large"),
    "unsupported-media": (415, "No such content type here"),
    "session-obsolete": (419, "The session is gone"),
    "misdirected": (421, "Not under this host name"),
    "upgrade-required": (426, "This is a WebSocket"),
    "slow-down": (429, "Too busy at the moment"),
    "internal": (500, "A fault of the server"),
    "disk-full": (507, "No space for it"),
}


class ProblemResponse(Response):
    """A problem document as a reply, usable as an ASGI callable too.

    Args:
        slug: one of `SLUGS`; it gives status and title.
        detail: what is wrong here, for people.
        status: instead of the slug's own.
        remedy: what the reader can do, "" when the detail says it.
        instance: path of the request.
        fields: further members of the document.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        status: int | None = None,
        remedy: str = "",
        instance: str = "",
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        usual, title = SLUGS[slug]
        document: dict[str, Any] = {
            "type": URN + slug,
            "title": title,
            "status": status or usual,
            "detail": detail,
            "instance": instance,
        }
        if remedy:
            document["remedy"] = remedy
        super().__init__(
            msgspec.json.encode({**document, **(fields or {}), **document}),
            status_code=status or usual,
            headers=dict(headers or {}),
        )


class Answered(FustorError):
    """Ends the work on a request with a problem; raised by checks at the border.

    Args:
        slug, detail, remedy, status, headers, fields: as for `ProblemResponse`.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        remedy: str = "",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, remedy=remedy)
        self.slug = slug
        self.status = status
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})


def malformed(detail: str, *, remedy: str = "") -> Answered:
    """The error for input that makes no sense (400)."""
    return Answered("malformed", detail, remedy=remedy)


def response_of(error: FustorError, instance: str = "") -> Response:
    """The reply that stands for an error of the tree."""
    if isinstance(error, Problem):
        return _passed_on(error, instance)
    slug, status, fields = _told(error)
    headers = dict(error.headers) if isinstance(error, Answered) else {}
    wait_s = fields.get("retry_after_s")
    if wait_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return ProblemResponse(
        slug,
        error.message,
        status=status,
        remedy=error.remedy,
        instance=instance,
        headers=headers,
        fields={name: value for name, value in fields.items() if value not in (None, "")},
    )


def line_of(error: FustorError, instance: str = "") -> dict[str, Any]:
    """The same as a member of a stream that had begun already."""
    return {"problem": msgspec.json.decode(bytes(response_of(error, instance).body))}


def nearest(word: str, known: list[str]) -> str:
    """The known word that was meant, or ""."""
    return next(iter(get_close_matches(word, known, n=1)), "")


async def failed(request: Request, error: Exception) -> Response:
    """The reply when a request failed by a fault of ours."""
    return ProblemResponse(
        "internal",
        "the request failed by a fault of the server; its log has the details",
        instance=request.url.path,
    )


async def refuse(
    scope: Scope, receive: Receive, send: Send, slug: str, detail: str, **more: Any
) -> None:
    """Answers a request that no route has seen yet."""
    reply = ProblemResponse(slug, detail, instance=scope["path"], **more)
    await reply(scope, receive, send)


def _passed_on(error: Problem, instance: str) -> Response:
    slug = error.slug if error.slug in SLUGS else "internal"
    fields = {name: value for name, value in error.document.items() if name not in _MEMBERS}
    return ProblemResponse(
        slug,
        error.message,
        status=error.status or None,
        remedy=error.remedy,
        instance=instance,
        fields=fields,
    )


_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "remedy"})

_PLAIN: tuple[tuple[type[FustorError], str, int | None, tuple[str, ...]], ...] = (
    (NoSuchView, "no-such-view", None, ("view", "known")),
    (NoSuchJob, "no-such-job", None, ()),
    (NoSuchKey, "no-such-key", None, ()),
    (CursorTooOld, "cursor-too-old", None, ("cursor",)),
    (QueryError, "malformed", None, ()),
    (UnsupportedProtocol, "unsupported-protocol", None, ("supported",)),
    (MalformedClaim, "malformed", None, ()),
    (Unauthorized, "unauthorized", None, ()),
    (Forbidden, "forbidden", None, ()),
    (ConfigError, "malformed", None, ("file", "line", "column", "key", "suggestion", "excerpt")),
    (PluginError, "malformed", None, ()),
    (IllegalTransition, "illegal-transition", None, ("machine", "state", "event", "legal")),
    (StateInUse, "view-locked", None, ("pid",)),
    (SessionObsoletedError, "session-obsolete", None, ("reason",)),
    (StaleEpochError, "stale-epoch", None, ("epoch", "role")),
    (SequenceGap, "sequence-gap", None, ("expected",)),
    (SlowDown, "slow-down", None, ("retry_after_s",)),
    (DiskFull, "disk-full", None, ()),
    (TooLarge, "too-large", None, ("limit",)),
    (Refused, "forbidden", None, ()),
)


def _told(error: FustorError) -> tuple[str, int | None, dict[str, Any]]:
    """Slug, status and further members for an error of the tree."""
    if isinstance(error, Answered):
        return error.slug, error.status, error.fields
    if isinstance(error, Unreachable):
        return "slow-down", 503, {"retry_after_s": UNREACHABLE_RETRY_S}
    for kind, slug, status, names in _PLAIN:
        if isinstance(error, kind):
            return slug, status, {name: getattr(error, name) for name in names}
    return "internal", None, {}


def invalid(faults: Sequence[Any], known: list[str]) -> Answered:
    """400 for input that pydantic refused, naming each fault and what was meant.

    Args:
        faults: pydantic's list of errors. known: names that may be given.
    """
    told = []
    for fault in faults:
        name = ".".join(str(part) for part in fault["loc"] if part != "query")
        hint = meant = ""
        if fault["type"] == "extra_forbidden":
            meant = nearest(name, known)
            message = f"no parameter {name!r}"
            hint = f"did you mean {meant!r}?" if meant else f"known: {', '.join(known) or 'none'}"
        else:
            message = ": ".join(filter(None, (name, fault["msg"].removeprefix("Value error, "))))
        told.append({"parameter": name, "message": message, "hint": hint, "suggestion": meant})
    first = told[0]
    fields: dict[str, Any] = {
        "errors": [{key: value for key, value in fault.items() if value} for fault in told]
    }
    if first["suggestion"]:
        fields["suggestion"] = first["suggestion"]
    return Answered("malformed", first["message"], remedy=first["hint"], fields=fields)


def _methods(path: str, routes: Routes) -> list[str]:
    """The methods that a path has, over all routes."""
    found: set[str] = set()
    for template, operations in routes.items():
        parts = re.split(r"\{\w+\}", template)
        if re.fullmatch("[^/]+".join(map(re.escape, parts)), path):
            found |= {method.upper() for method in operations}
    return sorted(found)


def unrouted(request: Request, error: HTTPException, routes: Routes) -> Response:
    """The reply to a request for which there is no route.

    Args:
        routes: the paths that exist, and the operations of each.
    """
    path = request.url.path
    if error.status_code == 405:
        allowed = ", ".join(_methods(path, routes)) or (error.headers or {}).get("Allow", "")
        return ProblemResponse(
            "method-not-allowed",
            f"{request.method} is not for {path}",
            remedy=f"allowed: {allowed}",
            instance=path,
            headers={"Allow": allowed},
        )
    if error.status_code == 404:
        meant = nearest(path, list(routes))
        remedy = f"did you mean {meant}? " if meant else ""
        return ProblemResponse(
            "no-such-route",
            f"nothing is at {path}",
            remedy=f"{remedy}all routes: /docs and /openapi.json",
            instance=path,
        )
    return ProblemResponse("malformed", str(error.detail), instance=path)
