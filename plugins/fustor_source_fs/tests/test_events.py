"""Folding raw events: what has to be looked at, and where directories sit afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fustor_source_fs.events import Drain, fold
from fustor_source_fs.tree import NO_WATCH, Node, Tree, subtree

from fustor_core.claims import CLOSED, WRITING, Key
from fustor_core.files import inotify
from fustor_core.files.inotify import (
    ATTRIB,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    IGNORED,
    ISDIR,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    Q_OVERFLOW,
    UNMOUNT,
    Raw,
)

ROOT, A, B, C = 1, 2, 3, 4


def planted() -> Tree:
    """/, /a, /a/b, /c with watches 1 to 4; nothing of it is real."""
    tree = Tree(None)
    seats = {ROOT: (None, b""), A: (ROOT, b"a"), B: (A, b"b"), C: (ROOT, b"c")}
    for wd, (above, name) in seats.items():
        parent = tree.by_wd.get(above) if above is not None else None
        node = tree.cover(-1, Key(0, wd, wd), parent, name, lambda: True)
        assert node is not None
        node.wd = wd
        tree.by_wd[wd] = node
    tree.uncovered.clear()
    return tree


def folded(tree: Tree, *events: Raw, drain: Drain | None = None) -> Drain:
    drain = drain or Drain()
    fold(tree, drain, events, 17)
    return drain


def names(drain: Drain) -> list[tuple[int, bytes]]:
    return [(touch.node.wd, touch.name) for touch in drain.touched.values()]


def test_events_about_one_name_are_one_touch() -> None:
    tree = planted()
    drain = folded(
        tree, Raw(A, CREATE, 0, b"f"), Raw(A, MODIFY, 0, b"f"), Raw(A, CLOSE_WRITE, 0, b"f")
    )
    assert names(drain) == [(A, b"f"), (A, b"")]
    touch = drain.touched[tree.by_wd[A], b"f"]
    assert (touch.mask, touch.flags, touch.since_us) == (CREATE | MODIFY | CLOSE_WRITE, CLOSED, 17)


@pytest.mark.parametrize(
    ("words", "flags", "unmade"),
    [
        ([MODIFY], WRITING, False),
        ([MODIFY, CLOSE_WRITE], CLOSED, False),
        ([CLOSE_WRITE, MODIFY], WRITING, False),
        ([MODIFY, MOVED_TO], 0, False),
        ([MODIFY, DELETE], 0, True),
        ([ATTRIB], 0, False),
        ([DELETE, CREATE], 0, False),
        ([CREATE, MOVED_FROM], 0, True),
    ],
)
def test_flags_go_by_the_last_word(words: list[int], flags: int, unmade: bool) -> None:
    tree = planted()
    drain = folded(tree, *(Raw(A, word, 0, b"f") for word in words))
    touch = drain.touched[tree.by_wd[A], b"f"]
    assert (touch.flags, touch.unmade) == (flags, unmade)


def test_only_names_that_come_and_go_touch_the_directory_itself() -> None:
    assert names(folded(planted(), Raw(A, MODIFY, 0, b"f"))) == [(A, b"f")]
    assert names(folded(planted(), Raw(A, ATTRIB | ISDIR, 0, b""))) == [(A, b"")]


def test_a_paired_move_takes_the_subtree_along() -> None:
    tree = planted()
    drain = folded(tree, Raw(A, MOVED_FROM | ISDIR, 9, b"b"), Raw(C, MOVED_TO | ISDIR, 9, b"bb"))
    node = tree.by_wd[B]
    assert tree.path(node) == b"/c/bb"
    (move,) = drain.moves.values()
    assert (move.child, [t.name for t in move.froms]) == (node, [b"b"])
    assert move.to is not None
    assert move.to.name == b"bb"
    assert not drain.halves


def test_nothing_is_moved_into_itself() -> None:
    """Seed 41728: another host moved /a to /x and made a new /a, which this host moved to /x/a."""
    tree = planted()
    drain = folded(tree, Raw(ROOT, MOVED_FROM | ISDIR, 7, b"a"), Raw(A, MOVED_TO | ISDIR, 7, b"a"))
    assert tree.path(tree.by_wd[A]) is None, "where it is now has to be seen"
    assert tree.path(tree.by_wd[B]) is None
    assert {(ROOT, b"a"), (A, b"a")} <= set(names(drain)), "both places are looked at"
    tree.seat(tree.by_wd[A], tree.by_wd[ROOT], b"x")
    assert tree.path(tree.by_wd[B]) == b"/x/b"


def test_a_move_in_several_steps_is_one_move() -> None:
    tree = planted()
    drain = folded(
        tree,
        Raw(A, MOVED_FROM | ISDIR, 1, b"b"),
        Raw(C, MOVED_TO | ISDIR, 1, b"x"),
        Raw(C, MOVED_FROM | ISDIR, 2, b"x"),
        Raw(ROOT, MOVED_TO | ISDIR, 2, b"y"),
    )
    (move,) = drain.moves.values()
    assert [t.name for t in move.froms] == [b"b", b"x"]
    assert move.to is not None
    assert (move.to.name, tree.path(tree.by_wd[B])) == (b"y", b"/y")


def test_half_a_move_waits_for_the_next_read() -> None:
    tree = planted()
    first = folded(tree, Raw(A, MOVED_FROM | ISDIR, 9, b"b"))
    node = tree.by_wd[B]
    assert tree.path(node) is None
    assert node in tree.loose
    assert list(first.halves) == [9]
    second = folded(tree, Raw(C, MOVED_TO | ISDIR, 9, b"b"), drain=Drain(halves=first.halves))
    assert tree.path(node) == b"/c/b"
    assert node not in tree.loose
    assert list(second.moves) == [node]


def test_a_directory_that_came_from_elsewhere_displaces_what_was_there() -> None:
    tree = planted()
    drain = folded(tree, Raw(ROOT, MOVED_TO | ISDIR, 9, b"a"))
    assert not drain.moves
    assert tree.path(tree.by_wd[A]) == b"/a", "the look decides"


def test_a_directory_that_ended_is_forgotten() -> None:
    tree = planted()
    node = tree.by_wd[B]
    drain = folded(tree, Raw(B, IGNORED, 0, b""), Raw(A, DELETE | ISDIR, 0, b"b"))
    assert drain.dropped == [node]
    assert (node.gone, node.wd, B in tree.by_wd) == (True, NO_WATCH, False)
    assert names(drain) == [(A, b"b"), (A, b"")]


def test_unknown_watches_are_skipped_one_by_one() -> None:
    drain = folded(planted(), Raw(77, CREATE, 0, b"x"), Raw(A, CREATE, 0, b"y"))
    assert (A, b"y") in names(drain)
    assert not drain.lost


def test_an_overflow_is_noticed() -> None:
    assert folded(planted(), Raw(-1, Q_OVERFLOW, 0, b"")).lost


def test_an_unmounted_root_is_owed() -> None:
    tree = planted()
    root = tree.by_wd[ROOT]
    drain = folded(tree, Raw(ROOT, UNMOUNT, 0, b""), Raw(ROOT, IGNORED, 0, b""))
    assert drain.owed == {root: "vanished_root"}
    assert tree.root is None
    assert len(drain.dropped) == 4


def test_moves_that_cross_never_make_a_circle() -> None:
    """b leaves a, then a goes below b; only the second is known to the registry."""
    tree = planted()
    a, b = tree.by_wd[A], tree.by_wd[B]
    tree.seat(a, b, b"a")
    assert tree.path(a) is None
    assert b in tree.loose
    root = tree.root
    assert root is not None
    tree.seat(b, root, b"b")
    assert tree.path(a) == b"/b/a"


def test_a_seat_is_taken_only_while_it_leads_there() -> None:
    tree = planted()
    root = tree.root
    assert root is not None
    assert tree.cover(-1, Key(0, 99, 99), root, b"new", lambda: False) is None
    assert tree.cover(-1, Key(0, B, B), root, b"b", lambda: False) is tree.by_wd[B]
    assert tree.path(tree.by_wd[B]) == b"/a/b"
    assert tree.cover(-1, Key(0, B, B), root, b"b", lambda: True) is tree.by_wd[B]
    assert tree.path(tree.by_wd[B]) == b"/b"


def test_dropping_takes_everything_below() -> None:
    tree = planted()
    dropped = tree.drop(tree.by_wd[A])
    assert [node.key.ino for node in dropped] == [A, B]
    assert sorted(tree.by_wd) == [ROOT, C]
    root = tree.root
    assert root is not None
    assert [node.key.ino for node in subtree(root)] == [ROOT, C]


def test_names_from_the_kernel_are_parsed_byte_for_byte(root: Path) -> None:
    instance = inotify.Inotify()
    fd = os.open(root, os.O_RDONLY)
    wd = instance.add(fd)
    odd = [b"\xff", b"n\nl", b"x" * 255, b"four"]
    for name in odd:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    raws = list(inotify.parse(instance.read()))
    assert [(raw.wd, raw.name) for raw in raws if raw.mask & CREATE] == [(wd, n) for n in odd]
    instance.remove(wd)
    assert [raw.mask for raw in inotify.parse(instance.ask())][-1] & IGNORED
    assert instance.ask() == b""
    instance.close()
    os.close(fd)


def test_a_node_says_what_it_is() -> None:
    assert repr(Node(Key(0, 5, 6), None, b"n")) == "Node(b'n', wd=-1, ino=5)"
