"""The state under claims: seats, tallies, obligations, blind spots, suspects, guard, feed."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from fustor_arbitrator_fs import FSArbitrator
from fustor_core.claims import (
    CLOSED,
    MOVED,
    WRITING,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Row,
    Stamp,
    edge_row,
    join_names,
)
from fustor_core.contracts import Facts, Moment, Verdict
from fustor_core.registers import Seen
from fustor_view_file import FileView, tally
from fustor_view_file.directory import Directory
from fustor_view_file.view import GuardConfig

ROOT = Key(0, 1, 0)
S = 1_000_000
NOW_NS = 2_000_000 * 10**9


def file(ino: int, size: int = 10, mtime_s: int = 1_000, nlink: int = 1) -> bytes:
    return Row(
        size, mtime_s * 10**9, mtime_s * 10**9, ino, stat.S_IFREG | 0o644, 0, 0, nlink
    ).pack()


def edge(ino: int) -> bytes:
    return edge_row(Key(0, ino, 0))


class World:
    """A view that is told claims, one batch a call, by one line at growing instants."""

    def __init__(self, **guard: float) -> None:
        options = GuardConfig.model_validate(guard) if guard else GuardConfig()
        self.view = FileView(FileView.Config(mass_delete_guard=options))
        self.arbitrator = FSArbitrator(FSArbitrator.Config())
        self.now_us = 0
        self.storage_ns = NOW_NS
        self._ordinal = 0
        self.view.begin(self.moment())
        self.begin_scan()

    def begin_scan(self) -> None:
        verdict = Verdict(ROOT, b"/", "root", Seen(0, 0, 0, 0, 0, 0, "s"), Origin.AUDIT, scan=True)
        self.view.apply(verdict)

    def moment(self) -> Moment:
        return Moment(self.now_us, self.storage_ns, self.storage_ns, self.now_us, False, 1)

    def tell(self, *claims: Claim, after_s: float = 1) -> None:
        self.now_us += int(after_s * S)
        self.view.begin(self.moment())
        for claim in claims:
            stamp = claim.stamp
            self._ordinal += 1
            at = self._ordinal if stamp.kind in "ew" else self.now_us
            seen = Seen(self.now_us, self.now_us, 1, self.now_us, self.now_us, at, stamp.kind)
            facts = Facts(seen, self.now_us, self.storage_ns)
            assert not isinstance(claim, type(None))
            known = self.view.known(claim.dir)  # type: ignore[union-attr]
            self.view.apply(self.arbitrator.judge(known, claim, facts))
            self.now_us += 1
        self.view.commit()
        check(self.view)

    @property
    def root(self) -> Directory:
        assert self.view.registers.tree.root is not None
        return self.view.registers.tree.root

    def kinds(self) -> list[tuple[str, bytes, bytes | None]]:
        return [(c.kind, c.path, c.from_path) for c in self.view.registers.feed.all()]


def check(view: FileView) -> None:
    """Every tally equals its recomputation (DESIGN §6: rollups are exact)."""
    tree = view.registers.tree
    for directory in tree.dirs.values():
        files, others, size, newest, touched = tally.of_pack(directory.pack)
        want = [0] * tally.SUMS
        want[tally.FILES], want[tally.OTHERS], want[tally.BYTES] = files, others, size
        want[tally.SUSPECTS] = len(directory.suspects)
        want[tally.BLIND] = len(directory.blind or ())
        want[tally.FROZEN] = len(directory.frozen or ())
        want[tally.GAPS] = 0 if directory.listed or directory.left_out else 1
        want[tally.LEFT_OUT] = int(directory.left_out)
        want[tally.DEBTS] = sum(m.debt for m in directory.own.values())
        want[tally.DEBTS] += sum(1 for key, _ in tree.hidden() if key == directory.key)
        for child in tree.children(directory):
            want = [a + b for a, b in zip(want, child.count[: tally.SUMS], strict=True)]
            want[tally.DIRS] += 1
            newest = max(newest, tree.maximum(child, tally.NEWEST_NS))
            touched = max(touched, tree.maximum(child, tally.TOUCHED_NS))
        assert list(directory.count[: tally.SUMS]) == want, directory
        assert tree.maximum(directory, tally.NEWEST_NS) == newest, directory


def listing(
    ino: int,
    entries: Mapping[bytes, bytes],
    origin: Origin = Origin.SNAPSHOT,
    *,
    complete: bool = True,
    reason: str = "",
) -> Listing:
    names = sorted(entries)
    rows = b"".join(entries[n] for n in names)
    return Listing(
        dir=Key(0, ino, 0),
        names=join_names(names),
        rows=rows,
        stamp=Stamp(0, 0, 0, "l"),
        origin=origin,
        complete=complete,
        reason=reason,
    )


def cell(
    ino: int, name: bytes, value: bytes | None, flags: int = 0, origin: Origin = Origin.REALTIME
) -> Cell:
    kind = "e" if origin is Origin.REALTIME else "s"
    return Cell(
        dir=Key(0, ino, 0),
        name=name,
        value=value,
        stamp=Stamp(0, 0, 0, kind),
        origin=origin,
        flags=flags,
    )


@pytest.fixture
def world() -> World:
    """``/a`` 10 B, ``/d/b`` 20 B, ``/d/e/c`` 30 B; all listed."""
    world = World()
    world.tell(
        listing(1, {b"a": file(11, 10), b"d": edge(2)}),
        listing(2, {b"b": file(12, 20), b"e": edge(3)}),
        listing(3, {b"c": file(13, 30)}),
    )
    return world


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
    assert world.root.blind == {b"a", b"n"}
    world.tell(listing(1, {b"a": file(11, 99), b"d": edge(2), b"n": file(15)}, Origin.AUDIT))
    assert world.root.blind == {b"a", b"n"}, "a scan that confirms does not clear it"
    world.tell(cell(1, b"a", file(11, 99), CLOSED))
    assert world.root.blind == {b"n"}


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


# ---- keeping


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
    view.checkpoint(3, b"meta")()
    world.tell(cell(1, b"twin", edge(3)), cell(2, b"b", None), cell(1, b"w", file(16, 0), WRITING))
    world.tell(cell(1, b"a", None))
    view.checkpoint(7, b"later")()
    view.close()
    again = FileView(view.config)
    assert again.open(tmp_path, "v") == (7, b"later")
    assert state(again) == state(view)
    assert again.registers.feed.all() == view.registers.feed.all()
    assert again.damage() == []
    check(again)


def test_a_damaged_pack_is_unknown_and_owed(world: World, tmp_path: Path) -> None:
    import sqlite3

    view = world.view
    view.open(tmp_path, "v")
    view.checkpoint(1, b"")()
    view.close()
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        (record,) = db.execute("SELECT record FROM pack WHERE place=2").fetchone()
        broken = record[:-1] + bytes([record[-1] ^ 1])
        db.execute("UPDATE pack SET record=? WHERE place=2", (broken,))
    db.close()
    again = FileView(view.config)
    again.open(tmp_path, "v")
    for directory in list(again.registers.tree.dirs.values()):
        assert len(directory.pack) >= 0
    root = again.registers.tree.root
    assert root is not None
    assert root.count[tally.GAPS] == 1
    assert again.damage()
    check(again)


def test_an_unreadable_store_is_set_aside_and_said(world: World, tmp_path: Path) -> None:
    view = world.view
    view.open(tmp_path, "v")
    view.checkpoint(1, b"")()
    view.close()
    (tmp_path / "packs.sqlite").write_bytes(b"this is no database, it only looks long enough" * 99)
    again = FileView(view.config)
    assert again.open(tmp_path, "v") == (0, b"")
    assert again.damage()
    assert (tmp_path / "packs.damaged-1").exists()
