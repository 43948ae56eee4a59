"""Answers of a view with less memory than it has entries: those of one that keeps everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fustor_view_file import FileView
from fustor_view_file.answers import answer
from fustor_view_file.budget import DIRECTORY_BYTES
from fustor_view_file.pack import SPLIT_ROWS

from fustor_core.claims import Origin
from fustor_core.contracts import Query

FOLDERS = 30
FILES = 40
DAY_NS = 86_400 * 10**9
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("ls", {"path": b"/d07"}),
    ("ls", {"path": b"/big"}),
    ("tree", {"depth": 3}),
    ("du", {"depth": 2}),
    ("stat", {"path": b"/d11/f003"}),
    ("stat", {"path": b"/d11/none"}),
    ("find", {"pattern": b"*"}),
    ("find", {"pattern": b"f01*"}),
    ("find", {"pattern": b"f0[3-5]?"}),
    ("find", {"pattern": b"*", "types": frozenset({"dir"})}),
    ("find", {"pattern": b"*", "size": ("+", 1500)}),
    ("find", {"pattern": b"*7", "newer_ns": DAY_NS}),
    ("stable", {"path": b"/d03", "quiet_s": 1.0}),
    ("stable", {"path": b"/", "quiet_s": 1e8}),
    ("suspects", {}),
    ("debts", {}),
    ("explain", {"path": b"/d05/f001"}),
]


def build(tools: Any, budget: int | None, folder: Path) -> tuple[Any, FileView]:
    """30 directories of 40 files, and one that is split; kept on the disk."""
    grove = tools.Grove()
    view = FileView(FileView.Config(memory_budget=budget))
    view.open(folder, "v")
    grove.registers = view.registers
    view.registers.tree.set_root(grove.top.key)
    for d in range(FOLDERS):
        for f in range(FILES):
            size = 50 * (d + f)
            grove.file(b"/d%02d/f%03d" % (d, f), size=size, mtime_ns=f * DAY_NS)
    for f in range(3 * SPLIT_ROWS):
        grove.file(b"/big/f%04d" % f, size=f)
    grove.scan()
    return grove, view


def change(grove: Any, turn: int) -> None:
    """Some events, a listing that differs, a directory that comes."""
    grove.file(b"/d%02d/f%03d" % (turn % FOLDERS, turn % FILES), size=turn)
    grove.tell(grove.cell(b"/d%02d/f%03d" % (turn % FOLDERS, turn % FILES)))
    grove.file(b"/big/g%04d" % turn)
    grove.tell(grove.cell(b"/big/g%04d" % turn))
    grove.file(b"/new%02d/x" % turn)
    grove.tell(grove.listing(b"/", Origin.AUDIT), grove.listing(b"/new%02d" % turn, Origin.AUDIT))


def without_memory(document: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in document.items() if k not in ("memory_bytes", "packs")}


@pytest.mark.parametrize("budget", [1, 40 * DIRECTORY_BYTES + 20_000, 1 << 30])
@pytest.mark.parametrize("kept", [False, True])
def test_answers_are_the_same(tools: Any, tmp_path: Path, budget: int, kept: bool) -> None:
    for name in ("free", "tight"):
        (tmp_path / name).mkdir()
    free, _ = build(tools, None, tmp_path / "free")
    tight, view = build(tools, budget, tmp_path / "tight")
    for turn in range(4):
        if kept:
            *_, write = view.checkpoint(turn + 1, b"")
            write()
        for verb, options in QUESTIONS:
            path = options.get("path", b"/")
            rest = {k: v for k, v in options.items() if k != "path"} | {"limit": None}
            right = free.ask(verb, path, **rest)
            assert tight.ask(verb, path, **rest) == right, (verb, options)
        change(free, turn)
        change(tight, turn)
        assert without_memory(tight.ask("status")) == without_memory(free.ask("status"))


def test_little_stays_in_memory(tools: Any, tmp_path: Path) -> None:
    budget = 40 * DIRECTORY_BYTES + 12_000
    grove, view = build(tools, budget, tmp_path)
    packs = grove.ask("status")["packs"]
    assert packs["budget_bytes"] == budget
    assert packs["folded"] > 0
    assert packs["cold"] == 0, "nothing of it is on the disk yet"
    *_, write = view.checkpoint(1, b"")
    write()
    grove.ask("find", pattern=b"f01*", limit=None)
    view.flush(1.0)
    packs = grove.ask("status")["packs"]
    assert packs["hot_bytes"] + packs["folded_bytes"] <= 12_000 + 10 * DIRECTORY_BYTES
    assert packs["cold"] > 0
    assert packs["hot"] + packs["folded"] + packs["cold"] == FOLDERS + 2


def test_pages_and_changes_between_them(tools: Any, tmp_path: Path) -> None:
    """Two searches that take turns with events and with each other, in a view with no room."""
    grove, view = build(tools, 1, tmp_path)
    *_, write = view.checkpoint(1, b"")
    write()
    there = {b"/big/f%04d" % f for f in range(3 * SPLIT_ROWS)}
    there |= {b"/d%02d/f%03d" % (d, f) for d in range(FOLDERS) for f in range(FILES)}
    searches: list[Iterator[Any]] = [
        answer("v", grove.registers, Query("find", b"/", pattern=b"f*", limit=None), grove.moment())
        for _ in range(2)
    ]
    told: list[set[bytes]] = [set(), set()]
    for turn in range(1000):
        pages = [next(search, None) for search in searches]
        for found, page in zip(told, pages, strict=True):
            found.update(tools.raw(item) for item in page.items) if page is not None else None
        if pages == [None, None]:
            break
        if turn < FOLDERS:
            change(grove, turn)
    assert told == [there, there]
    assert grove.ask("du")["rollup"]["files"] == len(there) + 2 * min(turn, FOLDERS)


def test_what_lies_in_the_cold_store_alone_takes_no_memory(tools: Any, tmp_path: Path) -> None:
    grove, view = build(tools, 1, tmp_path)
    for turn in range(3):
        change(grove, turn)
        *_, write = view.checkpoint(turn + 1, b"")
        write()
        for _ in range(20):  # what was used a moment ago is spared once
            view.flush(1.0)
        grove.ask("find", pattern=b"f01*", limit=None)
    for _ in range(20):
        view.flush(1.0)
    packs = grove.ask("status")["packs"]
    assert packs["cold"] == FOLDERS + 2 + 3
    del packs["cold"], packs["budget_bytes"]
    assert set(packs.values()) == {0}, packs
