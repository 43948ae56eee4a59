"""Keys: how they are written, what they may do, until when."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core import keys
from fustor_core.errors import NoSuchKey, QueryError, Unauthorized
from fustor_core.keys import Key

PEPPER = b"p" * 32
SECRET = "s" * 43
HOUR_US = 3_600_000_000
T = 1_000 * HOUR_US


def made(key_id: str = "a1", **fields: object) -> Key:
    digest = keys.digest_of(PEPPER, keys.written(key_id, SECRET))
    return Key(id=key_id, digest=digest, rights=frozenset({"read"}), **fields)  # type: ignore[arg-type]


def check(key: Key, now_us: int = T, text: str | None = None) -> Key:
    return keys.checked(
        {key.id: key}, PEPPER, keys.written(key.id, SECRET) if text is None else text, now_us
    )


def test_the_right_text_opens() -> None:
    assert check(made()).access.covers("read", view="any", pipe="any")
    assert not check(made()).access.covers("admin")


GARBAGE = [
    "",
    "fst",
    "fst_a1",
    "fst_a1_",
    "fst_a1_short",
    f"fst_a1_{SECRET}x",
    f"fst_a1_{SECRET[:-1]}t",
    f"fst_b1_{SECRET}",
    f"FST_a1_{SECRET}",
    f" fst_a1_{SECRET}",
    f"fst_a1_{SECRET}\n",
    f"fst_a1_{SECRET}é",
    f"fst_a1_{SECRET}\udcff",
    f"fst__{SECRET}",
    "x" * 1_000_000,
]


@pytest.mark.parametrize("text", GARBAGE)
def test_another_text_does_not_and_one_answer_is_given(text: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        check(made(), text=text)
    with pytest.raises(Unauthorized) as over:
        check(made(expires_us=T))
    assert caught.value.message == over.value.message
    assert SECRET not in caught.value.message + caught.value.remedy


@given(st.text(max_size=400))
def test_no_text_is_too_odd(text: str) -> None:
    with pytest.raises(Unauthorized):
        check(made(), text=text)


def test_another_pepper_opens_nothing() -> None:
    with pytest.raises(Unauthorized):
        keys.checked({"a1": made()}, b"q" * 32, keys.written("a1", SECRET), T)


def test_a_digest_moved_to_another_id_opens_nothing() -> None:
    stolen = Key(id="b1", digest=made().digest, rights=frozenset({"admin"}))
    with pytest.raises(Unauthorized):
        keys.checked({"b1": stolen}, PEPPER, keys.written("b1", SECRET), T)


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({}, True),
        ({"expires_us": T + 1}, True),
        ({"expires_us": T}, False),
        ({"revoked_us": T + 1}, True),
        ({"revoked_us": T}, False),
        ({"expires_us": T + 5, "revoked_us": T - 1}, False),
        ({"expires_us": T - 1, "revoked_us": T + 5}, False),
    ],
)
def test_a_key_is_good_until_its_earlier_end(fields: dict[str, int], good: bool) -> None:
    assert made(**fields).good(T) is good


def test_nothing_secret_shows() -> None:
    key = made()
    assert key.digest not in repr(key) + str(key) + repr(key.access)
    assert SECRET not in repr(key)


def test_rights_and_globs_are_what_was_asked_for() -> None:
    access = keys.asked(["push", "read"], ["team-*"], ["host[0-9]*"])
    assert access.covers("push", view="team-a", pipe="host7-data")
    assert not access.covers("push", view="other", pipe="host7-data")
    assert not access.covers("push", view="team-a", pipe="hosts")
    assert not access.covers("scan", view="team-a")


@pytest.mark.parametrize(
    ("rights", "views", "pipes", "words"),
    [
        ([], ["*"], ["*"], "without a scope"),
        (["write"], ["*"], ["*"], "no scope 'write'"),
        (["read"], [], ["*"], "1 to 100 view globs"),
        (["read"], ["*"] * 101, ["*"], "1 to 100 view globs"),
        (["read"], ["*"], ["A"], "no pipe is named like 'A'"),
        (["read"], ["a b"], ["*"], "no view is named like"),
        (["read"], ["a" * 65], ["*"], "no view is named like"),
        (["read"], ["*\n"], ["*"], "no view is named like"),
    ],
)
def test_rights_that_make_no_sense_are_refused(
    rights: list[str], views: list[str], pipes: list[str], words: str
) -> None:
    with pytest.raises(QueryError, match=re.escape(words)):
        keys.asked(rights, views, pipes)


def test_a_table_changes_by_new_tables() -> None:
    none: keys.Table = {}
    one = keys.created(none, made(), T)
    over = keys.revoked(one, "a1", T)
    assert (none, one["a1"].good(T), over["a1"].good(T)) == ({}, True, False)
    assert keys.revoked(over, "a1", T + 5)["a1"].revoked_us == T, "it ended at its first end"
    with pytest.raises(NoSuchKey, match="no key 'b'"):
        keys.revoked(over, "b", T)
    with pytest.raises(ValueError, match="in use"):
        keys.created(one, made(), T)


def test_an_earlier_end_counts_and_a_later_one_does_not() -> None:
    table = keys.revoked({"a1": made(revoked_us=T + 100)}, "a1", T)
    assert table["a1"].revoked_us == T


def test_a_rotated_key_hands_on_its_rights_and_its_end() -> None:
    old = made(views=("v*",), pipes=("p",), expires_us=T + 99, last_used_us=T)
    table = keys.rotated({"a1": old}, "a1", made("b2"), T, 10)
    heir, left = table["b2"], table["a1"]
    assert (heir.access.views, heir.access.pipes, heir.rights) == (("v*",), ("p",), old.rights)
    assert (heir.expires_us, heir.created_us, heir.last_used_us) == (T + 99, T, None)
    assert heir.digest == made("b2").digest
    assert (left.good(T + 9), left.good(T + 10)) == (True, False)
    for gone in ("a1", "zz"):
        with pytest.raises(QueryError):
            keys.rotated(table, gone, made("c3"), T, 0)


def test_without_overlap_the_old_key_ends_at_once() -> None:
    table = keys.rotated({"a1": made()}, "a1", made("b2"), T, 0)
    assert not table["a1"].good(T)


def test_a_full_table_forgets_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 3)
    table: keys.Table = {}
    for key in (made("a", revoked_us=5), made("b", revoked_us=3), made("c")):
        table = keys.created(table, key, T)
    table = keys.created(table, made("d"), T)
    assert sorted(table) == ["a", "c", "d"]
    table = keys.created(table, made("e"), T)
    with pytest.raises(QueryError, match="3 good keys"):
        keys.created(table, made("f"), T)


def test_a_use_is_noted_to_the_hour() -> None:
    table = {"a1": made()}
    noted = keys.used(table, "a1", T + 17)
    assert noted is not None
    assert noted.last_used_us == T
    assert keys.used({"a1": noted}, "a1", T + HOUR_US - 1) is None
    assert keys.used({"a1": noted}, "a1", T + HOUR_US) is not None
    assert keys.used(table, "zz", T) is None


def test_ends_are_known_ahead() -> None:
    table = {"a": made("a", expires_us=T + 5), "b": made("b"), "c": made("c", revoked_us=T - 1)}
    assert keys.ended(table, T) == {"c"}
    assert keys.next_end_us(table, T) == T + 5
    assert keys.ended(table, T + 5) == {"a", "c"}
    assert keys.next_end_us(table, T + 5) is None
