"""Names of which nobody knows whether they are still there, and the looks that settle it.

An audit of 0.8.17 proves nothing absent: what it could not read, could not send or left out by a
pattern looks just like what is gone (docs/decisions/0007). It raises a doubt; the sentinel of the
same agent then looks for that very name, and its "no such file" is the proof. Disputed and suspect
entries are looked at in the same way, and where they exist their whole row is asked for.

An agent whose mount has vanished finds no name at all. So its word counts only when in the same
round it has found something, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from fustor_core.claims import Stamp
from fustor_core.contracts import boottime_us
from fustor_receiver_v08.guest import Guest
from fustor_receiver_v08.guests import Guests
from fustor_receiver_v08.knowledge import Knowledge
from fustor_receiver_v08.messages import Feedback

MISSING_KEPT = 200_000
PATHS_AT_ONCE = 1000
WITNESSES = 64
WISHES_KEPT = 10_000
SLACK_US = 50_000
HOT_US = 30_000_000  # how long a suspect waits for its second look
log = logging.getLogger("fustor.receiver.v08")


@dataclass(frozen=True, slots=True)
class Round:
    """One task that an agent was given: paths to look at, and when it was told."""

    guest: Guest
    doubted: frozenset[bytes]
    witnesses: frozenset[bytes]
    asked_us: int


class Doubts:
    """The doubts about one view.

    Args:
        guests: who can look. knowledge: of the view.
    """

    def __init__(self, guests: Guests, knowledge: Knowledge) -> None:
        self._guests = guests
        self._knowledge = knowledge
        self._missing: dict[bytes, None] = {}
        self._rounds: dict[str, Round] = {}  # by key: an answer does not say whose it is
        self._lost: set[str] = set()  # agents that find nothing at all; told once

    def __repr__(self) -> str:
        return f"<Doubts {len(self._missing)}>"

    async def compare(self, guest: Guest, directories: Iterable[bytes], since_us: int) -> None:
        """After an audit: doubt what stands in directories that it read, and it did not tell of.

        Args:
            directories: whose files it told of. since_us: raw instant; it did not begin before.
        """
        since = since_us + guest.offset_us - SLACK_US
        for path in directories:
            for one in await self._knowledge.unseen(path, since):
                if len(self._missing) >= MISSING_KEPT:
                    return  # the next audit finds the rest
                self._missing[one] = None

    async def task(self, guest: Guest) -> list[str]:
        """The paths that the sentinel of an agent shall look at now."""
        doubted = dict.fromkeys(list(self._missing)[:PATHS_AT_ONCE])
        left = PATHS_AT_ONCE - len(doubted)
        if left > 0:
            now = boottime_us() + guest.offset_us
            doubted.update(dict.fromkeys(await self._knowledge.doubtful(left, now - HOT_US)))
        told = {path: text for path in doubted if (text := _text(path)) is not None}
        for path in doubted:
            self._missing.pop(path, None)
        doubted.pop(b"/", None)
        told.pop(b"/", None)
        if not told:
            return []
        witnesses = await self._knowledge.some(b"/", WITNESSES)
        told.update({path: text for path in witnesses if (text := _text(path)) is not None})
        self._rounds[guest.access.key_id] = Round(
            guest, frozenset(doubted), frozenset(witnesses), boottime_us()
        )
        return list(told.values())

    async def answered(self, guest: Guest, feedback: Feedback) -> int:
        """What the sentinel found; returns how many names are gone.

        Raises:
            FustorError: fusion could not take it.
        """
        asked = self._rounds.pop(guest.access.key_id, None)
        if asked is None or asked.guest is not guest:
            return 0
        found, gone = set(), []
        for update in feedback.updates:
            path = update.path.encode(errors="replace")
            if path not in asked.doubted and path not in asked.witnesses:
                continue
            if update.status == "missing":
                gone.append(path)
            else:
                found.add(path)
        for path in sorted(found & asked.doubted):
            if len(guest.wishes) < WISHES_KEPT:
                guest.wishes[path] = None
        gone = [path for path in gone if path in asked.doubted]
        if gone and not found:
            self._disbelieve(guest, len(asked.doubted | asked.witnesses))
            return 0
        self._lost.discard(guest.agent)
        since = max(0, asked.asked_us - guest.pace.cache_bound_us)
        if gone:
            await self._guests.missing(guest, gone, Stamp(since, boottime_us(), 0, "s"))
        return len(gone)

    def _disbelieve(self, guest: Guest, count: int) -> None:
        if guest.agent not in self._lost:
            log.warning(
                "agent %s finds none of %d names, of the root neither: it is not believed; is its"
                " tree still mounted?",
                guest.agent,
                count,
            )
        self._lost.add(guest.agent)


def _text(path: bytes) -> str | None:
    """A path as JSON carries it; None when it is no text, which no such agent can have told."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return None
