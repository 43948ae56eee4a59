"""The audits of a leader: when, how thorough, and what of it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fustor_core.claims import Cell, Key, Listing, Origin, Root, Same, Silence, Still, digest_of
from fustor_core.contracts import Scope
from fustor_core.stills import listing_at
from fustor_core.testing.rig import Rig
from fustor_core.testing.tree import MemorySource

pytestmark = pytest.mark.anyio


class Tiers(MemorySource):
    """A tree that notes what it is asked for, and keeps silent where it may."""

    tiers = frozenset({"directories", "names"})
    nlink = 2

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.asked: list[tuple[str, tuple[int, int]]] = []

    def silence(self, key: Key) -> Silence:
        return Silence(1, 2, key.ino, self.nlink)

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same | Cell]:
        if scope.origin is Origin.AUDIT:
            self.asked.append((scope.tier, scope.deep))
        async for claim in super().scan(scope):
            if not isinstance(claim, Listing):
                yield claim
                continue
            silence, recall = self.silence(claim.dir), scope.recall
            known = None if recall is None else recall.silent(claim.dir, silence)
            if known is not None and not scope.whole(claim.dir):
                yield Same(
                    dir=claim.dir,
                    silence=silence,
                    stamp=claim.stamp,
                    origin=claim.origin,
                    path=claim.path,
                )
                continue
            fields = {name: getattr(claim, name) for name in claim.__struct_fields__}
            yield Listing(**{**fields, "silence": silence})


def rig(**config: Any) -> Rig:
    return Rig(source=Tiers, **{"audit_interval_sec": 600, **config})


def source(rig: Rig) -> Tiers:
    assert isinstance(rig.source, Tiers)
    return rig.source


def audited(rig: Rig) -> list[Any]:
    return [c for c in rig.door.claims if getattr(c, "origin", None) is Origin.AUDIT]


def looked(rig: Rig) -> list[bytes]:
    """The paths of the directories that audits have listed, those of runs too."""
    paths = {c.dir: c.path for c in rig.door.claims if isinstance(c, Listing)}
    out = []
    for claim in audited(rig):
        if isinstance(claim, Still):
            out += [paths[listing_at(claim, at).dir] for at in range(claim.count)]
        elif isinstance(claim, Listing):
            out.append(claim.path)
    return out


async def hours(rig: Rig, count: float) -> None:
    """Time passes, in steps in which a session stays alive."""
    for _ in range(int(count * 360)):
        await rig.clock.advance(10)


async def test_each_tier_has_its_own_interval_and_the_middle_one_turns() -> None:
    one = rig(audit={"directories": 300, "full": 2400, "deep_every": 7})
    async with one.running():
        await one.reach(66)
        await hours(one, 0.75)
        assert source(one).asked == [
            ("directories", (0, 0)),
            ("names", (0, 7)),
            ("directories", (1, 0)),
            ("names", (1, 7)),
            ("directories", (2, 0)),
            ("names", (2, 7)),
            ("directories", (3, 0)),
            ("full", (3, 0)),
            ("directories", (4, 0)),
        ]
        assert one.pipe.audits.done == 4, "those of directories alone are not counted"


async def test_no_audits_at_all() -> None:
    one = rig(audit_interval_sec=0)
    async with one.running():
        await one.reach(66)
        await hours(one, 0.5)
        assert source(one).asked == []


async def test_a_source_without_tiers_is_scanned_whole_in_the_middle_interval() -> None:
    one = Rig(audit_interval_sec=600)
    async with one.running():
        await one.reach(66)
        await hours(one, 0.35)
        assert one.pipe.audits.done == 2


async def test_a_cheap_audit_is_between_proofs_that_do_not_count() -> None:
    one = rig()
    async with one.running():
        await one.reach(66)
        before = len(one.door.claims)
        await one.clock.advance(60)
        told = one.door.claims[before:]
        assert [type(c) for c in told] == [Root, Same, Same, Same, Root]
        assert [c.origin for c in told if isinstance(c, Root)] == [Origin.REALTIME] * 2


async def test_what_did_not_change_is_a_digest_in_a_full_audit() -> None:
    one = rig(audit_interval_sec=0, audit={"full": 600})
    async with one.running():
        await one.reach(66)
        first = {c.dir: c for c in one.door.claims if isinstance(c, Listing)}
        one.source.write("b/new")
        await one.arrived(lambda door: b"new" in door.names)
        await one.clock.advance(600)
        told = {c.dir: c for c in audited(one) if isinstance(c, Listing)}
        assert told.keys() == first.keys()
        short = [c for c in told.values() if c.digest is not None]
        assert len(short) == 2
        for claim in short:
            was = first[claim.dir]
            assert claim.digest == digest_of(was.names, was.rows)
            assert (claim.names, claim.rows) == (b"", b"")
            assert claim.silence == was.silence
        (changed,) = [c for c in told.values() if c.digest is None]
        assert changed.path == b"/b"
        assert b"new" in changed.names


class Breaking(MemorySource):
    """The storage fails once, in the first audit, behind so many directories."""

    left = 3

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        async for claim in super().scan(scope):
            if scope.origin is Origin.AUDIT:
                self.left -= 1
                if self.left < 0 and self.left > -100:
                    self.left = -1000
                    raise OSError(5, "the storage has failed")
            yield claim


async def test_an_audit_that_was_broken_off_goes_on_behind_what_was_acknowledged() -> None:
    files = {f"{folder}/f": 1 for folder in "abcde"}
    one = Rig(files=files, source=Breaking, audit_interval_sec=600)
    async with one.running():
        await one.reach(66)
        await hours(one, 0.25)
        assert looked(one) == [b"/", b"/a", b"/b", b"/c", b"/d", b"/e"]
        begun = [c.after for c in audited(one) if isinstance(c, Root) and c.course == "begins"]
        assert begun == [b"", b"/b"]
        over = [c for c in audited(one) if isinstance(c, Root) and c.course == "whole"]
        assert len(over) == 1
        assert one.pipe.audits.done == 1


def test_a_digest_has_one_definition() -> None:
    assert digest_of(b"a\0b", bytes(96)) != digest_of(b"a", bytes(96))
    assert len(digest_of(b"", b"")) == 16


async def test_one_in_another_order_begins_anew() -> None:
    class Unordered(Breaking):
        in_order = False

    files = {f"{folder}/f": 1 for folder in "abc"}
    one = Rig(files=files, source=Unordered, audit_interval_sec=600)
    async with one.running():
        await one.reach(66)
        await hours(one, 0.25)
        assert looked(one) == [b"/", b"/a", b"/b", b"/", b"/a", b"/b", b"/c"]
