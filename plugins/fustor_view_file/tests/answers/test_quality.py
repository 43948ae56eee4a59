"""How good an answer is: what is missing, how old it is, what is in doubt."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from fustor_view_file.answers.quality import UNSCANNED_MAX

from fustor_core.claims import Origin


def quality(grove: Any, path: bytes = b"/") -> dict[str, Any]:
    """The same in every answer about a path."""
    told = [grove.ask(verb, path)["quality"] for verb in ("stat", "ls", "du", "find", "tree")]
    assert all(one == told[0] for one in told)
    return dict(told[0])


def test_as_of_is_the_last_proof_of_life(tools: Any, grove: Any) -> None:
    grove.scan()
    grove.fed["heard_us"] = grove.now_us - 90 * tools.SECOND_US
    told = quality(grove)
    assert told["as_of_us"] == grove.fed["heard_us"]
    assert told["age_s"] == 90
    now = datetime.fromisoformat(told["as_of"]) + timedelta(seconds=90)
    assert now.timestamp() * 10**9 == grove.moment().wall_ns
    assert told["epoch"] == grove.fed["epoch"]
    assert told["stale"] is False


def test_a_view_that_nobody_fed_since_the_start_is_as_old_as_its_listing(grove: Any) -> None:
    grove.file(b"/a/x")
    grove.scan()
    grove.now_us += 10**9
    grove.fed |= {"heard_us": None, "stale": True}
    told = quality(grove, b"/a")
    assert told["as_of_us"] == grove.registers.tree.directory_at(b"/a").base.hi
    assert told["stale"] is True
    assert grove.ask("stat", b"/a/x")["entry"]["flags"] == ["stale"]
    assert grove.ask("stat", b"/n")["existence"] == "absent", "all else is answered as before"


def test_gaps_are_named_and_counted(tools: Any, grove: Any) -> None:
    for i in range(UNSCANNED_MAX + 5):
        grove.file(b"/a/%03d/x" % i)
    grove.file(b"/b/c/x")
    grove.tell(grove.listing(b"/"), grove.listing(b"/a"), grove.listing(b"/b"))
    told = quality(grove)
    assert told["complete"] is False
    assert told["unscanned_total"] == UNSCANNED_MAX + 6
    assert [tools.raw(hole) for hole in told["unscanned"]] == [
        b"/a/%03d" % i for i in range(UNSCANNED_MAX)
    ]
    assert {hole["reason"] for hole in told["unscanned"]} == {"not_yet"}
    assert quality(grove, b"/b")["unscanned_total"] == 1
    grove.tell(grove.listing(b"/b/c"))
    assert quality(grove, b"/b")["complete"] is True
    assert quality(grove, b"/b")["unscanned"] == []
    assert quality(grove)["complete"] is False


def test_what_could_not_be_read_says_why(grove: Any) -> None:
    grove.file(b"/shut/x")
    grove.tell(grove.listing(b"/"))
    grove.tell(grove.listing(b"/shut", complete=False, reason="permission", errno=13))
    assert quality(grove)["unscanned"] == [{"path": "/shut", "reason": "permission", "errno": 13}]


def test_what_is_left_out_by_choice_is_listed_and_no_gap(grove: Any) -> None:
    grove.folder(b"/mnt")
    grove.folder(b"/out")
    grove.file(b"/z/x")
    grove.tell(grove.listing(b"/"))
    for path, reason in ((b"/mnt", "other_device"), (b"/out", "excluded")):
        grove.tell(grove.listing(path, names=b"", rows=b"", complete=False, reason=reason))
    told = quality(grove)
    assert told["unscanned_total"] == 1
    assert [(hole["path"], hole["reason"]) for hole in told["unscanned"]] == [
        ("/z", "not_yet"),
        ("/mnt", "other_device"),
        ("/out", "excluded"),
    ]
    grove.tell(grove.listing(b"/z"))
    told = quality(grove)
    assert told["complete"] is True
    assert told["unscanned_total"] == 0
    assert len(told["unscanned"]) == 2


def test_a_dirty_scope_above_touches_what_is_below(grove: Any) -> None:
    grove.file(b"/a/b/x")
    grove.file(b"/a/y")
    grove.scan()
    grove.tell(grove.owe(b"/a", deep=True))
    for path in (b"/a/b", b"/a/b/x", b"/a/y", b"/a"):
        told = grove.ask("stat", path)["quality"]
        assert told["complete"] is False, path
        assert told["unscanned"] == [{"path": "/a", "reason": "overflow", "errno": None}]
        assert told["unscanned_total"] == 1
    grove.tell(grove.listing(b"/a", Origin.AUDIT))
    assert grove.ask("stat", b"/a/y")["quality"]["complete"] is True
    assert quality(grove, b"/a/b")["complete"] is False


def test_a_vanished_root_freezes(grove: Any) -> None:
    grove.file(b"/a/x")
    grove.scan()
    grove.tell(grove.owe(b"/", deep=True, reason="vanished_root"))
    told = grove.ask("stat", b"/a/x")
    assert told["existence"] == "present", "nothing is deleted"
    assert told["quality"]["frozen"] is True
    assert told["quality"]["unscanned"][0]["reason"] == "vanished_root"


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_an_empty_directory_is_complete_once_listed(grove: Any, depth: int) -> None:
    path = b"/a" * depth or b"/"
    grove.folder(path)
    grove.scan()
    told = grove.ask("ls", path)
    assert told["entries"] == []
    assert told["quality"]["complete"] is True
