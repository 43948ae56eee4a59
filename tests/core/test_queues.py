"""What of a row of claims need not be sent: sights of a name that was seen again since."""

from __future__ import annotations

import stat

import pytest

from fustor_core.claims import (
    CLOSED,
    MOVED,
    WRITING,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Row,
    Stamp,
    edge_row,
)
from fustor_core.queues import last_words

DIR = Key(0, 7, 1)
FILE, LONGER, OTHER = (
    Row(size=1, ino=5).pack(),
    Row(size=2, ino=5).pack(),
    Row(size=3, ino=6).pack(),
)


def seen(
    at: int,
    name: bytes,
    value: bytes | None,
    flags: int = 0,
    *,
    kind: str = "e",
    origin: Origin = Origin.REALTIME,
) -> Cell:
    stamp = Stamp(at, at + 1, at, kind)
    return Cell(dir=DIR, name=name, value=value, stamp=stamp, origin=origin, flags=flags)


def test_of_a_name_the_last_sight_is_sent_in_its_place() -> None:
    claims: list[Claim] = [
        seen(1, b"a", FILE),
        seen(2, b"", OTHER),
        seen(3, b"b", FILE),
        seen(4, b"a", LONGER),
        seen(5, b"", FILE),
        seen(6, b"b", None),
    ]
    assert last_words(claims) == claims[3:]


def test_a_file_stays_as_unfinished_as_it_was_told_to_be() -> None:
    (told,) = last_words([seen(1, b"a", FILE, WRITING), seen(2, b"a", LONGER)])
    assert told == seen(2, b"a", LONGER, WRITING)
    (told,) = last_words([seen(1, b"a", FILE, WRITING), seen(2, b"a", LONGER, CLOSED)])
    assert told == seen(2, b"a", LONGER, CLOSED)


def test_another_file_is_not_unfinished_because_the_one_before_it_was() -> None:
    assert last_words([seen(1, b"a", FILE, CLOSED), seen(2, b"a", OTHER)]) == [seen(2, b"a", OTHER)]
    came = [seen(1, b"a", FILE, CLOSED), seen(2, b"a", None), seen(3, b"a", FILE)]
    assert last_words(list(came)) == came[2:]


def test_nothing_is_left_out_over_a_claim_of_another_kind() -> None:
    listing = Listing(
        dir=DIR, names=b"", rows=b"", stamp=Stamp(2, 3, 2, "l"), origin=Origin.REALTIME
    )
    claims = [seen(1, b"a", FILE), listing, seen(4, b"a", None)]
    assert last_words(list(claims)) == claims


@pytest.mark.parametrize(
    "between",
    [
        seen(2, b"a", LONGER, MOVED),
        seen(2, b"a", None, kind="w"),
        seen(2, b"a", LONGER, kind="s"),
        seen(2, b"a", LONGER, origin=Origin.SENTINEL),
        seen(2, b"a", edge_row(Key(0, 9, 1), stat.S_IFDIR | 0o755)),
    ],
)
def test_moves_words_looks_and_directories_are_all_sent(between: Cell) -> None:
    claims: list[Claim] = [seen(1, b"a", FILE), between, seen(3, b"a", FILE)]
    assert last_words(list(claims)) == claims
