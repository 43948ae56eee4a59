"""Every error as a problem document with its slug, status and fields."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fustor_receiver_http.problems import SLUGS, Answered, response_of

from fustor_core.errors import (
    ConfigError,
    CursorTooOld,
    DamagedState,
    DiskFull,
    Forbidden,
    FustorError,
    IllegalTransition,
    MalformedClaim,
    MutationError,
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
    StateConflict,
    StateError,
    StateInUse,
    StateTooLarge,
    TooLarge,
    Unauthorized,
    Unreachable,
    UnsupportedProtocol,
    Vetoed,
)
from fustor_core.problems import Problem

TABLE: list[tuple[FustorError, int, str, dict[str, Any]]] = [
    (QueryError("m"), 400, "malformed", {}),
    (MalformedClaim("m"), 400, "malformed", {}),
    (PluginError("m"), 400, "malformed", {}),
    (
        ConfigError("m", file="f", line=3, column=4, key="k", suggestion="s", excerpt="e"),
        400,
        "malformed",
        {"file": "f", "line": 3, "column": 4, "key": "k", "suggestion": "s", "excerpt": "e"},
    ),
    (Refused("m"), 403, "forbidden", {}),
    (TooLarge("m", limit=9), 413, "too-large", {"limit": 9}),
    (NoSuchView("x", ["v"]), 404, "no-such-view", {"view": "x", "known": ["v"]}),
    (NoSuchJob("m"), 404, "no-such-job", {}),
    (NoSuchKey("m"), 404, "no-such-key", {}),
    (SequenceGap("m", expected=4), 409, "sequence-gap", {"expected": 4}),
    (StateInUse("m", pid=12), 409, "view-locked", {"pid": 12}),
    (
        IllegalTransition("pipeline", "0", "pause", ["start"]),
        409,
        "illegal-transition",
        {"machine": "pipeline", "state": "0", "event": "pause", "legal": ["start"]},
    ),
    (CursorTooOld("m", cursor="c"), 410, "cursor-too-old", {"cursor": "c"}),
    (
        StaleEpochError("m", epoch=0, role="follower"),
        412,
        "stale-epoch",
        {"epoch": 0, "role": "follower"},
    ),
    (
        SessionObsoletedError("m", reason="replaced"),
        419,
        "session-obsolete",
        {"reason": "replaced"},
    ),
    (SlowDown("m", retry_after_s=1.5), 429, "slow-down", {"retry_after_s": 1.5}),
    (Unreachable("m"), 503, "slow-down", {"retry_after_s": 5.0}),
    (Unauthorized("m"), 401, "unauthorized", {}),
    (Forbidden("m"), 403, "forbidden", {}),
    (UnsupportedProtocol("m", supported=[1]), 400, "unsupported-protocol", {"supported": [1]}),
    (DiskFull("m"), 507, "disk-full", {}),
    (StateError("m"), 500, "internal", {}),
    (DamagedState("m"), 500, "internal", {}),
    (Vetoed("h", "no"), 403, "forbidden", {}),
    (MutationError("m"), 500, "internal", {}),
    (StateConflict("f", mine="a", theirs="b"), 500, "internal", {}),
    (StateTooLarge("f", size=2, limit=1), 500, "internal", {}),
    (FustorError("m", remedy="do it"), 500, "internal", {"remedy": "do it"}),
    (Answered("too-large", "m", fields={"limit": 5}), 413, "too-large", {"limit": 5}),
    (
        Problem({"type": "urn:fustor:problem:no-such-job", "status": 404, "detail": "m", "job": 3}),
        404,
        "no-such-job",
        {"job": 3},
    ),
    (
        Problem({"type": "urn:fustor:problem:view-locked", "status": 409, "title": "m", "pipe": 1}),
        409,
        "view-locked",
        {"pipe": 1},
    ),
]


@pytest.mark.parametrize(("error", "status", "slug", "fields"), TABLE)
def test_each_error_has_its_document(
    error: FustorError, status: int, slug: str, fields: dict[str, Any]
) -> None:
    reply = response_of(error, "/here")
    document = msgspec.json.decode(bytes(reply.body))
    assert reply.media_type == "application/problem+json"
    assert reply.status_code == document.pop("status") == status
    assert document.pop("type") == f"urn:fustor:problem:{slug}"
    assert document.pop("title") == SLUGS[slug][1]
    assert document.pop("detail") == error.message
    assert document.pop("instance") == "/here"
    if error.remedy:
        fields = {**fields, "remedy": error.remedy}
    assert document == fields
    wait_s = fields.get("retry_after_s")
    assert reply.headers.get("Retry-After") == (str(-int(-wait_s // 1)) if wait_s else None)


def test_every_error_of_the_tree_is_told() -> None:
    def leaves(kind: type[FustorError]) -> set[type[FustorError]]:
        mine = [sub for sub in kind.__subclasses__() if sub.__module__ == "fustor_core.errors"]
        return {kind}.union(*(leaves(sub) for sub in mine)) if mine else {kind}

    abstract = {"AccessError", "PipeError"}
    assert {kind.__name__ for kind in leaves(FustorError)} - abstract <= {
        type(error).__name__ for error, *_ in TABLE
    }


async def test_errors_come_through_the_server(served: Any) -> None:
    for error, status, slug, _ in TABLE:
        served.ask.faults["stat"] = error
        reply = await served.unix.get("/api/v1/views/v/stat")
        assert reply.status_code == status
        assert reply.json()["type"].endswith(slug)
        assert reply.json()["instance"] == "/api/v1/views/v/stat"


async def test_errors_before_a_stream_are_told_with_their_status(served: Any) -> None:
    served.ask.faults["find"] = QueryError("bad pattern")
    headers = {"Accept": "application/x-ndjson"}
    reply = await served.unix.get("/api/v1/views/v/find", headers=headers)
    assert reply.status_code == 400
    assert reply.json()["detail"] == "bad pattern"


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(served: Any) -> None:
    served.ask.faults["stat"] = ZeroDivisionError("secret")
    reply = await served.unix.get("/api/v1/views/v/stat")
    assert reply.status_code == 500
    assert reply.json()["type"] == "urn:fustor:problem:internal"
    assert "secret" not in reply.text
    served.ask.faults.clear()
    assert (await served.unix.get("/api/v1/views/v/stat")).status_code == 200


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/", ""),
        ("/api/v1", ""),
        ("/api/v1/views/v/lss", "/api/v1/views/{view}/ls"),
        ("/api/v1/views/v/stat/", "/api/v1/views/{view}/stat"),
        ("/api/v1/views/v/%2e%2e/x", ""),
        ("/api/v2/status", "/api/v1/status"),
        ("/%ff%00", ""),
        ("/livezz", "/livez"),
    ],
)
async def test_an_unknown_route_is_a_404_problem(served: Any, path: str, hint: str) -> None:
    reply = await served.unix.get(path)
    document = reply.json()
    assert reply.status_code == 404, document
    assert document["type"] == "urn:fustor:problem:no-such-route"
    assert hint in document["remedy"]


async def test_a_wrong_method_is_a_405_that_names_the_right_ones(served: Any) -> None:
    for path, allowed in (
        ("/api/v1/views/v/scan", "POST"),
        ("/api/v1/views/v", "DELETE, GET"),
        ("/api/v1/jobs/7", "DELETE, GET"),
        ("/docs", "GET"),
    ):
        reply = await served.unix.put(path)
        assert reply.status_code == 405
        assert reply.headers["Allow"] == allowed
        assert reply.json()["type"] == "urn:fustor:problem:method-not-allowed"
        assert allowed in reply.json()["remedy"]


async def test_an_unknown_view_names_those_that_exist(served: Any) -> None:
    for verb in ("ls", "stat", "find", "changes", "changes?follow=true"):
        reply = await served.unix.get(f"/api/v1/views/w/{verb}")
        assert reply.status_code == 404
        assert reply.json()["view"] == "w"
        assert "v" in reply.json()["remedy"]


async def test_an_old_cursor_is_a_410_with_the_one_to_go_on_from(served: Any) -> None:
    served.ask.change("/a")
    served.ask.floor = 1
    for more in ("", "&follow=true"):
        reply = await served.unix.get(f"/api/v1/views/v/changes?since=0{more}")
        assert reply.status_code == 410
        assert reply.json()["cursor"] == "1"
