"""A cold store whose entries are damaged, all of them: nothing fails, nothing is made up."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import combinations
from pathlib import Path

import pytest
from fustor_view_file import FileView

from fustor_core.claims import Claim, Key
from fustor_core.contracts import Query

from .harm import harm
from .world import World, cell, check, edge, file, listing

MANY = 400
CHAIN = [listing(i, {b"d": edge(i + 1), b"f": file(9000 + i)}) for i in range(1, MANY)]
"""Each below the one before."""
RING = [
    listing(1, {b"d%d" % i: edge(i) for i in range(2, MANY)}),
    *(listing(i, {b"x": edge(i + 1 if i + 1 < MANY else 2)}) for i in range(2, MANY)),
]
"""All in one directory, and each in the one before: most of them sit elsewhere than they should."""


def damaged(folder: Path, *claims: Claim) -> World:
    """A world that was told this, restarted with all its packs damaged."""
    world = World()
    world.tell(*claims)
    world.end_scan()
    world.view.open(folder, "v")
    list(world.view.checkpoint(1, b""))[-1]()
    world.view.close()
    harm(folder)
    again = World()
    again.view = FileView(world.view.config)
    again.view.open(folder, "v")
    again.now_us, again._ordinal = world.now_us, world._ordinal
    return again


@pytest.mark.parametrize("claims", [CHAIN, RING], ids=["chain", "ring"])
def test_one_damage_that_shows_the_next_is_no_recursion(
    claims: list[Claim], tmp_path: Path
) -> None:
    """What a simulated world of renames once met when it read a state whose files were closed."""
    world = damaged(tmp_path, *claims)
    for directory in list(world.view.registers.tree.dirs.values()):
        assert len(directory.pack) == 0
    assert len(world.view.damage()) == MANY - 1
    check(world.view)


def test_an_event_in_a_damaged_directory_is_taken(tmp_path: Path) -> None:
    world = damaged(
        tmp_path, listing(1, {b"a": file(11), b"d": edge(2)}), listing(2, {b"b": file(12)})
    )
    world.tell(cell(2, b"b", file(12, 99)))
    world.tell(cell(1, b"d", edge(2)))
    tree = world.view.registers.tree
    assert tree.dirs[Key(0, 2, 0)].pack.get(b"b") == file(12, 99)
    assert tree.directory_at(b"/d") is tree.dirs[Key(0, 2, 0)]
    assert not world.root.listed


@pytest.mark.parametrize("path", [b"/a", b"/d/b", b"/gone"])
def test_what_was_damaged_is_unknown_and_not_absent(path: bytes, tmp_path: Path) -> None:
    world = damaged(
        tmp_path, listing(1, {b"a": file(11), b"d": edge(2)}), listing(2, {b"b": file(12)})
    )
    (page,) = world.view.read(Query("stat", path), world.moment())
    assert page.document is not None
    assert page.document["existence"] == "unknown"
    assert page.document["quality"]["complete"] is False


def test_what_was_damaged_is_not_suspect_and_counts_as_none(tmp_path: Path) -> None:
    young = file(12, 5, mtime_s=1_999_999)
    world = damaged(tmp_path, listing(1, {b"d": edge(2)}), listing(2, {b"b": young}))
    directory = world.view.registers.tree.dirs[Key(0, 2, 0)]
    assert directory.suspects
    assert len(directory.pack) == 0
    check(world.view)
    world.tell(cell(2, b"b", None))
    world.tell(listing(2, {b"b": young}))
    assert list(directory.suspects) == [b"b"]


NEST = [
    listing(1, {b"a": edge(2), b"b": edge(3), b"f": file(101)}),
    listing(2, {b"c": edge(4), b"f": file(102)}),
    listing(3, {b"c": edge(4), b"e": edge(5), b"f": file(103)}),
    listing(4, {b"g": edge(6), b"f": file(104)}),
    listing(5, {b"f": file(105)}),
    listing(6, {b"f": file(106)}),
]
"""With a directory that two others name."""


@pytest.mark.parametrize("vanishes", [False, True], ids=["damaged", "vanished"])
@pytest.mark.parametrize("lost", [one for n in (1, 2, 3) for one in combinations(range(1, 7), n)])
def test_directories_whose_records_are_lost_are_unknown_until_they_are_listed(
    lost: tuple[int, ...], vanishes: bool, tmp_path: Path
) -> None:
    """What names them is known, and would never be told as new again."""
    whole = World()
    whole.tell(*NEST)
    whole.end_scan()
    world = forgotten(tmp_path, NEST, lost, vanishes=vanishes)
    check(world.view)
    assert world.view.damage()
    world.tell(*NEST)
    world.end_scan()
    check(world.view)
    assert state_of(world) == state_of(whole)
    list(world.view.checkpoint(2, b""))[-1]()
    world.view.close()
    world.view = FileView(world.view.config)
    world.view.open(tmp_path, "v")
    assert not world.view.damage(), "it is said once"
    assert state_of(world) == state_of(whole)


def state_of(world: World) -> dict[str, object]:
    """Every entry, and what counts at the root."""
    query = Query("find", pattern=b"*", limit=None)
    pages = list(world.view.read(query, world.moment()))
    entries = {str(item.get("path")): item for page in pages for item in page.items}
    (top,) = world.view.read(Query("du", b"/"), world.moment())
    assert top.document is not None
    counts = {name: top.document["rollup"][name] for name in ("files", "dirs", "bytes")}
    return {**{path: item["ino"] for path, item in entries.items()}, "": counts}


def forgotten(folder: Path, claims: list[Claim], lost: Sequence[int], *, vanishes: bool) -> World:
    """A world that was told this, restarted without the records of some directories."""
    world = World()
    world.tell(*claims)
    world.end_scan()
    world.view.open(folder, "v")
    list(world.view.checkpoint(1, b""))[-1]()
    dirs = world.view.registers.tree.dirs
    places = [(dirs[Key(0, one, 0)].place,) for one in lost]
    world.view.close()
    with closing(sqlite3.connect(folder / "packs.sqlite")) as base, base:
        way = "DELETE FROM directory" if vanishes else "UPDATE directory SET record=x'00'"
        base.executemany(f"{way} WHERE place=?", places)
    again = World()
    again.view = FileView(world.view.config)
    again.view.open(folder, "v")
    again.now_us, again._ordinal = world.now_us, world._ordinal
    return again
