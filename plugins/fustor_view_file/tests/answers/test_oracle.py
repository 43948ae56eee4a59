"""`ls`, `tree`, `du` and `find` against the truth, recomputed without any of their shortcuts."""

from __future__ import annotations

import fnmatch
import re
import stat
from collections.abc import Callable
from typing import Any

import pytest
from fustor_view_file.pack import SPLIT_ROWS
from hypothesis import given, settings
from hypothesis import strategies as st

from fustor_core.claims import Origin, Row

ALPHABET = [b"a", b"b", b"B", b".", b"-", b"\xff", b"\n", b"\xc3\xa9", b"*", b"[", b" "]
MODES = [stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFSOCK]
DAY_NS = 86_400 * 10**9

names = (
    st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=4)
    .map(b"".join)
    .filter(lambda name: name not in (b".", b".."))
)
rows = st.builds(
    Row,
    size=st.integers(0, 3000) | st.sampled_from([0, 1 << 40]),
    mtime_ns=st.integers(0, 9).map(lambda day: day * DAY_NS),
    ctime_ns=st.just(0),
    ino=st.integers(2, 1 << 60),
    mode=st.sampled_from(MODES),
    uid=st.integers(0, 2),
    gid=st.integers(0, 2),
    nlink=st.just(1),
)
trees = st.dictionaries(names, st.deferred(lambda: rows | trees), max_size=5)


def plant(grove: Any, tree: Any, tools: Any, at: Any = None) -> None:
    at = grove.top if at is None else at
    for name, what in tree.items():
        if isinstance(what, Row):
            at.names[name] = what
        else:
            below = at.names[name] = tools.Folder(grove.inode())
            plant(grove, what, tools, below)


def below(grove: Any, scope: bytes) -> list[tuple[bytes, Any]]:
    prefix = scope if scope.endswith(b"/") else scope + b"/"
    return [(path, what) for path, what in grove.walk() if path.startswith(prefix)]


def directories(grove: Any) -> list[bytes]:
    return [b"/", *(path for path, what in grove.walk() if not isinstance(what, Row))]


@pytest.mark.long
@given(tree=trees)
def test_every_directory_lists_and_sums_what_is_there(tools: Any, tree: Any) -> None:
    grove = tools.Grove()
    plant(grove, tree, tools)
    grove.scan()
    for path in directories(grove):
        inside = grove.folder(path).names
        listed = grove.ask("ls", path, limit=None)
        assert [tools.raw(e, "name") for e in listed["entries"]] == sorted(inside)
        for entry in listed["entries"]:
            what = inside[tools.raw(entry, "name")]
            own = what if isinstance(what, Row) else what.own
            assert {k: entry[k] for k in own._asdict()} == own._asdict()
        assert listed["quality"]["complete"] is True
        totals = grove.ask("du", path)["rollup"]
        below_it = below(grove, path)
        files = [w for _, w in below_it if isinstance(w, Row) and stat.S_ISREG(w.mode)]
        others = [w for _, w in below_it if isinstance(w, Row) and not stat.S_ISREG(w.mode)]
        assert totals["files"] == len(files)
        assert totals["others"] == len(others)
        assert totals["dirs"] == len(below_it) - len(files) - len(others)
        assert totals["bytes"] == sum(w.size for w in files)
        times = [w.mtime_ns for w in files + others]
        assert totals["newest_mtime_ns"] == max(times, default=None)
        assert listed["entry"]["rollup"] == totals


@pytest.mark.long
@given(tree=trees, depth=st.integers(1, 4))
def test_tree_and_du_nest_to_their_depth(tools: Any, tree: Any, depth: int) -> None:
    grove = tools.Grove()
    plant(grove, tree, tools)
    grove.scan()

    def nested(node: Any, at: bytes, found: list[bytes]) -> list[bytes]:
        for child in node.get("children", ()):
            path = at.rstrip(b"/") + b"/" + tools.raw(child, "name")
            found.append(path)
            nested(child, path, found)
        return found

    everything = [(p, w, p.count(b"/")) for p, w in grove.walk()]
    drawn = grove.ask("tree", depth=depth)
    assert sorted(nested(drawn["tree"], b"/", [])) == sorted(
        p for p, _, level in everything if level <= depth
    )
    assert drawn["truncated"] is any(level > depth for _, _, level in everything)
    summed = grove.ask("du", depth=depth)
    assert sorted(nested(summed, b"/", [])) == sorted(
        p for p, w, level in everything if level <= depth and not isinstance(w, Row)
    )


KINDS = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK, "fifo": stat.S_ISFIFO}
conditions = st.fixed_dictionaries(
    {},
    optional={
        "size": st.tuples(st.sampled_from(["+", "-", ""]), st.sampled_from([0, 10, 1500, 4096])),
        "newer_ns": st.integers(-1, 10).map(lambda day: day * DAY_NS),
        "older_ns": st.integers(-1, 10).map(lambda day: day * DAY_NS),
        "uid": st.integers(0, 3),
        "gid": st.integers(0, 3),
        "types": st.sets(st.sampled_from(sorted(KINDS))).map(frozenset),
    },
)
LITERALS = ["a", "b", "B", ".", "-", "\udcff", "\n", "é", " "]
globs = st.lists(
    st.sampled_from(["*", "?", "[ab]", "[!a]", "[a-c]", "[!a-z]", "[é]", "[", *LITERALS]),
    max_size=5,
).map("".join)


def meets(own: Row, options: dict[str, Any]) -> bool:
    if "size" in options:
        sign, size = options["size"]
        compared = {"+": own.size > size, "-": own.size < size, "": own.size == size}
        if not compared[sign]:
            return False
    if options.get("types") and not any(KINDS[kind](own.mode) for kind in options["types"]):
        return False
    return (
        own.mtime_ns >= options.get("newer_ns", own.mtime_ns)
        and own.mtime_ns < options.get("older_ns", own.mtime_ns + 1)
        and own.uid == options.get("uid", own.uid)
        and own.gid == options.get("gid", own.gid)
    )


def expected(
    grove: Any, scope: bytes, matches: Callable[[str], bool], options: dict[str, Any]
) -> list[bytes]:
    found = []
    for path, what in below(grove, scope):
        own = what if isinstance(what, Row) else what.own
        name = path.rpartition(b"/")[2].decode(errors="surrogateescape")
        if matches(name) and meets(own, options):
            found.append(path)
    return found


@settings(max_examples=150)
@given(tree=trees, glob=globs | st.just("*"), options=conditions, pick=st.integers(0))
def test_find_is_what_fnmatch_finds(
    tools: Any, tree: Any, glob: str, options: dict[str, Any], pick: int
) -> None:
    grove = tools.Grove()
    plant(grove, tree, tools)
    grove.scan()
    scopes = directories(grove)
    scope = scopes[pick % len(scopes)]
    pattern = glob.encode(errors="surrogateescape")
    want = expected(grove, scope, lambda name: fnmatch.fnmatchcase(name, glob or "*"), options)
    assert grove.found(pattern, path=scope, **options) == want
    if not glob.isascii():  # folding of other alphabets is not fnmatch's
        return
    want = expected(
        grove,
        scope,
        lambda name: fnmatch.fnmatchcase(name.lower(), (glob or "*").lower()),
        options,
    )
    if "[" not in glob:
        assert grove.found(pattern, path=scope, ignore_case=True, **options) == want


REGEXES = ["", "^a", "b$", "a.b", "[^a]", "^.$", "é", r"\.", "^a*$", "(?i)B", "a|b$"]
REGEXES += [r"\Aa", r"\bb", r"\n", "^$"]


@given(tree=trees, regex=st.sampled_from(REGEXES), options=conditions)
def test_find_is_what_a_regular_expression_finds(
    tools: Any, tree: Any, regex: str, options: dict[str, Any]
) -> None:
    grove = tools.Grove()
    plant(grove, tree, tools)
    grove.scan()
    other = re.compile(regex.replace("$", r"\Z"), re.ASCII)  # in RE2 $ is the very end
    want = expected(grove, b"/", lambda name: other.search(name) is not None, options)
    assert grove.found(regex.encode(), regex=True, **options) == want


@given(tree=trees, glob=globs, limit=st.integers(1, 3))
def test_pages_joined_are_the_whole_answer(tools: Any, tree: Any, glob: str, limit: int) -> None:
    grove = tools.Grove()
    plant(grove, tree, tools)
    grove.scan()
    pattern = glob.encode(errors="surrogateescape")
    for verb, options in (("find", {"pattern": pattern}), ("ls", {})):
        whole = tools.paths(grove.ask(verb, limit=None, **options))
        joined: list[bytes] = []
        cursor = None
        while True:
            page = grove.ask(verb, limit=limit, cursor=cursor, **options)
            joined += tools.paths(page)
            cursor = page["next_cursor"]
            if cursor is None:
                break
            assert len(tools.paths(page)) == limit
        assert joined == whole


def test_packs_of_many_parts_are_read_whole(tools: Any, grove: Any) -> None:
    """The same in one directory that is kept in parts, beside directories that are not."""
    many = 3 * SPLIT_ROWS + 7
    for i in range(many):
        grove.file(b"/big/%05d.%s" % (i, b"dat" if i % 3 else b"log"), size=i, uid=i % 5)
    grove.file(b"/big/sub/x.log")
    grove.file(b"/z/x.log")
    grove.scan()
    for options in ({}, {"uid": 3}, {"size": ("+", 100)}, {"types": frozenset({"dir"})}):
        for glob in ("*", "*.log", "0100?.dat", "00042.log", "*1*2*"):
            want = expected(grove, b"/", lambda n, g=glob: fnmatch.fnmatchcase(n, g), options)
            assert grove.found(glob.encode(), **options) == want, (glob, options)
    whole = tools.paths(grove.ask("ls", b"/big", limit=None))
    assert len(whole) == many + 1
    page = grove.ask("ls", b"/big", limit=SPLIT_ROWS + 1)
    rest = grove.ask("ls", b"/big", limit=None, cursor=page["next_cursor"])
    assert tools.paths(page) + tools.paths(rest) == whole


FLAGS = [{"suspect": True}, {"blind": True}, {"suspect": True, "blind": True}]


@pytest.mark.parametrize("wanted", FLAGS)
def test_flagged_ones_are_found(tools: Any, grove: Any, wanted: dict[str, bool]) -> None:
    for folder in (b"/a", b"/a/b", b"/c"):
        for i in range(4):
            grove.file(folder + b"/%d" % i)
    grove.folder(b"/quiet/empty")
    grove.scan()
    hot = grove.moment().storage_ns + 10**12
    for path in (b"/a/0", b"/a/b/1", b"/a/new"):
        grove.file(path, mtime_ns=hot, size=99)
    grove.file(b"/c/old", size=99)
    grove.scan(Origin.AUDIT)
    hotter = {b"/a/0", b"/a/new", b"/a/b/1"}
    blind = {*hotter, b"/c/old"}
    want = (hotter if "suspect" in wanted else blind) & (blind if "blind" in wanted else hotter)
    assert grove.found(b"*", **wanted) == [p for p, _ in grove.walk() if p in want]
    assert grove.found(b"*[01]", size=("+", 50), **wanted) == [
        p for p, _ in grove.walk() if p in want and p[-1:] in b"01"
    ]
    verb = "suspects" if wanted == {"suspect": True} else "blind-spots"
    whole = tools.paths(grove.ask(verb))
    assert set(whole) == (hotter if verb == "suspects" else blind)
    first = grove.ask(verb, limit=1)
    assert tools.paths(first) + tools.paths(grove.ask(verb, cursor=first["next_cursor"])) == whole
