"""Blocks of packs, and what becomes of them in the cold store."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest
import zstandard
from fustor_view_file.blocks import BLOCK_BYTES, SLOTS, Block, Places, Shelves, block_record
from fustor_view_file.cold import ColdStore, Image
from fustor_view_file.sealed import Damaged, seal
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.claims import ROW_BYTES, pack_rows

from .harm import harm, tables
from .world import file

COMPRESS = zstandard.ZstdCompressor(level=-1)
Blobs = tuple[bytes, bytes]
rows = st.binary(min_size=ROW_BYTES, max_size=ROW_BYTES)
names = st.binary(min_size=1, max_size=9).filter(lambda name: not {0, 47} & set(name))
blobs = st.dictionaries(names, rows, max_size=5).map(pack_rows)


def some(number: int, size: int = 3) -> Blobs:
    """A pack like no other."""
    return pack_rows({b"%d-%d" % (number, n): file(number, n) for n in range(size)})


@given(st.dictionaries(st.integers(0, SLOTS - 1), blobs, min_size=1), st.integers(1, 1 << 31))
def test_what_a_block_is_made_of_is_read_back(packs: dict[int, Blobs], number: int) -> None:
    slots, record = block_record(number, sorted(packs.items()), COMPRESS)
    block = Block(record, number)
    for slot in range(SLOTS):
        assert slots >> slot & 1 == (slot in packs)
        if slot in packs:
            assert block.pack(slot).blobs() == packs[slot]
        else:
            with pytest.raises(Damaged):
                block.pack(slot)
    with pytest.raises(Damaged):
        Block(record, number + 1)


@pytest.mark.parametrize(
    "harm", [b"", b"\0", b"\0\0\0\0", b"\1\0\0\0", b"\1\0\0\0\0\0\0\0\1\0\0\0"]
)
def test_what_is_no_block_is_damaged(harm: bytes) -> None:
    with pytest.raises(Damaged):
        Block(harm, 7)
    with pytest.raises(Damaged):
        Block(seal(harm, 7), 7)
    with pytest.raises(Damaged):
        Block(seal(COMPRESS.compress(harm), 7), 7)


def test_places_are_given_out_once_and_blocks_are_not_too_heavy() -> None:
    places, weights = Places(), dict[int, int]()
    seen = [0]
    for n in range(500):
        if not n % 100:
            places.begin()
            before = {place // SLOTS for place in seen}
        weight = n * 37 % 20_000 if n % 3 else 0
        seen.append(places.take(weight))
        assert seen[-1] > seen[-2]
        assert seen[-1] // SLOTS not in before, "an image brings blocks of its own"
        weights[seen[-1] // SLOTS] = weights.get(seen[-1] // SLOTS, 0) + weight
    assert places.next > seen[-1]
    assert max(weights.values()) <= BLOCK_BYTES
    assert len(weights) < 250


# ---- a store with blocks


def packs(folder: Path) -> tuple[list[int], dict[int, int], dict[int, int]]:
    """Places of those that lie alone; slots of blocks, and those that nobody wants."""
    found = tables(folder)
    return [place for (place,) in found["pack"]], dict(found["block"]), dict(found["dead"])


def store_with(folder: Path, *slots: int, number: int = 3) -> ColdStore:
    """One block with packs in these slots."""
    store = ColdStore(folder)
    packs = [(slot, some(number * SLOTS + slot)) for slot in slots]
    store.write(Image({"life": b"1"}, blocks={number: packs}))
    return store


def test_what_lies_alone_counts_before_the_block(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1, 2, 5)
    assert store.load(97).blobs() == some(97)
    store.write(Image({}, packs=[(97, some(1))]))
    assert store.load(97).blobs() == some(1)
    assert store.load(98).blobs() == some(98)
    assert packs(tmp_path) == ([97], {3: 0b100111}, {3: 0b10})
    for place in (95, 99, 128):
        with pytest.raises(Damaged, match=f"no pack at {place}"):
            store.load(place)
    store.close()


def test_dead_ones_are_counted_once_and_the_last_ones_leave(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1, 2, 3)
    for _ in range(3):
        store.write(Image({}, packs=[(97, some(1))]))
    store.write(Image({}, dropped=[96]))
    assert packs(tmp_path) == ([97], {3: 0b1111}, {3: 0b11})
    store.close()
    store = ColdStore(tmp_path)
    store.write(Image({}, packs=[(97, some(2))], dropped=[96]))  # as after a failed checkpoint
    assert packs(tmp_path) == ([97], {3: 0b1111}, {3: 0b11})
    store.write(Image({}, dropped=[99]))
    assert packs(tmp_path) == ([97, 98], {}, {})
    assert store.load(97).blobs() == some(2)
    assert store.load(98).blobs() == some(98), "it lies alone now"
    store.close()


def test_a_block_that_nobody_wants_goes(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1, 2, 3)
    store.write(Image({}, dropped=[96, 97, 98, 99]))
    assert packs(tmp_path) == ([], {}, {})
    store.close()


def test_a_damaged_block_is_not_taken_apart(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1, 2, 3)
    store.close()
    harm(tmp_path)
    store = ColdStore(tmp_path)
    store.write(Image({}, dropped=[96, 97, 98]))
    assert packs(tmp_path) == ([], {3: 0b1111}, {3: 0b111})
    with pytest.raises(Damaged, match="checksum"):
        store.load(99)
    store.write(Image({}, dropped=[99]))
    assert not packs(tmp_path)[1]
    store.close()


def test_what_was_written_later_and_is_lost_is_not_what_was_before(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1)
    store.write(Image({}, packs=[(97, some(1))]))
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        db.execute("DELETE FROM pack")
    db.close()
    with pytest.raises(Damaged):
        store.load(97)
    assert store.load(96).blobs() == some(96)
    store.close()


def test_what_lies_alone_stays_when_a_block_has_forgotten_it(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1, 2, 3)
    store.write(Image({}, packs=[(97, some(1))]))
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        db.execute("DELETE FROM dead")
    db.close()
    store.write(Image({}, dropped=[96, 98, 99, 98]))
    assert packs(tmp_path) == ([97], {}, {})
    assert store.load(97).blobs() == some(1)
    store.close()


def test_columns_that_are_something_else_are_damaged(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1, 2, 3)
    store.write(Image({}, packs=[(97, some(1))]))
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        db.execute("UPDATE pack SET record=5")
        db.execute("UPDATE dead SET slots='x'")
    db.close()
    with pytest.raises(Damaged):
        store.load(97)
    assert store.load(96).blobs() == some(96)
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        db.execute("UPDATE block SET record='x', slots=x'00'")
        db.execute("INSERT INTO directory VALUES (5, 7.5)")
    db.close()
    store.write(Image({}, dropped=[98, 99]))
    store.close()
    store = ColdStore(tmp_path)
    assert list(store.index()) == [(5, None)]
    for place in (96, 97, 98):
        with pytest.raises(Damaged):
            store.load(place)
    store.close()


def test_a_record_that_strayed_to_another_place_is_damaged(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0)
    store.write(Image({}, packs=[(7, some(7))]))
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        db.execute("UPDATE pack SET place=place+1")
    db.close()
    for place in (8, 97):
        with pytest.raises(Damaged, match="checksum"):
            store.load(place)
    store.close()


class Between:
    """A connection between whose first two questions something happens."""

    def __init__(self, db: sqlite3.Connection, what: Any) -> None:
        self.db, self.what, self.asked = db, what, 0

    def execute(self, *words: Any) -> sqlite3.Cursor:
        self.asked += 1
        if self.asked == 2:
            self.what()
        return self.db.execute(*words)


def test_a_block_is_taken_apart_while_its_pack_is_sought(tmp_path: Path) -> None:
    store = store_with(tmp_path, 0, 1, 2)
    db = sqlite3.connect(tmp_path / "packs.sqlite", isolation_level=None)
    between = Between(db, lambda: store.write(Image({}, dropped=[97, 98])))
    record = Shelves(cast("sqlite3.Connection", between)).load(96)
    assert isinstance(record, bytes), "it lies alone now"
    assert not packs(tmp_path)[1]
    db.close()
    store.close()
