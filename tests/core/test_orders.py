"""What fusion wants looked at: each wish once, and none too often."""

from __future__ import annotations

import itertools

import pytest

from fustor_core.claims import Key, Owed
from fustor_core.contracts import Command
from fustor_core.orders import AGAIN_US_MAX, FIRST_US, KEPT, Orders

KEY = Key(0, 1, 1)
NOW = 1_000_000_000


@pytest.fixture
def orders() -> Orders:
    return Orders()


def command(kind: str, *paths: bytes, number: str = "1", recursive: bool = False) -> Command:
    return Command(number, kind, tuple((KEY, path) for path in paths), recursive)


def owed(path: bytes, *, deep: bool = False) -> Owed:
    return Owed(KEY, path, deep)


def test_each_kind_of_command_is_a_wish_of_its_own(orders: Orders) -> None:
    orders.take_command(command("look", b"/a", b"/b", b"/a", number="1"), NOW)
    orders.take_command(command("watch", b"/c", number="2"), NOW)
    scan = command("scan", b"/d", number="3", recursive=True)
    orders.take_command(scan, NOW)
    orders.take_command(command("list", b"/e", number="4"), NOW)
    assert orders.due_us() == 0
    assert orders.looks() == [b"/a", b"/b"]
    assert orders.covers() == [b"/c"]
    assert orders.scans() == [scan]
    assert orders.due_us() == NOW + FIRST_US
    assert [one.path for one in orders.lists(NOW + FIRST_US)] == [b"/e"]
    assert orders.due_us() is None
    assert orders.waiting == 0


def test_a_command_is_taken_once(orders: Orders) -> None:
    for _ in range(2):
        orders.take_command(command("look", b"/a"), NOW)
        taken = orders.looks()
    assert taken == []


def test_looks_and_lists_can_be_left_out(orders: Orders) -> None:
    orders.take_command(command("look", b"/a", number="1"), NOW, seeks=False)
    orders.take_command(command("list", b"/a", number="2"), NOW, seeks=False)
    orders.take_command(command("watch", b"/a", number="3"), NOW, seeks=False)
    assert orders.waiting == 1


def test_owed_directories_of_a_burst_are_listed_together(orders: Orders) -> None:
    orders.take_owed([owed(b"/a"), owed(b"/b")], NOW)
    orders.take_owed([owed(b"/a", deep=True)], NOW + FIRST_US // 2)
    assert orders.lists(NOW + FIRST_US - 1) == []
    taken = orders.lists(NOW + FIRST_US)
    assert [(one.path, one.deep) for one in taken] == [(b"/a", True), (b"/b", False)]


def test_what_lies_below_a_deep_one_is_not_listed_again(orders: Orders) -> None:
    paths = [owed(b"/a", deep=True), owed(b"/a/b"), owed(b"/ab"), owed(b"/a/b/c", deep=True)]
    orders.take_owed(paths, NOW)
    assert [one.path for one in orders.lists(NOW + FIRST_US)] == [b"/a", b"/ab"]
    assert orders.waiting == 0


def test_the_whole_tree_covers_everything(orders: Orders) -> None:
    orders.take_owed([owed(b"/x"), owed(b"/", deep=True)], NOW)
    assert [one.path for one in orders.lists(NOW + FIRST_US)] == [b"/"]


def test_one_that_comes_again_and_again_is_listed_ever_more_rarely(orders: Orders) -> None:
    now, pauses = NOW, []
    for _ in range(12):
        orders.take_owed([owed(b"/busy")], now)
        due = orders.due_us()
        assert due is not None
        pauses.append(due - now)
        assert orders.lists(due)
        now = due
    assert pauses == sorted(pauses)
    assert pauses[0] == FIRST_US
    assert pauses[-1] == AGAIN_US_MAX
    assert all(b <= 2 * a for a, b in itertools.pairwise(pauses))


def test_one_that_was_calm_for_long_is_listed_soon(orders: Orders) -> None:
    test_one_that_comes_again_and_again_is_listed_ever_more_rarely(orders)
    later = NOW * 100
    orders.take_owed([owed(b"/busy")], later)
    assert orders.due_us() == later + FIRST_US


def test_a_new_session_says_anew_what_is_wanted(orders: Orders) -> None:
    for kind in ("look", "watch", "list", "scan"):
        orders.take_command(command(kind, b"/a", number=kind), NOW)
    orders.clear()
    assert orders.waiting == 0
    orders.take_command(command("look", b"/a", number="look"), NOW)
    assert orders.looks() == [b"/a"]


def test_what_is_remembered_is_bounded(orders: Orders) -> None:
    for number in range(KEPT + 10):
        orders.take_command(command("watch", b"/a", number=str(number)), NOW)
    assert len(orders._known) == KEPT
