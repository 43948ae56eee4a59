"""No answer holds others up, and no shape of a tree breaks one."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest
from fustor_view_file.answers.outline import LEVELS_MAX, NODES_A_PAGE
from fustor_view_file.answers.paging import PAGE_ENTRIES

from fustor_core.claims import Listing, Origin, Row, Stamp, edge_row, pack_rows

DIRECTORIES_A_PAGE = 2000  # others have their turn at least that often


@pytest.fixture(scope="module")
def forest(tools: Any) -> Any:
    """Many directories, one file each, told without the truth beside it: that would take long."""
    grove = tools.Grove()
    names = [b"%05d" % i for i in range(2 * DIRECTORIES_A_PAGE + 10)]
    folders = {name: grove.folder(b"/" + name) for name in names}
    file = {b"x.dat": Row(mtime_ns=tools.LONG_AGO_NS, ctime_ns=tools.LONG_AGO_NS)}
    claims = [grove.listing(b"/")]
    for name in names:
        blobs = pack_rows(file)
        claims.append(
            Listing(
                dir=folders[name].key,
                names=blobs[0],
                rows=blobs[1],
                own=folders[name].own.pack(),
                stamp=Stamp(0, 0, 0, "l"),
                origin=Origin.SNAPSHOT,
            )
        )
    grove.tell(*claims)
    return grove


@pytest.mark.parametrize(
    "options",
    [
        {"pattern": b"*.none"},
        {"pattern": b"x?dat", "size": ("+", 10**9)},
        {"pattern": b"none", "regex": True},
        {"pattern": b"/**/none", "whole_path": True},
        {"pattern": b"*", "size": ("+", 10**9)},
        {"pattern": b"*"},
    ],
)
def test_a_search_lets_others_have_their_turn(forest: Any, options: dict[str, Any]) -> None:
    pages = list(forest.pages("find", limit=None, **options))
    assert len(pages) > len(forest.top.names) / DIRECTORIES_A_PAGE
    assert max(len(page.items) for page in pages) <= PAGE_ENTRIES
    found = sum(len(page.items) for page in pages)
    assert found == (2 * len(forest.top.names) if options == {"pattern": b"*"} else 0)


def test_so_do_the_other_long_answers(forest: Any) -> None:
    assert len(list(forest.pages("stable"))) > 2
    assert len(list(forest.pages("ls", limit=None))) > 2
    assert len(list(forest.pages("tree", limit=None))) > 2
    assert forest.ask("stable")["stable"] is True
    assert len(forest.ask("du", depth=1)["children"]) == len(forest.top.names)


def test_a_tree_deeper_than_any_stack(grove: Any, tools: Any) -> None:
    depth = sys.getrecursionlimit() + LEVELS_MAX
    own = {}
    claims = []
    for level in range(depth):
        below = grove.inode()
        key = grove.top.key if not level else own[level]
        own[level + 1] = grove.top.key._replace(ino=below)
        rows = {b"d": edge_row(own[level + 1]), b"f": Row(size=1)}
        names, blob = pack_rows(rows)
        claims.append(
            Listing(dir=key, names=names, rows=blob, stamp=Stamp(0, 0, 0, "l"), origin=Origin.AUDIT)
        )
    grove.tell(*claims)
    deepest = b"/d" * (depth - 1) + b"/f"
    assert grove.ask("stat", deepest)["existence"] == "present"
    assert grove.ask("stat", deepest + b"/x")["existence"] == "absent"
    assert len(grove.found(b"f")) == depth
    assert len(grove.found(b"**/f", whole_path=True)) == depth
    last = grove.ask("find", pattern=b"f", limit=depth - 1)
    assert tools.paths(grove.ask("find", pattern=b"f", cursor=last["next_cursor"])) == [deepest]
    assert grove.ask("du")["rollup"]["files"] == depth
    drawn = grove.ask("tree", depth=0, limit=None)
    assert drawn["truncated"] is True
    levels, node = 0, drawn["tree"]
    while node is not None:
        node = next((child for child in node["children"] if child["type"] == "dir"), None)
        levels += 1
    assert levels == LEVELS_MAX + 1
    msgspec.json.encode(drawn)
    msgspec.json.encode(grove.ask("du", depth=depth))
    assert grove.ask("stable")["quality"]["unscanned_total"] == 1


def test_a_limit_cuts_a_drawing_from_below(grove: Any, tools: Any) -> None:
    for a in b"ab":
        for b in b"xyz":
            grove.file(b"/%c/%c/deep" % (a, b))
    grove.scan()
    drawn = grove.ask("tree", depth=0, limit=5)
    assert drawn["truncated"] is True
    names = [child["name"] for child in drawn["tree"]["children"]]
    below = [[child["name"] for child in node["children"]] for node in drawn["tree"]["children"]]
    assert (names, below) == (["a", "b"], [["x", "y", "z"], []])
    whole = grove.ask("tree", depth=0, limit=14)
    assert whole["truncated"] is False
    assert grove.ask("tree", depth=0, limit=13)["truncated"] is True


def test_what_goes_while_a_tree_is_drawn_is_not_drawn_on(grove: Any, tools: Any) -> None:
    for i in range(NODES_A_PAGE):
        grove.file(b"/a/%04d" % i)
    grove.file(b"/b/c/x")
    grove.scan()
    pages = grove.pages("tree", depth=0, limit=None)
    assert next(pages).document is None
    grove.tell(grove.cell(b"/b", gone=True))
    *_, last = pages
    assert last.document is not None
    a, b = last.document["tree"]["children"]
    assert (len(a["children"]), b["children"]) == (NODES_A_PAGE, [])


def test_a_file_is_a_scope_of_its_own(grove: Any, tools: Any) -> None:
    grove.file(b"/f", size=9)
    grove.scan()
    assert tools.paths(grove.ask("ls", b"/f")) == [b"/f"]
    assert grove.ask("du", b"/f")["rollup"]["bytes"] == 9
    assert grove.ask("tree", b"/f")["tree"]["children"] == []
    assert grove.found(path=b"/f") == []
