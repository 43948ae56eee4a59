"""The kit of sources: what keeps the promises passes, whatever breaks one is caught by name."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace as replaced
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from fustor_core.claims import Cell, Key, Listing, Origin, Root, Row, Same, Silence, Stamp
from fustor_core.contracts import Scope, boottime_us
from fustor_core.testing import BrokenPromise, MemorySource, WideSource, source_kit
from fustor_core.testing.source_kit import CHECKS

CONFIG = MemorySource.Config(files={"a": 1, "b/c": 2, "b/d/e": 3, "f/g": 4})
_count = itertools.count()
replace = msgspec.structs.replace


def stir(source: Any) -> None:
    source.write(f"new-{next(_count)}", 5)


class Rooms:
    """The whole source of the guide for authors."""

    class Config(BaseModel):
        rooms: dict[str, int]

    def __init__(self, config: Config) -> None:
        self.rooms = config.rooms

    async def scan(self, scope: Scope) -> AsyncIterator[Listing]:
        rows = {name.encode(): Row(size=size) for name, size in self.rooms.items()}
        yield scope.listing(b"/", rows)


def test_the_source_in_memory_keeps_every_promise() -> None:
    source_kit(MemorySource, CONFIG, stir=stir)


def test_so_does_one_that_can_do_two_scans_at_once() -> None:
    source_kit(WideSource, CONFIG, stir=stir)


def test_so_does_an_empty_one() -> None:
    source_kit(MemorySource, MemorySource.Config())


def test_so_does_the_smallest_source_that_can_be() -> None:
    source_kit(Rooms, Rooms.Config(rooms={"a": 1}))


# -- what breaks a promise

Change = Callable[[list[Any], Scope], list[Any]]


def scanning(change: Change) -> type[MemorySource]:
    """A source whose scans are changed on their way out."""

    class Broken(MemorySource):
        async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
            found = [claim async for claim in super().scan(scope)]
            for claim in change(found, scope):
                yield claim

    return Broken


def each(**fields: Any) -> Change:
    return lambda found, scope: [replace(claim, **fields) for claim in found]


def late(found: list[Any], scope: Scope) -> list[Any]:
    at = boottime_us() + 60_000_000
    return [replace(claim, stamp=Stamp(at, at, at, "l")) for claim in found]


def deaf(found: list[Any], scope: Scope) -> list[Any]:
    return found if scope.origin is not Origin.ON_DEMAND else [
        replace(claim, origin=Origin.SNAPSHOT) for claim in found
    ]  # fmt: skip


def same_instead(found: list[Any], scope: Scope) -> list[Any]:
    one = found[0]
    silence = Silence(1, 1, 1, 1)
    same = Same(dir=one.dir, silence=silence, stamp=one.stamp, origin=one.origin, path=one.path)
    return [same, *found[1:]]


def ghost(found: list[Any], scope: Scope) -> list[Any]:
    stamp = Stamp(boottime_us(), boottime_us(), boottime_us(), "l")
    listing = Listing(
        dir=Key(0, 9, 9), names=b"", rows=b"", stamp=stamp, origin=scope.origin, path=scope.path
    )
    return found or [listing]


def odd_kind(found: list[Any], scope: Scope) -> list[Any]:
    return [replace(c, stamp=Stamp(c.stamp.f, c.stamp.t, c.stamp.at, "s")) for c in found]


class Deep(MemorySource):
    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        async for claim in super().scan(Scope(scope.path, origin=scope.origin)):
            yield claim


class Rootbound(MemorySource):
    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        there = Scope(b"/", scope.recursive, scope.origin)
        async for claim in super().scan(there):
            yield claim


class Forgetful(MemorySource):
    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        known = bool(self.scans)
        async for claim in super().scan(scope):
            yield claim
            if known:
                return


class Once(MemorySource):
    """A scan that is left holds the source for ever."""

    left = False

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        if self.left:
            return
        self.left = True
        async for claim in super().scan(scope):
            yield claim
        self.left = False


class OtherRoot(MemorySource):
    async def identity(self) -> Root:
        return replace(await super().identity(), key=Key(0, 77, 77))


class Fickle(MemorySource):
    async def identity(self) -> Root:
        return replace(await super().identity(), identity=str(next(_count)))


class Absent(MemorySource):
    async def identity(self) -> Root:
        return replace(await super().identity(), present=False)


class Crossed(WideSource):
    """A scan that runs takes the directories of the one beside it away."""

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        alone = not self.running
        async with aclosing(super().scan(scope)) as claims:
            async for claim in claims:
                yield claim
                if not alone:
                    return


class Restless(MemorySource):
    async def bear(self, kind: str) -> bool:
        await super().bear(kind)
        return True


class Obliging(MemorySource):
    async def bear(self, kind: str) -> bool:
        return False


def watching(change: Callable[[list[Any]], list[Any]] | None) -> type[MemorySource]:
    """A source whose watched claims are changed on their way out; None: the watch ends at once."""

    class Broken(MemorySource):
        @asynccontextmanager
        async def watch(self) -> AsyncIterator[AsyncIterator[list[Any]]]:
            async with super().watch() as seen:
                yield drained(seen)

    async def drained(seen: AsyncIterator[list[Any]]) -> AsyncIterator[list[Any]]:
        if change is None:
            return
        async for claims in seen:
            yield change(claims)

    return Broken


def looking(change: Callable[[list[Cell]], list[Cell]]) -> type[MemorySource]:
    class Broken(MemorySource):
        async def look(self, paths: Sequence[bytes]) -> Sequence[Cell]:
            return change(list(await super().look(paths)))

    return Broken


class Afraid(MemorySource):
    async def cover(self, paths: Sequence[bytes]) -> None:
        raise BrokenPromise("cover takes paths that are gone")


class Stubborn(MemorySource):
    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        async for claim in super().scan(replaced(scope, after=b"")):
            yield claim


class Upside(MemorySource):
    """The children of a directory in another order."""

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        found = [claim async for claim in super().scan(scope)]
        for claim in [*found[:1], *sorted(found[1:], key=lambda c: c.path.translate(_BACKWARD))]:
            yield claim


_BACKWARD = bytes.maketrans(b"abcdefgh", b"hgfedcba")


class Shuffled(MemorySource):
    """In lists, the other way round."""

    async def chunks(self, scope: Scope) -> AsyncGenerator[list[Listing | Same], None]:
        yield [claim async for claim in self.scan(scope)][::-1]


class Vague(MemorySource):
    def coverage(self) -> dict[str, Any]:
        return {"watched_dirs": 1}


BROKEN = [
    (scanning(lambda found, scope: found[1:]), "check_order", "begins with the directory"),
    (scanning(lambda found, scope: [*found, found[-1]]), "check_order", "each directory once"),
    (scanning(lambda found, scope: [found[0], *found[:0:-1]]), "check_order", "before their"),
    (scanning(same_instead), "check_order", "`Same` belongs to the cheap tiers"),
    (scanning(each(weak=(b"w",), own=b"odd")), "check_form", "well formed"),
    (scanning(each(complete=False)), "check_form", "well formed"),
    (scanning(late), "check_stamps", "within the scan"),
    (scanning(each(stamp=Stamp(9, 1, 9, "l"))), "check_form", "well formed"),
    (scanning(odd_kind), "check_stamps", "of kind l or k"),
    (scanning(deaf), "check_origin", "origin of its scope"),
    (Deep, "check_shallow", "not recursive is one directory"),
    (Rootbound, "check_below", "begins with the directory of its scope"),
    (Forgetful, "check_again", "can be repeated"),
    (Once, "check_left", "may be left at any point"),
    (scanning(ghost), "check_missing", "not there has no complete"),
    (OtherRoot, "check_identity", "that of its listing"),
    (Fickle, "check_identity", "same before and after"),
    (Absent, "check_identity", "present"),
    (Crossed, "check_overlap", "beside another one"),
    (Shuffled, "check_chunks", "what `scan` does"),
    (Restless, "check_births", "changes nothing"),
    (Obliging, "check_births", "is refused"),
    (watching(None), "check_watch", "never ends by itself"),
    (watching(lambda claims: []), "check_seen", "not empty"),
    (watching(lambda c: [replace(x, origin=Origin.AUDIT) for x in c]), "check_seen", "realtime"),
    (watching(lambda c: [replace(x, name=b"a/b") for x in c]), "check_seen", "well formed"),
    (
        watching(lambda c: [replace(x, stamp=Stamp(1, 1, 1, "e")) for x in c]),
        "check_seen",
        "after the change",
    ),
    (watching(lambda c: [*c, *c]), "check_seen", "ordinals"),
    (looking(lambda cells: cells[-1:]), "check_look", "every edge"),
    (looking(lambda c: [replace(x, value=b"") for x in c]), "check_look", "well formed"),
    (
        looking(lambda c: [replace(x, stamp=Stamp(1, 1, 0, "s")) for x in c]),
        "check_look",
        "revalidated",
    ),
    (
        looking(lambda c: [x for x in c if x.value is not None]),
        "check_look",
        "claims its absence",
    ),
    (Afraid, "check_cover", "gone"),
    (Vague, "check_coverage", "uncovered"),
    (Stubborn, "check_resumed", "goes on behind"),
    (Upside, "check_resumed", "in the order of a walk"),
]


@pytest.mark.parametrize(("broken", "check", "promise"), BROKEN)
def test_a_broken_promise_is_named(broken: Any, check: str, promise: str) -> None:
    with pytest.raises(BrokenPromise, match=promise) as caught:
        source_kit(broken, CONFIG, stir=stir)
    assert check in [frame.name for frame in caught.traceback]


def test_every_check_has_caught_something() -> None:
    assert {check for _, check, _ in BROKEN} == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize("config", [{"rooms": {}}, None])
def test_a_kit_wants_an_instance_of_the_configuration(config: object) -> None:
    with pytest.raises(BrokenPromise, match="instance of `Config`"):
        source_kit(Rooms, config)


def test_a_driver_without_a_configuration_is_none() -> None:
    class Bare(Rooms):
        Config = dict  # type: ignore[assignment]

    with pytest.raises(BrokenPromise, match="pydantic model"):
        source_kit(Bare, {})
