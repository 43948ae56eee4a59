"""What was sent last of each directory: what is known again, what is not, and what it costs."""

from __future__ import annotations

from fustor_core.claims import (
    Key,
    Listing,
    Origin,
    Row,
    Silence,
    Stamp,
    edge_row,
    join_names,
    pack_rows,
)
from fustor_core.recall import MOST, Recall

D = Key(0, 7, 70)
CALM = Silence(1, 2, 7, 2)
CHILD = edge_row(Key(0, 9, 90))


def listing(key: Key = D, silence: Silence | None = CALM, **rows: bytes | Row) -> Listing:
    names, blob = pack_rows({name.encode(): row for name, row in rows.items()})
    stamp = Stamp(1, 2, 1, "l")
    return Listing(
        dir=key, names=names, rows=blob, stamp=stamp, origin=Origin.AUDIT, silence=silence
    )


def test_silence_is_known_with_all_four_figures_alone() -> None:
    recall = Recall()
    assert recall.silent(D, CALM) is None
    recall.note(listing(a=Row(ino=3)))
    assert recall.silent(D, CALM) is True
    for field in CALM._fields:
        assert recall.silent(D, CALM._replace(**{field: 99})) is None, field
    assert recall.silent(Key(0, 7, 71), CALM) is None


def test_a_directory_with_directories_in_it_is_no_leaf() -> None:
    recall = Recall()
    recall.note(listing(a=Row(ino=3), d=CHILD))
    assert recall.silent(D, CALM) is False


def test_a_racy_listing_is_never_silent() -> None:
    recall = Recall()
    recall.note(listing(a=Row(ino=3)))
    recall.note(listing(a=Row(ino=3), silence=None))
    assert recall.silent(D, CALM) is None
    assert recall.holds(D, b"a", 3)


def test_members_are_names_and_inodes() -> None:
    recall = Recall()
    recall.note(listing(a=Row(size=5, ino=3), d=CHILD))
    names = join_names([b"a", b"d"])
    assert recall.holds(D, names, 3 + 9)
    assert not recall.holds(D, names, 4 + 9), "another file of that name"
    assert not recall.holds(D, b"a", 3)


def test_rows_are_unchanged_only_as_a_whole() -> None:
    recall = Recall()
    recall.note(listing(a=Row(size=5, mtime_ns=1)))
    assert recall.unchanged(listing(a=Row(size=5, mtime_ns=1)))
    assert not recall.unchanged(listing(a=Row(size=6, mtime_ns=1)))
    assert not recall.unchanged(listing(b=Row(size=5, mtime_ns=1)))


def test_what_proves_nothing_teaches_nothing() -> None:
    for worse in ({"complete": False}, {"weak": (b"a",)}, {"digest": bytes(16)}):
        recall, told = Recall(), listing(a=Row(ino=3))
        fields = {name: getattr(told, name) for name in told.__struct_fields__}
        recall.note(Listing(**{**fields, **worse}))
        assert recall.silent(D, CALM) is None, worse


def test_it_can_forget_everything() -> None:
    recall = Recall()
    recall.note(listing(a=Row(ino=3)))
    recall.clear()
    assert recall.silent(D, CALM) is None
    assert (recall.count, recall.lives) == (0, 1)


def test_many_directories_take_few_bytes_and_hardly_any_is_lost() -> None:
    recall, count = Recall(), 50_000
    keys = [Key(0, 1000 + i, 7 * i) for i in range(count)]
    for key in keys:
        recall.note(listing(key, CALM._replace(ino=key.ino)))
    known = sum(recall.silent(key, CALM._replace(ino=key.ino)) is not None for key in keys)
    assert known > 0.9999 * count
    assert recall.size_bytes <= 52 * count
    assert recall.count >= known


def test_it_is_bounded() -> None:
    assert MOST * 16 <= 64 << 20
