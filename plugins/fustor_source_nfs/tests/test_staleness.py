"""Answers of the caches that were older than they may be are noticed, whatever clocks say."""

from __future__ import annotations

import pytest
from fustor_source_nfs.heat import Place
from fustor_source_nfs.staleness import SURE_US, Staleness

from fustor_core.claims import Key, Listing, Origin, Row, Stamp, edge_row, pack_rows
from fustor_core.testing.nfs_pair import NfsPair

from .conftest import CACHE_S, POLL_S, SLACK_S, watched

pytestmark = pytest.mark.anyio
S = 1_000_000
DAY = 86_400 * S
KEY = Key(0, 7, 1)


class World:
    """A directory of a storage whose clock is `ahead_us` of ours, looked at again and again."""

    def __init__(self, ahead_us: int = 0) -> None:
        self.ahead_us = ahead_us
        self.staleness = Staleness()
        self.place = Place(b"/", KEY, 1, None)

    def looks(self, at_s: float, changed_s: float, own_s: float = -900.0) -> bool:
        """A look at a directory with a file; their change times by our clock."""
        at, step = round((1000 + at_s) * S), S // 100
        ctimes = [(round((1000 + one) * S) + self.ahead_us) * 1000 for one in (own_s, changed_s)]
        child = edge_row(Key(1 << 60, 8, 1), 0o40755)  # holds no time where others have one
        blob, rows = pack_rows({b"file": Row(size=1, ctime_ns=ctimes[1]), b"folder": child})
        listing = Listing(
            dir=KEY,
            names=blob,
            rows=rows,
            stamp=Stamp(at - 3 * S, at + step, at, "l"),
            origin=Origin.ON_DEMAND,
            path=b"/",
            own=Row(mode=0o40755, ctime_ns=ctimes[0]).pack(),
        )
        return self.staleness.looked(self.place, listing, 3 * S)


@pytest.mark.parametrize("ahead_us", [0, DAY, -DAY, 3600 * S])
def test_an_answer_that_was_too_old_is_noticed(ahead_us: int) -> None:
    world = World(ahead_us)
    assert not world.looks(0, -500)
    assert not world.looks(10, 9.5), "seen soon after it was made: so the clocks stand"
    assert not world.looks(20, 9.5)
    assert not world.looks(30, 9.5)
    assert world.looks(31, 20.5), "the look at 30 has had an answer of before 20.5"
    assert 8 * S < world.staleness.shown_us < 10 * S
    assert world.staleness.bound_us > world.staleness.shown_us


@pytest.mark.parametrize("ahead_us", [0, DAY, -DAY])
def test_answers_within_the_bound_are_no_evidence(ahead_us: int) -> None:
    world = World(ahead_us)
    for at in range(0, 600, 10):
        assert not world.looks(at, at - 12.5), "3 s old at the look before, and what clocks do"
    assert world.staleness.shown_us == 0


def test_a_clock_that_was_set_is_none() -> None:
    world = World()
    world.looks(0, -500)
    world.looks(10, 9.5)
    world.ahead_us = 3 * DAY
    assert not world.looks(20, 19.5)
    world.ahead_us = 0
    assert not world.looks(30, 29.5)
    assert not world.looks(40, 39.5)


def test_the_first_look_and_one_after_an_error_prove_nothing() -> None:
    world = World()
    assert not world.looks(100, 50)
    world.place.looked_us = 0
    assert not world.looks(200, 120)


def test_files_that_came_from_elsewhere_bring_their_times_along() -> None:
    world = World()
    world.looks(0, -500, own_s=-600)
    world.looks(10, -500, own_s=9.5)
    assert not world.looks(100, 50, own_s=99.5), "the directory changed just now, the file did not"


def test_when_a_change_could_carry_the_same_time_again() -> None:
    world = World(-DAY)  # a clock that is behind, so that all looks old by ours
    world.looks(100, 99.9)
    ctime_ns = (round(1099.9 * S) - DAY) * 1000
    assert not world.staleness.settled(ctime_ns, 1100 * S)
    assert not world.staleness.settled(ctime_ns, 1101 * S)
    assert world.staleness.settled(ctime_ns, 1100 * S + 2 * SURE_US)
    assert not Staleness().settled(0, DAY)


@pytest.mark.long
async def test_a_mount_that_remembers_for_longer_than_it_says_is_noticed(pair: NfsPair) -> None:
    (pair.server / "folder").mkdir()
    file = pair.server / "folder" / "file"
    file.write_text("first")
    pair.one.remembers(4 * CACHE_S)
    async with watched(pair.one.at, pair.server, cache_bound=0.5) as site:
        await site.scan()
        await site.exact(SLACK_S)
        for number in range(40):
            assert site.source.coverage()["warnings"] == []
            (pair.two.at / "folder" / "news").write_text("x" * number)  # seen at once: opened
            file.write_text("y" * number)
            await site.exact(4 * CACHE_S + POLL_S + 4 * SLACK_S)
            if site.source.coverage()["warnings"]:
                break
        (warning,) = site.source.coverage()["warnings"]
        assert "`cache_bound` says 0.5 s" in warning
        assert "set `cache_bound: " in warning
        assert site.source.coverage()["cache_bound_s"] > 3.0
        file.write_text("with honest stamps from now on")
        await site.exact(4 * CACHE_S + POLL_S + 4 * SLACK_S)
        listing = [one for one in site.mirror.seen if one.path == b"/folder"][-1]
        assert listing.stamp.at - listing.stamp.f > 3 * S
