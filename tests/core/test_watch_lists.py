"""One list of directories for all lines: each hears of what others found, once, and in bounds."""

from __future__ import annotations

import random

from fustor_core.claims import PROTOCOL, Batch, Cell, Claim, Key, Origin, Stamp, edge_row
from fustor_core.watch_lists import AT_ONCE, AWAY_MOST, KEPT, KEYS_IN_ROW, WatchLists

SEEDS = 60
STEPS = 400
NOTHING = Batch(PROTOCOL, 1, 1, [])


def key(number: int) -> Key:
    return Key(0, number, 0)


def where(wanted: Key) -> bytes:
    return b"/d%d/%d" % (wanted.ino % 3, wanted.ino)


def telling(numbers: list[int]) -> Batch:
    """An agent tells of these directories."""
    stamp = Stamp(1, 1, 1, "e")
    cells: list[Claim] = [
        Cell(
            dir=key(0), name=b"%d" % n, value=edge_row(key(n)), stamp=stamp, origin=Origin.REALTIME,
            path=b"/",
        )
        for n in numbers
    ]  # fmt: skip
    return Batch(PROTOCOL, 1, 1, cells)


def heard(lists: WatchLists, line: int) -> list[int]:
    """What a line is told that it has not heard before; each command comes twice."""
    commands = lists.commands(line, where)
    fresh = commands[-1:] if lists._lines[line].last is not None else []
    return [found.ino for command in fresh for found, _ in command.targets if found is not None]


def test_as_with_a_list_for_each_line() -> None:
    for seed in range(SEEDS):
        dice = random.Random(seed)
        lists, model = WatchLists(), dict[int, set[int]]()
        for line in range(4):
            lists.attend(line, lambda: range(4))
            model[line] = set()
        for _ in range(STEPS):
            line = dice.randrange(5)  # the last one does not watch
            numbers = [dice.randrange(1, 40) for _ in range(dice.randrange(1, 5))]
            match dice.randrange(3):
                case 0:
                    lists.found(line, NOTHING, [key(n) for n in numbers], where)
                    for other in model:
                        model[other] |= set(numbers) if other != line else set()
                case 1:
                    lists.found(line, telling(numbers), [], where)
                    model.get(line, set()).difference_update(numbers)
                case 2 if line in model:
                    assert set(heard(lists, line)) == model[line], seed
                    model[line] = set()
        rows = {row.line: {one.ino for one in row.keys} for row in lists.rows(where)}
        again = WatchLists()
        again.restore(lists.rows(where))
        for line, wanted in model.items():
            assert wanted <= rows.get(line, set())
            assert wanted <= (set(heard(again, line)) if line in again._lines else set())


def test_all_lines_share_what_they_are_told() -> None:
    lists = WatchLists()
    for line in range(3):
        lists.attend(line, lambda: range(3))
    lists.found(9, NOTHING, [key(n) for n in range(AT_ONCE + 5)], where)
    first, second, third = (lists.commands(line, where) for line in range(3))
    assert first[0] is second[0] is third[0]
    assert len(first[0].targets) == AT_ONCE
    assert len(lists.commands(0, where)[1].targets) == 5


def test_a_line_that_falls_behind_is_told_of_one_directory() -> None:
    lists = WatchLists()
    for line in (1, 2):
        lists.attend(line, lambda: (1, 2))
    for begin in range(0, 3 * KEPT, 100):
        lists.found(1, NOTHING, [key(3 * n) for n in range(begin, begin + 100)], where)
        lists.commands(2, where) if begin < KEPT else None
    assert len(lists._list) <= 2 * KEPT
    command = lists.commands(2, where)[-1]
    assert (command.recursive, command.targets) == (True, ((None, b"/d0"),))
    assert not lists.commands(1, where), "it has found them all itself"


def test_who_finds_much_himself_is_not_told_to_look_again() -> None:
    """What a leader has not heard yet does not get lost among what it finds."""
    lists = WatchLists()
    for line in (1, 2):
        lists.attend(line, lambda: (1, 2))
    lists.found(2, NOTHING, [key(7)], where)
    for begin in range(0, 3 * KEPT, 100):
        lists.found(1, NOTHING, [key(n) for n in range(begin + 10, begin + 110)], where)
        lists.commands(2, where)
    (command,) = lists.commands(1, where)
    assert command.targets == ((key(7), b"/d1/7"),)


def test_of_lines_that_are_away_few_are_remembered() -> None:
    lists = WatchLists()
    for line in range(1000):
        lists.attend(line, lambda: (0,))
    assert len(lists._lines) <= 2 * AWAY_MOST + 2
    assert {0, 999} <= set(lists._lines)


def test_much_is_kept_as_one_directory() -> None:
    lists = WatchLists()
    lists.attend(1, lambda: (1,))
    lists.found(2, NOTHING, [key(3 * n) for n in range(KEYS_IN_ROW + 1)], where)
    (row,) = lists.rows(where)
    assert (row.keys, row.top) == ([], b"/d0")
    again = WatchLists()
    again.restore([row])
    assert again.commands(1, where)[0].targets == ((None, b"/d0"),)
