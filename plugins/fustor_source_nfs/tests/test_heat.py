"""Which directory is looked at next, and how fast."""

from __future__ import annotations

import msgspec
import pytest
from fustor_source_nfs.heat import HOTTEST, Heat
from fustor_source_nfs.pace import FASTEST, SLOWEST, Pace

from fustor_core.claims import Key, Listing, Origin, Row, Stamp, pack_rows

S = 1_000_000


def listing(path: bytes, *names: bytes, complete: bool = True) -> Listing:
    blob, rows = pack_rows({name: Row(size=1) for name in names})
    return Listing(
        dir=Key(0, len(path), 1),
        names=blob,
        rows=rows,
        stamp=Stamp(0, 1, 0, "l"),
        origin=Origin.ON_DEMAND,
        path=path,
        complete=complete,
        reason="" if complete else "io_error",
    )


def test_a_quiet_directory_comes_once_an_interval() -> None:
    heat = Heat(60 * S)
    assert heat.listed(listing(b"/", b"a"), [], 3, 0)
    assert heat.next(59 * S) is None
    assert heat.next(60 * S) == b"/"
    assert not heat.listed(listing(b"/", b"a"), [], 3, 60 * S)
    assert heat.due_us() == 120 * S


def test_one_that_changes_comes_more_often_and_cools_again() -> None:
    heat = Heat(160 * S)
    heat.listed(listing(b"/", b"a"), [], 3, 0)
    heat.listed(listing(b"/", b"a", b"b"), [], 3, 160 * S)
    assert heat.due_us() == 180 * S
    heat.listed(listing(b"/", b"a"), [], 3, 180 * S)
    assert heat.due_us() == (180 + 160 // HOTTEST) * S
    for now in (190, 210, 250, 330):
        heat.listed(listing(b"/", b"a"), [], 3, now * S)
    assert heat.due_us() == (330 + 160) * S


def test_hot_directories_do_not_starve_the_others() -> None:
    heat = Heat(16 * S)
    for path in (b"/", b"/hot", b"/cold"):
        heat.listed(listing(path), [b"hot", b"cold"] if path == b"/" else [], 1, 0)
    seen = []
    for now in range(16, 200, 4):  # only one look in 4 s
        path = heat.next(now * S)
        assert path is not None
        seen.append(path)
        names = [b"%d" % now] if path == b"/hot" else []
        heat.listed(listing(path, *names), [b"hot", b"cold"] if path == b"/" else [], 1, now * S)
    assert seen.count(b"/hot") > seen.count(b"/cold") >= 5


def test_what_is_gone_is_polled_no_more() -> None:
    heat = Heat(60 * S)
    heat.listed(listing(b"/", b"a"), [b"a"], 1, 0)
    heat.listed(listing(b"/a", b"b"), [b"b"], 1, 0)
    heat.add(b"/a/b", Key(0, 9, 9), 0)
    assert heat.next(0) == b"/a/b"
    heat.listed(listing(b"/", complete=False), [], 1, S)
    assert set(heat.places) == {b"/", b"/a", b"/a/b"}, "an incomplete listing proves no absence"
    heat.listed(listing(b"/"), [], 1, S)
    assert set(heat.places) == {b"/"}


def test_what_failed_is_news_again() -> None:
    heat = Heat(60 * S)
    heat.listed(listing(b"/", b"a"), [], 1, 0)
    heat.failed(b"/", S)
    assert heat.due_us() == 61 * S
    assert heat.listed(listing(b"/", b"a"), [], 1, 61 * S)


def test_what_was_weak_is_news_when_it_is_not() -> None:
    """Nothing is taken of a weak name: a look that found the same, and may be taken, is told."""
    heat = Heat(16 * S)
    found = listing(b"/", b"a", b"b")
    assert heat.listed(found, [], 3, 0)
    assert heat.listed(msgspec.structs.replace(found, weak=(b"a",)), [], 3, 1)
    assert heat.listed(found, [], 3, 2)
    assert not heat.listed(found, [], 3, 3)


def test_a_rate_is_kept() -> None:
    pace = Pace(10.0)
    assert pace.wait_s(0) == 0
    pace.spent(S, 20, 0)
    assert pace.wait_s(S) == pytest.approx(2.0)
    pace.spent(3 * S, 10, 0)
    assert pace.wait_s(3 * S) == pytest.approx(1.0)


def test_the_automatic_rate_follows_the_storage() -> None:
    pace = Pace(None)
    for now in range(100):
        pace.spent(now * S, 100, 100 * 200)
    assert pace.rate == pytest.approx(500, rel=0.01)
    for now in range(100, 300):
        pace.spent(now * S, 10, 10 * 50_000)
    assert pace.rate == SLOWEST
    assert Pace(None).rate == FASTEST
