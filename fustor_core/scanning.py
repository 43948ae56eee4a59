"""A scan on its way into the outbox: claim after claim, noted and gathered, by the hundred."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing

import msgspec

from fustor_core.claims import Calm, Cell, Claim, Key, Listing, Origin, Same, digest_of
from fustor_core.contracts import Chunked, Scope, Source
from fustor_core.errors import FustorError
from fustor_core.post import Post, Progress
from fustor_core.queues import rows_of
from fustor_core.recall import Recall
from fustor_core.stills import Stills, fits

Scanned = Listing | Same | Calm | Cell


async def scan(post: Post, scope: Scope) -> Key | None:
    """One scan into the outbox; the key of the directory at its top, None when none was read.

    Raises:
        OSError, FustorError: it was not whole.
    """
    top: Key | None = None
    stills = Stills()
    with post.at_work() as work:
        work.path = scope.path
        try:
            async with aclosing(chunks(post.source, scope)) as found:
                async for claims in found:
                    if not claims:
                        continue
                    top = top or claims[0].dir
                    work.path, work.sends = claims[-1].path, True
                    await post.outbox.put_all(_ready(post.recall, stills, claims, work))
                    work.sends, work.progress_us = False, post.now_us()
            await _end(post, stills)
        except (OSError, FustorError):  # what was looked at until then was looked at
            await _end(post, stills)
            raise
        seconds = (post.now_us() - work.started_us) / 1e6
        post.tallies.scanned(scope.origin.value, seconds, work.entries)
    return top


async def chunks(source: Source, scope: Scope) -> AsyncGenerator[Sequence[Scanned], None]:
    """What a source finds, in lists; one by one where it does not make any."""
    if isinstance(source, Chunked):
        lists = source.chunks(scope)
        try:
            async for claims in lists:
                yield claims
        finally:
            await _left(lists)
        return
    found = source.scan(scope)
    try:
        async for claim in found:
            yield (claim,)
    finally:
        await _left(found)


async def _left(iterator: AsyncIterator[object]) -> None:
    if isinstance(iterator, AsyncGenerator):
        await iterator.aclose()


async def _end(post: Post, stills: Stills) -> None:
    if (still := stills.end()) is not None:
        await post.outbox.put(still)


def _ready(
    recall: Recall, stills: Stills, claims: Sequence[Scanned], work: Progress
) -> Iterator[Claim]:
    """What can be sent now, in order; each claim is looked at when it is asked for."""
    for claim in claims:
        work.directories += claim.count if type(claim) is Calm else 1
        if type(claim) is not Listing:
            work.entries += rows_of(claim)
            if (still := stills.end()) is not None:
                yield still
            yield claim
            continue
        work.entries += rows_of(claim)
        if claim.origin is Origin.AUDIT:
            yield from _gathered(recall, stills, claim)
        else:
            recall.note(claim)
            yield claim


def _gathered(recall: Recall, stills: Stills, listing: Listing) -> Iterator[Claim]:
    """Of a listing of an audit: one that was sent like this before waits.

    It goes with those of its kind that follow it at once.
    """
    known = listing.complete and not listing.weak and recall.unchanged(listing)
    recall.note(listing)
    fit = known and fits(listing)
    if fit and stills.takes(listing):
        stills.add(listing)
        return
    if (still := stills.end()) is not None:
        yield still
    if fit:
        stills.add(listing)
        return
    if known and listing.rows:
        digest = digest_of(listing.names, listing.rows)
        listing = msgspec.structs.replace(listing, names=b"", rows=b"", digest=digest)
    yield listing
