"""Present, absent (proven) or unknown; and paths that make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from fustor_view_file.answers.paths import PATH_BYTES_MAX, parts_of
from fustor_view_file.apply import Registers
from fustor_view_file.feed import Feed
from fustor_view_file.guard import Guard

from fustor_core.claims import Origin
from fustor_core.contracts import Query
from fustor_core.errors import QueryError
from fustor_core.registers import Seen

VERBS = "ls tree stat du find stable suspects debts blind-spots explain".split()


def existence(grove: Any, path: bytes) -> str:
    """As `stat` says, which every other verb must agree with."""
    told = {verb: grove.ask(verb, path).get("existence", "present") for verb in VERBS}
    assert set(told.values()) == {told["stat"]}, told
    if told["stat"] == "absent":
        assert grove.ask("stat", path)["quality"]["complete"], (
            "absence is proven by a whole listing"
        )
    assert (grove.ask("stat", path)["entry"] is None) == (told["stat"] != "present")
    return str(told["stat"])


@pytest.fixture
def listed(grove: Any) -> Any:
    grove.file(b"/a/b/x")
    grove.file(b"/f")
    grove.scan()
    return grove


def test_a_whole_listing_proves_absence(listed: Any) -> None:
    for path in (b"/", b"/a", b"/a/b", b"/a/b/x", b"/f", b"//a//b/"):
        assert existence(listed, path) == "present"
    for path in (b"/n", b"/a/b/n", b"/n/below/it", b"/f/below", b"/f/below/it", b"/a/b/x/y"):
        assert existence(listed, path) == "absent"


def test_nothing_is_known_before_the_first_listing(grove: Any) -> None:
    grove.folder(b"/a")
    assert existence(grove, b"/") == "present", "the root is proven"
    assert existence(grove, b"/a") == "unknown"
    grove.tell(grove.listing(b"/"))
    assert existence(grove, b"/a") == "present"
    assert existence(grove, b"/a/x") == "unknown"
    assert existence(grove, b"/n") == "absent"


def test_without_a_root_all_is_unknown() -> None:
    from fustor_view_file.answers import answer

    from fustor_core.contracts import Moment

    empty = Registers(Feed("e"), Guard(1, 0.1, 1))
    moment = Moment(5, 5_000, 5_000, None, True, 0)
    for verb in VERBS:
        *_, last = answer("view", empty, Query(verb, b"/"), moment)
        assert last.document is not None
        assert last.document["existence"] == "unknown"
        quality = last.document["quality"]
        assert quality["complete"] is False
        assert quality["unscanned"] == [{"path": "/", "reason": "not_yet", "errno": None}]
        assert quality["as_of"] is None


def test_an_owed_directory_proves_nothing(listed: Any) -> None:
    listed.tell(listed.owe(b"/a"))
    assert existence(listed, b"/a/n") == "unknown"
    assert existence(listed, b"/a/b") == "present", "what is known stays shown"
    assert existence(listed, b"/a/b/n") == "absent", "only the one directory is owed"
    listed.tell(listed.listing(b"/a", Origin.AUDIT))
    assert existence(listed, b"/a/n") == "absent"


def test_below_what_is_owed_deep_nothing_is_proven(listed: Any) -> None:
    """Until the listings that are owed came down to the directory."""
    listed.tell(listed.owe(b"/", deep=True))
    assert existence(listed, b"/a/b/n") == "unknown"
    assert existence(listed, b"/a/b/x/y") == "unknown"
    for path in (b"/", b"/a"):
        listed.tell(listed.listing(path, Origin.AUDIT))
        assert existence(listed, b"/a/b/n") == "unknown"
    listed.tell(listed.listing(b"/a/b", Origin.AUDIT))
    assert existence(listed, b"/a/b/n") == "absent"


def overlapping(grove: Any, claim: Any) -> None:
    grove.judged(claim, Seen(0, grove.now_us + 1, 2, 0, 1, 0, "s"))


def test_a_dispute_proves_nothing(listed: Any) -> None:
    listed.tell(listed.cell(b"/a/b/x", gone=True))
    assert existence(listed, b"/a/b/x") == "absent"
    listed.file(b"/a/b/x")
    overlapping(listed, listed.cell(b"/a/b/x", Origin.ON_DEMAND))
    assert existence(listed, b"/a/b/x") == "unknown"
    assert existence(listed, b"/a/b/x/y") == "unknown"
    assert listed.ask("stat", b"/a/b/x")["quality"]["debts"] == 1


def test_a_disputed_directory_on_the_way_proves_nothing(listed: Any) -> None:
    """The path may mean another directory, with other names."""
    assert existence(listed, b"/a/b/n") == "absent"
    listed.top.names[b"a"] = type(listed.top)(listed.inode())
    overlapping(listed, listed.cell(b"/a", Origin.ON_DEMAND))
    assert listed.ask("stat", b"/a")["existence"] == "present"
    assert listed.ask("stat", b"/a/n")["existence"] == "unknown"


def test_a_hidden_edge_is_never_shown(tools: Any, listed: Any) -> None:
    """Two names for one directory: it sits at the newer one, the other is unknown."""
    listed.top.names[b"moved"] = listed.folder(b"/a")
    listed.tell(listed.cell(b"/moved"))
    assert existence(listed, b"/moved/b/x") == "present"
    assert existence(listed, b"/a") == "unknown"
    assert existence(listed, b"/a/b") == "unknown"
    shown = [b"/f", b"/moved", b"/moved/b", b"/moved/b/x"]
    assert tools.paths(listed.ask("ls")) == [b"/f", b"/moved"]
    assert sorted(listed.found()) == shown
    assert sorted(listed.found(size=("+", 0))) == shown
    assert listed.ask("status")["entries"] == len(shown)
    drawn = listed.ask("tree", depth=0)["tree"]["children"]
    assert [child["name"] for child in drawn] == ["f", "moved"]
    assert listed.ask("ls", limit=2)["next_cursor"] is None
    assert "debt" in listed.ask("stat", b"/moved")["entry"]["flags"], "its seat is disputed"
    disputed = listed.ask("debts")["entries"]
    assert {tools.raw(e) for e in disputed} == {b"/a"}
    assert [e["type"] for e in disputed] == ["dir"]


def test_an_excluded_directory_is_present_and_its_names_unknown(listed: Any) -> None:
    listed.folder(b"/out")
    listed.tell(listed.cell(b"/out"))
    listed.tell(listed.owe(b"/out", reason="excluded"))
    assert existence(listed, b"/out") == "present"
    assert existence(listed, b"/out/n") == "unknown"
    assert listed.ask("stat", b"/")["quality"]["complete"] is True
    assert listed.ask("ls", b"/out")["quality"]["complete"] is False, "it is not known to be empty"


HOSTILE = [
    b"", b"a", b"a/b", b".", b"..", b"/..", b"/a/../b", b"/./a", b"/a/..", b"\0", b"/a\0b", b"/\0",
    b"/" + b"a" * 1_000_000, b"/a" * 500_000, b"/" * 1_000_000, b"/a/" + b"../" * 300_000,
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: repr(path[:12]))
def test_hostile_paths_are_refused(listed: Any, path: bytes) -> None:
    for verb in (*VERBS, "changes", "status"):
        with pytest.raises(QueryError) as caught:
            listed.ask(verb, path)
        assert caught.value.remedy
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("path", [b"/...", b"/..a", b"/a/.b", b"/ ", b"/\n", b"/" + b"x" * 5000])
def test_odd_paths_are_looked_up(listed: Any, path: bytes) -> None:
    assert existence(listed, path) == "absent"


def test_a_path_at_the_limit_is_a_path() -> None:
    assert parts_of(b"/" + b"a" * (PATH_BYTES_MAX - 1)) == (b"a" * (PATH_BYTES_MAX - 1),)


def test_names_that_begin_alike_are_kept_apart(grove: Any) -> None:
    """`/a` is not above `/ab`: paths compare by parts."""
    grove.file(b"/a/x")
    grove.file(b"/ab/y")
    grove.file(b"/a-b/z")
    grove.scan()
    assert grove.found(path=b"/a") == [b"/a/x"]
    assert grove.ask("du", b"/a")["rollup"]["files"] == 1
    for path in (b"/a/y", b"/a/b", b"/x", b"/ab/x"):
        assert existence(grove, path) == "absent"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(listed: Any, limit: int) -> None:
    with pytest.raises(QueryError):
        listed.ask("ls", limit=limit)


def test_a_question_that_does_not_exist_is_refused(listed: Any) -> None:
    with pytest.raises(QueryError) as caught:
        listed.ask("lss")
    assert "ls" in caught.value.remedy
