"""Checkpoints read back, damage said, nothing silently empty."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from fustor_view_file import FileView, tally

from fustor_core.claims import (
    WRITING,
    Key,
)
from fustor_core.contracts import Facts
from fustor_core.registers import Seen

from .harm import harm
from .world import World, cell, check, edge, file


def state(view: FileView) -> dict[Key, object]:
    """All that makes up the state, comparable."""
    tree = view.registers.tree
    return {
        key: (
            d.base, list(d.pack.items()), dict(d.own), d.parent and d.parent.key, d.name, d.owed,
            d.deep, d.reason, d.silent, d.attrs, list(d.count), dict(d.suspects), d.blind, d.frozen,
            sorted(tree.claimants(key)),
        )
        for key, d in tree.dirs.items()
    }  # fmt: skip


def test_a_checkpoint_read_back_is_the_same_state(world: World, tmp_path: Path) -> None:
    view = world.view
    assert view.open(tmp_path, "v") == (0, b"")
    list(view.checkpoint(3, b"meta"))[-1]()
    world.tell(cell(1, b"twin", edge(3)), cell(2, b"b", None), cell(1, b"w", file(16, 0), WRITING))
    world.tell(cell(1, b"a", None))
    list(view.checkpoint(7, b"later"))[-1]()
    view.close()
    again = FileView(view.config)
    assert again.open(tmp_path, "v") == (7, b"later")
    assert state(again) == state(view)
    assert again.registers.feed.all() == view.registers.feed.all()
    assert again.damage() == []
    check(again)


def test_a_damaged_pack_is_unknown_and_owed(world: World, tmp_path: Path) -> None:
    view = world.view
    view.open(tmp_path, "v")
    list(view.checkpoint(1, b""))[-1]()
    view.registers.tree.dirty[Key(0, 2, 0)] = None  # from now on it lies alone
    list(view.checkpoint(2, b""))[-1]()
    place = view.registers.tree.dirs[Key(0, 2, 0)].place
    view.close()
    harm(tmp_path, place)
    again = FileView(view.config)
    again.open(tmp_path, "v")
    for directory in list(again.registers.tree.dirs.values()):
        assert len(directory.pack) >= 0
    root = again.registers.tree.root
    assert root is not None
    assert root.count[tally.GAPS] == 1
    assert again.damage()
    check(again)


def test_a_damaged_block_is_unknown_and_owed_directory_by_directory(
    world: World, tmp_path: Path
) -> None:
    view = world.view
    view.open(tmp_path, "v")
    list(view.checkpoint(1, b""))[-1]()
    view.registers.tree.dirty[Key(0, 2, 0)] = None
    list(view.checkpoint(2, b""))[-1]()
    alone = view.registers.tree.dirs[Key(0, 2, 0)].place
    view.close()
    harm(tmp_path)
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        assert db.execute("SELECT count(*) FROM block").fetchone() == (1,)
        (record,) = db.execute("SELECT record FROM pack WHERE place=?", (alone,)).fetchone()
        well = record[:-1] + bytes([record[-1] ^ 1])
        db.execute("UPDATE pack SET record=? WHERE place=?", (well, alone))
    db.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    tree = again.registers.tree
    assert tree.root is not None
    assert tree.root.count[tally.GAPS] == 0, "nobody has looked yet"
    assert tree.dirs[Key(0, 2, 0)].pack.get(b"b") is not None, "what lies alone is well"
    for gaps, ino in enumerate((3, 1), 1):
        assert len(tree.dirs[Key(0, ino, 0)].pack) == 0
        assert sum(d.gap for d in tree.dirs.values()) == gaps
        assert tree.dirs[Key(0, ino, 0)].get(b"any") is None, "unknown, not absent"
    assert len(again.damage()) == 2
    check(again)


def test_what_a_forgotten_directory_named_is_named_no_longer(world: World, tmp_path: Path) -> None:
    view = world.view
    view.open(tmp_path, "v")
    world.tell(cell(2, b"twin", edge(3)), cell(1, b"d", None))
    world.tell(cell(1, b"other", edge(3)))
    list(view.checkpoint(1, b""))[-1]()
    view.forget([Key(0, 2, 0)])
    list(view.checkpoint(2, b""))[-1]()
    view.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    assert state(again) == state(view)
    assert again.registers.tree.claimants(Key(0, 3, 0)) == {(Key(0, 1, 0), b"other")}
    check(again)


def test_a_damaged_pack_names_nothing(world: World, tmp_path: Path) -> None:
    view = world.view
    view.open(tmp_path, "v")
    world.tell(cell(2, b"twin", edge(3)))  # hidden: the edge below has the same directory
    world.tell(cell(1, b"other", edge(3)))
    list(view.checkpoint(1, b""))[-1]()
    view.registers.tree.dirty[Key(0, 2, 0)] = None
    list(view.checkpoint(2, b""))[-1]()
    place = view.registers.tree.dirs[Key(0, 2, 0)].place
    view.close()
    harm(tmp_path, place)
    again = FileView(view.config)
    again.open(tmp_path, "v")
    tree = again.registers.tree
    assert len(tree.dirs[Key(0, 2, 0)].pack) == 0
    assert tree.claimants(Key(0, 3, 0)) == {(Key(0, 1, 0), b"other")}
    assert list(tree.hidden()) == []
    check(again)


@pytest.mark.parametrize(
    "harm", ["DELETE FROM directory WHERE place=?", "UPDATE directory SET record='' WHERE place=?"]
)
def test_a_directory_that_is_not_read_back_is_said(world: World, tmp_path: Path, harm: str) -> None:
    """A row may be lost without a trace, where a page says that it has one less."""
    view = world.view
    view.open(tmp_path, "v")
    list(view.checkpoint(1, b""))[-1]()
    place = view.registers.tree.dirs[Key(0, 3, 0)].place
    view.close()
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        db.execute(harm, (place,))
    db.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    assert [text for text in again.damage() if text.startswith("1 directories")]


def test_an_unreadable_store_is_set_aside_and_said(world: World, tmp_path: Path) -> None:
    view = world.view
    view.open(tmp_path, "v")
    list(view.checkpoint(1, b""))[-1]()
    view.close()
    (tmp_path / "packs.sqlite").write_bytes(b"this is no database, it only looks long enough" * 99)
    again = FileView(view.config)
    assert again.open(tmp_path, "v") == (0, b"")
    assert again.damage()
    assert (tmp_path / "packs.damaged-1").exists()


def test_a_directory_that_was_only_heard_of_is_not_damaged(world: World, tmp_path: Path) -> None:
    view = world.view
    view.open(tmp_path, "v")
    world.tell(cell(1, b"heard", edge(99)))
    list(view.checkpoint(1, b""))[-1]()
    view.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    assert state(again) == state(view)
    assert again.damage() == []
    assert again.registers.tree.dirs[Key(0, 99, 0)].owed is not None


def test_a_name_that_went_from_a_directory_never_listed_is_no_damage(
    world: World, tmp_path: Path
) -> None:
    view = world.view
    view.open(tmp_path, "v")
    claim, seen = cell(99, b"gone", None), Seen(5, 5, 1, 5, 5, 1, "e")
    view.begin(world.moment())  # not `tell`, which looks at all entries afterwards
    view.apply(world.arbitrator.judge(None, claim, Facts(seen, 5, 0)))
    view.commit()
    list(view.checkpoint(1, b""))[-1]()
    view.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    assert state(again) == state(view)
    assert again.damage() == []


def test_a_directory_forgotten_and_heard_of_again_is_kept_once(
    world: World, tmp_path: Path
) -> None:
    view = world.view
    view.open(tmp_path, "v")
    world.tell(cell(1, b"d", None))
    list(view.checkpoint(1, b""))[-1]()
    view.forget([Key(0, 2, 0)])
    world.tell(cell(2, b"late", file(17)))  # before any checkpoint has seen that it was forgotten
    list(view.checkpoint(2, b""))[-1]()
    view.forget([Key(0, 2, 0)])
    list(view.checkpoint(3, b""))[-1]()
    view.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    assert Key(0, 2, 0) not in again.registers.tree.dirs
    assert state(again) == state(view)
    check(again)


def test_a_copy_is_made_in_steps_that_weigh_what_happened_there(
    world: World, tmp_path: Path
) -> None:
    """Directories in which much happened alone are not copied fifty at once."""
    view = world.view
    view.open(tmp_path, "v")
    few = sum(1 for _ in view.checkpoint(1, b""))
    for n in (1, 2, 3):
        world.tell(*(cell(n, b"n%05d" % i, file(1000 * n + i, i)) for i in range(6000)))
    steps = list(view.checkpoint(2, b""))
    assert len(steps) >= few + 2
    world.tell(cell(2, b"n00000", None), cell(2, b"later", file(9, 9)))
    steps[-1]()
    view.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    below = again.registers.tree.dirs[Key(0, 2, 0)]
    assert below.pack.get(b"n00000") is not None, "it is as it was when it was copied"
    assert b"later" not in below.own
