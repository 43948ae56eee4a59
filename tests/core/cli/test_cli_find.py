"""`view find`: matches as they come, filters as they were typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Fustor = Callable[..., Any]
PATHS = [b"/a", b"/d/new\nline", b"/\xff", b"/two words"]
FIND = "/api/v1/views/data/find"


@pytest.fixture
def found(server: Any, make: Any) -> Any:
    """A server that finds the four paths."""
    summary = {"summary": {"matches": 4, "next_cursor": None, "quality": make.quality()}}
    entries = [make.entry(path, size=7) for path in PATHS]
    server.lines[FIND] = [json.dumps(line).encode() for line in (*entries, summary)]
    return server


def test_paths_into_a_pipe(fustor: Fustor, found: Any) -> None:
    done = fustor("view", "find", "*")
    assert (done.code, done.err) == (0, "")
    assert done.out == b"".join(path + b"\n" for path in PATHS)
    assert fustor("view", "find", "*", "-0").out == b"".join(path + b"\0" for path in PATHS)


def test_paths_on_a_terminal(terminal: Fustor, found: Any) -> None:
    code, shown = terminal("view", "find", "*", NO_COLOR="1")
    assert code == 0
    assert shown.splitlines() == ["/a", r"/d/new\nline", r"/\377", r"/two\ words"]


def test_lines_of_json_are_passed_on(fustor: Fustor, found: Any) -> None:
    assert fustor("view", "find", "*", "--jsonl").lines == found.lines[FIND]


def test_one_document(fustor: Fustor, server: Any, make: Any) -> None:
    page = {"matches": [make.entry(b"/a")], "next_cursor": None, "quality": make.quality()}
    server.answer("/views/data/find", page)
    assert fustor("view", "find", "*", "--json").document == page


def test_filters_go_as_they_were_typed(fustor: Fustor, found: Any) -> None:
    options = ["--regex", "--path", "--ignore-case", "--size", "+1G", "--newer", "2d"]
    options += ["--older", "2026-01-31", "--owner", "1000", "--group", "7", "--type", "l"]
    options += ["--suspect", "--blind", "--limit", "9", "--cursor", "c", "--in", "/d"]
    assert fustor("view", "find", b"\xff", *options).code == 0
    assert found.asked("/views/data/find")[-1] == {
        "path": "/d",
        "pattern_b64": "/w==",
        "regex": "true",
        "whole_path": "true",
        "ignore_case": "true",
        "size": "+1G",
        "newer": "2d",
        "older": "2026-01-31",
        "owner": "1000",
        "group": "7",
        "type": "symlink",
        "suspect": "true",
        "blind": "true",
        "limit": "9",
        "cursor": "c",
    }
    assert fustor("view", "find", "x").code == 0
    assert found.asked("/views/data/find")[-1] == {"path": "/", "pattern": "x"}


def test_names_of_owners_are_those_of_this_host(fustor: Fustor, found: Any) -> None:
    assert fustor("view", "find", "*", "--owner", "root", "--group", "root").code == 0
    asked = found.asked("/views/data/find")[-1]
    assert (asked["owner"], asked["group"]) == ("0", "0")
    assert fustor("view", "find", "*", "--owner", "no-such-user").code == 2
    remote = ["--server", f"unix:{found.path}"]
    assert fustor(*remote, "view", "find", "*", "--owner", "no-such-user").code == 0


def test_a_type_that_does_not_exist(fustor: Fustor, found: Any) -> None:
    done = fustor("view", "find", "*", "--type", "x")
    assert done.code == 2
    assert "symlink" in done.err


def test_no_match_is_no_failure(fustor: Fustor, server: Any, make: Any) -> None:
    last = {"summary": {"matches": 0, "next_cursor": None, "quality": make.quality(stale=True)}}
    server.lines[FIND] = [json.dumps(last).encode()]
    done = fustor("view", "find", "nothing")
    assert (done.code, done.out) == (0, b"")
    assert "stale" in done.err


def test_an_answer_that_breaks_off_is_not_taken_for_whole(fustor: Fustor, found: Any) -> None:
    found.lines[FIND].pop()
    done = fustor("view", "find", "*")
    assert done.code == 4
    assert done.out.startswith(b"/a\n")


def test_a_problem_in_mid_stream(fustor: Fustor, found: Any, make: Any) -> None:
    _, document = make.problem("no-such-view", 404, "the view is gone")
    found.lines[FIND][-1] = json.dumps({"problem": document}).encode()
    done = fustor("view", "find", "*")
    assert done.code == 5
    assert "the view is gone" in done.err


def test_more_is_said(fustor: Fustor, found: Any, make: Any) -> None:
    last = {"summary": {"matches": 4, "next_cursor": "c9", "quality": make.quality()}}
    found.lines[FIND][-1] = json.dumps(last).encode()
    assert "--cursor c9" in fustor("view", "find", "*", "--limit", "4").err
