"""A view that is kept, in blocks and alone: what is read back is what was told."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fustor_view_file import FileView
from fustor_view_file.blocks import SLOTS
from fustor_view_file.sealed import seal, unseal
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fustor_core.claims import Key
from fustor_core.errors import DiskFull

from .harm import tables
from .world import ROOT, World, cell, check, edge, file, listing

INOS = tuple(range(2, 12))

steps = st.one_of(
    st.tuples(st.just("hear"), st.sampled_from(INOS)),
    st.tuples(st.just("list"), st.sampled_from(INOS), st.sampled_from([0, 1, 3, 90, 400])),
    st.tuples(st.just("all"), st.sampled_from([1, 3, 90])),
    st.tuples(st.just("event"), st.sampled_from(INOS)),
    st.tuples(st.just("gone"), st.lists(st.sampled_from(INOS), min_size=1, max_size=6)),
    st.tuples(st.just("kept")),
    st.tuples(st.just("full")),
    st.tuples(st.just("half")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("again")),
)


class Kept:
    """A world whose view is kept, fails to be kept, and begins again."""

    def __init__(self, folder: Path, budget: int | None) -> None:
        self.folder, self.count = folder, 0
        self.world = World()
        self.config = FileView.Config(memory_budget=budget)
        self.begin()
        self.world.begin_scan()
        self.world.tell(listing(1, {}))
        self.kept()

    def begin(self) -> None:
        self.world.view = FileView(self.config)
        self.world.view.open(self.folder, "v")

    def told(self) -> dict[Key, object]:
        """All that the view holds."""
        return {
            key: (
                d.glance().blobs(), d.base, dict(d.own), d.parent and d.parent.key, d.name, d.owed,
                d.attrs, d.silent, d.reason, d.gap, list(d.count), dict(d.suspects),
                d.blind and dict(d.blind), d.origin, d.listed,
            )
            for key, d in self.world.view.registers.tree.dirs.items()
        }  # fmt: skip

    def do(self, step: tuple[Any, ...]) -> None:
        kind, rest = step[0], step[1:]
        world, dirs = self.world, self.world.view.registers.tree.dirs
        self.count += 1
        if kind == "hear":
            world.tell(cell(1, b"d%d" % rest[0], edge(rest[0])))
        elif kind == "list":
            ino, size = rest
            world.tell(
                listing(ino, {b"%04d-%d" % (n, self.count): file(20, n) for n in range(size)})
            )
        elif kind == "all":
            for ino in INOS:
                self.do(("hear", ino))
                self.do(("list", ino, rest[0]))
        elif kind == "event":
            world.tell(cell(rest[0], b"event", file(21, self.count)))
        elif kind == "gone":
            world.tell(*(cell(1, b"d%d" % ino, None) for ino in rest[0]))
            world.view.forget([Key(0, ino, 0) for ino in rest[0] if Key(0, ino, 0) in dirs])
        elif kind == "kept":
            self.kept()
        elif kind == "full":
            self.full()
        elif kind == "half":
            steps = world.view.checkpoint(9, b"")
            next(steps)
            assert isinstance(steps, Generator)
            steps.close()
        elif kind == "settle":
            world.view.flush(1)
        else:
            world.view.close()
            self.begin()
            self.sound()
            assert self.told() == self.durable
            assert world.view.damage() == []
            check(world.view)

    def kept(self) -> None:
        list(self.world.view.checkpoint(self.count, b""))[-1]()
        self.durable = self.told()
        self.sound()

    def full(self) -> None:
        """No page more can be had: what was begun is taken back, and part of the next image."""
        keeper = self.world.view._keeper
        assert keeper is not None
        db = keeper.cold._db
        (most,) = db.execute("PRAGMA max_page_count").fetchone()
        db.execute("PRAGMA max_page_count=1")  # it has more already
        with suppress(DiskFull):
            self.kept()
        db.execute(f"PRAGMA max_page_count={most}")

    def sound(self) -> None:
        """Each pack is kept once, and of no block more than half is garbage."""
        tree, found = self.world.view.registers.tree, tables(self.folder)
        keeper = self.world.view._keeper
        assert keeper is not None
        alone, dead = {place for (place,) in found["pack"]}, dict(found["dead"])
        live, all_slots = set[int](), set[int]()
        for number, slots in found["block"]:
            gone = dead.pop(number, 0)
            assert gone & ~slots == 0
            assert 2 * (slots & ~gone).bit_count() >= slots.bit_count() > 1
            all_slots |= {number * SLOTS + n for n in range(SLOTS) if slots >> n & 1}
            live |= {number * SLOTS + n for n in range(SLOTS) if (slots & ~gone) >> n & 1}
        assert not dead, "of blocks that are no more"
        places = {d.place: d for d in tree.dirs.values()}
        assert len(places) == len(tree.dirs)
        assert not alone & live
        assert {place for (place,) in found["directory"]} == places.keys()
        assert alone | live <= places.keys()
        assert {place for place, d in places.items() if d.heard or d.own} <= alone | live
        assert keeper._places.next > max(alone | all_slots | places.keys())
        for place, directory in places.items():
            if place in alone | live and keeper.kept(directory):
                assert keeper.cold.load(place).blobs() == directory.glance().blobs()


ALL, KEPT, AGAIN, FULL = ("all", 3), ("kept",), ("again",), ("full",)


@settings(max_examples=40, deadline=None)
@example([ALL, KEPT, ("gone", [2, 3, 4]), KEPT, ("gone", [5, 6, 7, 8]), KEPT, AGAIN], None)
@example([ALL, KEPT, ("event", 2), KEPT, ("event", 2), KEPT, ("gone", [2]), AGAIN, KEPT], None)
@example([ALL, KEPT, ("event", 2), KEPT, ("event", 3), KEPT, AGAIN], None)
@example([("all", 90), FULL, ("gone", [2]), FULL, ("event", 3), KEPT, AGAIN], None)
@example([("hear", 2), ("hear", 3), KEPT, ("list", 2, 3), FULL, ("list", 3, 3), KEPT, AGAIN], None)
@example([("hear", 2), KEPT, AGAIN, ("list", 2, 3), ("list", 3, 3), KEPT, AGAIN], 1)
@example([("all", 400), ("settle",), KEPT, ("settle",), ("event", 4), KEPT, AGAIN], 1)
@example([ALL, ("half",), ("gone", [2, 3]), ("hear", 2), ("half",), KEPT, AGAIN], None)
@given(st.lists(steps, min_size=3, max_size=14), st.sampled_from([None, 1]))
def test_whatever_becomes_of_it_what_is_kept_is_what_was_told(
    story: list[tuple[Any, ...]], budget: int | None
) -> None:
    with tempfile.TemporaryDirectory() as made:
        kept = Kept(Path(made), budget)
        for step in [*story, KEPT, AGAIN]:
            kept.do(step)
        kept.world.view.close()


def test_a_disk_that_is_full_refuses_blocks(tmp_path: Path) -> None:
    """Else no story above has one that failed."""
    kept = Kept(tmp_path, None)
    before = tables(tmp_path)
    kept.do(("all", 90))
    kept.do(FULL)
    assert tables(tmp_path) == before
    kept.do(KEPT)
    assert len(tables(tmp_path)["pack"]) >= len(INOS), "their places were given out before"
    kept.world.view.close()


def test_directories_lie_with_those_that_came_with_them(tmp_path: Path) -> None:
    kept = Kept(tmp_path, None)
    kept.do(ALL)
    kept.do(KEPT)
    dirs = kept.world.view.registers.tree.dirs
    places = [dirs[Key(0, ino, 0)].place for ino in INOS]
    assert places == sorted(places)
    assert len({place // SLOTS for place in places}) == 1
    kept.world.view.close()


def test_who_was_only_heard_of_has_no_pack(tmp_path: Path) -> None:
    kept = Kept(tmp_path, None)
    for ino in (2, 3):
        kept.do(("hear", ino))
    kept.do(KEPT)
    dirs = kept.world.view.registers.tree.dirs
    found = tables(tmp_path)
    assert found["pack"] == [(dirs[ROOT].place,)]
    for ino in (2, 3):
        kept.do(("list", ino, 1))
    kept.do(KEPT)
    assert len(tables(tmp_path)["block"]) == 1, "as if they had never had a place"
    kept.world.view.close()


def test_a_file_of_before_is_read_as_it_is(tmp_path: Path) -> None:
    """Format 3: each pack alone, and sealed for no place."""
    kept = Kept(tmp_path, None)
    kept.do(ALL)
    kept.do(KEPT)
    for ino in INOS:
        kept.do(("event", ino))
    kept.do(("list", 1, 2))
    kept.do(KEPT)
    kept.world.view.close()
    assert tables(tmp_path)["block"] == []
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        for table in ("pack", "directory"):
            for place, record in db.execute(f"SELECT place, record FROM {table}").fetchall():
                before = seal(unseal(record, place))
                db.execute(f"UPDATE {table} SET record=? WHERE place=?", (before, place))
        db.execute("UPDATE meta SET value='3' WHERE name='format'")
        db.execute("DROP TABLE block")
        db.execute("DROP TABLE dead")
    db.close()
    kept.do(AGAIN)
    kept.do(ALL)
    kept.do(KEPT)
    kept.do(AGAIN)
    kept.world.view.close()
