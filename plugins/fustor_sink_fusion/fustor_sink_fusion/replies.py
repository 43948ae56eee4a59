"""What replies that are no success mean to a pipe (interfaces.md §4)."""

from __future__ import annotations

from collections.abc import Mapping

from fustor_core.errors import (
    FustorError,
    NoSuchView,
    PipeError,
    QueryError,
    Refused,
    SlowDown,
    TooLarge,
    Unreachable,
)
from fustor_core.problems import MEDIA_TYPE, Problem, error_of, problem_document

SLOW_S = 1.0
SAFE = ("retry-after",)


def error_for(url: str, status: int, body: bytes, headers: Mapping[str, str]) -> PipeError:
    """The error that a reply stands for.

    Args:
        url: of the server, for the text.
        headers: of the reply; names in lower case.
    """
    if 300 <= status < 400:
        return Refused(
            f"{url} redirects to another address, which is not followed; set `url` to the final one"
        )
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        return _of_a_stranger(url, status, headers)
    try:
        told = {"Retry-After": headers.get("retry-after", "")}
        return _of_fusion(url, error_of(problem_document(status, body, told)))
    except (TypeError, ValueError, OverflowError):
        return wrong_content(url)


def wrong_content(url: str) -> Unreachable:
    """The error for a reply that fusion would not give."""
    return Unreachable(
        f"{url} does not answer as a fusion server does; is the address right, and no other server"
        " in between?"
    )


def _of_fusion(url: str, error: FustorError) -> PipeError:
    """What an error that fusion has told means to a pipe."""
    problem = error if isinstance(error, Problem) else error.__cause__
    slug = problem.slug if isinstance(problem, Problem) else ""
    status = problem.status if isinstance(problem, Problem) else 0
    text = f"{url}: {error.message}" + (f"; {error.remedy}" if error.remedy else "")
    if slug == "too-large" or status == 413:
        limit = problem.document.get("limit") if isinstance(problem, Problem) else None
        return TooLarge(text, limit=limit if isinstance(limit, int) else None)
    if isinstance(error, SlowDown) or (isinstance(error, PipeError) and not _final(error)):
        return error
    if isinstance(error, NoSuchView):
        return Unreachable(f"{text}; or add it there")
    if isinstance(error, Refused | QueryError) or slug in ("unsupported-protocol", "misdirected"):
        return Refused(text)
    if slug == "unsupported-media" or status in (400, 401, 403, 415, 421):
        return Refused(text)
    return Unreachable(text)


def _final(error: PipeError) -> bool:
    return isinstance(error, Refused | Unreachable)


def _of_a_stranger(url: str, status: int, headers: Mapping[str, str]) -> PipeError:
    """What a reply without a problem document means: something else has answered."""
    if status in (401, 403):
        return Refused(f"{url}: access denied (status {status}), and not by fusion itself")
    if status == 413:
        return TooLarge(
            f"{url}: a server before fusion does not take batches of this size (status 413); raise"
            " its limit above `max_batch_bytes` of the receiver"
        )
    if status == 429:
        wait = headers.get("retry-after", "")
        return SlowDown(
            f"{url} is busy (status 429)",
            retry_after_s=float(wait) if wait.isdigit() and len(wait) < 6 else SLOW_S,
        )
    if status >= 500:
        return Unreachable(f"{url} answers with status {status}; is fusion up behind that address?")
    return wrong_content(url)
