"""A search that finds little sifts all directories first: the same answers, in the same order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib import import_module
from typing import Any, ClassVar

import pytest
from fustor_view_file.answers import sieve
from fustor_view_file.answers.sieve import Sieve, sifts
from fustor_view_file.answers.walk import TAKEN_AT_ONCE, Walk
from fustor_view_file.directory import Directory
from fustor_view_file.pack import SPLIT_ROWS
from fustor_view_file.view import FileView

from fustor_core.claims import Row

FOLDERS = 1500
RARE = 25


class Counted(Sieve):
    """A sieve that is counted."""

    made: ClassVar[list[Counted]] = []
    steps: ClassVar[int] = 0
    asked: ClassVar[set[Directory]] = set()

    def sift(self) -> Iterator[None]:
        Counted.made.append(self)
        for step in super().sift():
            Counted.steps += 1
            yield step

    def children(self, directory: Directory) -> Any:
        Counted.asked.add(directory)
        return super().children(directory)


@pytest.fixture
def sieves(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    """All that are used from now on."""
    Counted.made, Counted.steps, Counted.asked = [], 0, set()
    monkeypatch.setattr(import_module("fustor_view_file.answers.find"), "Sieve", Counted)
    monkeypatch.setattr(sieve, "SIFTED_AT_ONCE", 100)
    return Counted


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn more often."""
    search = import_module("fustor_view_file.answers.find")
    monkeypatch.setattr(search, "COST_A_STEP", 5)
    monkeypatch.setattr(search, "FIRST_COST", 5)


def forest(grove: Any) -> Any:
    """1500 directories in and beside each other, a few of which hold `rare`; one is split."""
    dice = random.Random(3)
    folders = [b"/s", b"/t"]
    for i in range(FOLDERS):
        path = b"%b/d%04d" % (dice.choice(folders if i % 3 else folders[-40:]), i)
        folders.append(path)
        grove.file(path + b"/common")
    for path in dice.sample(folders, RARE):
        grove.file(path + b"/a rare one", size=dice.choice([5, 50]))
    for i in range(3 * SPLIT_ROWS):
        grove.file(b"/t/big/%05d" % i)
    grove.file(b"/t/big/10000 is rare")
    grove.scan()
    return grove


@pytest.fixture(scope="module")
def planted(tools: Any) -> Any:
    return forest(tools.Grove())


@pytest.fixture
def wood(tools: Any) -> Any:
    """One that a test may change."""
    return forest(tools.Grove())


def rare_in(grove: Any, scope: bytes = b"/") -> list[bytes]:
    """What is to be found, in order."""
    at = scope.rstrip(b"/") + b"/"
    return [
        p
        for p, what in grove.walk()
        if isinstance(what, Row) and b"rare" in p and at in p[: len(at)]
    ]


@pytest.mark.parametrize(
    ("scope", "options"),
    [
        (b"/", {"pattern": b"*rare*"}),
        (b"/", {"pattern": b"[a1]* rare*"}),
        (b"/", {"pattern": b"is rare|a rare", "regex": True}),
        (b"/", {"pattern": b" rare", "regex": True}),
        (b"/", {"pattern": b"*rare*", "size": ("+", 1)}),
        (b"/", {"pattern": b"/**/*rare*", "whole_path": True}),
        (b"/t", {"pattern": b"*rare*"}),
    ],
)
def test_the_same_answer_in_order(planted: Any, scope: bytes, options: dict[str, Any]) -> None:
    assert planted.found(options.pop("pattern"), path=scope, **options) == rare_in(planted, scope)


@pytest.mark.parametrize(("pattern", "most"), [(b"*rare*", FOLDERS / 4), (b"*.no-such", 20)])
def test_what_does_not_hold_it_is_not_walked(
    planted: Any, sieves: Any, pattern: bytes, most: float
) -> None:
    planted.found(pattern)
    assert len(sieves.made) == 1
    assert sieves.steps >= FOLDERS // 100
    assert len(sieves.asked) < most


def test_what_is_found_everywhere_is_not_sifted(planted: Any, sieves: Any) -> None:
    assert len(planted.found(b"comm*")) == FOLDERS
    assert not sieves.made


def test_a_limit_that_is_soon_reached_needs_no_sieve(planted: Any, sieves: Any) -> None:
    assert len(planted.ask("find", pattern=b"d0*", limit=300)["matches"]) == 300
    assert not sieves.made


@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_pages_by_cursor(tools: Any, planted: Any, sieves: Any, limit: int) -> None:
    told: list[bytes] = []
    cursor = None
    for _ in range(RARE + 2):
        page = planted.ask("find", pattern=b"*rare*", limit=limit, cursor=cursor)
        told += tools.paths(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert told == rare_in(planted)
    assert bool(sieves.made) is (limit > 1), "one is found before it would pay"


def test_too_many_to_be_put_in_order(
    planted: Any, sieves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "HELD_MAX", 3)
    assert planted.found(b"*rare*") == rare_in(planted)
    assert sieves.made[0].full
    assert sieves.steps < FOLDERS // 100


@pytest.mark.parametrize("when", [1, 5, 10, 14, 17, 20])  # it sifts until the 17th step
def test_what_moves_meanwhile_is_told_where_it_is(
    tools: Any, wood: Any, sieves: Any, small_steps: None, when: int
) -> None:
    """And what is made anew under its name; what goes is not told."""
    found = rare_in(wood)
    at = [p.rpartition(b"/")[0] for p in found if p.count(b"/") > 3][-3:]
    told: list[bytes] = []
    for number, page in enumerate(wood.pages("find", pattern=b"*rare*", limit=None)):
        told += [tools.raw(item) for item in page.items]
        if number == when:
            assert told == found[: len(told)]
            assert bool(sieves.asked) is (when > 16)
            change(tools, wood, at)
    assert sieves.made
    after = rare_in(wood)
    assert [p for p in told if b"zz" in p] == [p for p in after if b"zz" in p]
    assert len(told) == len(set(told))
    stays = [p for p in found if p in after and not p.startswith(at[1])]
    assert [p for p in told if p in stays] == stays


def change(tools: Any, grove: Any, at: list[bytes]) -> None:
    """One moves to the very end, one is made anew, one goes."""
    moved, anew, gone = at
    parent, _, name = moved.rpartition(b"/")
    folder = grove.folder(parent).names.pop(name)
    grove.top.names[b"zz"] = folder
    grove.tell(grove.cell(moved, gone=True, flags=1), grove.cell(b"/zz", flags=1))
    parent, _, name = anew.rpartition(b"/")
    grove.folder(parent).names[name] = tools.Folder(grove.inode())
    grove.file(anew + b"/is rare again")
    grove.tell(grove.cell(anew), grove.listing(anew))
    grove.tell(grove.cell(gone, gone=True))


def test_what_moves_below_a_directory_that_held_nothing_is_told(
    tools: Any, wood: Any, sieves: Any, small_steps: None
) -> None:
    wood.file(b"/z/sub/common")
    wood.tell(wood.cell(b"/z"), wood.listing(b"/z"), wood.listing(b"/z/sub"))
    *_, late = (p for p in rare_in(wood) if p.startswith(b"/t/") and b"big" not in p)
    from_path, _, name = late.rpartition(b"/")
    told: list[bytes] = []
    moved = False
    for page in wood.pages("find", pattern=b"*rare*", limit=None):
        told += [tools.raw(item) for item in page.items]
        if sieves.asked and not moved:
            moved = True
            parent, _, folder = from_path.rpartition(b"/")
            wood.folder(b"/z/sub").names[folder] = wood.folder(parent).names.pop(folder)
            wood.tell(
                wood.cell(from_path, gone=True, flags=1), wood.cell(b"/z/sub/" + folder, flags=1)
            )
    assert moved
    assert late not in told, "it was met before it could move: the test shows nothing"
    assert told[-1] == b"/z/sub/" + folder + b"/" + name
    assert told == rare_in(wood)


def test_long_ways_are_left_to_the_walk(
    planted: Any, sieves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "WAYS_MAX", 10)
    assert planted.found(b"*rare*") == rare_in(planted)
    assert sieves.made[0].full
    assert not sieves.asked


def test_a_directory_of_which_nothing_is_known_changes_no_way(wood: Any) -> None:
    moves = wood.registers.tree.moves
    wood.folder(b"/s/made")
    wood.tell(wood.owe(b"/s/made"), wood.cell(b"/s/made"))
    assert wood.registers.tree.moves == moves


def kept(tools: Any, folder: Any, budget: int | None) -> tuple[Any, FileView]:
    """An empty view that has a place on the disk."""
    grove = tools.Grove()
    view = FileView(FileView.Config(memory_budget=budget))
    view.open(folder, "v")
    grove.registers = view.registers
    view.registers.tree.set_root(grove.top.key)
    return grove, view


def put_away(view: FileView) -> None:
    """Make it durable, and what the budget does not admit leaves the memory."""
    *_, write = view.checkpoint(1, b"")
    write()
    for _ in range(20):
        view.flush(1.0)


@pytest.mark.parametrize("away", [False, True])
def test_very_many_directories_in_one_are_read_a_few_times(
    tools: Any, tmp_path: Any, away: bool
) -> None:
    grove, view = kept(tools, tmp_path, 1 if away else None)
    for i in range(3 * TAKEN_AT_ONCE):
        grove.folder(b"/%05d" % i)
    grove.scan()
    put_away(view)
    root = view.registers.tree.root
    assert root is not None
    assert root.resident is not away
    reads = 0
    if away:
        shelf = root.held

        class Counting:
            """Counts how often the pack is fetched."""

            def peek(self, directory: Directory) -> Any:
                nonlocal reads
                reads += 1
                return shelf.peek(directory)

        root.held = Counting()
    met = [directory.name for directory in Walk(view.registers.tree, root)]
    assert met == [b"", *(b"%05d" % i for i in range(3 * TAKEN_AT_ONCE))]
    assert reads <= 1


def test_packs_that_are_away(tools: Any, tmp_path: Any, sieves: Any) -> None:
    grove, view = kept(tools, tmp_path, 1)
    forest(grove)
    put_away(view)
    assert grove.ask("status")["packs"]["hot"] < FOLDERS / 2
    assert grove.found(b"*rare*") == rare_in(grove)
    assert sieves.steps > FOLDERS // 100, "they cost more than those at hand"


def test_when_it_pays() -> None:
    assert sifts(directories=1000, left=800, seen=200, met=0)
    assert sifts(directories=1000, left=800, seen=200, met=50)
    assert not sifts(directories=1000, left=800, seen=200, met=100)
    assert not sifts(directories=100_000, left=800, seen=200, met=0)
