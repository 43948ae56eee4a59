"""Problem documents become the errors that decide what a caller does."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from fustor_core.problems import URN, Problem, error_of, problem_document


def document(slug: str, status: int, **more: Any) -> dict[str, Any]:
    return {"type": URN + slug, "title": slug, "status": status, "detail": "so it is", **more}


@pytest.mark.parametrize(
    ("given", "kind", "facts"),
    [
        (document("malformed", 400), QueryError, {}),
        (document("unauthorized", 401), Refused, {}),
        (document("forbidden", 403), Refused, {}),
        (document("no-such-view", 404, view="x", known=["a"]), NoSuchView, {"known": ("a",)}),
        (document("sequence-gap", 409, expected=7), SequenceGap, {"expected": 7}),
        (document("cursor-too-old", 410, cursor="c"), CursorTooOld, {"cursor": "c"}),
        (document("stale-epoch", 412, epoch=3, role="leader"), StaleEpochError, {"epoch": 3}),
        (document("session-obsolete", 419, reason="replaced"), SessionObsoletedError,
         {"reason": "replaced"}),
        (document("slow-down", 503, retry_after_s=2.5), SlowDown, {"retry_after_s": 2.5}),
        (document("disk-full", 507), DiskFull, {}),
        (document("absent", 404), Problem, {"slug": "absent", "status": 404}),
        (document("view-locked", 409), Problem, {"slug": "view-locked"}),
        (document("no-such-view", 404), Problem, {"slug": "no-such-view"}),
        (document("of-tomorrow", 400), QueryError, {}),
        (document("of-tomorrow", 418), Problem, {"slug": "of-tomorrow"}),
    ],
)  # fmt: skip
def test_each_slug_has_its_error(
    given: dict[str, Any], kind: type[FustorError], facts: dict[str, Any]
) -> None:
    error = error_of(given)
    assert type(error) is kind
    assert {name: getattr(error, name) for name in facts} == facts
    problem = error if isinstance(error, Problem) else error.__cause__
    assert isinstance(problem, Problem)
    assert problem.document == given
    assert "so it is" in problem.message


def test_the_servers_remedy_is_kept() -> None:
    assert error_of(document("malformed", 400, remedy="do this")).remedy == "do this"
    assert error_of(document("cursor-too-old", 410)).remedy, "the error's own, when there is none"


@pytest.mark.parametrize("content", [b"", b"<html>oops", b"[1]", b'"text"', b'{"detail": "x"}'])
def test_a_reply_that_is_no_problem_becomes_one(content: bytes) -> None:
    made = problem_document(502, content, {})
    assert made["status"] == 502
    assert content[:5].decode() in made["detail"]
    json.dumps(made)


def test_retry_after_comes_from_the_header() -> None:
    content = json.dumps(document("slow-down", 503)).encode()
    error = error_of(problem_document(503, content, {"Retry-After": "7"}))
    assert isinstance(error, SlowDown)
    assert error.retry_after_s == 7
