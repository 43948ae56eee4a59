"""Blind names as one blob: what a dictionary of them would say."""

from __future__ import annotations

import pytest
from fustor_view_file.pack import SPLIT_ROWS
from fustor_view_file.unseen import Unseen, unseen
from hypothesis import given
from hypothesis import strategies as st

names = st.text("ab/é", min_size=1, max_size=4).map(str.encode)


@given(st.sets(names, min_size=1), st.lists(names))
def test_it_is_what_a_dictionary_is(held: set[bytes], asked: list[bytes]) -> None:
    plain = dict.fromkeys(sorted(held), 7)
    found = unseen(b"\0".join(sorted(held)), 7)
    assert found == plain
    assert len(found) == len(plain)
    assert list(found) == list(plain)
    for name in asked:
        assert (name in found) == (name in plain)
        assert found.get(name, 0) == plain.get(name, 0)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        Unseen(b"a\0b", 1)[b"a\0b\0c"]
    assert b"" not in Unseen(b"a\0b", 1)


@pytest.mark.parametrize("count", [1, SPLIT_ROWS, SPLIT_ROWS + 1])
def test_many_names_are_found_soon(count: int) -> None:
    found = unseen(b"\0".join(b"%06d" % i for i in range(count)), 3)
    assert len(found) == count
    assert isinstance(found, Unseen) == (count <= SPLIT_ROWS)
