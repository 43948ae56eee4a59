"""Stable, not, or cannot be said (DESIGN §5, "Stable")."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from fustor_core.claims import WRITING, Origin
from fustor_core.errors import QueryError
from fustor_core.registers import Seen

FOR_S = 30.0


def verdict(grove: Any, path: bytes = b"/", quiet_s: float = FOR_S) -> Any:
    return grove.ask("stable", path, quiet_s=quiet_s)["stable"]


def reasons(grove: Any, path: bytes = b"/", quiet_s: float = FOR_S) -> dict[str, Any]:
    told = grove.ask("stable", path, quiet_s=quiet_s)["reasons"]
    return {reason.pop("kind"): reason for reason in told}


def wait(grove: Any, seconds: float) -> None:
    grove.now_us += int(seconds * 1_000_000)


@pytest.fixture
def calm(grove: Any) -> Any:
    grove.file(b"/a/x")
    grove.file(b"/a/\xff/y")
    grove.file(b"/b/z")
    grove.scan()
    return grove


def test_watched_whole_and_quiet_is_stable(calm: Any) -> None:
    told = calm.ask("stable", b"/")
    assert told["stable"] is True
    assert told["reasons"] == []
    assert told["quiet_for_s"] == (calm.moment().storage_ns - calm_since(told)) / 1e9


def calm_since(told: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(told["last_change"]["at"]).timestamp() * 10**9)


def test_a_fresh_change_says_no_until_it_is_old_enough(tools: Any, calm: Any) -> None:
    written_ns = calm.moment().storage_ns + tools.SECOND_US * 1000
    calm.file(b"/a/x", mtime_ns=written_ns, ctime_ns=written_ns)
    calm.tell(calm.cell(b"/a/x", flags=4))
    told = calm.ask("stable", b"/", quiet_s=FOR_S)
    assert told["stable"] is False
    assert told["quiet_for_s"] == 0
    assert told["reasons"] == [{"kind": "recent_change", "count": 1, "examples": ["/a/x"]}]
    assert told["last_change"] == {
        "at": "2023-11-14T22:13:26.000000Z",
        "path": "/a/x",
        "origin": "realtime",
    }
    assert verdict(calm, b"/b") is True, "it is none of its business"
    assert verdict(calm, b"/a/\xff") is True
    wait(calm, FOR_S - 1)
    assert verdict(calm) is False
    wait(calm, 1)
    assert verdict(calm) is True
    assert calm.ask("stable")["quiet_for_s"] == FOR_S


def test_ctime_counts_where_mtime_was_set_back(tools: Any, calm: Any) -> None:
    """As by cp -p or tar."""
    now_ns = calm.moment().storage_ns
    calm.file(b"/b/old", mtime_ns=tools.LONG_AGO_NS, ctime_ns=now_ns)
    calm.tell(calm.cell(b"/b/old", flags=4))
    assert reasons(calm) == {"recent_change": {"count": 1, "examples": ["/b/old"]}}


def test_the_time_of_a_directory_counts_too(calm: Any) -> None:
    """A deletion shows in nothing else."""
    now_ns = calm.moment().storage_ns
    calm.folder(b"/b").own = calm.folder(b"/b").own._replace(mtime_ns=now_ns, ctime_ns=now_ns)
    calm.tell(calm.cell(b"/b/z", gone=True), calm.listing(b"/b", Origin.AUDIT))
    told = calm.ask("stable")
    assert told["last_change"]["path"] == "/b"
    assert told["reasons"] == [{"kind": "recent_change", "count": 1, "examples": ["/b"]}]
    assert verdict(calm, b"/a") is True


def test_the_last_change_is_found_again_when_it_is_gone(calm: Any) -> None:
    for i, name in enumerate((b"/a/x", b"/a/\xff/y", b"/b/z")):
        at_ns = calm.moment().storage_ns - (3 - i) * 10**12
        calm.file(name, mtime_ns=at_ns)
        calm.tell(calm.cell(name, flags=4))
    assert calm.ask("stable")["last_change"]["path"] == "/b/z"
    calm.tell(calm.cell(b"/b/z", gone=True))
    assert calm.ask("stable")["last_change"]["path_b64"] == "L2Ev/y95"
    calm.tell(calm.cell(b"/a/\xff/y", gone=True))
    assert calm.ask("stable")["last_change"]["path"] == "/a/x"
    assert calm.ask("stable", b"/a/x")["last_change"]["path"] == "/a/x"


def test_a_suspect_says_no(calm: Any) -> None:
    calm.file(b"/a/\xff/w")
    calm.tell(calm.cell(b"/a/\xff/w", flags=WRITING))
    wait(calm, 1000)
    assert reasons(calm) == {"suspect": {"count": 1, "examples": [{"path_b64": "L2Ev/y93"}]}}
    for path in (b"/", b"/a", b"/a/\xff", b"/a/\xff/w"):
        assert verdict(calm, path) is False, path
    assert verdict(calm, b"/a/\xff/y") is True
    assert verdict(calm, b"/b") is True
    calm.tell(calm.cell(b"/a/\xff/w", flags=4))
    assert verdict(calm) is True


def test_a_debt_says_no(calm: Any) -> None:
    calm.file(b"/b/z", size=11)
    claim = calm.cell(b"/b/z", Origin.ON_DEMAND)
    calm.judged(claim, Seen(0, calm.now_us + 1, 2, 0, 1, 0, "s"))
    assert reasons(calm) == {"debt": {"count": 1, "examples": ["/b/z"]}}
    assert verdict(calm) is False


def test_a_disputed_directory_is_not_stable_itself(calm: Any) -> None:
    calm.top.names[b"b"] = type(calm.top)(calm.inode())
    claim = calm.cell(b"/b", Origin.ON_DEMAND)
    calm.judged(claim, Seen(0, calm.now_us + 1, 2, 0, 1, 0, "s"))
    assert reasons(calm, b"/b")["debt"] == {"count": 1, "examples": ["/b"]}


def test_what_is_not_known_whole_cannot_be_said(calm: Any) -> None:
    calm.tell(calm.owe(b"/a/\xff"))
    assert reasons(calm) == {"unscanned": {"count": 1, "examples": [{"path_b64": "L2Ev/w=="}]}}
    assert verdict(calm) is None
    assert verdict(calm, b"/b") is True
    calm.file(b"/b/z", mtime_ns=calm.moment().storage_ns)
    calm.tell(calm.cell(b"/b/z", flags=4))
    assert verdict(calm) is False, "one proof against it is enough"
    assert set(reasons(calm)) == {"unscanned", "recent_change"}


def test_without_a_session_it_cannot_be_said(calm: Any) -> None:
    calm.fed |= {"stale": True, "watched_since_us": None}
    assert verdict(calm) is None
    assert reasons(calm, b"/a") == {"stale": {"count": 1, "examples": ["/a"]}}


def test_without_a_watch_only_a_late_look_says_yes(tools: Any, calm: Any) -> None:
    """Looked at after the newest change and the span: then nothing happened in between."""
    now_ns = calm.moment().storage_ns
    calm.file(b"/b/z", mtime_ns=now_ns)
    calm.tell(calm.listing(b"/b", Origin.AUDIT))
    calm.scan(Origin.AUDIT)
    calm.fed["watched_since_us"] = None
    wait(calm, FOR_S)
    assert calm.ask("status")["quality"]["suspects"] == 1
    calm.tell(calm.cell(b"/b/z", flags=4))
    told = reasons(calm)
    assert told == {"stale": {"count": 4, "examples": ["/", "/a", {"path_b64": "L2Ev/w=="}, "/b"]}}
    assert verdict(calm) is None
    calm.scan(Origin.AUDIT)
    assert verdict(calm) is True
    assert verdict(calm, quiet_s=2 * FOR_S) is False
    wait(calm, FOR_S)
    assert verdict(calm, quiet_s=2 * FOR_S) is None, "the look came before the longer span was over"
    assert verdict(calm, quiet_s=FOR_S) is True


def test_a_watch_is_worth_nothing_for_what_was_listed_before_it(calm: Any) -> None:
    """After a restart: what changed in between nobody saw, until it is listed again."""
    calm.file(b"/b/z", mtime_ns=calm.moment().storage_ns)
    calm.tell(calm.cell(b"/b/z", flags=4))
    wait(calm, 2 * FOR_S)
    calm.fed["watched_since_us"] = calm.now_us
    assert set(reasons(calm)) == {"stale"}
    assert verdict(calm) is None
    calm.tell(calm.listing(b"/b", Origin.AUDIT))
    assert verdict(calm, b"/b") is True
    assert reasons(calm)["stale"]["count"] == 3
    calm.scan(Origin.AUDIT)
    assert verdict(calm) is True


def test_what_is_not_covered_needs_a_late_look(calm: Any) -> None:
    calm.file(b"/a/x", mtime_ns=calm.moment().storage_ns)
    calm.tell(calm.cell(b"/a/x", flags=4))
    wait(calm, FOR_S)
    calm.fed["uncovered"] = (b"/a", b"/gone", b"no path")
    assert verdict(calm) is None
    assert reasons(calm)["stale"]["count"] == 2, "what lies below it is taken to be uncovered too"
    assert verdict(calm, b"/a/\xff") is True, "its own last change was long before the last look"
    assert verdict(calm, b"/b") is True
    calm.scan(Origin.AUDIT)
    assert verdict(calm) is True


def test_a_frozen_removal_says_no(tools: Any) -> None:
    grove = tools.Grove(removals=1)
    for i in range(9):
        grove.file(b"/a/%d" % i)
    grove.scan()
    grove.folder(b"/a").names.clear()
    grove.tell(grove.listing(b"/a", Origin.AUDIT))
    told = reasons(grove)
    assert told["frozen"] == {"count": 9, "examples": [f"/a/{i}" for i in range(5)]}
    assert verdict(grove) is False


@pytest.mark.parametrize(("path", "existence"), [(b"/n", "absent"), (b"/late/x", "unknown")])
def test_what_is_not_there_is_not_judged(calm: Any, path: bytes, existence: str) -> None:
    calm.folder(b"/late")
    calm.tell(calm.cell(b"/late"))
    told = calm.ask("stable", path)
    assert (told["existence"], told["stable"]) == (existence, None)


def test_an_empty_directory_without_times_is_stable(grove: Any) -> None:
    grove.tell(grove.listing(b"/", own=None))
    told = grove.ask("stable")
    assert (told["stable"], told["quiet_for_s"], told["last_change"]) == (True, None, None)


@pytest.mark.parametrize("quiet_s", [-1.0, float("nan"), float("inf")])
def test_no_span_is_refused(calm: Any, quiet_s: float) -> None:
    with pytest.raises(QueryError) as caught:
        verdict(calm, quiet_s=quiet_s)
    assert caught.value.remedy


def test_a_time_in_the_future_is_a_recent_change(calm: Any) -> None:
    calm.file(b"/a/x", mtime_ns=calm.moment().storage_ns + 10**18)
    calm.tell(calm.cell(b"/a/x", flags=4))
    told = calm.ask("stable")
    assert (told["stable"], told["quiet_for_s"]) == (False, 0)
    assert told["last_change"]["path"] == "/a/x"
