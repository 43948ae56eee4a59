"""What every source promises, as checks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fustor_core.claims import (
    ROW_BYTES,
    Calm,
    Cell,
    Key,
    Listing,
    Origin,
    Root,
    Same,
    edge_key,
    is_dir,
    split_names,
)
from fustor_core.contracts import (
    Bearing,
    Chunked,
    Covering,
    Looking,
    Overlapping,
    Reporting,
    Resumable,
    Rooted,
    Scope,
    Source,
    Watching,
    boottime_us,
    walk_order,
)
from fustor_core.errors import Refused
from fustor_core.testing.promises import configured, first, kept, run, well_formed

CHANGE_LIMIT_S = 10.0
QUIET_S = 0.05
MISSING = b"\xffno such name"


@dataclass(slots=True)
class Case:
    """What is checked: a driver class, its configuration, and a way to change what it sees."""

    cls: Any
    config: Any
    stir: Callable[[Any], object] | None = None

    def source(self) -> Any:
        """A new source."""
        return self.cls(self.config)


def source_kit(cls: Any, config: Any, *, stir: Callable[[Any], object] | None = None) -> None:
    """Check every promise of `contracts.Source`, and of the optional powers that the class has.

    What the source sees must not change while this runs, but by `stir`.

    Args:
        cls: the driver.
        config: an instance of its `Config`, of something that can be scanned in a second.
        stir: called with the source, changes something that its watch sees. Without it nothing is
            checked about what a watch yields.

    Raises:
        BrokenPromise: names the promise, and what was found instead.
    """
    configured(cls, config)
    case = Case(cls, config, stir)
    kept("a source has `scan`", isinstance(case.source(), Source))
    for check in CHECKS:
        run(check, case)


async def scanned(source: Any, scope: Scope) -> list[Listing | Same]:
    """Everything that a scan yields."""
    return [claim async for claim in source.scan(scope)]


def edges(listing: Listing) -> dict[bytes, Key]:
    """Names and keys of the child directories in a listing."""
    rows = (listing.rows[i : i + ROW_BYTES] for i in range(0, len(listing.rows), ROW_BYTES))
    pairs = zip(split_names(listing.names), rows, strict=True)
    return {name: edge_key(row) for name, row in pairs if is_dir(row)}


def joined(path: bytes, name: bytes) -> bytes:
    """The view path of a name in a directory."""
    return path.rstrip(b"/") + b"/" + name


async def listed(case: Case) -> list[Listing]:
    """The listings of a whole scan."""
    claims = await scanned(case.source(), Scope())
    same = [claim for claim in claims if isinstance(claim, Same | Calm)]
    kept("a full scan yields listings, `Same` belongs to the cheap tiers", not same, same)
    return [claim for claim in claims if isinstance(claim, Listing)]


async def check_order(case: Case) -> None:
    """The scope's own directory first, each directory once, parents before their children."""
    listings = await listed(case)
    kept("a scan begins with the directory of its scope", listings and listings[0].path == b"/")
    known: dict[bytes, Key] = {b"/": listings[0].dir}
    seen: set[Key] = set()
    for one in listings:
        kept("a scan yields each directory once", one.dir not in seen, one.path)
        seen.add(one.dir)
        kept("parents come before their children", one.path in known, one.path)
        kept("an edge holds its child's key", known[one.path] == one.dir, one.path)
        for name, key in edges(one).items():
            known[joined(one.path, name)] = key


async def check_form(case: Case) -> None:
    """Claims can be taken at the other end."""
    for one in await listed(case):
        reason = well_formed(one)
        kept("claims are well formed", not reason, f"{one.path!r}: {reason}")


async def check_stamps(case: Case) -> None:
    """Stamps are of the look, on the raw clock."""
    source = case.source()
    before = boottime_us()
    async for claim in source.scan(Scope()):
        now = boottime_us()
        stamp = claim.stamp
        told = before <= stamp.t <= now
        kept("a stamp ends within the scan, on the scope's clock", told, f"{stamp} at {now}")
        kept("a listing's stamp is of kind l or k", stamp.kind in ("l", "k"), stamp.kind)
        began = before <= stamp.at <= stamp.t
        kept("a listing's ordinal is the raw start of the look", began, stamp)


async def check_origin(case: Case) -> None:
    """Claims say why they were made."""
    for origin in (Origin.SNAPSHOT, Origin.AUDIT, Origin.ON_DEMAND):
        found = {claim.origin for claim in await scanned(case.source(), Scope(origin=origin))}
        kept("each claim carries the origin of its scope", found == {origin}, found)


async def check_shallow(case: Case) -> None:
    """A scope that is not recursive is one directory."""
    claims = await scanned(case.source(), Scope(recursive=False))
    kept("a scope that is not recursive is one directory", len(claims) == 1, len(claims))


async def check_below(case: Case) -> None:
    """A scope may begin anywhere."""
    listings = await listed(case)
    for one in listings[1:2]:
        below = await scanned(case.source(), Scope(path=one.path))
        found = [claim.path for claim in below]
        kept("a scan begins with the directory of its scope", found[:1] == [one.path], found)
        kept("a directory's key is the same in every scan", below[0].dir == one.dir, one.path)
        inside = all(path == one.path or path.startswith(one.path + b"/") for path in found)
        kept("a scan stays within its scope", inside, found)


async def check_again(case: Case) -> None:
    """The same source is scanned many times."""
    source = case.source()
    once = [(c.path, c.dir) for c in await scanned(source, Scope())]
    again = [(c.path, c.dir) for c in await scanned(source, Scope(origin=Origin.AUDIT))]
    kept("a scan can be repeated, and finds the same directories", once == again, again)


async def check_resumed(case: Case) -> None:
    """A whole scan goes in the order of a walk, and on behind any directory."""
    source = case.source()
    if not isinstance(source, Resumable) or not source.in_order:
        return
    paths = [one.path for one in await listed(case)]
    walked = sorted(paths, key=walk_order)
    kept("a scan that can be gone on with goes in the order of a walk", paths == walked, paths)
    for path in paths:
        rest = [claim.path for claim in await scanned(source, Scope(after=path))]
        behind = walked[walked.index(path) + 1 :]
        kept("it goes on behind `after`, and tells what is there alone", rest == behind, rest)


async def check_left(case: Case) -> None:
    """The engine may stop at any point."""
    source = case.source()
    async with aclosing(source.scan(Scope())) as claims:
        async for _ in claims:
            break
    whole = len(await scanned(source, Scope()))
    fresh = len(await scanned(case.source(), Scope()))
    kept("a scan may be left at any point, and begun anew", whole == fresh, whole)


async def check_missing(case: Case) -> None:
    """What is not there is data."""
    path = b"/" + MISSING
    for claim in await scanned(case.source(), Scope(path=path)):
        whole = claim.path == path and isinstance(claim, Listing) and claim.complete
        kept("a directory that is not there has no complete listing", not whole, claim)


async def check_identity(case: Case) -> None:
    """The root has an identity."""
    source = case.source()
    if not isinstance(source, Rooted):
        return
    before = await source.identity()
    top = (await scanned(source, Scope()))[0]
    after = await source.identity()
    kept("`identity` returns a proof of root", isinstance(before, Root), before)
    kept("a root that can be scanned is present", before.present, before.reason)
    kept("the root's key is that of its listing", before.key == top.dir, before.key)
    same = (before.key, before.identity, before.marker) == (after.key, after.identity, after.marker)
    kept("the identity is the same before and after a scan", same, after)


async def check_overlap(case: Case) -> None:
    """Two scans at once."""
    if not isinstance(case.source(), Overlapping):
        return
    source = case.source()
    kept("`scans_at_once` is at least 2", source.scans_at_once >= 2, source.scans_at_once)
    alone = [claim.dir for claim in await scanned(case.source(), Scope())]
    async with aclosing(source.scan(Scope())) as claims:
        slow = [claim.dir async for claim in _first_of(claims)]
        beside = [c.dir for c in await scanned(source, Scope(origin=Origin.ON_DEMAND))]
        slow += [claim.dir async for claim in claims]
    kept("a scan finds the same beside another one", beside == alone, beside)
    kept("a scan finds the same while another one runs", slow == alone, slow)


async def _first_of(claims: AsyncGenerator[Any, None]) -> AsyncIterator[Any]:
    async for claim in claims:
        yield claim
        return


async def check_chunks(case: Case) -> None:
    """A source that has its claims in lists yields the same as one by one."""
    source = case.source()
    if not isinstance(source, Chunked):
        return
    alone = [claim.dir for claim in await scanned(case.source(), Scope())]
    found = [claim.dir async for claims in source.chunks(Scope()) for claim in claims]
    kept("`chunks` yields in lists what `scan` does", found == alone, found)


async def check_births(case: Case) -> None:
    """Keys are made as the view makes them."""
    source = case.source()
    if not (isinstance(source, Bearing) and isinstance(source, Rooted)):
        return
    root = await source.identity()
    kept("told its own kind of birth, a source changes nothing", not await source.bear(root.birth))
    again = await source.identity()
    kept("`identity` says the kind of birth", (again.key, again.birth) == (root.key, root.birth))
    try:
        await source.bear("no such kind")
    except Refused:
        return
    kept("a kind of birth that cannot be had is refused", False)


async def check_watch(case: Case) -> None:
    """A watch is armed without a scan, does not end, can be left and entered again."""
    source = case.source()
    if not isinstance(source, Watching):
        return
    for _ in range(2):
        async with source.watch() as seen:
            claims = await scanned(source, Scope())
            kept("a scan works while the source is watched", claims)
            await first(seen, QUIET_S)


async def check_seen(case: Case) -> None:
    """A change comes out of the watch."""
    source = case.source()
    if not isinstance(source, Watching) or case.stir is None:
        return
    async with source.watch() as seen:
        await scanned(source, Scope())
        before = boottime_us()
        case.stir(source)
        claims = await first(seen, CHANGE_LIMIT_S)
        kept("a watched change comes out as a list of claims", isinstance(claims, list), claims)
        kept("a list of claims is not empty", claims)
        last = 0
        for claim in claims or ():
            reason = well_formed(claim)
            kept("watched claims are well formed", not reason, reason)
            told = claim.origin is Origin.REALTIME
            kept("watched claims are of origin realtime", told, claim.origin)
            stamp = claim.stamp
            kept("a watched claim was looked at after the change", stamp.t >= before, stamp)
            kept("a watched claim was looked at before it came", stamp.t <= boottime_us(), stamp)
            if isinstance(claim, Cell) and stamp.kind in "ew":
                kept("ordinals of events grow", stamp.at > last, f"{stamp.at} after {last}")
                last = stamp.at


async def check_look(case: Case) -> None:
    """A look claims every edge on its way, and what it does not find."""
    source = case.source()
    if not isinstance(source, Looking):
        return
    listings = await listed(case)
    deepest = max(listings, key=lambda one: one.path.count(b"/") + bool(one.path.strip(b"/")))
    names = split_names(deepest.names)
    path = joined(deepest.path, names[0] if names else MISSING)
    steps = [name for name in path.split(b"/") if name]
    before = boottime_us()
    cells = list(await source.look([path]))
    after = boottime_us()
    found = [one.name for one in cells if one.name]
    kept("a look claims every edge from the root to the name", found == steps, found)
    for one in cells:
        reason = well_formed(one)
        kept("looked-at claims are well formed", not reason, reason)
        told = before <= one.stamp.f <= one.stamp.t <= after and one.stamp.kind == "s"
        kept("a look is revalidated: its stamp is of kind s and of now", told, one.stamp)
    gone = [c for c in await source.look([joined(deepest.path, MISSING)]) if c.name == MISSING]
    told = len(gone) == 1 and gone[0].value is None
    kept("a look at a name that is not there claims its absence", told, gone)
    told = not gone or gone[0].dir == deepest.dir
    kept("a look names the directory by its key", told, gone)
    if deepest.own is not None:
        owns = [c for c in await source.look([deepest.path]) if not c.name]
        told = [c.dir for c in owns] == [deepest.dir] and owns[0].stamp.f >= after
        kept("a look at a directory claims its own attributes", told, owns)


async def check_cover(case: Case) -> None:
    """Fusion names directories that may be gone meanwhile."""
    source = case.source()
    if isinstance(source, Covering) and isinstance(source, Watching):
        async with source.watch():
            await source.cover([b"/", b"/" + MISSING])


async def check_coverage(case: Case) -> None:
    """How well it is watched."""
    source = case.source()
    if not isinstance(source, Reporting):
        return
    found = source.coverage()
    keys = {"watched_dirs", "watch_limit", "uncovered", "excluded"}
    kept("`coverage` has " + ", ".join(sorted(keys)), keys <= set(found), sorted(found))
    paths = [*found["uncovered"], *found["excluded"]]
    kept("`coverage` names view paths", all(isinstance(p, bytes) for p in paths), paths)


CHECKS = (
    check_order,
    check_form,
    check_stamps,
    check_origin,
    check_shallow,
    check_below,
    check_again,
    check_left,
    check_missing,
    check_identity,
    check_overlap,
    check_chunks,
    check_births,
    check_watch,
    check_seen,
    check_look,
    check_cover,
    check_coverage,
    check_resumed,
)
