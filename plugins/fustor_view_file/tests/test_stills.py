"""Runs of unchanged listings, and first ones, do what as many judgements do, and are kept."""

from __future__ import annotations

import copy
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fustor_core.claims import (
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Stamp,
    Still,
)
from fustor_core.stills import Stills, fits, listing_at, silence_of
from fustor_core.testing.sim.replaying import difference, image

from .sides import Side, own, same
from .world import check, edge, file

INOS = (1, 2, 3, 4)


stamps = st.tuples(st.integers(0, 400), st.integers(0, 60))
entries = st.dictionaries(
    st.sampled_from([b"a", b"b", b"c"]),
    st.sampled_from([file(11), file(12, 20), file(13, 5, mtime_s=1_999_999), edge(3), edge(4)]),
    max_size=3,
)
steps = st.one_of(
    st.tuples(st.just("list"), st.sampled_from(INOS), stamps, entries, st.integers(1, 3)),
    st.tuples(st.just("still"), st.lists(st.sampled_from(INOS), min_size=1, max_size=4), stamps),
    st.tuples(st.just("still"), st.just(list(INOS)), stamps),
    st.tuples(st.just("wrong"), st.sampled_from(INOS), stamps),
    st.tuples(
        st.just("event"),
        st.sampled_from(INOS),
        stamps,
        st.sampled_from([b"", b"a", b"b"]),
        st.sampled_from([None, file(11), file(12, 20), edge(3)]),
    ),
    st.tuples(st.just("owe"), st.sampled_from(INOS), stamps, st.booleans()),
    st.tuples(st.just("again")),
    st.tuples(st.just("checkpoint")),
)


class Agent:
    """What an agent remembers to have sent."""

    def __init__(self) -> None:
        self.sent: dict[int, Listing] = {}
        self.ordinal = 0

    def claims(self, step: Sequence[Any]) -> list[Claim]:
        kind, (f, span) = step[0], step[2]
        stamp = Stamp(f, f + span, f, "l")
        if kind == "list":
            _, ino, _, rows, at = step
            names = sorted(rows)
            attrs = own(ino, at)
            listing = Listing(
                dir=Key(0, ino, 0),
                names=b"\0".join(names),
                rows=b"".join(rows[n] for n in names),
                stamp=stamp,
                origin=Origin.SNAPSHOT,
                own=attrs,
                silence=silence_of(attrs) if at < 3 else None,
                via=(Key(0, 1, 0), b"b") if at == 2 else None,
            )
            self.sent[ino] = listing
            return [listing]
        if kind == "still":
            return list(self.runs([i for i in step[1] if i in self.sent], stamp))
        if kind == "wrong":
            attrs = b"\1" + own(step[1], 1)
            key = Key(0, step[1], 0)
            keys = key.dev.to_bytes(8, "little") + key.ino.to_bytes(8, "little") + bytes(8)
            return [Still(keys=keys, sums=attrs + bytes(16), stamp=stamp, origin=Origin.AUDIT)]
        if kind == "owe":
            key, at = Key(0, step[1], 0), Stamp(f, f + span, 0, "s")
            return [Owe(dir=key, deep=step[3], reason="overflow", stamp=at, origin=Origin.REALTIME)]
        self.ordinal += 1
        at = Stamp(f, f + span, self.ordinal, "e")
        value = step[4] if step[3] else own(step[1], 9)
        return [
            Cell(
                dir=Key(0, step[1], 0), name=step[3], value=value, stamp=at, origin=Origin.REALTIME
            )
        ]

    def runs(self, inos: list[int], stamp: Stamp) -> list[Still]:
        stills, out = Stills(), []
        for ino in inos:
            listing = msgspec.structs.replace(self.sent[ino], stamp=stamp, origin=Origin.AUDIT)
            assert fits(listing)
            assert stills.takes(listing)
            stills.add(listing)
        still = stills.end()
        if still is not None:
            out.append(still)
        return out


FIRST: list[Any] = [
    ("list", 1, (0, 1), {b"a": file(11), b"b": edge(2), b"c": edge(3)}, 1),
    ("list", 2, (2, 1), {b"a": edge(4)}, 2),
    ("list", 3, (4, 1), {b"a": file(12), b"b": file(13)}, 3),
    ("list", 4, (6, 1), {}, 1),
]


ALL = ("still", list(INOS), (100, 5))
CONFIRMED = [(("event", 3, (50, 0), b"a", file(12)), 1), (ALL, 1)]
CONTESTED = [(("list", 2, (50, 1), {b"a": edge(4), b"b": edge(3)}, 2), 1)]
CONTESTED += [(("still", [ino], (100 * ino, 5)), 1) for ino in (1, 2, 1)]
IN_ITSELF = [(("list", 1, (0, 1), {}, 2), 1), (("again",), 1)]  # the root, told to hang in itself
HOT = [(("list", 4, (50, 1), {b"a": file(13, 5, mtime_s=1_999_999)}, 1), 1)]
HOT += [(("still", [4], (100, 5)), 1), (("still", [4], (40_000_000, 5)), 1)]
FIRSTS = (
    [("owe", 3, (50, 5), False), FIRST[2]],  # it looked earlier than what is owed
    [("list", 3, (50, 1), {b"a": file(12)}, 2)],  # opened where another one hangs
    [("event", 3, (50, 0), b"", None), ("list", 3, (20, 1), {b"a": file(12)}, 3)],
    [("list", 3, (50, 1), {b"a": file(13, 5, mtime_s=1_999_999)}, 1)],
    [("list", 3, (50, 1), {b"a": file(14, nlink=2), b"b": file(14, nlink=2)}, 1)],
)


@settings(max_examples=60, deadline=None)
@example([(step, 1) for step in FIRSTS[0]], None, 1)
@example([(step, 1) for step in FIRSTS[1]], None, 1)
@example([(step, 1) for step in FIRSTS[2]], None, 1)
@example([(step, 1) for step in FIRSTS[3]], None, 1)
@example([(step, 1) for step in FIRSTS[4]], None, 1)
@example(CONFIRMED, None, 4)
@example(CONTESTED, None, 4)
@example(IN_ITSELF, None, 0)
@example(HOT, None, 4)
@example(HOT, 1, 4)
@given(
    st.lists(st.tuples(steps, st.integers(1, 2)), min_size=1, max_size=12),
    st.sampled_from([None, 1]),
    st.integers(0, len(FIRST)),
)
def test_a_run_does_what_as_many_judgements_do(
    story: list[tuple[Any, int]], budget: int | None, first: int
) -> None:
    agent = Agent()
    proof = Root(key=Key(0, 1, 0), identity="r", stamp=Stamp(0, 0, 0, "s"), origin=Origin.AUDIT)
    with tempfile.TemporaryDirectory() as made:
        fast = Side(Path(made, "fast"), asked=False, budget=budget)
        slow = Side(Path(made, "slow"), asked=True, budget=budget)
        for side in (fast, slow):
            side.take(0, 1, [proof])
        begun = [claim for step in FIRST[:first] for claim in agent.claims(step)]
        for side in (fast, slow):
            side.take(100, 1, copy.deepcopy(begun))
        same(fast, slow)
        for number, (step, line) in enumerate(story):
            if step[0] in ("again", "checkpoint"):
                for side in (fast, slow):
                    side.again() if step[0] == "again" else side.checkpoint()
            else:
                claims = agent.claims(step)
                for side in (fast, slow):
                    side.take(1000 + number, line, copy.deepcopy(claims))
            check(fast.view)  # finds stale maxima again
            check(slow.view)
            same(fast, slow)
        for side in (fast, slow):
            side.again()
        same(fast, slow)
        for side in (fast, slow):
            side.view.close()


def test_what_is_as_it_was_is_taken_and_kept_without_its_record(tmp_path: Path) -> None:
    agent = Agent()
    side = Side(tmp_path / "v", asked=False, budget=None)
    proof = Root(key=Key(0, 1, 0), identity="r", stamp=Stamp(0, 0, 0, "s"), origin=Origin.AUDIT)
    side.take(0, 1, [proof])
    for step in FIRST:
        side.take(10, 1, agent.claims(step))
    side.checkpoint()
    taken = side.fold.judged["same"]
    (run,) = agent.runs(list(INOS), Stamp(100, 110, 100, "l"))
    side.take(200, 1, [run])
    tree = side.view.registers.tree
    assert side.fold.judged["same"] - taken == len(INOS)
    assert not tree.dirty, "no directory is written for it"
    before = image(side.view)
    assert {d.base.hi for d in tree.dirs.values() if d.base} == {110}
    side.again()
    assert not difference(before, image(side.view))
    assert {d.base.hi for d in side.view.registers.tree.dirs.values() if d.base} == {110}
    side.view.close()


def test_runs_are_made_anew_before_they_are_too_many(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("fustor_view_file.kept_looks.SPARE", 0)
    agent = Agent()
    side = Side(tmp_path / "v", asked=False, budget=None)
    proof = Root(key=Key(0, 1, 0), identity="r", stamp=Stamp(0, 0, 0, "s"), origin=Origin.AUDIT)
    side.take(0, 1, [proof])
    for step in FIRST:
        side.take(10, 1, agent.claims(step))
    for number in range(1, 12):
        inos = INOS if number % 3 else (1, 3)
        (run,) = agent.runs(list(inos), Stamp(100 * number, 100 * number + 10, 100 * number, "l"))
        side.take(100 * number + 20, 1, [run])
        before = image(side.view)
        side.again()
        assert not difference(before, image(side.view))
    keeper = side.view._keeper
    assert keeper is not None
    told = [msgspec.msgpack.decode(raw) for _, raw in keeper.cold.looks() if raw is not None]
    assert sum(len(one[2]) // 24 for one in told) <= 3 * len(INOS)
    side.view.close()


def test_a_run_that_was_damaged_takes_no_other_along(tmp_path: Path) -> None:
    """Later runs have other numbers than those that records know of."""
    agent = Agent()
    side = Side(tmp_path / "v", asked=False, budget=None)
    proof = Root(key=Key(0, 1, 0), identity="r", stamp=Stamp(0, 0, 0, "s"), origin=Origin.AUDIT)
    side.take(0, 1, [proof])
    for step in FIRST:
        side.take(10, 1, agent.claims(step))
    side.checkpoint()
    for number in (1, 2):
        side.take(
            200 * number,
            1,
            agent.runs([1, 2, 3], Stamp(100 * number, 100 * number + 9, 100 * number, "l")),
        )
        side.checkpoint()
    side.take(500, 1, agent.claims(("list", 2, (400, 1), {b"a": file(12)}, 1)))
    side.checkpoint()
    side.view.close()
    with sqlite3.connect(tmp_path / "v" / "packs.sqlite") as db:
        db.execute("UPDATE look SET record=x'0001020304' WHERE number=1")
    db.close()
    side.begin()
    assert [word for word in side.view.damage() if "1 runs" in word]
    dirs = side.view.registers.tree.dirs
    assert {ino: dirs[Key(0, ino, 0)].base.f for ino in (1, 2, 3)} == {1: 200, 2: 400, 3: 200}
    side.take(700, 1, agent.runs([1, 2, 3], Stamp(600, 609, 600, "l")))
    side.again()
    dirs = side.view.registers.tree.dirs
    assert {dirs[Key(0, ino, 0)].base.f for ino in (1, 2, 3)} == {600}
    side.view.close()


def test_a_run_says_of_each_what_its_listing_says() -> None:
    agent = Agent()
    for step in FIRST:
        agent.claims(step)
    stamp = Stamp(5, 9, 5, "l")
    (run,) = agent.runs(list(INOS), stamp)
    for at, ino in enumerate(INOS):
        one, sent = listing_at(run, at), agent.sent[ino]
        assert (one.dir, one.own, one.silence) == (sent.dir, sent.own, sent.silence)
        assert (one.stamp, one.origin) == (stamp, Origin.AUDIT)
