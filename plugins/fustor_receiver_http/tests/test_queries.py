"""The read routes: what is asked, what is answered, what is refused."""

from __future__ import annotations

import base64
import json
import os
import pwd
import sys
import time
from typing import Any

import pytest

from fustor_core.contracts import Query

LARGEST = (1 << 64) - 1

VERBS = [
    ("ls", {}, Query("ls")),
    ("ls", {"path": "/a b", "limit": "7", "cursor": "c"}, Query("ls", b"/a b", 7, "c")),
    ("ls", {"path": "//a//b/"}, Query("ls", b"/a/b")),
    ("stat", {"path": "/ü"}, Query("stat", "/ü".encode())),
    ("tree", {}, Query("tree", depth=3)),
    ("tree", {"depth": "0", "limit": "9"}, Query("tree", limit=9, depth=0)),
    ("du", {"depth": "2"}, Query("du", depth=2)),
    ("stable", {"for": "2m"}, Query("stable", quiet_s=120.0)),
    ("stable", {}, Query("stable", quiet_s=30.0)),
    ("suspects", {"path": "/x"}, Query("suspects", b"/x")),
    ("debts", {}, Query("debts")),
    ("blind-spots", {"limit": "1"}, Query("blind-spots", limit=1)),
    ("blind-spots", {"by_directory": "true"}, Query("blind-directories", limit=1000)),
    ("explain", {"path": "/x"}, Query("explain", b"/x", 50)),
    ("changes", {"since": "0"}, Query("changes", since="0")),
    ("find", {}, Query("find", pattern=b"*")),
    ("find", {"regex": "true"}, Query("find", regex=True)),
    (
        "find",
        {"pattern": "*.log", "in": "/x", "whole_path": "1", "ignore_case": "true"},
        Query("find", b"/x", pattern=b"*.log", whole_path=True, ignore_case=True),
    ),
    (
        "find",
        {"pattern": "a", "size": "+1G", "owner": "12", "group": "0", "type": "f,dir"},
        Query(
            "find",
            pattern=b"a",
            size=("+", 1 << 30),
            uid=12,
            gid=0,
            types=frozenset({"file", "dir"}),
        ),
    ),
    (
        "find",
        {"pattern": "a", "suspect": "", "blind": "true"},
        Query("find", pattern=b"a", suspect=True, blind=True),
    ),
]


@pytest.mark.parametrize(("verb", "params", "query"), VERBS)
async def test_a_route_asks_its_question(served: Any, verb: str, params: Any, query: Query) -> None:
    reply = await served.unix.get(f"/api/v1/views/v/{verb}", params=params)
    assert reply.status_code == 200, reply.text
    assert served.ask.asked == [query]


async def test_all_pages_become_one_document_with_exact_integers(served: Any) -> None:
    reply = await served.unix.get("/api/v1/views/v/ls")
    document = reply.json()
    assert reply.headers["content-type"] == "application/json"
    assert document["entries"] == served.ask.entries
    assert document["next_cursor"] is None
    assert document["view"] == "v"
    assert str(served.ask.entries[0]["ino"]) in reply.text
    assert served.ask.over.is_set()


async def test_names_of_any_bytes_can_be_asked_for(served: Any) -> None:
    odd = b"/a/\xff\n+/\xfe"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        asked = {"path_b64": encode(odd).decode().rstrip("=")}
        assert (await served.unix.get("/api/v1/views/v/stat", params=asked)).status_code == 200
    unescaped = f"/api/v1/views/v/stat?path_b64={base64.b64encode(odd).decode()}"
    assert (await served.unix.get(unescaped)).status_code == 200
    assert {query.path for query in served.ask.asked} == {odd}
    pattern = {"pattern_b64": base64.b64encode(b"*\xff").decode()}
    await served.unix.get("/api/v1/views/v/find", params=pattern)
    assert served.ask.asked[-1].pattern == b"*\xff"


async def test_times_count_from_now(served: Any) -> None:
    before = time.time_ns()
    params = {"newer": "2d", "older": "2026-01-31T12:00:00+02:00"}
    await served.unix.get("/api/v1/views/v/find", params=params)
    asked = served.ask.asked[-1]
    two_days = 2 * 86_400 * 10**9
    assert before - two_days <= asked.newer_ns <= time.time_ns() - two_days
    assert asked.older_ns == 1_769_853_600 * 10**9


async def test_an_owner_may_be_a_name(served: Any) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    await served.unix.get("/api/v1/views/v/find", params={"owner": me})
    assert served.ask.asked[-1].uid == os.getuid()
    reply = await served.unix.get("/api/v1/views/v/find", params={"owner": "nobody-like-this"})
    assert reply.status_code == 400
    assert "number" in reply.json()["remedy"]


async def test_an_unescaped_plus_is_a_plus(served: Any) -> None:
    await served.unix.get("/api/v1/views/v/find?size=+1KiB&older=2026-01-31T12:00:00+00:00")
    assert served.ask.asked[-1].size == ("+", 1024)
    assert served.ask.asked[-1].older_ns == 1_769_860_800 * 10**9


@pytest.mark.parametrize("verb", ["find", "ls", "changes"])
async def test_lists_stream_as_lines(served: Any, verb: str) -> None:
    served.ask.change("/1")
    served.ask.change("/2")
    items = served.ask.feed if verb == "changes" else served.ask.entries
    name = {"find": "matches", "ls": "entries", "changes": "changes"}[verb]
    params = {"since": "0"} if verb == "changes" else {}
    headers = {"Accept": "application/x-ndjson"}
    reply = await served.unix.get(f"/api/v1/views/v/{verb}", params=params, headers=headers)
    assert reply.headers["content-type"] == "application/x-ndjson"
    *lines, last = [json.loads(line) for line in reply.text.splitlines()]
    assert lines == items
    assert last["summary"][name] == len(items)
    assert served.ask.asked[-1].limit is None


async def test_a_stream_keeps_a_limit_of_any_size(served: Any) -> None:
    headers = {"Accept": "text/plain, application/x-ndjson;q=0.5"}
    url = "/api/v1/views/v/find"
    reply = await served.unix.get(url, params={"limit": "3"}, headers=headers)
    assert len(reply.text.splitlines()) == 4
    reply = await served.unix.get(url, params={"limit": "20000"}, headers=headers)
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json, application/x-ndjson;q=0.9", "application/json"),
        ("application/json;q=0.1,application/x-ndjson;q=0.9", "application/x-ndjson"),
        ("application/x-ndjson;q=0", "application/json"),
        ("application/x-ndjson;q=x", "application/json"),
        ("", "application/json"),
    ],
)
async def test_the_client_chooses_the_form(served: Any, accept: str, kind: str) -> None:
    reply = await served.unix.get("/api/v1/views/v/ls", headers={"Accept": accept})
    assert reply.headers["content-type"] == kind


@pytest.mark.parametrize(("existence", "slug"), [("absent", "absent"), ("unknown", "unknown-path")])
@pytest.mark.parametrize("verb", ["tree", "du", "stable", "explain", "ls", "find"])
@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_what_is_not_there_is_a_404_with_the_quality(
    served: Any, verb: str, existence: str, slug: str, accept: str
) -> None:
    served.ask.documents[verb] = {"existence": existence, "claims": [1]}
    served.ask.entries = []
    reply = await served.unix.get(
        f"/api/v1/views/v/{verb}", params={"path": "/gone"}, headers={"Accept": accept}
    )
    document = reply.json()
    assert reply.status_code == document["status"] == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:fustor:problem:{slug}"
    assert "/gone" in document["detail"]
    assert document["quality"]["complete"] is True
    assert document["claims"] == [1]


async def test_stat_says_itself_that_nothing_is_there(served: Any) -> None:
    served.ask.documents["stat"] = {"existence": "absent", "entry": None}
    reply = await served.unix.get("/api/v1/views/v/stat", params={"path": "/gone"})
    assert reply.status_code == 200
    assert reply.json()["existence"] == "absent"


@pytest.mark.parametrize("place", ["", "/status"])
async def test_a_view_shows_its_status(served: Any, place: str) -> None:
    reply = await served.unix.get(f"/api/v1/views/v{place}")
    assert reply.json() == served.ask.views()[0]
    reply = await served.unix.get(f"/api/v1/views/other{place}")
    assert reply.status_code == 404
    assert reply.json()["known"] == ["v"]


REFUSED = [
    ("ls", "limit=0", "limit"),
    ("ls", "limit=10001", "limit"),
    ("ls", "limit=ten", "limit"),
    ("ls", "limit=" + "9" * 5000, "limit"),
    ("ls", "path=a", "path"),
    ("ls", "path=", "path"),
    ("ls", "path=/a/../b", "path"),
    ("ls", "path=/%2e%2e/b", "path"),
    ("ls", "path=/./b", "path"),
    ("ls", "path=/a%00b", "NUL"),
    ("ls", "path=/%ff", "UTF-8"),
    ("ls", "path_b64=!", "path_b64"),
    ("ls", "path_b64=YQ", "path_b64"),
    ("ls", "path=/a&path_b64=L2E", "path_b64"),
    ("ls", "path=/a&path=/b", "path"),
    ("ls", "limit=1&limit=2", "limit"),
    ("ls", "pathh=/", "pathh"),
    ("tree", "depth=-1", "depth"),
    ("du", "depth=1e9", "depth"),
    ("stat", "limit=3", "limit"),
    ("stable", "for=soon", "for"),
    ("stable", "for=-1", "for"),
    ("stable", "for=1e9", "for"),
    ("stable", "for=99999999999", "200 years"),
    ("stable", "for=" + "9" * 400, "for"),
    ("find", "size=big", "size"),
    ("find", "size=9EiB", "size"),
    ("find", "size=9223372036854775808", "size"),
    ("find", "size=" + "9" * 400 + "K", "size"),
    ("find", "newer=yesterday", "yesterday"),
    ("find", "newer=2026-01-31T12:00:00", "2026"),
    ("find", "newer=" + "9" * 30, "9"),
    ("find", "owner=4294967296", "owner"),
    ("find", "owner=" + "9" * 5000, "owner"),
    ("find", "group=a%00b", "group"),
    ("find", "type=x", "type"),
    ("find", "suspect=maybe", "suspect"),
    ("find", "path=/a&in=/a", "in"),
    ("find", "pattern=a&pattern_b64=YQ", "pattern"),
    ("changes", "follow=perhaps", "follow"),
    ("changes", "since=x", "cursor"),
    ("changes", "since=x&follow=true", "cursor"),
    ("status", "path=/", "path"),
]


@pytest.mark.parametrize(("verb", "query", "named"), REFUSED)
async def test_what_makes_no_sense_is_a_400_that_names_it(
    served: Any, verb: str, query: str, named: str
) -> None:
    reply = await served.unix.get(f"/api/v1/views/v/{verb}?{query}")
    document = reply.json()
    assert reply.status_code == document["status"] == 400, document
    assert reply.headers["content-type"] == "application/problem+json"
    assert document["type"] == "urn:fustor:problem:malformed"
    assert document["instance"] == f"/api/v1/views/v/{verb}"
    assert named in json.dumps(document)
    assert not [query for query in served.ask.asked if query.verb != "changes"]


async def test_a_misspelt_parameter_gets_a_suggestion(served: Any) -> None:
    document = (await served.unix.get("/api/v1/views/v/find?patern=*")).json()
    assert document["suggestion"] == "pattern"
    assert "did you mean 'pattern'?" in document["remedy"]
    document = (await served.unix.get("/api/v1/views/v/stat?zzz=1")).json()
    assert document["remedy"] == "known: path, path_b64"


async def test_a_deep_tree_is_told_whole(served: Any) -> None:
    levels = 3000
    tree: dict[str, Any] = {"name": "leaf", "children": []}
    for number in range(levels):
        first = {"name": str(number), "size": LARGEST, "children": [], "flags": None}
        tree = {"name": "d", "children": [first, tree, 1, True]}
    served.ask.documents["tree"] = {"tree": tree}
    reply = await served.unix.get("/api/v1/views/v/tree", params={"depth": "0"})
    assert reply.status_code == 200
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * levels)
    try:
        found = json.loads(reply.text)
        depth = 0
        at = found.pop("tree")
        while at["children"]:
            last = at["children"][0]
            assert last == {**last, "size": LARGEST, "flags": None, "children": []}
            assert at["children"][2:] == [1, True]
            at = at["children"][1]
            depth += 1
        assert at == {"name": "leaf", "children": []}
    finally:
        sys.setrecursionlimit(limit)
    assert depth == levels
    assert found["quality"]["complete"] is True
