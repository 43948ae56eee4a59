"""Lists that are read a page at a time while the view changes."""

from __future__ import annotations

from typing import Any

import pytest
from fustor_view_file.answers.cursors import cursor_of, read_cursor
from fustor_view_file.answers.find import ROWS_AT_ONCE
from fustor_view_file.answers.paging import PAGE_ENTRIES
from fustor_view_file.pack import SPLIT_ROWS
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.claims import Origin, Row
from fustor_core.errors import QueryError

parts = st.lists(st.binary(min_size=1).filter(lambda b: not set(b) & {0, 47}), max_size=5)


@given(verb=st.sampled_from(["ls", "find"]), directory=parts, name=st.binary(max_size=9))
def test_cursors_carry_any_name(verb: str, directory: list[bytes], name: bytes) -> None:
    name = name.replace(b"\0", b"").replace(b"/", b"")
    cursor = cursor_of(verb, directory, name)
    assert cursor.isascii()
    assert read_cursor(verb, cursor) == (tuple(directory), name)


NONSENSE = ["", "x", "é", "!!!!", "AAAA", "a" * 2_000_000, cursor_of("find", (), b"a")]


@pytest.mark.parametrize("cursor", NONSENSE)
@pytest.mark.parametrize("verb", ["ls", "suspects"])
def test_what_is_no_cursor_is_refused(grove: Any, verb: str, cursor: str) -> None:
    grove.scan()
    with pytest.raises(QueryError) as caught:
        grove.ask(verb, cursor=cursor)
    assert caught.value.remedy
    assert len(str(caught.value)) < 500


def test_a_cursor_of_another_path_is_refused(grove: Any) -> None:
    grove.file(b"/a/x")
    grove.file(b"/b/x")
    grove.file(b"/b/y")
    grove.scan()
    cursor = grove.ask("find", b"/b", pattern=b"*", limit=1)["next_cursor"]
    with pytest.raises(QueryError):
        grove.ask("find", b"/a", pattern=b"*", cursor=cursor)


def test_no_cursor_behind_the_last(grove: Any) -> None:
    for name in b"abc":
        grove.file(b"/%c" % name)
    grove.scan()
    for verb, options in (("ls", {}), ("find", {"pattern": b"*"})):
        assert grove.ask(verb, limit=3, **options)["next_cursor"] is None
        assert grove.ask(verb, limit=2, **options)["next_cursor"] is not None


def test_a_list_goes_on_where_its_entry_is_gone(tools: Any, grove: Any) -> None:
    for name in b"abcd":
        grove.file(b"/%c" % name)
    grove.scan()
    cursor = grove.ask("ls", limit=2)["next_cursor"]
    grove.tell(grove.cell(b"/b", gone=True))
    grove.file(b"/aa")
    grove.file(b"/bb")
    grove.tell(grove.cell(b"/aa"), grove.cell(b"/bb"))
    assert tools.paths(grove.ask("ls", cursor=cursor)) == [b"/bb", b"/c", b"/d"]


def test_a_search_goes_on_where_its_directory_is_gone(tools: Any, grove: Any) -> None:
    """Behind where it would stand, in the directories around it."""
    for path in (b"/a/1", b"/b/c/1", b"/b/c/2", b"/b/d/1", b"/e/1"):
        grove.file(path)
    grove.scan()
    page = grove.ask("find", pattern=b"1", limit=2)
    assert tools.paths(page) == [b"/a/1", b"/b/c/1"]
    grove.tell(grove.cell(b"/b/c", gone=True))
    assert tools.paths(grove.ask("find", pattern=b"1", cursor=page["next_cursor"])) == [
        b"/b/d/1",
        b"/e/1",
    ]
    grove.tell(grove.cell(b"/b", gone=True))
    assert tools.paths(grove.ask("find", pattern=b"1", cursor=page["next_cursor"])) == [b"/e/1"]


operations = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "dir", "undir"]), st.binary(min_size=1, max_size=1)),
    max_size=6,
)


PLACES = [b"/%c/%c/%c" % (a, b, c) for a in b"xy" for b in b"pq" for c in b"12"]


@given(
    files=st.sets(st.sampled_from(PLACES)),
    steps=st.lists(operations, min_size=1, max_size=5),
    limit=st.integers(1, 3),
)
def test_what_stays_is_told_once_whatever_else_happens(
    tools: Any, files: set[bytes], steps: list[Any], limit: int
) -> None:
    """Entries that are there from the first page to the last stand in exactly one page."""
    grove = tools.Grove()
    for path in sorted(files):
        grove.file(path)
    grove.scan()
    stays = {path for path, what in grove.walk() if isinstance(what, Row)}
    told: list[bytes] = []
    cursor = None
    while True:
        page = grove.ask("find", pattern=b"*", limit=limit, cursor=cursor)
        told += tools.paths(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
        for kind, seed in steps.pop() if steps else ():
            change(grove, kind, seed, stays)
    assert len(told) == len(set(told)), "nothing is told twice"
    assert stays <= set(told)
    assert told == sorted(told, key=order)


def order(path: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Directories parents first, siblings in byte order; then the entries of each."""
    *directory, name = path.split(b"/")[1:]
    return tuple(directory), name


def change(grove: Any, kind: str, seed: bytes, stays: set[bytes]) -> None:
    everything = list(grove.walk())
    folders = [b"", *(p for p, what in everything if not isinstance(what, Row))]
    parent = folders[seed[0] % len(folders)]
    name = b"n%d" % (seed[0] % 7)
    if kind == "put" and name not in grove.folder(parent).names:
        grove.file(parent + b"/" + name)
        grove.tell(grove.cell(parent + b"/" + name))
    elif kind == "dir" and name not in grove.folder(parent).names:
        grove.folder(parent + b"/" + name)
        grove.tell(grove.cell(parent + b"/" + name), grove.listing(parent + b"/" + name))
    elif everything and kind in ("drop", "undir"):
        path, what = everything[seed[0] % len(everything)]
        if isinstance(what, Row) is (kind == "drop"):
            grove.tell(grove.cell(path, gone=True))
            stays -= {p for p in stays if p == path or p.startswith(path + b"/")}


@pytest.fixture
def wide(grove: Any) -> Any:
    """More than a page in one directory, and more than a page of directories."""
    for i in range(PAGE_ENTRIES + 2 * SPLIT_ROWS):
        grove.file(b"/m/%05d" % i)
    for i in range(600):
        grove.file(b"/d%04d/x" % i)
        grove.file(b"/d%04d/y" % i)
    grove.scan()
    return grove


def test_the_view_may_change_between_two_pages(tools: Any, wide: Any) -> None:
    """While one answer is being read: what goes is not told any more, what comes behind is."""
    whole = [path for path, _ in wide.walk()]
    told: list[bytes] = []
    for number, page in enumerate(wide.pages("find", pattern=b"*", limit=None)):
        told += [tools.raw(item) for item in page.items]
        if number == 0:
            assert told == whole[: len(told)]
            assert len(told) < len(whole) / 2
            wide.tell(wide.cell(b"/d0599", gone=True), wide.cell(b"/m/00001", gone=True))
            wide.file(b"/e/new")
            wide.tell(wide.cell(b"/e"), wide.listing(b"/e"))
            moved = wide.top.names.pop(b"d0598")
            wide.top.names[b"z"] = moved
            wide.tell(wide.cell(b"/z"), wide.listing(b"/z", Origin.ON_DEMAND))
    assert [path for path in told if path.startswith(b"/d0599/")] == []
    assert b"/m/00001" not in told
    assert b"/e/new" in told
    assert [path for path in told if path.endswith((b"/x", b"/y"))][-2:] == [b"/z/x", b"/z/y"]
    assert len(told) == len(set(told))
    gone = {b"/d%04d/%c" % (i, name) for i in (598, 599) for name in b"xy"}
    assert set(whole) - set(told) == {b"/m/00001", *gone}


@pytest.fixture
def deep(grove: Any) -> Any:
    """More than a page of directories below one that is not the top."""
    for i in range(PAGE_ENTRIES):
        grove.file(b"/s/a/%05d/x" % i)
        grove.file(b"/s/a/%05d/y" % i)
    grove.file(b"/s/b/x")
    grove.folder(b"/out")
    grove.scan()
    return grove


def read_while(
    tools: Any, grove: Any, scope: bytes, change: Any
) -> tuple[list[bytes], list[bytes]]:
    """What is told before something changes, and what after it."""
    told: list[bytes] = []
    before: list[bytes] = []
    for number, page in enumerate(grove.pages("find", scope, pattern=b"*", limit=None)):
        told += [tools.raw(item) for item in page.items]
        if number == 1:
            before = [*told]
            change()
    return before, told[len(before) :]


def test_what_leaves_the_scope_is_not_told(tools: Any, deep: Any) -> None:
    """Though its directories were about to be."""

    def move() -> None:
        folder = deep.folder(b"/s").names.pop(b"a")
        deep.folder(b"/out").names[b"a"] = folder
        deep.tell(deep.cell(b"/s/a", gone=True, flags=1), deep.cell(b"/out/a", flags=1))

    before, after = read_while(tools, deep, b"/s", move)
    assert any(path.startswith(b"/s/a/0") for path in before)
    assert after == [b"/s/b/x"]


def test_what_is_made_anew_under_its_name_is_told(tools: Any, deep: Any) -> None:
    def again() -> None:
        for i in (PAGE_ENTRIES - 1, PAGE_ENTRIES - 2):
            path = b"/s/a/%05d" % i
            deep.folder(b"/s/a").names[b"%05d" % i] = tools.Folder(deep.inode())
            deep.file(path + b"/new")
            deep.tell(deep.cell(path), deep.listing(path))

    before, after = read_while(tools, deep, b"/s", again)
    assert any(path.startswith(b"/s/a/0") for path in before)
    news = [b"/s/a/%05d/new" % i for i in (PAGE_ENTRIES - 2, PAGE_ENTRIES - 1)]
    assert after[-3:] == [*news, b"/s/b/x"]


def test_a_scope_that_goes_ends_its_answer(tools: Any, grove: Any) -> None:
    many = ROWS_AT_ONCE + 2 * SPLIT_ROWS
    for i in range(many):
        grove.file(b"/m/%05d" % i)
    grove.scan()
    pages = grove.pages("find", b"/m", pattern=b"*", limit=None)
    told = [tools.raw(item) for item in next(pages).items]
    grove.tell(grove.cell(b"/m", gone=True))
    rest = list(pages)
    assert rest[-1].document is not None
    told += [tools.raw(item) for page in rest for item in page.items]
    assert all(path.startswith(b"/m/") for path in told)
    assert len(told) < many


def test_a_listing_reads_on_in_a_pack_that_is_split_and_shrinks(tools: Any, wide: Any) -> None:
    told: list[bytes] = []
    for number, page in enumerate(wide.pages("ls", b"/m", limit=None)):
        told += [tools.raw(item) for item in page.items]
        if number == 0:
            last = told[-1]
            for i in range(SPLIT_ROWS):
                wide.file(last + b"+%03d" % i)
            wide.file(b"/m/00000+")
            wide.tell(wide.listing(b"/m", Origin.AUDIT))
            wide.tell(wide.cell(b"/m/%05d" % (PAGE_ENTRIES + 1), gone=True))
    assert told == sorted(set(told))
    assert b"/m/00000+" not in told
    assert b"/m/%05d" % (PAGE_ENTRIES + 1) not in told
    assert sum(b"+" in path for path in told) == SPLIT_ROWS
