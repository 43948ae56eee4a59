"""What replies that are no success mean to a pipe (interfaces.md §4)."""

from __future__ import annotations

from collections.abc import Mapping

from fustor_core.errors import (
    FustorError,
    PipeError,
    QueryError,
    Refused,
    SlowDown,
    TooLarge,
    Unreachable,
)
from fustor_core.problems import MEDIA_TYPE, Problem, error_of, problem_document

SLOW_S = 1.0
SLOWEST_S = 60.0  # nobody makes a pipe wait for longer


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
    document = problem.document if isinstance(problem, Problem) else {}
    slug = problem.slug if isinstance(problem, Problem) else ""
    text = f"{url}: {error.message}" + (f"; {error.remedy}" if error.remedy else "")
    if slug == "too-large":
        limit = document.get("limit")
        return TooLarge(text, limit=limit if isinstance(limit, int) else None)
    if isinstance(error, SlowDown):
        wait_s = error.retry_after_s
        return SlowDown(text, retry_after_s=wait_s if 0 < wait_s <= SLOWEST_S else SLOW_S)
    if isinstance(error, PipeError) and not isinstance(error, Refused):
        return error
    if slug == "no-such-view":
        return Unreachable(f"{text}; or add it there")
    if isinstance(error, Refused | QueryError) or slug == "unsupported-media":
        return Refused(text)
    return Unreachable(text)


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
        wait_s = float(wait) if wait.isdecimal() else SLOW_S
        return SlowDown(f"{url} is busy (status 429)", retry_after_s=min(wait_s, SLOWEST_S))
    if status >= 500:
        return Unreachable(f"{url} answers with status {status}; is fusion up behind that address?")
    return wrong_content(url)
