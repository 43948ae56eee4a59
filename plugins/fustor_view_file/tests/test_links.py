"""Names of one inode: who is looked at again, and that a restart changes nothing about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fustor_view_file import FileView, links

from fustor_core.claims import CLOSED, Key, Origin

from .world import World, cell, edge, file, listing

TOP, BELOW = Key(0, 1, 0), Key(0, 2, 0)


def twins() -> World:
    """``/a`` and ``/d/b`` are one file."""
    world = World()
    world.tell(
        listing(1, {b"a": file(20, 10, nlink=2), b"d": edge(2)}),
        listing(2, {b"b": file(20, 10, nlink=2)}),
    )
    return world


def owed(view: FileView) -> dict[Key, object]:
    """What is owed where."""
    return {key: d.owed for key, d in view.registers.tree.dirs.items() if d.owed is not None}


def restart(world: World, folder: Path) -> World:
    """The same world, its view closed and read back."""
    again = World()
    view = world.view
    view.open(folder, "v")
    list(view.checkpoint(1, b""))[-1]()
    view.close()
    again.view = FileView(view.config)
    again.view.open(folder, "v")
    again.now_us, again._ordinal = world.now_us, world._ordinal
    return again


CHANGES = {
    "written": [cell(1, b"a", file(20, 50, nlink=2), CLOSED)],
    "removed": [cell(1, b"a", None)],
    "linked once more": [cell(1, b"c", file(20, 10, nlink=3))],
    "another file now": [cell(1, b"a", file(21, 5))],
    "first link": [cell(1, b"x", file(30, 1)), cell(2, b"y", file(30, 1, nlink=2))],
    "told of both": [cell(1, b"a", file(20, 50, nlink=2)), cell(2, b"b", file(20, 50, nlink=2))],
    "links outside": [cell(1, b"o", file(40, 1, nlink=5)), cell(1, b"o", file(40, 2, nlink=5))],
    "number of a file that went": [
        cell(2, b"o", file(40, 1, nlink=2)),
        cell(1, b"d", None),
        cell(1, b"n", file(40, 7)),
        cell(1, b"m", file(40, 7, nlink=2)),
    ],
    "number of a file that goes just now": [
        cell(2, b"o", file(40, 1, nlink=2)),
        cell(1, b"n", file(40, 7)),
        [cell(2, b"o", None), cell(2, b"m", file(40, 7, nlink=2))],
    ],
    "renamed with a name outside": [
        cell(2, b"o", file(40, 1, nlink=2)),
        [cell(2, b"o", None), cell(2, b"m", file(40, 1, nlink=2))],
    ],
    "renamed": [[cell(1, b"a", None), cell(1, b"e", file(20, 10, nlink=2))]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_restart_changes_nothing_about_who_is_owed_a_look(change: str, tmp_path: Path) -> None:
    """World 248: after a restart nobody knew any more which names were one file."""
    live, again = twins(), restart(twins(), tmp_path)
    for world in (live, again):
        for claim in CHANGES[change]:
            world.tell(*(claim if isinstance(claim, list) else [claim]))
    assert owed(again.view) == owed(live.view)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("written", {BELOW}),
        ("removed", {BELOW}),
        ("linked once more", {TOP, BELOW}),
        ("another file now", {BELOW}),
        ("first link", {TOP}),
        ("links outside", set()),
        ("number of a file that went", {TOP}),
        ("number of a file that goes just now", {TOP}),
        ("renamed with a name outside", set()),
        ("renamed", set()),
    ],
)
def test_names_that_nobody_told_of_are_owed_a_look(change: str, where: set[Key]) -> None:
    world = twins()
    for claim in CHANGES[change]:
        world.tell(*(claim if isinstance(claim, list) else [claim]))
    assert set(owed(world.view)) == where


def test_names_that_were_told_of_together_owe_nothing() -> None:
    world = twins()
    world.tell(*CHANGES["told of both"])
    assert owed(world.view) == {}


def test_who_was_looked_at_before_is_the_one_that_is_stale() -> None:
    """A listing that shows a newer state than an event's: not its directory is listed again."""
    world = twins()
    world.tell(cell(1, b"a", file(20, 50, nlink=2)))
    world.tell(listing(2, {b"b": file(20, 70, nlink=2)}, Origin.ON_DEMAND))
    assert set(owed(world.view)) == {TOP}


def test_a_name_that_goes_with_its_directory_goes_for_the_others_too() -> None:
    """World 3071: an `rm -r` whose events came in one batch."""
    world = twins()
    world.tell(cell(2, b"b", None), cell(1, b"d", None))
    assert set(owed(world.view)) >= {TOP}


def test_what_a_forgotten_directory_held_is_no_name() -> None:
    world = twins()
    world.tell(cell(1, b"d", None))
    world.view.forget([BELOW])
    world.tell(cell(1, b"d", edge(2)))
    world.tell(listing(2, {b"b": file(20, 10, nlink=2)}))
    assert owed(world.view) == {}
    world.tell(cell(1, b"a", None))
    assert set(owed(world.view)) == {BELOW}


def test_a_search_that_a_scan_put_off_is_made_after_a_restart(tmp_path: Path) -> None:
    first = World()
    first.tell(listing(1, {b"a": file(20, 10), b"d": edge(2)}))
    first.tell(listing(2, {b"b": file(20, 10, nlink=2)}))  # linked while the scan ran
    again = restart(first, tmp_path)
    again.tell(cell(2, b"other", file(99)))
    assert set(owed(again.view)) == {TOP}


@pytest.mark.parametrize("again", [False, True], ids=["in memory", "read back"])
def test_all_packs_are_searched_in_steps_of_bounded_size(
    again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new link to a file whose other name has one link as far as anybody saw."""
    world, folders = World(), 60
    world.tell(listing(1, {b"d%02d" % n: edge(n) for n in range(2, 2 + folders)}))
    for n in range(2, 2 + folders):
        rows = {b"f%d" % i: file(1000 * n + i, 10) for i in range(50)}
        world.tell(listing(n, rows))
    if again:
        world = restart(world, tmp_path)
    monkeypatch.setattr(links, "SLICE_ROWS", 10 * (links.DIRECTORY_ROWS + 50))
    view = world.view
    world.begin(cell(1, b"new", file(1000 * 33 + 7, 20, nlink=2)))
    assert Key(0, 33, 0) not in owed(view)
    steps = sum(1 for _ in view.settling())
    assert steps >= folders // 10 - 1
    assert list(view.settling()) == [], "all is done"
    view.commit()
    assert Key(0, 33, 0) in owed(view)
