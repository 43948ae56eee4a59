"""Problem documents (RFC 9457) and the errors that they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fustor_core.errors import (
    CursorTooOld,
    DiskFull,
    FustorError,
    NoSuchView,
    QueryError,
    Refused,
    SequenceGap,
    SessionObsoletedError,
    SlowDown,
    StaleEpochError,
)

MEDIA_TYPE = "application/problem+json"
URN = "urn:fustor:problem:"


class Problem(FustorError):
    """What the server answered instead: a problem document (RFC 9457).

    Args:
        document: as received; `slug` is the last part of its type, `status` the HTTP status.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        title = str(document.get("title") or "the server refused")
        detail = str(document.get("detail") or "")
        super().__init__(detail or title, remedy=str(document.get("remedy") or ""))
        self.document = dict(document)
        self.status = int(document.get("status") or 0)
        self.slug = str(document.get("type") or "").removeprefix(URN)


def error_of(document: Mapping[str, Any]) -> FustorError:
    """The error of our tree that a problem document stands for; `Problem` when it has no own."""
    problem = Problem(document)
    known = _KINDS.get(problem.slug) or _STATUSES.get(problem.status)
    error = known(problem) if known else problem
    if error is not problem:
        error.remedy = problem.remedy or error.remedy
        error.__cause__ = problem
    return error


def problem_document(status: int, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The problem document of a failed reply, made up from the status when there is none."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "type" not in document:
        shown = content[:200].decode(errors="replace").strip()
        document = {"type": "about:blank", "title": f"HTTP status {status}", "detail": shown}
    document = {"status": status, **document}
    if "retry_after_s" not in document and headers.get("Retry-After", "").isdigit():
        document["retry_after_s"] = int(headers["Retry-After"])
    return document


def _query_error(problem: Problem) -> FustorError:
    return QueryError(problem.message)


def _refused(problem: Problem) -> FustorError:
    return Refused(problem.message)


def _no_such_view(problem: Problem) -> FustorError:
    if "view" not in problem.document:
        return problem
    known = [str(name) for name in problem.document.get("known") or ()]
    return NoSuchView(str(problem.document["view"]), known)


def _gap(problem: Problem) -> FustorError:
    return SequenceGap(problem.message, expected=int(problem.document.get("expected") or 1))


def _too_old(problem: Problem) -> FustorError:
    return CursorTooOld(problem.message, cursor=str(problem.document.get("cursor") or ""))


def _stale(problem: Problem) -> FustorError:
    epoch, role = problem.document.get("epoch"), problem.document.get("role")
    return StaleEpochError(problem.message, epoch=int(epoch or 0), role=str(role or "follower"))


def _obsolete(problem: Problem) -> FustorError:
    reason = str(problem.document.get("reason") or "unknown")
    return SessionObsoletedError(problem.message, reason=reason)


def _slow_down(problem: Problem) -> FustorError:
    wait_s = float(problem.document.get("retry_after_s") or 1.0)
    return SlowDown(problem.message, retry_after_s=wait_s)


def _disk_full(problem: Problem) -> FustorError:
    return DiskFull(problem.message)


_KINDS: dict[str, Callable[[Problem], FustorError]] = {
    "malformed": _query_error,
    "unauthorized": _refused,
    "forbidden": _refused,
    "no-such-view": _no_such_view,
    "sequence-gap": _gap,
    "cursor-too-old": _too_old,
    "stale-epoch": _stale,
    "session-obsolete": _obsolete,
    "slow-down": _slow_down,
    "disk-full": _disk_full,
}
_STATUSES: dict[int, Callable[[Problem], FustorError]] = {
    400: _query_error,
    401: _refused,
    403: _refused,
    410: _too_old,
    419: _obsolete,
    421: _refused,
    422: _query_error,
    429: _slow_down,
    503: _slow_down,
    507: _disk_full,
}
