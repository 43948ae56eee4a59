"""Agents of Fustor 0.8.17 push unchanged, and the view becomes what they can see of the tree."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

from tests.storms.weather import Storm

from .old_agent import BOUND_S, START_S, TIMEOUT_S, VIEW, Site, until

pytestmark = pytest.mark.compat

SEEDS = 2
OPERATIONS = 3000
PARTS = 4
AT_ONCE_S = 10.0
FILES = 20_000


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_view_becomes_exact_after_a_storm(place: Site, seed: int) -> None:
    storm = Storm(place.root, place.outside, seed)
    storm.run(500)
    place.fusion.start()
    agent = place.agent()
    agent.start()
    try:
        for part in range(PARTS):
            storm.run(OPERATIONS // PARTS)
            cookie = place.root / f"cookie-{part}"
            cookie.write_text("here")
            until(partial(place.shows, cookie.name), BOUND_S, place.tails)
    finally:
        storm.calm()
    place.settles()


def test_what_happens_shows_at_once(place: Site) -> None:
    (place.root / "a").mkdir()
    (place.root / "a/stays").write_text("x")
    (place.root / "a/goes").write_text("x")
    place.configure(renew_s=0, audit_s=3600)
    place.fusion.start()
    place.agent().start()
    place.settles(START_S)
    until(lambda: bool(place.sessions()), START_S)
    # one after the other: of events within a millisecond the agent may lose all but the first
    (place.root / "a/comes").write_text("new")
    until(partial(place.shows, "a/comes"), AT_ONCE_S, place.tails)
    (place.root / "a/goes").unlink()
    until(lambda: not place.shows("a/goes"), AT_ONCE_S, place.tails)
    (place.root / "a/stays").write_text("longer")
    until(lambda: place.size("a/stays") == len("longer"), AT_ONCE_S, place.tails)


def test_a_directory_that_comes_back_holds_nothing_of_old(place: Site) -> None:
    (place.root / "a/below").mkdir(parents=True)
    (place.root / "a/below/file").write_text("x")
    (place.root / "other").mkdir()
    place.configure(renew_s=0)
    place.fusion.start()
    place.agent().start()
    place.settles(START_S)
    (place.root / "a").rename(place.outside / "a")
    until(lambda: not place.shows("a"), BOUND_S, place.tails)
    (place.root / "a/below").mkdir(parents=True)
    until(partial(place.shows, "a"), AT_ONCE_S, place.tails)
    assert not place.shows("a/below/file")
    place.settles()
    (place.root / "a").rename(place.root / "b")
    place.settles()


def test_what_was_deleted_while_nobody_watched_goes(place: Site) -> None:
    """An audit raises the doubt, the sentinel's own look is the proof."""
    deep = place.root / "keep/deep"
    deep.mkdir(parents=True)
    for number in range(20):
        (deep / f"file-{number}").write_text("x")
    (place.root / "single").write_text("x")
    place.configure(renew_s=0)
    place.fusion.start()
    agent = place.agent()
    agent.start()
    place.settles(START_S)
    agent.kill()
    shutil.rmtree(deep)
    (place.root / "single").unlink()
    (place.root / "keep/new").write_text("new")
    agent.start()
    place.settles()


def test_a_tree_that_is_away_takes_nothing_away(place: Site) -> None:
    for number in range(5):
        (place.root / f"folder-{number}").mkdir()
        (place.root / f"folder-{number}/file").write_text("x")
    place.fusion.start()
    agent = place.agent()
    agent.start()
    place.settles(START_S)
    agent.kill()
    away = place.root.with_name("away")
    place.root.rename(away)
    place.root.mkdir()
    agent.start()
    until(lambda: "is not believed" in place.fusion.tail(), BOUND_S, place.tails)
    assert all(place.shows(f"folder-{n}/file") for n in range(5))
    agent.kill()
    place.root.rmdir()
    away.rename(place.root)
    agent.start()
    place.settles()


def test_agents_find_fusion_again_after_it_was_killed(place: Site) -> None:
    (place.root / "before").write_text("x")
    place.fusion.start()
    place.agent().start()
    place.settles(START_S)
    place.fusion.kill()
    (place.root / "meanwhile").write_text("x")
    (place.root / "before").unlink()
    place.fusion.start()
    place.settles()


def test_a_long_snapshot_keeps_its_session_and_its_lead(place: Site) -> None:
    """Such an agent beats no heart while it pushes: its pushes prove that it lives."""
    for number in range(FILES):
        folder = place.root / f"folder-{number // 200}"
        folder.mkdir(exist_ok=True)
        (folder / f"file-{number}").touch()
    place.configure(renew_s=0, audit_s=3600)
    place.fusion.start()
    place.agent().start()
    place.settles(START_S + BOUND_S)
    (session,) = place.sessions()
    assert session["role"] == "leader"
    assert session["epoch"] == 1


def test_two_agents_lead_and_follow(place: Site) -> None:
    (place.root / "file").write_text("x")
    place.configure(renew_s=0)
    place.fusion.start()
    first, second = place.agent(), place.agent()
    first.start()
    place.settles(START_S)
    second.start()
    until(lambda: len(place.sessions()) == 2, START_S, place.tails)
    assert sorted(s["role"] for s in place.sessions()) == ["follower", "leader"]
    first.kill()

    def alone() -> bool:
        told = place.sessions()
        return [s["role"] for s in told] == ["leader"]

    until(alone, 4 * TIMEOUT_S, place.tails)
    (place.root / "later").write_text("y")
    until(partial(place.shows, "later"), AT_ONCE_S, place.tails)
    place.settles()
    assert place.fusion.view() == VIEW
