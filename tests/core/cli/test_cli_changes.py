"""`view watch|changes|explain|suspects|debts|blind-spots|scan|confirm`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Fustor = Callable[..., Any]


# ------------------------------------------------------------------ changes, watch


def test_changes_since_a_cursor(fustor: Fustor, server: Any, make: Any) -> None:
    server.change("created", b"/new\n", entry=make.entry(b"/new\n", size=2048))
    server.change("moved", b"/to", from_path="/from")
    server.change("deleted", b"/\xff")
    now = fustor("view", "changes", "--json")
    assert (now.code, now.document) == (0, {"changes": [], "cursor": "c3", "more": False})
    done = fustor("view", "changes", "--since", "c0")
    assert done.out == (
        b"2020-11-21 10:00:00  created   /new\n  2.0 KiB\n"
        b"2020-11-21 10:00:00  moved     /from \xe2\x86\x92 /to\n"
        b"2020-11-21 10:00:00  deleted   /\xff\n"
    )
    assert "--since c3" in done.err
    lines = [
        json.loads(line) for line in fustor("view", "changes", "--since", "c1", "--jsonl").lines
    ]
    assert [line.get("kind") for line in lines] == ["moved", "deleted", None]
    assert lines[-1] == {"summary": {"cursor": "c3", "more": False}}


def test_changes_come_in_pages_up_to_the_limit(fustor: Fustor, server: Any) -> None:
    for number in range(5):
        server.change("created", b"/%d" % number)
    document = fustor("view", "changes", "--since", "c1", "--limit", "3", "--json").document
    assert [change["path"] for change in document["changes"]] == ["/1", "/2", "/3"]
    assert (document["cursor"], document["more"]) == ("c4", True)


def test_a_cursor_that_is_too_old(fustor: Fustor, server: Any, make: Any) -> None:
    old = make.problem("cursor-too-old", 410, "the cursor is too old", cursor="c9")
    server.answer("/views/data/changes", old)
    done = fustor("view", "changes", "--since", "c0")
    assert done.code == 1
    assert "c9" in done.err
    assert fustor("view", "changes", "--since", "c0", "--json").problem["cursor"] == "c9"


def test_watch(program: Fustor, server: Any) -> None:
    server.change("created", b"/old")
    with program("view", "watch", "/", "--jsonl") as watching:
        assert json.loads(watching.stdout.readline()) == {"cursor": "c1"}
        server.change("created", b"/a")
        assert json.loads(watching.stdout.readline())["path"] == "/a"
        server.end_streams()
        server.change("deleted", b"/a")
        again = json.loads(watching.stdout.readline())
        assert (again["kind"], again["cursor"]) == ("deleted", "c3")
        watching.terminate()


def test_watch_from_a_cursor_and_across_a_restart(program: Fustor, own_server: Any) -> None:
    own_server.change("created", b"/a")
    with program("view", "watch", "--since", "c0", "-v") as watching:
        assert watching.stdout.readline().endswith(b"created   /a\n")
        own_server.stop()
        own_server.change("created", b"/b")
        own_server.start()
        assert watching.stdout.readline().endswith(b"created   /b\n")
        watching.terminate()
        assert b"trying again" in watching.stderr.read()


# ------------------------------------------------------------------ explain and lists


def claim(at_us: int, verdict: str, value: Any, **more: Any) -> dict[str, Any]:
    return {
        "at_us": at_us,
        "agent": "host-1",
        "session": "s1",
        "seq": at_us,
        "origin": "realtime",
        "interval": [at_us - 250_000, at_us],
        "value": value,
        "verdict": verdict,
        "rule": "newer",
        "by": None,
        **more,
    }


def test_explain_is_a_timeline(fustor: Fustor, server: Any, make: Any) -> None:
    row = {"type": "file", "size": 1536, "mtime_ns": 0}
    document = {
        "view": "data",
        "path": "/x",
        "existence": "present",
        "entry": make.entry(b"/x", size=1536),
        "claims": [claim(999_000_000, "accepted", row), claim(990_000_000, "debt", {"type": None})],
        "quality": make.quality(),
    }
    server.answer("/views/data/explain", document)
    done = fustor("view", "explain", "/x")
    assert done.code == 0
    first, second = done.lines[-2:]
    assert b"absent" in first
    assert b"debt" in first
    assert b"seen within 250 ms" in second
    assert b"file, 1.5 KiB" in second
    assert b":00:10.000" not in second
    assert first.split()[0] < second.split()[0], "in the order of time"
    assert fustor("view", "explain", "/x", "--json").document == document


@pytest.mark.parametrize("question", ["suspects", "debts"])
def test_lists_of_doubtful_entries(fustor: Fustor, server: Any, make: Any, question: str) -> None:
    entries = [make.entry(b"/d/\xff", size=5, flags=["suspect", "blind"])]
    document = {"entries": entries, "next_cursor": None, "quality": make.quality()}
    server.answer(f"/views/data/{question}", document)
    done = fustor("view", question, "/d")
    assert done.code == 0
    assert done.lines[0].endswith(b"suspect,blind  /d/\xff")
    assert fustor("view", question, "--json").document == document
    assert len(fustor("view", question, "--jsonl").lines) == 2
    server.answer(f"/views/data/{question}", {**document, "entries": []})
    empty = fustor("view", question)
    assert (empty.code, empty.out) == (0, b"")
    assert empty.err


SEEN = {"origin": "audit", "audit": 3, "agent": "alpha", "at": "2020-02-02T12:04:11.5Z", "at_us": 5}


def test_blind_spots_say_who_found_them_and_who_watches(
    fustor: Fustor, server: Any, make: Any
) -> None:
    entry = make.entry(b"/d/\xff", size=5, flags=["blind"])
    known = {**entry, "first_seen": SEEN, "known_by": ["alpha", "beta"]}
    lost = {**entry, "first_seen": None, "known_by": []}
    document = {"entries": [known, lost], "next_cursor": None, "quality": make.quality()}
    server.answer("/views/data/blind-spots", document)
    done = fustor("view", "blind-spots", "/d")
    assert done.code == 0
    first, second = done.lines
    assert b"audit 3 of alpha, 2020-02-02 " in first
    assert b"watched by alpha, beta" in first
    assert b"found long ago; watched by nobody" in second
    assert all(line.endswith(b"  /d/\xff") for line in done.lines)
    assert fustor("view", "blind-spots", "--json").document == document
    assert len(fustor("view", "blind-spots", "--jsonl").lines) == 3
    server.answer("/views/data/blind-spots", {**document, "entries": []})
    empty = fustor("view", "blind-spots")
    assert (empty.code, empty.out) == (0, b"")
    assert empty.err


def test_blind_spots_by_directory(fustor: Fustor, server: Any, make: Any) -> None:
    one = {"view": "data", "path": "/d", "blind": 2, "below": 1204}
    one |= {"first_seen": SEEN, "last_seen": SEEN, "known_by": ["alpha"]}
    document = {"directories": [one], "next_cursor": None, "quality": make.quality()}
    server.answer("/views/data/blind-spots", document)
    done = fustor("view", "blind-spots", "--by-directory")
    assert done.code == 0
    line = done.lines[0]
    assert line.split()[:5] == b"2 1,204 with all below".split()
    assert b"audit 3 of alpha, 2020-02-02 " in line
    assert line.endswith(b"watched by alpha  /d")
    assert server.asked("/views/data/blind-spots")[-1]["by_directory"] == "true"
    assert fustor("view", "blind-spots", "--by-directory", "--json").document == document


# ------------------------------------------------------------------ scan, confirm


def job(state: str, **more: Any) -> dict[str, Any]:
    progress = {"directories": 3, "entries": 40}
    return {"id": "j1", "view": "data", "path": "/d", "state": state, "progress": progress,
            "result": None, "error": None, **more}  # fmt: skip


def test_a_scan_is_asked_for(fustor: Fustor, server: Any) -> None:
    server.answer("/views/data/scan", (202, job("pending")), "POST")
    done = fustor("view", "scan", b"data:/\xff", "--shallow")
    assert done.code == 0
    assert b"pending" in done.out
    asked = [request for request in server.requests if request.method == "POST"]
    assert asked[0].body == {"path_b64": "L/8=", "recursive": False}


@pytest.mark.parametrize(
    ("state", "complete", "code"),
    [("completed", True, 0), ("completed", False, 7), ("failed", True, 1), ("cancelled", True, 1)],
)
def test_a_scan_is_waited_for(
    fustor: Fustor, server: Any, make: Any, state: str, complete: bool, code: int
) -> None:
    result = {"entries": 40, "changed": 2, "quality": make.quality(complete=complete)}
    looks = [job("running"), job("running"), job(state, result=result)]
    server.answer("/views/data/scan", (202, job("pending")), "POST")
    server.answer("/jobs/j1", lambda _: looks.pop(0) if len(looks) > 1 else looks[0])
    done = fustor("view", "scan", "/d", "--wait", "--json")
    assert done.code == code
    assert done.document["state"] == state
    assert b"2 changed" in fustor("view", "scan", "/d", "--wait").out


def test_a_scan_that_takes_too_long(fustor: Fustor, server: Any) -> None:
    server.answer("/views/data/scan", (202, job("pending")), "POST")
    server.answer("/jobs/j1", job("running"))
    assert fustor("view", "scan", "/d", "--wait", "--timeout", "200ms").code == 124


def test_confirm(fustor: Fustor, server: Any) -> None:
    removes = {"view": "data", "confirmed": [{"path": "/", "removes": 1200}]}
    server.answer("/views/data/confirm", removes, "POST")
    done = fustor("view", "confirm", "data")
    assert done.code == 0
    assert done.out == b"/  1,200 entries removed\n"
    rejected = fustor("view", "confirm", "data", "--root", "/d", "--reject")
    assert rejected.out == b"/  1,200 entries kept\n"
    bodies = [request.body for request in server.requests if request.method == "POST"]
    assert bodies == [{"reject": False}, {"reject": True, "root": "/d"}]
    server.answer("/views/data/confirm", {"view": "data", "confirmed": []}, "POST")
    assert fustor("view", "confirm", "data").code == 1
    assert fustor("view", "confirm", "nope").code == 5
