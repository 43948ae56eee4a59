"""A dispute about a directory's own attributes: counted, listed, looked at, settled, kept."""

from __future__ import annotations

from typing import Any

import pytest
from fustor_view_file import looks
from fustor_view_file.records import read_record, record_of, sealed_record

from fustor_core.claims import Cell, Origin, Owe, Stamp
from fustor_core.registers import Seen


@pytest.fixture
def listed(grove: Any) -> Any:
    grove.file(b"/a/b/x")
    grove.file(b"/f")
    grove.scan()
    return grove


def own(grove: Any, path: bytes, size: int) -> Cell:
    folder = grove.folder(path)
    value = folder.own._replace(size=size).pack()
    stamp = Stamp(0, 0, 0, "s")
    return Cell(dir=folder.key, name=b"", value=value, stamp=stamp, origin=Origin.SENTINEL)


def disputed(grove: Any, path: bytes) -> None:
    """Two looks at the same time that saw something else each."""
    now = grove.now_us + 10
    for size in (1, 2):
        grove.judged(own(grove, path, size), Seen(now, now + 10, size, now, now + 10, 0, "s"))
    grove.now_us = now + 10


def wanted(grove: Any) -> list[tuple[str, bytes]]:
    return [(w.kind, w.path) for w in looks.wanted(grove.registers, grove.moment(), 10)]


@pytest.mark.parametrize("path", [b"/a/b", b"/a", b"/"])
def test_it_is_counted_listed_looked_at_and_settled(listed: Any, tools: Any, path: bytes) -> None:
    disputed(listed, path)
    told = listed.ask("stat", path)
    assert "debt" in told["entry"]["flags"]
    assert told["quality"]["debts"] == told["entry"]["rollup"]["debts"] == 1
    assert listed.ask("stat", b"/")["quality"]["debts"] == 1
    for top in {b"/", b"/a", path}:
        shown = [path] if path.startswith(top) else []
        assert tools.paths(listed.ask("debts", top)) == shown
    assert wanted(listed) == [("look", path)]
    listed.tell(own(listed, path, 3))
    assert listed.ask("stat", b"/")["quality"]["debts"] == 0
    assert listed.ask("debts")["entries"] == []
    assert wanted(listed) == []


def test_they_come_in_pages(listed: Any, tools: Any) -> None:
    for path in (b"/a/b", b"/a", b"/"):
        disputed(listed, path)
    found, cursor = [], None
    for _ in range(4):
        page = listed.ask("debts", limit=1, **({"cursor": cursor} if cursor else {}))
        found += tools.paths(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [b"/", b"/a", b"/a/b"]
    assert tools.paths(listed.ask("debts", limit=2)) == [b"/", b"/a"]


def test_a_listing_that_is_owed_settles_it_too(listed: Any) -> None:
    disputed(listed, b"/a")
    owe = Owe(
        dir=listed.folder(b"/a").key,
        deep=False,
        reason="overflow",
        stamp=Stamp(0, 0, 0, "s"),
        origin=Origin.REALTIME,
    )
    listed.tell(owe)
    assert wanted(listed) == [("list", b"/a")]
    listed.tell(listed.listing(b"/a"))
    assert wanted(listed) == []
    assert listed.ask("stat", b"/")["quality"]["debts"] == 0


def test_it_is_kept(listed: Any) -> None:
    disputed(listed, b"/a")
    directory = listed.registers.tree.directory_at(b"/a")
    again = read_record(sealed_record(record_of(directory, None, False), 7), 7).directory
    assert again.disputed
    assert list(again.count) == list(directory.count)
