"""The change feed as it is asked: scopes, cursors, pages, entries as they were."""

from __future__ import annotations

from typing import Any

import pytest
from fustor_view_file.answers.changes import CHANGES_A_PAGE, concerns
from fustor_view_file.feed import Change, Feed

from fustor_core.claims import MOVED, Origin
from fustor_core.errors import CursorTooOld, QueryError


def told(tools: Any, grove: Any, since: str, path: bytes = b"/") -> list[tuple[str, bytes]]:
    document = grove.ask("changes", path, since=since)
    assert document["more"] is False
    return [(change["kind"], tools.raw(change)) for change in document["changes"]]


@pytest.fixture
def ready(grove: Any) -> Any:
    grove.file(b"/a/x")
    grove.file(b"/b/y")
    grove.scan()
    return grove


def test_without_a_cursor_there_is_the_current_one(ready: Any) -> None:
    document = ready.ask("changes")
    assert document["changes"] == []
    assert document["more"] is False
    ready.file(b"/a/new")
    ready.tell(ready.cell(b"/a/new"))
    since = ready.ask("changes", since=document["cursor"])
    assert [c["path"] for c in since["changes"]] == ["/a/new"]
    assert ready.ask("changes", since=since["cursor"])["changes"] == []


def test_a_change_carries_its_entry(tools: Any, ready: Any) -> None:
    since = ready.ask("changes")["cursor"]
    row = ready.file(b"/a/\xff", size=77)
    ready.tell(ready.cell(b"/a/\xff"))
    ready.tell(ready.cell(b"/b/y", gone=True))
    made, gone = ready.ask("changes", since=since)["changes"]
    assert (made["kind"], made["origin"]) == ("created", "realtime")
    assert {k: made["entry"][k] for k in row._asdict()} == row._asdict()
    assert tools.raw(made) == tools.raw(made["entry"]) == b"/a/\xff"
    assert made["at"] < gone["at"]
    assert (gone["kind"], gone["path"]) == ("deleted", "/b/y")
    assert "entry" not in gone
    assert "from_path" not in gone


def test_a_directory_in_a_change_is_what_is_known_of_it(ready: Any) -> None:
    since = ready.ask("changes")["cursor"]
    ready.file(b"/d/1")
    ready.tell(ready.cell(b"/d"))
    entry = ready.ask("changes", since=since)["changes"][0]["entry"]
    assert (entry["type"], entry["ino"]) == ("dir", ready.folder(b"/d").key.ino)
    assert entry["mtime_ns"] is None
    ready.tell(ready.listing(b"/d"))
    entry = ready.ask("changes", since=since)["changes"][0]["entry"]
    assert entry["mtime_ns"] == ready.folder(b"/d").own.mtime_ns
    assert entry["rollup"]["files"] == 1
    ready.folder(b"/d").own = ready.folder(b"/d").own._replace(mode=0o040700)
    ready.tell(ready.listing(b"/d", Origin.AUDIT))
    last = ready.ask("changes", since=since)["changes"][-1]
    assert (last["kind"], last["path"], last["entry"]["mode"]) == ("modified", "/d", 0o040700)
    assert last["entry"]["rollup"]["files"] == 1
    ready.tell(ready.cell(b"/d", gone=True))
    gone = ready.ask("changes", since=since)["changes"][0]["entry"]
    assert (gone["type"], gone["mtime_ns"]) == ("dir", None), "nothing is known of it any more"


def test_a_moved_directory_is_told_to_both_sides(tools: Any, ready: Any) -> None:
    since = ready.ask("changes")["cursor"]
    folder = ready.folder(b"/a")
    gone = ready.cell(b"/a", gone=True, flags=MOVED)
    ready.folder(b"/b").names[b"a"] = folder
    ready.tell(gone, ready.cell(b"/b/a", flags=MOVED))
    for path in (b"/", b"/a", b"/a/x", b"/b", b"/b/a", b"/b/a/x"):
        assert told(tools, ready, since, path) == [("moved", b"/b/a")], path
    change = ready.ask("changes", since=since)["changes"][0]
    assert tools.raw(change, "from_path") == b"/a"
    assert told(tools, ready, since, b"/b/y") == []


def test_scopes_compare_by_parts(tools: Any, ready: Any) -> None:
    since = ready.ask("changes")["cursor"]
    for path in (b"/a/1", b"/ab/2", b"/a-b/3"):
        ready.file(path)
        ready.tell(ready.cell(path.rpartition(b"/")[0]), ready.cell(path))
    assert told(tools, ready, since, b"/a") == [("created", b"/a/1")]
    assert told(tools, ready, since, b"/ab") == [("created", b"/ab"), ("created", b"/ab/2")]
    assert told(tools, ready, since, b"/ab/2") == [("created", b"/ab"), ("created", b"/ab/2")]
    assert told(tools, ready, since, b"/a/1/below") == [("created", b"/a/1")]


@pytest.mark.parametrize("kind", ["created", "modified", "deleted", "moved", "flagged", "resync"])
def test_what_concerns_a_scope(kind: str) -> None:
    def change(path: bytes, came: bytes | None = None) -> Change:
        return Change(1, 0, 0, kind, path, came, None, "audit", (), (0, 0))

    always = kind == "resync"
    whole = kind in ("created", "deleted", "moved")
    assert concerns(change(b"/a/b/c"), b"/a/b")
    assert concerns(change(b"/a/b"), b"/a/b")
    assert concerns(change(b"/x", b"/a/b/c"), b"/a/b")
    assert concerns(change(b"/x"), b"/")
    assert concerns(change(b"/a"), b"/a/b") is (always or whole)
    assert concerns(change(b"/x", b"/a"), b"/a/b") is (always or whole)
    assert concerns(change(b"/a/bc"), b"/a/b") is always


def test_pages_and_more(tools: Any, ready: Any) -> None:
    since = start = ready.ask("changes")["cursor"]
    for i in range(5):
        ready.file(b"/a/%d" % i)
        ready.file(b"/b/%d" % i)
        ready.tell(ready.cell(b"/a/%d" % i), ready.cell(b"/b/%d" % i))
    seen: list[bytes] = []
    pages = []
    while True:
        document = ready.ask("changes", b"/b", since=since, limit=2)
        seen += tools.paths(document)
        pages.append(len(document["changes"]))
        since = document["cursor"]
        if not document["more"]:
            break
    assert seen == [b"/b/%d" % i for i in range(5)]
    assert pages == [2, 2, 1]
    now = ready.ask("changes")["cursor"]
    assert ready.ask("changes", b"/a/x/y", since=start)["cursor"] == now, (
        "nothing is looked at twice"
    )
    last = ready.ask("changes", b"/b", since=start, limit=5)
    assert (len(last["changes"]), last["more"]) == (5, False)


def test_a_cursor_too_old_is_said(ready: Any) -> None:
    first = ready.ask("changes")["cursor"]
    old = ready.registers.feed
    ready.registers.feed = small = Feed(old.incarnation, old.head, kept=2)
    ready.registers.teller.feed = small
    for i in range(3):
        ready.file(b"/a/%d" % i)
        ready.tell(ready.cell(b"/a/%d" % i))
    with pytest.raises(CursorTooOld) as caught:
        ready.ask("changes", since=first)
    assert caught.value.cursor == ready.ask("changes")["cursor"]
    with pytest.raises(CursorTooOld):
        ready.ask("changes", since="other-1")
    for nonsense in ("", "x", "f1-", "f1-x", "-1"):
        with pytest.raises(QueryError):
            ready.ask("changes", since=nonsense)


def test_many_changes_come_in_pages_and_in_order(tools: Any, ready: Any) -> None:
    since = ready.ask("changes")["cursor"]
    many = 2 * CHANGES_A_PAGE + 3
    for i in range(many):
        ready.file(b"/m/%05d" % i)
    ready.tell(ready.cell(b"/m"), ready.listing(b"/m", Origin.ON_DEMAND))
    pages = list(ready.pages("changes", b"/m", since=since, limit=None))
    assert max(len(page.items) for page in pages) <= CHANGES_A_PAGE
    items = [item for page in pages for item in page.items]
    assert [tools.raw(item) for item in items[1:]] == [b"/m/%05d" % i for i in range(many)]
    numbers = [int(item["cursor"].rpartition("-")[2]) for item in items]
    assert numbers == sorted(numbers)
