"""Globs on paths, patterns that hurt other engines, and what no pattern may say."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest
from fustor_view_file.answers.patterns import PATTERN_BYTES_MAX, Pattern
from hypothesis import assume, given
from hypothesis import strategies as st

from fustor_core.claims import join_names, split_names
from fustor_core.contracts import Query
from fustor_core.errors import QueryError

FILES = [b"/a/b/x.log", b"/a/x.log", b"/ab/x.log", b"/x.log", b"/a/b/c/d/x.txt", b"/a/\xff/y.log"]


def pattern(text: bytes, **options: Any) -> Pattern:
    return Pattern(Query("find", pattern=text, **options))


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        (b"/x.log", [b"/x.log"]),
        (b"/*.log", [b"/x.log"]),
        (b"/a/*.log", [b"/a/x.log"]),
        (b"/a/*/*.log", [b"/a/\xff/y.log", b"/a/b/x.log"]),
        (b"/a/?/x.log", [b"/a/b/x.log"]),
        (b"/a/[!b]/*.log", [b"/a/\xff/y.log"]),
        (b"/a[/]b/x.log", []),
        (b"/a[!x]x.log", []),
        (b"/a?x.log", []),
        (b"/a?b/*.log", []),
        (b"/a[!x]b/*.log", []),
        (b"/a[--0]b/*.log", []),
        (b"/a/**", [b"/a/\xff", b"/a/b", b"/a/x.log", b"/a/\xff/y.log", b"/a/b/c",
                    b"/a/b/x.log", b"/a/b/c/d", b"/a/b/c/d/x.txt"]),
        (b"/a/**/x.*", [b"/a/b/c/d/x.txt", b"/a/b/x.log", b"/a/x.log"]),
        (b"**/b", [b"/a/b"]),
        (b"**.txt", [b"/a/b/c/d/x.txt"]),
        (b"/**/x.log", [b"/a/b/x.log", b"/a/x.log", b"/ab/x.log", b"/x.log"]),
        (b"/a**g", [b"/a/\xff/y.log", b"/a/b/x.log", b"/a/x.log", b"/ab/x.log"]),
        (b"/a/\xff/*", [b"/a/\xff/y.log"]),
        (b"x.log", []),
        (b"/a/b", [b"/a/b"]),
    ],
)  # fmt: skip
def test_globs_on_paths(grove: Any, glob: bytes, found: list[bytes]) -> None:
    for path in FILES:
        grove.file(path)
    grove.scan()
    assert sorted(grove.found(glob, whole_path=True)) == sorted(found)
    upper = [path for path in found if path.isascii()]
    told = grove.found(glob.upper(), whole_path=True, ignore_case=True)
    assert sorted(path for path in told if path.isascii()) == sorted(upper)
    inside = [path for path in found if path.startswith(b"/a/")]
    assert sorted(grove.found(glob, whole_path=True, path=b"/a")) == sorted(inside)


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        (b"ab*ba", b"aba", False),
        (b"ab*ba", b"abba", True),
        (b"a*a*a", b"aa", False),
        (b"a*b*a", b"aba", True),
        (b"a*b*a", b"ab", False),
        (b"*ab*ab*", b"xabx", False),
        (b"*ab*ab*", b"xababx", True),
    ],
)
def test_no_letter_serves_two_pieces(glob: bytes, name: bytes, matches: bool) -> None:
    looked_for = pattern(glob)
    assert looked_for.test(name) is matches
    assert looked_for.names_in(join_names([b"0", name])) == [(1, name)] * matches


def test_two_stars_alone_mean_everything(grove: Any) -> None:
    for path in FILES:
        grove.file(path)
    grove.scan()
    assert grove.found(b"**", whole_path=True) == [path for path, _ in grove.walk()]
    assert grove.found(b"/**", whole_path=True) == [path for path, _ in grove.walk()]


def test_expressions_on_paths(grove: Any) -> None:
    for path in FILES:
        grove.file(path)
    grove.scan()
    told = grove.found(rb"^/a/.*\.log$", whole_path=True, regex=True)
    assert sorted(told) == [b"/a/b/x.log", b"/a/x.log", b"/a/\xff/y.log"]


def test_characters_of_any_alphabet_are_one(grove: Any) -> None:
    """And each byte that is no UTF-8 is one too."""
    for name in ("é", "日", "e"):
        grove.file(b"/" + name.encode())
    grove.file(b"/\xff")
    grove.file(b"/\xe9")
    grove.scan()
    everything = sorted(path for path, _ in grove.walk())
    assert sorted(grove.found(b"?")) == everything
    assert sorted(grove.found(b"^.$", regex=True)) == everything
    assert grove.found("[éê]".encode()) == ["/é".encode()]
    assert grove.found("[éê]".encode(), regex=True) == ["/é".encode()]
    assert grove.found(b"[\xe9]") == [b"/\xe9"]
    assert grove.found("É".encode(), ignore_case=True) == ["/é".encode()]


@pytest.mark.parametrize("text", [b"(", b"a{2000}", b"(?=a)", rb"(a)\1", b"*", b"[z-a]", b"\\"])
def test_what_is_no_expression_is_refused(text: bytes) -> None:
    with pytest.raises(QueryError) as caught:
        pattern(text, regex=True)
    assert "RE2" in caught.value.remedy


def test_a_pattern_that_is_too_long_is_refused(grove: Any) -> None:
    for regex in (True, False):
        with pytest.raises(QueryError) as caught:
            grove.ask("find", pattern=b"a" * (PATTERN_BYTES_MAX + 1), regex=regex)
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "regex"),
    [(b"^(a+)+$", True), (b"^(a|a)*$", True), (b"*a" * 60, False), (b"[a]*" * 60 + b"a", False)],
)
def test_no_pattern_takes_for_ever(text: bytes, regex: bool) -> None:
    """Each takes a backtracking engine longer than the universe has existed."""
    looked_for = pattern(text, regex=regex)
    names = join_names(sorted({b"a" * length + b"!" for length in range(200, 255)}))
    assert looked_for.names_in(names) == []


@given(
    blob=st.sets(st.text("abAB.k\u212as\u017f", min_size=1, max_size=5), max_size=8),
    text=st.text("abAK.s*?", min_size=1, max_size=5),
    regex=st.booleans(),
    fold=st.booleans(),
)
def test_shortcuts_find_what_the_test_of_each_name_finds(
    blob: set[str], text: str, regex: bool, fold: bool
) -> None:
    raw = text.encode()
    if regex:
        raw = raw.replace(b"*", b"a*").replace(b"?", b"$").replace(b".", b"^")
    looked_for = pattern(raw, regex=regex, ignore_case=fold)
    names = sorted(name.encode() for name in blob)
    told = looked_for.names_in(join_names(names))
    assert told == [(i, name) for i, name in enumerate(names) if looked_for.test(name)]


@given(
    glob=st.text("ab-]![?*^\\", max_size=9),
    names=st.sets(st.text("ab-]![^\\", min_size=1), max_size=9),
)
def test_choices_are_read_as_fnmatch_does(glob: str, names: set[str]) -> None:
    # Python takes a ! behind a range that is the wrong way round for a negation
    assume(not any(low > high for low, high in re.findall(r"(?=(.)-(.))", glob)))
    looked_for = pattern(glob.encode() or b"*")
    blob = join_names(sorted(name.encode() for name in names))
    want = [n for n in split_names(blob) if fnmatch.fnmatchcase(n.decode(), glob or "*")]
    told = [n for n in split_names(blob) if looked_for.everything or looked_for.test(n)]
    assert told == want
