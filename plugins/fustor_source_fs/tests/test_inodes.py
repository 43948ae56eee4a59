"""What is kept of the inode numbers of a directory: nothing is missed, and most is left out."""

from __future__ import annotations

import random

import pytest
from fustor_source_fs.inodes import Wanted, column, packed

DICE = random.Random(7)
KINDS = {
    "none": [],
    "one": [2**64 - 1],
    "few": [5, 2**40 + 5, 70_000],
    "in a row": list(range(1_000_200, 1_000_300)),
    "near each other": DICE.sample(range(40_960, 49_152), 200),
    "anywhere": [DICE.getrandbits(63) for _ in range(300)],
    "very many in a row": list(range(9_000_000, 9_070_000)),
}


@pytest.mark.parametrize("inos", KINDS.values(), ids=KINDS)
def test_every_number_is_found(inos: list[int]) -> None:
    kept = packed(column(inos))
    for ino in inos[:500]:
        assert Wanted([ino, 1 << 62]).within(kept) >= {ino}
    if inos:
        assert Wanted([inos[-1]]).within(packed(b""), column([3, inos[-1]])) == {inos[-1]}


def test_what_is_far_away_is_not_found() -> None:
    for inos in KINDS.values():
        far = [ino + 4096 * step for ino in inos[:50] for step in (-9, 9)]
        lows = {ino & 0xFFFF_FFFF for ino in inos}
        wanted = Wanted(ino for ino in far if ino & 0xFFFF_FFFF not in lows)
        assert not wanted.within(packed(column(inos)))
    assert not Wanted([])


def test_numbers_near_each_other_take_few_bytes() -> None:
    assert len(packed(column(KINDS["in a row"]))) < 8
    assert len(packed(column(KINDS["near each other"]))) < 40
    for inos in KINDS.values():
        assert len(packed(column(inos))) <= 4 * len(inos) + 1
