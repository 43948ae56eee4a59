"""Files with several names: a change by one name is claimed for all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs.links import NAMES_MAX, RECHECK_US, Links
from fustor_source_fs.tree import Node

from fustor_core.claims import Key, Listing, Origin, Owe, Row, Stamp, pack_rows
from fustor_core.files.prompt import Looks


async def test_a_second_name_is_told_of_the_first(live: Any, root: Path) -> None:
    for i in range(30):
        (root / f"d{i}").mkdir()
        (root / f"d{i}" / "file").write_bytes(b"x")
    async with live(root) as it:
        os.link(root / "d7/file", root / "d21/other")
        await it.settled()
        os.link(root / "d7/file", root / "d7/third")
        await it.settled()


async def test_names_known_from_the_scan(live: Any, root: Path) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "a/one").write_bytes(b"x")
    os.link(root / "a/one", root / "b/two")
    os.link(root / "a/one", root / "three")
    async with live(root) as it:
        os.truncate(root / "b/two", 5)
        await it.settled()
        os.chmod(root / "a/one", 0o600)
        await it.settled()
        os.rename(root / "three", root / "b/3")
        await it.settled()
        (root / "a/one").unlink()
        await it.settled()
        (root / "new").write_bytes(b"y")
        os.rename(root / "new", root / "b/3")  # replaces a name: its file loses a link
        await it.settled()


async def test_names_that_did_not_change_may_need_the_disk(
    live: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked at by calls that give the interpreter up."""
    kept: set[bytes] = set()
    row = Looks.row

    def recorded(self: Looks, fd: int, name: bytes) -> bytes | None:
        if self.prompt:
            kept.add(name)
        return row(self, fd, name)

    (root / "a").mkdir()
    (root / "a/one").write_bytes(b"x")
    os.link(root / "a/one", root / "two")
    async with live(root) as it:
        if not it.source._proof.storage.prompt:
            pytest.skip("all names of this file system are looked at so")
        monkeypatch.setattr(Looks, "row", recorded)
        os.truncate(root / "a/one", 5)
        await it.settled()
        assert it.cell(b"two")
        assert b"one" in kept
        assert b"two" not in kept


async def test_a_name_that_goes_with_its_directory(live: Any, root: Path) -> None:
    (root / "keep").write_bytes(b"x")
    (root / "gone").mkdir()
    os.link(root / "keep", root / "gone/name")
    async with live(root) as it:
        shutil.rmtree(root / "gone")
        await it.settled()


async def test_a_name_is_looked_for_when_the_search_comes_too_late(
    live: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other name is gone by then; what was written by it is found all the same."""
    due_us = Links.due_us
    (root / "first").write_bytes(b"x")
    async with live(root) as it:
        monkeypatch.setattr(Links, "due_us", lambda self: None)
        os.link(root / "first", root / "second")
        await it.until(lambda: it.cell(b"second"))
        (root / "second").write_bytes(b"written by the second name")
        (root / "second").unlink()
        await it.until(lambda: it.cell(b"second").value is None)
        monkeypatch.setattr(Links, "due_us", due_us)
        (root / "third").touch()  # something to wake up for
        await it.settled()


async def test_a_directory_that_moves_while_it_is_searched_is_owed(
    live: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Links.search

    def moving(self: Links, nodes: Iterable[Node], now_us: int) -> Any:
        found = search(self, nodes, now_us)
        os.rename(root / "here", root / "there")
        monkeypatch.setattr(Links, "search", search)
        return found

    (root / "here").mkdir()
    (root / "here" / "first").write_bytes(b"x")
    monkeypatch.setattr(Links, "search", moving)
    async with live(root) as it:
        here = it.key("here")
        os.link(root / "here" / "first", root / "second")
        await it.until(lambda: [c for c in it.claims if isinstance(c, Owe) and c.dir == here])
        await it.settled()


async def test_a_linked_tree_that_appears_at_once(live: Any, root: Path) -> None:
    (root / "old").mkdir()
    for i in range(40):
        (root / "old" / f"f{i}").write_bytes(b"x" * i)
    async with live(root) as it:
        shutil.copytree(root / "old", root / "snap/1", copy_function=os.link)
        await it.settled()
        shutil.rmtree(root / "snap")
        await it.settled()


async def test_many_files_come_and_go_in_one_directory(live: Any, root: Path) -> None:
    (root / "d").mkdir()
    (root / "first").write_bytes(b"x")
    async with live(root) as it:
        for i in range(3000):
            (root / "d" / f"f{i % 50}").write_bytes(b"x")
            if i % 50 == 49:
                for path in (root / "d").iterdir():
                    path.unlink()
        await it.settled()
        links = it.source._watcher.links
        assert links.size_bytes < 4 * 3000, "inode numbers are read afresh now and then"
        os.link(root / "first", root / "d" / "second")
        await it.settled()


def listing(node: Node, rows: dict[bytes, Row], origin: Origin = Origin.SNAPSHOT) -> Listing:
    names, blob = pack_rows(rows)
    return Listing(dir=node.key, names=names, rows=blob, stamp=Stamp(0, 1, 0, "l"), origin=origin)


def test_a_scan_asks_only_for_names_that_it_did_not_meet() -> None:
    links = Links()
    one, two = (Node(Key(0, i, i), None, b"") for i in (1, 2))
    links.listed(one, listing(one, {b"a": Row(ino=7, nlink=2), b"far": Row(ino=8, nlink=300)}))
    assert links.due_us() is None
    links.listed(two, listing(two, {b"b": Row(ino=7, nlink=2)}))
    links.scan_over(10)
    found, again = links.search([one, two], 10)
    assert again == {(one, b"far")}
    assert found == [(one, {8})]
    assert links.due_us() is None


def test_names_outside_the_tree_are_looked_for_twice_and_no_more() -> None:
    links = Links()
    node = Node(Key(0, 1, 1), None, b"")
    row = Row(ino=7, nlink=2).pack()
    links.saw(node, b"a", row, new=True)
    assert links.due_us() == 0
    for now, due in ((10, 10 + RECHECK_US), (10 + RECHECK_US, None)):
        _, again = links.search([node], now)
        assert again == {(node, b"a")}
        links.saw(node, b"a", row)
        assert links.due_us() == due
    links.saw(node, b"a", Row(ino=7, nlink=3).pack())
    assert links.due_us() == 0, "another one: looked for again"
    for now in (10, 10 + RECHECK_US):
        links.search([node], now)
    links.saw(node, b"a", None)
    assert links.due_us() is None, "it was tried, and here it is gone"


def test_a_name_seen_otherwise_puts_the_others_in_doubt() -> None:
    links = Links()
    one = Node(Key(0, 1, 1), None, b"")
    rows = {name: Row(ino=7, nlink=3, ctime_ns=5) for name in (b"a", b"b", b"c")}
    links.listed(one, listing(one, rows))
    links.saw(one, b"a", Row(ino=7, nlink=3, ctime_ns=5).pack())
    assert links.doubtful() == set()
    links.saw(one, b"a", Row(ino=7, nlink=3, ctime_ns=6).pack())
    assert links.doubtful() == {(one, b"b"), (one, b"c")}
    assert links.doubtful() == set()
    links.saw(one, b"a", None)
    assert links.doubtful() == {(one, b"b"), (one, b"c")}
    links.dropped([one])
    assert not links.names(one)


def second(links: Links) -> tuple[Node, Node]:
    """Two directories: a file of the first got its second name in the other one, as was seen."""
    one, two = (Node(Key(0, i, i), None, b"") for i in (1, 2))
    links.listed(one, listing(one, {b"a": Row(ino=7)}))
    links.saw(two, b"b", Row(ino=7, nlink=2).pack(), new=True)
    return one, two


def searched_out(links: Links, *nodes: Node) -> None:
    """All that was wanted has been searched for."""
    for now in (10, 10 + RECHECK_US):
        links.search(nodes, now)
    assert links.due_us() is None


def test_a_name_is_looked_for_though_the_one_that_told_of_it_is_gone() -> None:
    """Its file may have been written by the other name while the search had to wait."""
    links = Links()
    one, two = second(links)
    links.saw(two, b"b", None)
    assert links.due_us() == 0
    for now in (10, 10 + RECHECK_US):
        assert links.search([one, two], now)[0] == [(one, {7}), (two, {7})]
    assert links.due_us() is None


@pytest.mark.parametrize("over", [True, False])
def test_names_in_directories_that_went_tell_of_others(over: bool) -> None:
    """They were met by a scan, which lets the search wait for its end."""
    links = Links()
    one, two = (Node(Key(0, i, i), None, b"") for i in (1, 2))
    links.listed(one, listing(one, {b"a": Row(ino=7)}))
    links.listed(two, listing(two, {b"b": Row(ino=7, nlink=2)}))
    if over:
        links.scan_over(10)
    links.dropped([two])
    if not over:
        links.scan_over(10)
    assert links.search([one], 10)[0] == [(one, {7})]


@pytest.mark.parametrize("went", ["ab", "ba"])
def test_nothing_is_looked_for_when_all_names_went(went: str) -> None:
    links = Links()
    one, two = second(links)
    links.saw(one, b"a", Row(ino=7, nlink=2).pack())
    searched_out(links, one, two)
    for name in went:
        links.saw(one if name == "a" else two, name.encode(), None)
    assert links.due_us() is None


@pytest.mark.parametrize("went", ["ab", "ba"])
def test_names_outside_that_were_looked_for_are_not_when_all_others_went(went: str) -> None:
    links = Links()
    one, two = second(links)
    row = Row(ino=7, nlink=3).pack()
    links.saw(one, b"a", row)
    links.saw(two, b"b", row)
    searched_out(links, one, two)
    for name in went:
        links.saw(one if name == "a" else two, name.encode(), None)
    assert links.due_us() is None


def test_a_name_that_is_gone_already_hides_no_other() -> None:
    """All three are one file, and nobody has told yet that the second one went."""
    links = Links()
    one, two = second(links)
    links.saw(two, b"b", Row(ino=7, nlink=3).pack(), new=True)
    links.saw(two, b"c", Row(ino=7, nlink=2).pack(), new=True)
    links.search([one, two], 10)
    links.saw(two, b"b", None)
    links.saw(two, b"c", None)
    assert links.search([one], 10 + RECHECK_US)[0] == [(one, {7})]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_name_that_is_found_alone_tells_of_no_other(listed: bool, wanted: bool) -> None:
    links = Links()
    node = Node(Key(0, 1, 1), None, b"")
    links.listed(node, listing(node, {b"b": Row(ino=7, nlink=2)}))
    if wanted:
        links.scan_over(10)
        assert links.due_us() == 10
    if listed:
        links.listed(node, listing(node, {b"b": Row(ino=7)}))
    else:
        links.saw(node, b"b", Row(ino=7).pack())
    assert not links.names(node)
    assert links.due_us() is None


def test_the_number_of_names_is_bounded() -> None:
    links = Links()
    node = Node(Key(0, 1, 1), None, b"")
    links._count = NAMES_MAX
    links.listed(node, listing(node, {b"a": Row(ino=7, nlink=2)}))
    assert not links.names(node)
