"""The state under claims: seats, tallies, obligations, blind spots, suspects, guard, feed."""

from __future__ import annotations

import pytest
from fustor_view_file import tally

from fustor_core.claims import (
    CLOSED,
    MOVED,
    WRITING,
    Key,
    Origin,
    Owe,
    Stamp,
)

from .world import NOW_NS, ROOT, World, cell, check, edge, file, listing


def test_counts_of_a_listed_tree(world: World) -> None:
    count = world.root.count
    assert (count[tally.FILES], count[tally.DIRS], count[tally.BYTES]) == (3, 2, 60)
    assert count[tally.GAPS] == 0
    assert world.view.registers.ready


def test_a_new_directory_is_a_gap_until_it_is_listed(world: World) -> None:
    world.tell(cell(1, b"n", edge(4)))
    assert world.root.count[tally.GAPS] == 1
    world.tell(listing(4, {b"x": file(14)}, Origin.REALTIME))
    assert world.root.count[tally.GAPS] == 0
    assert world.root.count[tally.FILES] == 4
    told = world.kinds()[-2:]
    assert told == [("created", b"/n", None), ("created", b"/n/x", None)]


def test_a_moved_directory_is_one_change_and_keeps_what_is_below(world: World) -> None:
    world.tell(cell(1, b"d", None, MOVED), cell(1, b"moved", edge(2), MOVED))
    found = world.view.registers.tree.directory_at(b"/moved/e")
    assert found is not None
    assert found.pack.get(b"c") == file(13, 30)
    assert world.root.count[tally.GAPS] == 0, "a paired move owes nothing"
    assert world.kinds()[-1] == ("moved", b"/moved", b"/d")


def test_a_directory_that_appears_elsewhere_without_a_pair_owes_a_deep_look(world: World) -> None:
    world.tell(cell(1, b"d", None))
    assert world.root.count[tally.FILES] == 1
    world.tell(cell(1, b"again", edge(2)))
    assert world.root.count[tally.FILES] == 3, "shown at once"
    assert world.root.count[tally.GAPS] == 1, "and flagged"
    world.tell(listing(2, {b"b": file(12, 20), b"e": edge(3)}))
    assert world.root.count[tally.GAPS] == 1, "the obligation descends"
    world.tell(listing(3, {b"c": file(13, 30)}))
    assert world.root.count[tally.GAPS] == 0


def test_a_directory_never_sits_below_itself(world: World) -> None:
    world.tell(cell(3, b"loop", edge(2)))
    found = world.view.registers.tree.directory_at(b"/d")
    assert found is not None
    assert found.parent is world.root
    world.tell(cell(1, b"d", None))
    assert world.view.registers.tree.directory_at(b"/d") is None


def test_a_register_that_names_a_directory_that_sits_elsewhere_is_hidden(world: World) -> None:
    world.tell(cell(1, b"twin", edge(3)))
    tree = world.view.registers.tree
    twin, old = tree.directory_at(b"/twin"), tree.directory_at(b"/d/e")
    assert twin is not None
    assert old is None
    assert world.root.count[tally.DEBTS] == 1
    asked = {w.path for w in world.view.looks(world.moment(), 100) if w.kind == "look"}
    assert b"/d/e" in asked
    world.tell(cell(2, b"e", None, origin=Origin.SENTINEL))
    assert world.root.count[tally.DEBTS] == 0


def test_an_unseated_directory_is_forgettable_and_leaves_unknown(world: World) -> None:
    world.tell(cell(1, b"d", None))
    gone = world.view.forgettable(world.now_us, 10)
    assert gone == [Key(0, 2, 0)]
    world.view.forget(gone)
    check(world.view)
    assert world.view.forgettable(world.now_us, 10) == [Key(0, 3, 0)]


def test_what_a_scan_changes_is_blind_until_an_agent_sees_it(world: World) -> None:
    world.tell(listing(1, {b"a": file(11, 99), b"d": edge(2), b"n": file(15)}, Origin.AUDIT))
    assert set(world.root.blind or ()) == {b"a", b"n"}
    world.tell(listing(1, {b"a": file(11, 99), b"d": edge(2), b"n": file(15)}, Origin.AUDIT))
    assert set(world.root.blind or ()) == {b"a", b"n"}, "a scan that confirms does not clear it"
    world.tell(cell(1, b"a", file(11, 99), CLOSED))
    assert set(world.root.blind or ()) == {b"n"}


def test_a_file_is_suspect_while_it_is_written(world: World) -> None:
    world.tell(cell(1, b"w", file(16, 0), WRITING))
    assert world.root.count[tally.SUSPECTS] == 1
    world.tell(cell(1, b"w", file(16, 5), CLOSED))
    assert world.root.count[tally.SUSPECTS] == 0


def test_a_hot_file_of_a_scan_is_cleared_by_a_second_equal_look(world: World) -> None:
    hot = file(17, 5, mtime_s=NOW_NS // 10**9 - 3)
    entries = {b"a": file(11, 10), b"d": edge(2), b"h": hot}
    world.tell(listing(1, entries, Origin.AUDIT))
    assert world.root.count[tally.SUSPECTS] == 1
    world.tell(cell(1, b"h", hot, origin=Origin.SENTINEL), after_s=10)
    assert world.root.count[tally.SUSPECTS] == 1, "the window has not passed"
    world.tell(cell(1, b"h", hot, origin=Origin.SENTINEL), after_s=31)
    assert world.root.count[tally.SUSPECTS] == 0


def test_overflow_owes_the_whole_tree_again_from_the_top(world: World) -> None:
    world.tell(
        Owe(
            dir=ROOT,
            deep=True,
            reason="overflow",
            stamp=Stamp(0, 0, 0, "s"),
            origin=Origin.REALTIME,
        )
    )
    assert world.root.count[tally.GAPS] == 1
    world.tell(listing(1, {b"a": file(11, 10), b"d": edge(2)}))
    assert world.root.count[tally.GAPS] == 1
    world.tell(listing(2, {b"b": file(12, 20), b"e": edge(3)}))
    world.tell(listing(3, {b"c": file(13, 30)}))
    assert world.root.count[tally.GAPS] == 0


@pytest.mark.parametrize("goes", [["from", "to"], ["to", "from"], ["to"], ["from", "told", "to"]])
def test_what_is_owed_deep_goes_along_with_what_moves_out(world: World, goes: list[str]) -> None:
    """The walk that pays has come by where it goes to, and not yet where it was."""
    owed = Owe(
        dir=ROOT, deep=True, reason="overflow", stamp=Stamp(0, 0, 0, "s"), origin=Origin.REALTIME
    )
    top = listing(1, {b"a": file(11, 10), b"d": edge(2), b"n": edge(4)})
    told = listing(2, {b"b": file(12, 20)})
    steps = {"from": cell(2, b"e", None, MOVED), "to": cell(4, b"e", edge(3), MOVED), "told": told}
    world.tell(top, listing(4, {}))
    world.tell(owed)
    world.tell(top, listing(4, {}))
    for step in goes:
        world.tell(steps[step])
    world.tell(told)
    assert world.view.registers.tree.directory_at(b"/n/e") is not None
    assert world.root.count[tally.GAPS] == 1
    world.tell(listing(3, {b"c": file(13, 30)}))
    assert world.root.count[tally.GAPS] == 0


DEEP = {"deep": True, "stamp": Stamp(0, 0, 0, "s"), "origin": Origin.REALTIME}


def test_what_was_looked_at_since_passes_on_what_is_owed_where_it_goes(world: World) -> None:
    world.tell(listing(1, {b"a": file(11, 10), b"d": edge(2), b"n": edge(4)}), listing(4, {}))
    world.tell(listing(3, {b"p": edge(5), b"left": edge(6)}), listing(5, {}))
    world.tell(Owe(dir=Key(0, 6, 0), reason="excluded", **{**DEEP, "deep": False}))
    world.tell(Owe(dir=Key(0, 5, 0), reason="permission", errno=13, **{**DEEP, "deep": False}))
    world.tell(Owe(dir=Key(0, 2, 0), reason="overflow", **DEEP))
    world.tell(listing(3, {b"p": edge(5), b"left": edge(6)}))
    world.tell(cell(2, b"e", None, MOVED), cell(4, b"e", edge(3), MOVED))
    dirs = world.view.registers.tree.dirs
    assert dirs[Key(0, 3, 0)].owed is None, "it was listed since"
    assert dirs[Key(0, 5, 0)].owed is not None
    assert (dirs[Key(0, 5, 0)].reason, dirs[Key(0, 5, 0)].errno) == ("permission", 13)
    assert dirs[Key(0, 6, 0)].left_out
    assert dirs[Key(0, 6, 0)].owed is None, "nobody lists it"


@pytest.mark.parametrize("at", [1, 2])
def test_what_stays_below_who_owes_for_it_owes_nothing_itself(world: World, at: int) -> None:
    world.tell(listing(1, {b"a": file(11, 10), b"d": edge(2), b"n": edge(4)}), listing(4, {}))
    world.tell(Owe(dir=ROOT, reason="overflow", **DEEP))
    place = 2 if at == 2 else 4
    world.tell(cell(2, b"e", None, MOVED), cell(place, b"f", edge(3), MOVED))
    assert world.root.count[tally.GAPS] == 1, "the root alone"


def test_what_leaves_a_directory_in_the_middle_of_its_move_owes_as_that_does(world: World) -> None:
    world.tell(listing(1, {b"a": file(11, 10), b"d": edge(2), b"n": edge(4)}), listing(4, {}))
    world.tell(listing(3, {b"p": edge(5)}), listing(5, {}))
    world.tell(Owe(dir=Key(0, 2, 0), reason="overflow", **DEEP))
    world.tell(
        cell(2, b"e", None, MOVED),
        cell(3, b"p", None, MOVED),
        cell(4, b"p", edge(5), MOVED),
        cell(1, b"e", edge(3), MOVED),
    )
    dirs = world.view.registers.tree.dirs
    assert dirs[Key(0, 3, 0)].owed is not None
    assert dirs[Key(0, 5, 0)].owed is not None


def test_what_went_for_good_takes_along_what_was_owed(world: World) -> None:
    """It may come back, from where nobody watches."""
    world.tell(Owe(dir=Key(0, 2, 0), reason="overflow", **DEEP))
    world.tell(cell(2, b"e", None))
    assert world.view.registers.tree.dirs[Key(0, 3, 0)].owed is not None


def test_the_other_names_of_an_inode_are_owed_a_look(world: World) -> None:
    world.tell(
        listing(1, {b"a": file(20, 10, nlink=2), b"d": edge(2)}),
        listing(2, {b"b": file(20, 10, nlink=2), b"e": edge(3)}),
    )
    world.tell(cell(1, b"a", file(20, 50, nlink=2), CLOSED))
    directory = world.view.registers.tree.directory_at(b"/d")
    assert directory is not None
    assert not directory.listed


def test_a_link_to_a_file_that_had_one_is_found(world: World) -> None:
    """The kernel tells of the new name only; the other one is found by its inode."""
    world.tell(cell(3, b"link", file(11, 10, nlink=2)))
    assert not world.root.listed


GUARDED = {"count": 2, "ratio": 0.0, "second_look": 60}


def many(first: int, count: int) -> dict[bytes, bytes]:
    return {b"f%03d" % i: file(100 + i) for i in range(first, count)}


def test_a_scan_that_removes_too_much_is_frozen_and_a_second_look_confirms() -> None:
    world = World(**GUARDED)
    world.tell(listing(1, many(0, 10)))
    world.begin_scan()
    world.tell(listing(1, many(5, 10), Origin.AUDIT))
    assert len(world.root.pack) == 10
    assert world.root.count[tally.FROZEN] == 5
    assert world.view.alarms()
    world.begin_scan()
    world.tell(listing(1, many(5, 10), Origin.AUDIT), after_s=30)
    assert world.root.count[tally.FROZEN] == 5, "too early"
    world.begin_scan()
    world.tell(listing(1, many(5, 10), Origin.AUDIT), after_s=60)
    assert len(world.root.pack) == 5
    assert world.root.count[tally.FROZEN] == 0
    assert world.root.count[tally.DEBTS] == 0


@pytest.mark.parametrize(("reject", "left"), [(False, 5), (True, 10)])
def test_a_person_confirms_or_rejects_what_is_frozen(*, reject: bool, left: int) -> None:
    world = World(**GUARDED)
    world.tell(listing(1, many(0, 10)))
    world.begin_scan()
    world.tell(listing(1, many(5, 10), Origin.AUDIT))
    done = world.view.confirm(b"/", reject=reject)
    world.view.commit()
    check(world.view)
    assert done == [{"path": b"/", "removes": 0 if reject else 5}]
    assert len(world.root.pack) == left
    assert world.view.confirm(b"/", reject=reject) == []


def test_events_delete_without_a_guard() -> None:
    world = World(**GUARDED)
    world.tell(listing(1, many(0, 10)))
    world.tell(*(cell(1, name, None) for name in many(0, 10)))
    assert len(world.root.pack) == 0
    assert world.root.count[tally.FROZEN] == 0


def test_left_out_by_choice_is_no_gap(world: World) -> None:
    world.tell(cell(1, b"x", edge(9)))
    world.tell(listing(9, {}, complete=False, reason="excluded"))
    assert world.root.count[tally.GAPS] == 0
    assert world.root.count[tally.LEFT_OUT] == 1


def test_permission_is_a_gap_with_its_reason(world: World) -> None:
    world.tell(cell(1, b"x", edge(9)))
    world.tell(listing(9, {}, complete=False, reason="permission"))
    found = world.view.registers.tree.dirs[Key(0, 9, 0)]
    assert world.root.count[tally.GAPS] == 1
    assert found.reason == "permission"


def test_a_moved_file_is_one_change(world: World) -> None:
    world.tell(cell(1, b"a", None, MOVED), cell(2, b"a2", file(11, 10), MOVED))
    assert world.kinds()[-1] == ("moved", b"/d/a2", b"/a")
    world.tell(cell(2, b"a2", None, MOVED))
    assert world.kinds()[-1] == ("deleted", b"/d/a2", None), "a half without its other half"


def test_two_files_of_eight_exbibytes_do_not_break_the_sums(world: World) -> None:
    huge = (1 << 63) - 1
    world.tell(cell(1, b"h1", file(61, huge)), cell(1, b"h2", file(62, huge)))
    world.tell(cell(1, b"h1", None), cell(1, b"h2", None))
    assert world.root.count[tally.BYTES] == 60


def test_changes_are_told_once_a_scan_was_whole_though_a_directory_cannot_be_read() -> None:
    world = World()
    world.tell(listing(1, {b"a": file(11), b"shut": edge(2)}))
    world.tell(listing(2, {}, complete=False, reason="permission"))
    world.tell(cell(1, b"early", file(12)))
    assert not world.kinds()
    world.end_scan()
    world.tell(cell(1, b"a", None), cell(1, b"late", file(13)))
    assert world.kinds() == [
        ("resync", b"/", None), ("deleted", b"/a", None), ("created", b"/late", None),
    ]  # fmt: skip
    assert not world.root.listed or world.root.count[tally.GAPS], "it is a gap all the same"


def test_a_root_that_was_heard_of_as_a_child_is_nobodys_child() -> None:
    """Claims may come before it is known which directory the root is."""
    world = World()
    world.tell(listing(1, {b"d": edge(2)}), cell(7, b"x", edge(8)), cell(8, b"y", edge(9)))
    world.view.registers.set_root(Key(0, 8, 0))
    tree = world.view.registers.tree
    assert tree.root is tree.dirs[Key(0, 8, 0)]
    assert tree.visible(tree.root)
    assert tree.directory_at(b"/y") is tree.dirs[Key(0, 9, 0)]
    check(world.view)
