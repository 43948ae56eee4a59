"""What fusion asks of the leader: looks that a view owes, and listings that others cannot make.

All of it rides home in replies to heartbeats, which may be lost: what was not seen done is asked
for again.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from fustor_core.claims import Key, Owed
from fustor_core.contracts import Command, Moment, Seeking, Wanted

LOOKS_AT_ONCE = 2000
LOOK_AGAIN_US = 30_000_000
RIPE_LEAST_US = 1_000_000
RIPE_TOGETHER = 10
"""Suspects that get ripe within this part of a hot window are looked at together."""
OWED_KEPT = 1000


@dataclass(slots=True)
class Errands:
    """Which looks one session was asked for, and when; a target is asked for again after a while.

    Attributes:
        looked_us: when the view was last asked for all looks that it owes.
        ripe_us: when it is next asked for those at suspects alone.
    """

    asked: dict[tuple[str, bytes], int] = field(default_factory=dict)
    looked_us: int = 0
    ripe_us: int = 0

    def looks(self, view: Seeking | None, moment: Moment, interval_s: float) -> list[Command]:
        """The looks that the view owes, for the reply to a leader's heartbeat.

        Those at suspects are not left until the next round: they are given out as soon as their
        hot window is over, some together.

        Args:
            view: asked for its looks; None: it cannot say them.
            interval_s: `sentinel_interval_sec`, 0 = no looks.
        """
        now = moment.now_us
        if interval_s <= 0 or view is None:
            return []
        rest_us = max(RIPE_LEAST_US, min(int(interval_s * 1e6), moment.hot_us))
        together_us = rest_us // RIPE_TOGETHER
        if now - self.looked_us >= interval_s * 1e6:
            looks = self._commands(view.looks(moment, LOOKS_AT_ONCE), now)
            if sum(len(c.targets) for c in looks) < LOOKS_AT_ONCE:
                self.looked_us = now  # else the round goes on with the next heartbeat
            self.ripe_us = now + together_us
            return looks
        if not self.due(now):
            return []
        wanted, next_us = view.ripe(moment, LOOKS_AT_ONCE)
        # What turns suspect from now on is not ripe before another hot window is over.
        first_us = now + rest_us if next_us is None else next_us
        self.ripe_us = min(now + rest_us, max(now, first_us) + together_us)
        return self._commands(wanted, now)

    def due(self, now_us: int) -> bool:
        """Whether suspects may be ripe."""
        return now_us >= self.ripe_us

    def _commands(self, looks: Iterable[Wanted], now: int) -> list[Command]:
        self.asked = {k: t for k, t in self.asked.items() if now - t < LOOK_AGAIN_US}
        targets: dict[tuple[str, bool], list[tuple[Key | None, bytes]]] = {}
        for wanted in looks:
            if (wanted.kind, wanted.path) not in self.asked:
                self.asked[wanted.kind, wanted.path] = now
                target = (None, wanted.path)
                targets.setdefault((wanted.kind, wanted.recursive), []).append(target)
        return [
            Command(uuid.uuid4().hex, kind, tuple(found), recursive)
            for (kind, recursive), found in targets.items()
        ]


class Passed:
    """Listings that are owed, and that whoever brought it to light cannot make: the leader does."""

    def __init__(self) -> None:
        self._owed: deque[Owed] = deque(maxlen=OWED_KEPT)  # what falls out, the sentinel finds

    def add(self, owed: Iterable[Owed]) -> None:
        """Keep them for the leader's next heartbeat."""
        self._owed.extend(owed)

    def commands(self) -> list[Command]:
        """For the leader; each is given out once."""
        out = []
        for deep in (False, True):
            targets = tuple((one.key, one.path) for one in self._owed if one.deep is deep)
            if targets:
                out.append(Command(uuid.uuid4().hex, "list", targets, deep))
        self._owed.clear()
        return out
