"""What a person hears of a scan that would remove too much: a line at its begin, one at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from fustor_view_file import FileView

from fustor_core.claims import Origin

from .world import World, edge, file, listing

HOUSES = 40


def _town(**guard: float) -> World:
    """So many directories with ten files each."""
    world = World(count=1, ratio=0.0, **guard)
    world.tell(listing(1, {b"h%02d" % n: edge(100 + n) for n in range(HOUSES)}))
    for n in range(HOUSES):
        world.tell(listing(100 + n, {b"f%d" % i: file(1000 + 10 * n + i) for i in range(10)}))
    world.view.alarms()
    return world


def test_a_scan_that_finds_nothing_any_more_is_two_lines() -> None:
    world = _town()
    world.begin_scan()
    for n in range(HOUSES):
        world.tell(listing(100 + n, {}, Origin.AUDIT))
    first = world.view.alarms()
    assert len(first) == 1
    assert first[0].startswith("10 removals in '/h00' wait for a second look or a person")
    world.end_scan()
    assert world.view.alarms() == [
        f"{HOUSES * 10} removals in {HOUSES} directories wait for a second look or a person"
    ]
    world.begin_scan()
    for n in range(HOUSES):
        world.tell(listing(100 + n, {}, Origin.AUDIT), after_s=0.1)
    world.end_scan()
    assert world.view.alarms() == [], "what is frozen already is no news"


def test_one_directory_is_one_line() -> None:
    world = _town()
    world.tell(listing(100, {}, Origin.AUDIT))
    world.end_scan()
    assert len(world.view.alarms()) == 1


def test_single_looks_are_a_line_now_and_then() -> None:
    world = _town()
    told: list[str] = []
    for n in range(HOUSES):
        world.tell(listing(100 + n, {}, Origin.SENTINEL), after_s=0.5)
        told += world.view.alarms()
    assert len(told) == 1
    world.tell(listing(1, {}, Origin.SENTINEL), after_s=60)
    told += world.view.alarms()
    assert len(told) == 2
    assert told[1] == (
        f"{HOUSES * 11} removals in {HOUSES + 1} directories wait for a second look or a person"
    )


@pytest.mark.parametrize("origin", [Origin.AUDIT, Origin.SENTINEL])
def test_a_restart_lets_no_scan_remove_as_much_again(origin: Origin, tmp_path: Path) -> None:
    """Seed 200622: replayed without the restart, the rest of the removals was frozen."""
    world = World(count=3, ratio=0.0)
    world.tell(listing(1, {b"f%d" % i: file(1000 + i) for i in range(9)}))
    world.begin_scan()
    world.tell(listing(1, {b"f%d" % i: file(1000 + i) for i in range(3, 9)}, origin))
    world.view.open(tmp_path, "v")
    list(world.view.checkpoint(1, b""))[-1]()
    world.view.close()
    assert len(world.root.pack) == 6
    again = FileView(world.view.config)
    again.open(tmp_path, "v")
    world.view = again
    world.tell(listing(1, {b"f%d" % i: file(1000 + i) for i in range(5, 9)}, origin), after_s=0.1)
    assert set(world.root.frozen or ()) == {b"f3", b"f4"}
