"""What is said to be in every name that matches is in every name that matches."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import re2
from fustor_view_file.answers.literals import of_regex
from fustor_view_file.answers.walk import SKIPPED_AT_ONCE
from hypothesis import given
from hypothesis import strategies as st

PIECES = ["a", "b", "ab", "a.", ".", "*", "+", "?", "^", "$", "[ab]", "[^a]", "[a-c]", "\\.", "\\*",
          "\\w", "|", "(", ")", "{2}", "[]a]", "é", "\\"]  # fmt: skip
sources = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
subjects = st.text("ab.*c]é", max_size=8)


@pytest.mark.parametrize(
    ("source", "literal"),
    [
        ("render_v0[0-9]+_00042[.]exr$", b"render_v0"),
        ("_00042\\.exr$", b"_00042.exr"),
        ("ab*c", b"a"),
        ("ab+c", b"ab"),
        ("one|other", b""),
        ("(one)?", b""),
        ("x{0,3}", b""),
        ("\\d+_old", b""),
        (".*", b""),
        ("", b""),
    ],
)
def test_literals(source: str, literal: bytes) -> None:
    assert of_regex(source.encode()) == literal


@given(sources, st.lists(subjects, min_size=5, max_size=30))
def test_what_matches_holds_it(source: str, names: list[str]) -> None:
    literal = of_regex(source.encode())
    options = re2.Options()
    options.log_errors = False
    with contextlib.suppress(re2.error):
        compiled = re2.compile(source.encode(), options)
        for name in names:
            if compiled.search(name.encode()):
                assert literal in name.encode()


def test_directories_that_are_left_out_change_no_answer(tools: Any) -> None:
    """More than are left out at once, some with directories in them, some with the piece."""
    grove = tools.Grove()
    for d in range(3 * SKIPPED_AT_ONCE):
        grove.file(b"/%04d/x" % d)
    for d in (0, 7, SKIPPED_AT_ONCE, 2 * SKIPPED_AT_ONCE - 1, 3 * SKIPPED_AT_ONCE - 1):
        grove.file(b"/%04d/needle" % d)
        grove.file(b"/%04d/sub/needles" % d)
    grove.scan()
    right = sorted(path for path, _ in grove.walk() if b"needle" in path)
    assert sorted(grove.found(b"*needle*")) == right
    assert sorted(grove.found(b"needle", regex=True)) == right
    assert sorted(grove.found(b"/**/needle*", whole_path=True)) == right
    assert sorted(grove.found(b"NEEDLE*", ignore_case=True)) == right
    assert sorted(grove.found(b"n*e*l*")) == right
