"""What is taken without a judgement is what the judgements would have made: one case each."""

from __future__ import annotations

import copy
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fustor_view_file import view
from fustor_view_file.firsts import SIZE_MOST
from fustor_view_file.view import GuardConfig

from fustor_core.claims import (
    MOVED,
    ROW,
    WRITING,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Stamp,
    Still,
    digest_of,
)
from fustor_core.files.compiled import Compiled
from fustor_core.stills import Stills, silence_of
from fustor_core.testing.sim.replaying import difference, image

from .sides import Side, own, same
from .world import check, edge, file

YOUNG = file(13, 5, mtime_s=1_999_999)
Batches = list[list[Claim]]


def key(ino: int) -> Key:
    return Key(0, ino, 0)


def listed(
    ino: int, entries: Mapping[bytes, bytes], f: int, t: int | None = None, **more: Any
) -> Listing:
    names, at = sorted(entries), more.pop("attrs", 1)
    attrs = own(ino, at)
    fields = {
        "origin": Origin.SNAPSHOT,
        "own": attrs,
        "silence": silence_of(attrs),
        "names": b"\0".join(names),
        "rows": b"".join(entries[n] for n in names),
        "stamp": Stamp(f, f if t is None else t, f, "l"),
    } | more
    return Listing(dir=key(ino), **fields)


def event(ino: int, name: bytes, value: bytes | None, f: int, flags: int = 0) -> Cell:
    stamp = Stamp(f, f, f, "e")
    origin = Origin.REALTIME
    return Cell(dir=key(ino), name=name, value=value, stamp=stamp, origin=origin, flags=flags)


def owe(ino: int, f: int, t: int, *, deep: bool = False, reason: str = "overflow") -> Owe:
    stamp = Stamp(f, t, 0, "s")
    return Owe(dir=key(ino), deep=deep, reason=reason, stamp=stamp, origin=Origin.REALTIME)


def proof(f: int = 0, course: str = "") -> Root:
    stamp = Stamp(f, f, 0, "s")
    return Root(key=key(1), identity="r", stamp=stamp, origin=Origin.AUDIT, course=course)


def run(f: int, t: int, *listings: Listing, **more: Any) -> Still:
    stills = Stills()
    for one in listings:
        stamp = Stamp(f, t, f, "l")
        stills.add(msgspec.structs.replace(one, stamp=stamp, origin=Origin.AUDIT))
    still = stills.end()
    assert still is not None
    return msgspec.structs.replace(still, **more)


ROOT_ROWS = {b"b": edge(2), b"c": edge(3), b"f": file(10)}
TOP = listed(1, ROOT_ROWS, 5, 6)
PLAIN = {b"a": file(11, 7), b"z": file(12, 9, mtime_s=2_000)}
TWO, THREE = listed(2, PLAIN, 10, 11), listed(3, PLAIN, 12, 13)
LATE: Batches = [[listed(1, ROOT_ROWS | {b"n": edge(5)}, 20, 21, origin=Origin.AUDIT)]]
DIGEST = {"names": b"", "rows": b"", "digest": digest_of(TWO.names, TWO.rows)}

FIRSTS: dict[str, Batches] = {
    "plain": [[TWO, THREE]],
    "whole tree": [[TWO, THREE], [proof(30, "whole")]],
    "no rows": [[listed(2, {}, 10), listed(3, {}, 12)]],
    "links": [[listed(2, {b"a": file(14, nlink=2), b"b": file(14, nlink=2)}, 10), THREE]],
    "links elsewhere": [
        [listed(2, {b"a": file(14)}, 10)],
        [listed(3, {b"b": file(14, nlink=2)}, 12)],
    ],
    "links of none": [[listed(2, {b"a": file(14, nlink=0)}, 10)]],
    "young": [[listed(2, {b"a": YOUNG}, 10), THREE]],
    "young by ctime": [[listed(2, {b"a": YOUNG[:8] + bytes(8) + YOUNG[16:]}, 10)]],
    "odd bytes": [[listed(2, {b"\xff\n": file(11), b"\1": file(12), b"\xc3": file(15)}, 10)]],
    "no file": [[listed(2, {b"s": file(11)[:32] + b"\xff\xa1\0\0" + file(11)[36:]}, 10)]],
    "large": [[listed(2, {b"%05d" % n: file(n + 20, 1 << 50) for n in range(8300)}, 10), THREE]],
    "too large": [[listed(2, {b"a": file(11, (1 << 62) + 1), b"b": file(12, 1 << 62)}, 10)]],
    "event before": [[event(2, b"a", file(11), 8)], [TWO]],
    "event after": [[event(2, b"a", file(16), 12)], [TWO]],
    "event meanwhile": [[event(2, b"a", None, 10)], [listed(2, PLAIN, 9, 12)]],
    "name gone before": [[event(2, b"q", None, 8), event(2, b"q", None, 50)], [TWO]],
    "being written": [[event(2, b"a", file(11), 8, WRITING)], [TWO]],
    "attributes before": [[event(2, b"", own(2, 9), 8)], [TWO]],
    "attributes after": [[event(2, b"", own(2, 9), 60)], [TWO]],
    "owed later": [[owe(2, 50, 60)], [TWO], [listed(2, PLAIN, 70)]],
    "owed meanwhile": [[owe(2, 10, 30, deep=True)], [listed(2, PLAIN, 9, 12)]],
    "owed before": [[owe(2, 7, 8, deep=True)], [TWO]],
    "edge seen later": [[event(1, b"b", edge(2), 40)], [listed(2, PLAIN, 10, via=(key(1), b"b"))]],
    "edge seen meanwhile": [
        [event(1, b"b", edge(2), 11)],
        [listed(2, PLAIN, 10, 12, via=(key(1), b"b"))],
    ],
    "opened there": [[listed(2, PLAIN, 10, 12, via=(key(1), b"b"))]],
    "opened elsewhere": [[listed(2, PLAIN, 10, 12, via=(key(1), b"c"))]],
    "opened below it": [[listed(2, PLAIN, 10, 12, via=(key(3), b"x")), THREE]],
    "opened in itself": [[listed(2, PLAIN, 10, 12, via=(key(2), b"x"))]],
    "opened by what is unknown": [[listed(2, PLAIN, 10, 12, via=(key(77), b"x"))]],
    "edge with a time": [
        [event(1, b"b", edge(2)[:8] + b"\1" * 8 + edge(2)[16:], 9)],
        [listed(2, PLAIN, 10, via=(key(1), b"b"))],
    ],
    "moved, then listed": [
        [event(1, b"b", None, 9, MOVED), event(3, b"m", edge(2), 9, MOVED)],
        [TWO, THREE],
    ],
    "moved between": [
        [TWO, event(1, b"b", None, 20), event(1, b"m", edge(2), 21), THREE],
        [listed(3, PLAIN | {b"y": edge(2)}, 30)],
    ],
    "twice": [[TWO, TWO, THREE]],
    "twice, another": [[TWO, listed(2, {b"a": file(19)}, 14), THREE]],
    "twice, older": [[TWO, listed(2, {b"a": file(19)}, 8), THREE]],
    "twice, digest": [[TWO, msgspec.structs.replace(TWO, **DIGEST), THREE]],
    "digest moves what it is below": [
        [listed(2, {b"d": edge(5), b"e": edge(6)}, 10), THREE],
        [
            listed(5, PLAIN, 20),
            msgspec.structs.replace(
                THREE, **DIGEST, via=(key(2), b"d"), stamp=Stamp(22, 23, 22, "l")
            ),
            listed(6, PLAIN, 30),
        ],
    ],
    "another line": [[owe(2, 9, 10)], [TWO]],
    "unknown": [[listed(9, PLAIN, 10)], [event(1, b"n", edge(9), 9)]],
    "loose": [[owe(9, 7, 8)], [listed(9, PLAIN, 10)], [event(1, b"n", edge(9), 9)]],
    "loose, opened": [[owe(9, 7, 8)], [listed(9, PLAIN, 10, via=(key(1), b"n"))]],
    "hidden": [[event(1, b"n", edge(2), 8)], [TWO]],
    "hidden where it was": [[event(1, b"n", edge(2), 4)], [TWO]],
    "blind": [*LATE, [listed(5, PLAIN, 22)]],
    "left out": [
        [listed(2, {}, 10, complete=False, reason="excluded")],
        [listed(2, PLAIN, 20)],
    ],
    "broken off": [[listed(2, PLAIN, 10, complete=False, reason="io_error")], [listed(2, {}, 20)]],
    "broken off, none": [[listed(2, {}, 10, complete=False, reason="io_error")], [TWO]],
    "frozen": [[listed(1, {b"f": file(10)}, 8, origin=Origin.AUDIT)], [TWO, THREE]],
    "seen to happen": [[listed(2, PLAIN, 10, origin=Origin.REALTIME)]],
    "on demand": [[listed(2, PLAIN, 10, origin=Origin.ON_DEMAND)]],
    "no attributes": [[listed(2, PLAIN, 10, own=None, silence=None)]],
    "no silence": [[listed(2, PLAIN, 10, silence=None)]],
    "another silence": [[listed(2, PLAIN, 10, silence=silence_of(own(7, 7)))]],
    "weak": [[listed(2, PLAIN, 10, weak=(b"a",))], [listed(3, PLAIN, 10, weak=(b"q",))]],
    "far figures": [[listed(2, PLAIN, 10, stamp=Stamp(10, 11, 1 << 61, "l"))]],
    "odd kind": [[listed(2, PLAIN, 10, stamp=Stamp(10, 11, 10, "é"))]],
    "left out by a word": [[owe(2, 7, 8, reason="excluded")], [TWO]],
    "no attributes, again": [[listed(2, PLAIN, 10, own=None, silence=None)], [listed(2, {}, 20)]],
    "a digest of nothing known": [[msgspec.structs.replace(TWO, **DIGEST)]],
    "when all is known": [
        [TWO, THREE],
        [event(1, b"n", edge(5), 20)],
        [listed(5, PLAIN, 30)],
        [listed(1, ROOT_ROWS | {b"n": edge(5), b"o": edge(6)}, 40, 41, origin=Origin.AUDIT)],
        [listed(6, PLAIN, 50, origin=Origin.AUDIT)],
    ],
    "the root": [[listed(1, PLAIN, 10)]],
}

BASE: Batches = [
    [TOP, TWO, listed(3, {b"a": edge(4), b"y": file(15)}, 12, 13)],
    [listed(4, {}, 14)],
]
_, LTWO, LTHREE, LFOUR = TOP, TWO, BASE[0][2], BASE[1][0]
assert isinstance(LTHREE, Listing)
assert isinstance(LFOUR, Listing)
EVERY = (TOP, LTWO, LTHREE, LFOUR)
MANY = listed(2, {b"n%04d" % n: file(n + 20) for n in range(1300)}, 30)

STILLS: dict[str, Batches] = {
    "as they were": [[run(100, 105, *EVERY)]],
    "twice": [[run(100, 105, *EVERY)], [run(100, 105, *EVERY)], [run(200, 200, *EVERY)]],
    "twice in one": [[run(100, 105, LTWO, LTWO, LTHREE, LTWO)], [run(200, 200, LTWO, LTWO)]],
    "older": [[run(1, 2, *EVERY)]],
    "overlapping": [[run(11, 40, *EVERY)]],
    "overlapping the last one": [[listed(2, PLAIN, 30, 40)], [run(35, 60, *EVERY)]],
    "as old as a cache": [[run(5, 50, *EVERY, stamp=Stamp(5, 50, 45, "l"))]],
    "left out by a word": [[owe(2, 50, 60, reason="excluded")], [run(100, 105, *EVERY)]],
    "after an event": [[event(2, b"a", file(30), 50)], [run(100, 105, *EVERY)]],
    "before an event": [[event(2, b"a", file(30), 150)], [run(100, 105, *EVERY)]],
    "disputed": [[event(2, b"a", file(30), 102)], [run(100, 105, *EVERY)]],
    "disputed, settled": [
        [event(2, b"a", file(30), 102)],
        [run(100, 105, *EVERY)],
        [run(200, 205, *EVERY)],
    ],
    "confirmed meanwhile": [[event(2, b"a", PLAIN[b"a"], 102)], [run(100, 105, *EVERY)]],
    "gone and come": [
        [event(2, b"a", None, 50)],
        [event(2, b"a", PLAIN[b"a"], 51)],
        [run(100, 105, *EVERY)],
    ],
    "attributes changed": [[event(2, b"", own(2, 9), 50)], [run(100, 105, *EVERY)]],
    "attributes after": [[event(2, b"", own(2, 9), 150)], [run(100, 105, *EVERY)]],
    "being written": [[event(2, b"a", file(30), 50, WRITING)], [run(100, 105, *EVERY)]],
    "young": [
        [listed(2, {b"a": YOUNG}, 30)],
        [run(100, 105, listed(2, {b"a": YOUNG}, 30))],
        [run(40_000_000, 40_000_001, listed(2, {b"a": YOUNG}, 30))],
    ],
    "owed deep": [[owe(1, 50, 60, deep=True)], [run(100, 105, *EVERY)]],
    "owed deep meanwhile": [[owe(1, 50, 102, deep=True)], [run(100, 105, *EVERY)]],
    "owed deep later": [[owe(1, 150, 160, deep=True)], [run(100, 105, *EVERY)]],
    "owed below": [[owe(3, 50, 60, deep=True)], [run(100, 105, LFOUR, LTHREE, TOP)]],
    "hidden": [[event(1, b"m", edge(3), 50)], [run(100, 105, *EVERY)], [run(200, 205, *EVERY)]],
    "hidden, older": [[event(1, b"m", edge(3), 3)], [run(100, 105, *EVERY)]],
    "hidden in one that is still": [
        [listed(2, PLAIN | {b"d": edge(3)}, 50)],
        [run(100, 105, TOP)],
        [run(200, 205, listed(2, PLAIN | {b"d": edge(3)}, 50))],
    ],
    "in a circle": [[event(4, b"m", edge(3), 50)], [run(100, 105, LFOUR, TOP, LTHREE)]],
    "unseated": [[event(1, b"c", None, 50)], [run(100, 105, LTHREE, LFOUR)]],
    "unseated by a scan": [
        [listed(1, {b"b": edge(2)}, 50, origin=Origin.AUDIT)],
        [run(100, 105, LTHREE, LFOUR, TOP)],
    ],
    "blind": [
        [listed(2, PLAIN | {b"n": file(40)}, 50, origin=Origin.AUDIT)],
        [run(100, 105, listed(2, PLAIN | {b"n": file(40)}, 50))],
    ],
    "frozen": [
        [listed(2, {}, 50, origin=Origin.AUDIT)],
        [run(100, 105, LTWO)],
        [run(200, 205, listed(2, {}, 50))],
    ],
    "frozen, a second look": [
        [listed(2, {}, 50, origin=Origin.AUDIT)],
        [run(70_000_000, 70_000_001, listed(2, {}, 50))],
    ],
    "frozen above": [
        [listed(1, {b"f": file(10)}, 50, origin=Origin.AUDIT)],
        [run(100, 105, *EVERY[1:])],
        [run(200, 205, TOP)],
    ],
    "left out": [
        [listed(2, {}, 50, complete=False, reason="other_device")],
        [run(100, 105, *EVERY)],
    ],
    "broken off": [
        [listed(2, {b"a": file(33)}, 50, complete=False, reason="io_error")],
        [run(100, 105, *EVERY)],
    ],
    "seen to happen": [
        [run(100, 105, *EVERY, origin=Origin.REALTIME)],
        [event(2, b"", own(2, 9), 103)],
    ],
    "on demand": [[run(100, 105, *EVERY, origin=Origin.ON_DEMAND)]],
    "a stat": [[run(100, 105, *EVERY, stamp=Stamp(100, 105, 0, "s"))]],
    "far figures": [[run(100, 105, *EVERY, stamp=Stamp(100, 105, 1 << 61, "l"))]],
    "other attributes": [[run(100, 105, listed(2, PLAIN, 1, attrs=4), LTHREE)]],
    "no silence": [[run(100, 105, listed(2, PLAIN, 1, silence=None), LTHREE)]],
    "other entries": [[run(100, 105, TOP, listed(2, {b"a": file(66)}, 1), LTHREE)]],
    "unknown": [[run(100, 105, TOP, listed(44, PLAIN, 1), LTHREE)]],
    "never listed": [
        [event(1, b"n", edge(5), 50)],
        [run(100, 105, TOP, listed(5, PLAIN, 1), LTHREE)],
    ],
    "many entries": [
        [MANY],
        [run(100, 105, MANY, LTHREE)],
        [event(2, b"n0700", file(9), 110)],
        [run(200, 205, MANY, LTHREE)],
    ],
    "not told of attributes": [
        [listed(2, PLAIN, 30, own=None, silence=None)],
        [run(100, 105, LTWO, LTHREE)],
        [run(200, 205, LTWO, LTHREE)],
    ],
    "half a move": [
        [event(2, b"a", None, 50, MOVED), run(100, 105, LTHREE, LFOUR)],
        [event(2, b"z", None, 150, MOVED), run(200, 205, LTHREE, LFOUR), proof(300)],
    ],
    "changed, listed, still": [
        [run(100, 105, LTWO)],
        [listed(2, {b"a": file(88)}, 150, origin=Origin.AUDIT)],
        [run(200, 205, listed(2, {b"a": file(88)}, 150))],
        [run(300, 305, LTWO)],
    ],
}


HOW = ["live", "restarts", "crashes"]


def told(tmp_path: Path, story: Batches, how: str, guard: GuardConfig) -> None:
    """A story by both ways, and what another process makes of it."""
    budget = 1 if how == "restarts" else None
    fast = Side(tmp_path / "fast", asked=False, budget=budget, guard=guard)
    slow = Side(tmp_path / "slow", asked=True, budget=budget, guard=guard)
    for number, claims in enumerate(story):
        line = 1 + number % 2 if how == "restarts" else 1
        for side in (fast, slow):
            side.take(1000 * (number + 1), line, copy.deepcopy(claims))
        same(fast, slow)
        before, feed = image(fast.view), fast.view.registers.feed.all()
        for side in (fast, slow) if how != "live" else ():
            if how == "restarts" or number % 2:
                side.checkpoint()
            side.crash()
        assert not difference(before, image(fast.view)), "read back or replayed as it was"
        assert fast.view.registers.feed.all() == feed
        same(fast, slow, judged=how == "live")
    for side in (fast, slow):
        check(side.view)
    same(fast, slow, judged=False)
    for side in (fast, slow):
        side.view.close()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", FIRSTS)
def test_a_first_listing(tmp_path: Path, case: str, how: str) -> None:
    guard = GuardConfig(count=0, ratio=0)
    begun: Batches = [[proof()]] if case == "the root" else [[proof()], [TOP]]
    told(tmp_path, begun + FIRSTS[case], how, guard)


def adds_up(rows: bytes, before_ns: int) -> tuple[int, int, int, int] | None:
    """What compiled code has to say, as it is promised."""
    found = [Row(*row) for row in ROW.iter_unpack(rows)]
    for row in found:
        late = max(row.mtime_ns, row.ctime_ns) >= before_ns
        if late or not stat.S_ISREG(row.mode) or row.nlink != 1 or not 0 <= row.size <= SIZE_MOST:
            return None
    size = (sum(row.size for row in found) + (1 << 63)) % (1 << 64) - (1 << 63)
    newest = max(row.mtime_ns for row in found)
    return len(found), size, newest, max(newest, *(row.ctime_ns for row in found))


@pytest.mark.parametrize("case", FIRSTS)
def test_a_first_listing_that_compiled_code_adds_up(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "compiled", lambda: Compiled(adds_up=adds_up))
    begun: Batches = [[proof()]] if case == "the root" else [[proof()], [TOP]]
    told(tmp_path, begun + FIRSTS[case], "live", GuardConfig(count=0, ratio=0))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", STILLS)
def test_a_run(tmp_path: Path, case: str, how: str) -> None:
    guard = GuardConfig(count=0, ratio=0) if "frozen" in case else GuardConfig()
    told(tmp_path, [[proof()], *BASE, *STILLS[case]], how, guard)


def test_the_short_ways_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def asks(rows: bytes, before_ns: int) -> tuple[int, int, int, int] | None:
        asked.append(rows)
        return adds_up(rows, before_ns)

    monkeypatch.setattr(view, "compiled", lambda: Compiled(adds_up=asks))
    side = Side(tmp_path / "v", asked=False, budget=None)
    for number, claims in enumerate([[proof()], [TOP], [TWO, THREE]]):
        side.take(1000 * number, 1, claims)
    assert side.arbitrator.asked == {"Listing": 1}, "about the root alone"
    assert asked == [TOP.rows, TWO.rows, THREE.rows]
    side.take(4000, 1, [run(100, 105, TOP, TWO, THREE)])
    assert side.arbitrator.asked == {"Listing": 1}
    side.view.close()
