"""Whole scans as fusion follows them: what counts as one, and where another leader goes on."""

from __future__ import annotations

import pytest

from fustor_core.claims import Batch, Calm, Claim, Key, Listing, Origin, Root, Same, Silence, Stamp
from fustor_core.contracts import Rest
from fustor_core.courses import passed, proven, rest
from fustor_core.frames import Audits
from fustor_core.registers import Seen

D = Key(0, 1, 1)
NOW = Stamp(1, 2, 1, "l")


def at(us: int) -> Seen:
    return Seen(us, us, 1, us, us, 0, "s")


def root(course: str = "", origin: Origin = Origin.AUDIT, after: bytes | None = b"") -> Root:
    return Root(key=D, identity="x", stamp=NOW, origin=origin, course=course, after=after)


def same(path: bytes, origin: Origin = Origin.AUDIT) -> Same:
    return Same(dir=D, silence=Silence(1, 2, 3, 4), stamp=NOW, origin=origin, path=path)


def told(held: Audits, *claims: Claim, session: str = "a", skipped: tuple[int, ...] = ()) -> Audits:
    for i, claim in enumerate(claims):
        if isinstance(claim, Root) and i not in skipped:
            held = proven(held, claim, session, at(1_000_000))
    return passed(held, session, Batch(1, 1, 1, list(claims)), skipped)


BEGUN = told(Audits(), root("begins"), same(b"/"), same(b"/a"))


def test_an_audit_counts_when_it_was_whole() -> None:
    over = proven(BEGUN, root("whole"), "a", at(3_000_000))
    assert over == Audits(1, (3_000_000, 2.0), None)


def test_a_proof_alone_ends_nothing() -> None:
    """As that of a new session, or after the root came back."""
    for session in ("a", "b"):
        assert proven(BEGUN, root("", Origin.REALTIME), session, at(3_000_000)) == BEGUN
    assert proven(BEGUN, root("whole"), "b", at(3_000_000)) == BEGUN, "of a scan of its own"


def test_one_that_was_broken_off_does_not_count_for_the_next() -> None:
    again = proven(BEGUN, root("begins"), "a", at(10_000_000))
    over = proven(again, root("whole"), "a", at(11_000_000))
    assert over == Audits(1, (11_000_000, 1.0), None)


def test_a_snapshot_is_no_audit() -> None:
    begun = proven(Audits(), root("begins", Origin.SNAPSHOT), "a", at(0))
    assert proven(begun, root("whole", Origin.SNAPSHOT), "a", at(9)) == Audits()


def test_another_leader_goes_on_behind_the_last_directory() -> None:
    assert rest(BEGUN, "b", 5_000_000) == Rest(b"/a", "a", 4.0)
    assert rest(BEGUN, "a", 5_000_000) is None, "it knows"
    on = told(BEGUN, root("begins", Origin.SNAPSHOT, b"/a"), same(b"/b"), session="b")
    assert rest(on, "c", 5_000_000) == Rest(b"/b", "b", 4.0)
    over = proven(on, root("whole", Origin.SNAPSHOT), "b", at(9_000_000))
    assert over == Audits(1, (9_000_000, 8.0), None), "the audit is over, whoever ended it"


def test_whose_claims_count() -> None:
    assert told(BEGUN, same(b"/z"), session="b") == BEGUN, "of another session"
    assert told(BEGUN, same(b"/z", Origin.SENTINEL)) == BEGUN, "of a look"
    assert told(BEGUN, same(b"/b"), root("begins")).course != told(BEGUN, same(b"/b")).course
    course = told(BEGUN, same(b"/b"), root("begins")).course
    assert course is not None
    assert course.after == b"", "what stands before the beginning is of the scan before"


def test_what_was_not_taken_proves_nothing() -> None:
    assert told(BEGUN, same(b"/b"), skipped=(0,)) == BEGUN
    calm = Calm(keys=bytes(24), silences=bytes(32), stamp=NOW, origin=Origin.AUDIT, path=b"/b")
    assert told(BEGUN, calm, same(b"/c"), skipped=(0,)).course is None, "nothing is owed for it"


def test_a_scan_in_no_order_leaves_nothing_to_go_on_with() -> None:
    begun = told(Audits(), root("begins", after=None), same(b"/a"))
    assert rest(begun, "b", 2) is None


def test_who_goes_on_with_what_is_not_known_counts_for_nothing() -> None:
    begun = proven(Audits(), root("begins", after=b"/x"), "a", at(1))
    assert proven(begun, root("whole"), "a", at(2)) == Audits()


@pytest.mark.parametrize("path", [b"/" + b"x" * 9000])
def test_a_path_that_is_too_long_to_tell(path: bytes) -> None:
    assert rest(told(BEGUN, same(path)), "b", 2_000_000) is None


def test_listings_count_too() -> None:
    listing = Listing(dir=D, names=b"", rows=b"", stamp=NOW, origin=Origin.SNAPSHOT, path=b"/l")
    held = told(Audits(), root("begins", Origin.SNAPSHOT), listing)
    assert rest(held, "b", 1_000_000) == Rest(b"/l", "a", 0.0)
