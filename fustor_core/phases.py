"""What a pipe does with its source: snapshot, message, audit, sentinel; one function each.

None of them knows sessions or states: a pipe runs them, and cancels them. Claims go into the
outbox. A source that fails raises `OSError` or `FustorError`; then a scan was not whole.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress

import anyio
import msgspec

from fustor_core.claims import (
    BEGINS,
    CLOSED,
    WHOLE,
    WRITING,
    Cell,
    Claim,
    Listing,
    Origin,
    Owe,
    Root,
    Stamp,
    path_key,
)
from fustor_core.contracts import Resumable, Scope, Source
from fustor_core.errors import FustorError
from fustor_core.orders import Listable
from fustor_core.post import Post
from fustor_core.rounds import TIERS
from fustor_core.scanning import chunks, scan
from fustor_core.waiting import sleep_until, within

ROOT_LOOK_S = 2.0
TELL_S = 1.0  # bad news of the root gets so long to reach the other end before the pipe stops
ROOT_LIMIT_S = 30.0  # a root that does not answer for so long cannot be used just now
LOOKS_AT_ONCE = 256
CHEAPEST = TIERS[0]
NO_IDENTITY = "path"  # of sources whose root is a name and no place that could be another


async def prove(post: Post) -> Root:
    """Look at the root; of a source whose root has no identity, one that always holds.

    Raises:
        OSError: nothing usable stands there, or another storage than at the last look: fusion was
            told, if it could be. Or nothing has answered (TimeoutError): that says nothing.
        FustorError: the source cannot look at it.
    """
    try:
        root = await _proven(post)
    except (OSError, FustorError):
        _rootless(post)
        raise
    if post.rootless_us is not None:  # fusion may have been told that it was gone
        post.rootless_us = None
        post.outbox.tell([root])
    return root


def _rootless(post: Post) -> None:
    if post.rootless_us is None:
        post.rootless_us = post.now_us()


async def _proven(post: Post) -> Root:
    source = post.rooted
    if source is None:
        now = post.now_us()
        stamp = Stamp(now, now, 0, "s")
        return Root(key=path_key(b"/"), identity=NO_IDENTITY, stamp=stamp, birth="none")
    late = OSError(errno.ETIMEDOUT, f"the root has not answered for {ROOT_LIMIT_S:g} s")
    root = await within(ROOT_LIMIT_S, source.identity, post.sleep, late)
    if not root.present:
        await _tell(post, root)
        raise OSError(errno.ENODEV, f"the root is not there: {root.reason or 'vanished_root'}")
    await _same(post, root)
    return root


async def stand(post: Post) -> None:
    """A watch has begun: on the storage that was proven last, when one was.

    Raises:
        OSError: on another one; fusion was told.
        FustorError: the source cannot look at it.
    """
    if post.rooted is None or post.proof is None:
        return
    late = OSError(errno.ETIMEDOUT, f"the root has not answered for {ROOT_LIMIT_S:g} s")
    root = await within(ROOT_LIMIT_S, post.rooted.identity, post.sleep, late)
    if root.present:
        await _same(post, root)


async def _same(post: Post, root: Root) -> None:
    before, post.proof = post.proof, root
    if before is not None and not same_root(before, root):
        await _tell(post, root)
        raise OSError(errno.ESTALE, "another storage stands at the root")


async def _tell(post: Post, root: Root) -> None:
    _rootless(post)  # before anything can end this: what is told now has to be taken back one day
    post.outbox.tell([root])
    with anyio.move_on_after(TELL_S):
        await post.outbox.delivered()


def same_root(a: Root, b: Root) -> bool:
    """Whether two proofs are of the same storage."""
    return (a.key, a.identity, a.marker) == (b.key, b.identity, b.marker)


async def snapshot(post: Post, *, owe: bool, after: bytes = b"") -> None:
    """Scan everything, between two proofs of the root; over when all of it is acknowledged.

    Args:
        after: only what comes behind this path in a walk: the rest was looked at; see `Scope`.
        owe: nobody has watched until now (a new process, a new mount): the whole tree is owed a
            listing, and each one settles its part.

    Raises:
        OSError, FustorError: the scan was not whole.
    """
    async with post.turn:
        await _whole(post, Scope(origin=Origin.SNAPSHOT, now_us=post.now_us, after=after), owe=owe)
        post.stuck = None


async def audit(
    post: Post, tier: str = "full", deep: tuple[int, int] = (0, 0), after: bytes = b""
) -> None:
    """Scan everything again, to find what nobody has seen happen.

    Args:
        tier, deep: how thoroughly; see `Scope`. after: as of a snapshot.

    Raises:
        OSError, FustorError: the scan was not whole.
    """
    async with post.turn:
        scope = Scope(
            origin=Origin.AUDIT,
            tier=tier,
            deep=deep,
            now_us=post.now_us,
            after=after,
            pace=post.tempo.pause_s,
        )
        await _whole(post, scope, owe=False)
        post.stuck = None


def goes_on(source: Source) -> bool:
    """Whether a whole scan of it that was broken off can be gone on with."""
    return isinstance(source, Resumable) and source.in_order


async def _whole(post: Post, scope: Scope, *, owe: bool) -> None:
    origin, outbox = scope.origin, post.outbox
    with post.at_work():
        before = await prove(post)
    whole = scope.tier != CHEAPEST  # that one is no whole look, for nobody who counts them
    ordered = whole and goes_on(post.source)
    after = scope.after if ordered else None
    outbox.reached = after or b""
    told = msgspec.structs.replace(before, course=BEGINS, after=after)
    await outbox.put(msgspec.structs.replace(told, origin=origin) if whole else told)
    if owe:
        now = post.now_us()
        stamp = Stamp(now, now, 0, "s")
        await outbox.put(
            Owe(dir=before.key, deep=True, reason="not_yet", stamp=stamp, origin=origin, path=b"/")
        )
    scope.recall = post.recall
    scope.begin()
    await scan(post, scope)
    over = msgspec.structs.replace(await prove(post), course=WHOLE)
    await outbox.put(msgspec.structs.replace(over, origin=origin) if whole else over)
    await outbox.flushed()


async def arm(post: Post) -> None:
    """Walk everything so that all of it is watched, and tell nothing: what a follower needs.

    A watch is armed where a scan comes by, and what stands there is for the leader to tell. What
    has changed since its look, and before this one, no watch has seen: that is for an audit.

    Raises:
        OSError, FustorError: the walk was not whole.
    """
    async with post.turn:
        scope = Scope(origin=Origin.ON_DEMAND, now_us=post.now_us)
        async with aclosing(chunks(post.source, scope)) as found:
            async for _ in found:
                pass


async def message(post: Post, seen: AsyncIterator[Sequence[Cell | Listing | Owe]]) -> None:
    """Pass on what the watch sees, until it fails or this is cancelled.

    Raises:
        OSError, FustorError: the watch has failed.
    """
    async for claims in seen:
        for claim in claims:
            if isinstance(claim, Listing):
                post.recall.note(claim)
        post.tallies.told(claims)
        post.outbox.tell(claims)


async def attend(post: Post) -> None:
    """Look at the root again and again; returns at once for a source whose root has no identity.

    A look that hangs is no evidence of anything: the storage may come back as it was.

    Raises:
        OSError, FustorError: it is gone, or another storage stands there.
    """
    while post.rooted is not None:
        with suppress(TimeoutError):
            await prove(post)
        await post.sleep(ROOT_LOOK_S)


async def sentinel(post: Post, leads: Callable[[], bool]) -> None:
    """Do what fusion orders, and list what is owed, until cancelled.

    Args:
        leads: whether claims of origin sentinel are this pipe's to send; else they are sent as
            on demand, which is never fenced.

    Raises:
        OSError, FustorError: the source has failed.
    """
    orders = post.orders
    while True:
        due_us = orders.due_us()
        if due_us is None or due_us > post.now_us():
            await _wait(post, due_us)
            continue
        origin = Origin.SENTINEL if leads() else Origin.ON_DEMAND
        covers = orders.covers()
        if covers and post.covering is not None:
            await post.covering.cover(covers)
        await _look(post, orders.looks(), origin)
        for command in orders.scans():
            for _, path in command.targets:
                wanted = Listable(path, 0, deep=command.recursive)
                await _list(post, wanted, Origin.ON_DEMAND)
        for wanted in orders.lists(post.now_us()):
            await _list(post, wanted, origin)


async def _wait(post: Post, due_us: int | None) -> None:
    """Wait until something is due, or something new has come in."""
    post.news = anyio.Event()
    if due_us is None:
        await post.news.wait()
    else:
        await sleep_until(post.news, post.sleep, (due_us - post.now_us()) / 1e6)


async def _list(post: Post, wanted: Listable, origin: Origin) -> None:
    """List a directory; when another one or none stands there, look at the way to it."""
    async with post.beside():
        scope = Scope(wanted.path, recursive=wanted.deep, origin=origin, now_us=post.now_us)
        top = await scan(post, scope)
    if wanted.path != b"/" and (top is None or (wanted.key is not None and top != wanted.key)):
        await _look(post, [wanted.path], origin)


async def _look(post: Post, paths: Sequence[bytes], origin: Origin) -> None:
    source = post.looking
    if source is None:
        return
    for begin in range(0, len(paths), LOOKS_AT_ONCE):
        with post.at_work():
            cells = await source.look(paths[begin : begin + LOOKS_AT_ONCE])
        for cell in cells:
            await post.outbox.put(msgspec.structs.replace(cell, origin=origin))


def _where(cell: Cell) -> bytes:
    """The path of what a cell is about."""
    return cell.path.rstrip(b"/") + b"/" + cell.name if cell.name else cell.path


async def look_again(post: Post, lost: Sequence[Cell]) -> None:
    """After a lost session: look freshly at what was claimed and not acknowledged.

    A name that cannot be looked at, because its directory is elsewhere by now, leaves its directory
    owed. What a watch had seen stays seen by a watch, and a file stays as unfinished as it was.

    Raises:
        OSError, FustorError: the source has failed; what was not looked at yet is owed.
    """
    source, rest = post.looking, list(lost)
    owed: list[Claim] = []
    try:
        while rest and source is not None:
            some = rest[:LOOKS_AT_ONCE]
            paths = [_where(cell) for cell in some]
            found = {(cell.dir, cell.name): cell for cell in await source.look(paths)}
            del rest[:LOOKS_AT_ONCE]
            told: list[Claim] = []
            for old in some:
                fresh = found.pop((old.dir, old.name), None)
                if fresh is None:
                    owed.append(old)
                    continue
                realtime = old.origin is Origin.REALTIME
                origin = Origin.REALTIME if realtime else Origin.ON_DEMAND
                flags = old.flags & (WRITING | CLOSED)
                told.append(msgspec.structs.replace(fresh, origin=origin, flags=flags))
            way = [msgspec.structs.replace(c, origin=Origin.ON_DEMAND) for c in found.values()]
            post.outbox.tell([*way, *told])
    finally:
        post.outbox.owe([*owed, *rest], "not_yet")
