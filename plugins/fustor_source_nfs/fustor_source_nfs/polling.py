"""Looking again and again: what others write is found this way."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from fustor_core.claims import Listing, Origin, Root, digest_of
from fustor_core.contracts import boottime_us
from fustor_source_nfs.crew import StorageHung
from fustor_source_nfs.frames import Found, Read
from fustor_source_nfs.ground import Claims, Ground, unread
from fustor_source_nfs.heat import Place

CONFIRM_US = 600_000_000  # what does not change is said to be so after this long, in 16 bytes

Tell = Callable[[Claims], Awaitable[None]]


class Polling:
    """Polls what is known of a ground.

    Args:
        tell: takes claims.
    """

    def __init__(self, ground: Ground, tell: Tell) -> None:
        self._ground = ground
        self._tell = tell

    def __repr__(self) -> str:
        return f"<Polling of {self._ground!r}>"

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            StorageHung, RootVanished, OSError: the root cannot be looked at any more.
        """
        ground, heat = self._ground, self._ground.heat
        while True:
            await anyio.sleep(ground.pace.wait_s(boottime_us()))
            path = heat.next(boottime_us())
            if path is None:
                await self._rest()
                continue
            place = heat.places[path]
            try:
                found = await ground.ask(Read(path, Origin.ON_DEMAND, place.key))
            except StorageHung:
                heat.failed(path, boottime_us())
                await self._tell([unread(path, place.key, Origin.ON_DEMAND, "hung", _LATE)])
                await ground.identity()
                continue
            except OSError:
                heat.failed(path, boottime_us())
                continue
            ground.pace.spent(boottime_us(), found.operations, found.took_us)
            claims = self._news(path, place, found)
            if claims:
                await self._tell(claims)

    def _news(self, path: bytes, place: Place, found: Found) -> Claims:
        now = boottime_us()
        changed = self._ground.note(path, found, polled=True, follow=True)
        told: Claims = [claim for claim in found.claims if not isinstance(claim, Root)]
        if changed:
            place.told_us = now
            return told
        if now - place.told_us < CONFIRM_US:
            return []
        place.told_us = now
        return [_confirmed(claim) for claim in told if isinstance(claim, Listing)]

    async def _rest(self) -> None:
        due_us = self._ground.heat.due_us()
        news = self._ground.news = anyio.Event()
        with anyio.move_on_after(None if due_us is None else (due_us - boottime_us()) / 1e6):
            await news.wait()


_LATE = errno.ETIMEDOUT


def _confirmed(listing: Listing) -> Listing:
    """The same again, as a digest where that is enough."""
    if not listing.complete or listing.weak or not listing.rows:
        return listing
    digest = digest_of(listing.names, listing.rows)
    return msgspec.structs.replace(listing, names=b"", rows=b"", digest=digest)
