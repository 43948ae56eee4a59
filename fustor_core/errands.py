"""What fusion asks of agents: looks that a view owes, directories to watch, scans on demand.

All of it rides home in replies to heartbeats, which may be lost: what was not seen done is asked
for again.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from fustor_core.claims import Batch, Cell, Key, Listing, Owed, edge_key, is_dir
from fustor_core.contracts import Command, Moment, Seeking, Wanted
from fustor_core.frames import WatchRow

LOOKS_AT_ONCE = 2000
LOOK_AGAIN_US = 30_000_000
RIPE_LEAST_US = 1_000_000
RIPE_TOGETHER = 10
"""Suspects that get ripe within this part of a hot window are looked at together."""
OWED_KEPT = 1000
WATCHES_KEPT = 10_000
WATCHES_AT_ONCE = 2000
AWAY_MOST = 50
"""Lines without a session whose watches are remembered."""
KEYS_IN_ROW = 1000
"""More are kept for a restart as one directory above them."""

Where = Callable[[Key], bytes | None]
"""The view path of a directory, None when it has none."""


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


class Watches:
    """Directories that one agent should watch too, since others have told of them.

    They belong to the agent's line, not to its session: the process keeps its watches when the
    session is lost, and needs to hear what came meanwhile.
    """

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}
        self._top: bytes | None = None  # too many: all below this, instead
        self._last: Command | None = None  # its reply may have been lost: said twice

    def __repr__(self) -> str:
        return f"<Watches {len(self._keys)} top={self._top!r}>"

    def add(self, keys: Iterable[Key], where: Where) -> None:
        """Directories that hang somewhere new."""
        if self._top is not None:
            self._widen(keys, where)
            return
        self._keys.update(dict.fromkeys(keys))
        if len(self._keys) > WATCHES_KEPT:
            self._widen(self._keys, where)
            self._keys = {}

    def claimed(self, batch: Batch) -> None:
        """What the agent itself tells of, it watches already."""
        if not self._keys:
            return
        for claim in batch.claims:
            if isinstance(claim, Listing):
                self._keys.pop(claim.dir, None)
            elif isinstance(claim, Cell) and claim.value is not None and is_dir(claim.value):
                self._keys.pop(edge_key(claim.value), None)

    def commands(self, where: Where) -> list[Command]:
        """For the reply to a heartbeat."""
        out = [] if self._last is None else [self._last]
        self._last = self._next(where)
        return out if self._last is None else [*out, self._last]

    def _next(self, where: Where) -> Command | None:
        if self._top is not None:
            top, self._top = self._top, None
            return Command(uuid.uuid4().hex, "watch", ((None, top),), True)
        some = list(self._keys)[:WATCHES_AT_ONCE]
        for key in some:
            del self._keys[key]
        found = [(key, path) for key in some if (path := where(key)) is not None]
        return Command(uuid.uuid4().hex, "watch", tuple(found)) if found else None

    def row(self, line: int, where: Where) -> WatchRow | None:
        """As it is kept; what was said once is said again after a restart."""
        keys, top = dict(self._keys), self._top
        if self._last is not None:
            said = self._last.targets
            keys.update({key: None for key, _ in said if key is not None})
            top = said[0][1] if self._last.recursive else top
        if top is not None or len(keys) > KEYS_IN_ROW:
            wide = Watches()
            wide._top = top
            wide._widen(keys, where)
            return WatchRow(line, [], wide._top)
        return WatchRow(line, list(keys), None) if keys else None

    def restore(self, row: WatchRow) -> None:
        """Take over what was kept."""
        self._keys, self._top = dict.fromkeys(row.keys), row.top

    def _widen(self, keys: Iterable[Key], where: Where) -> None:
        for key in keys:
            if self._top == b"/":
                return
            path = where(key)
            if path is not None:
                self._top = path if self._top is None else _above(self._top, path)


class WatchLists:
    """The directories that each line should watch too, by number of the line."""

    def __init__(self) -> None:
        self._all: dict[int, Watches] = {}

    def __repr__(self) -> str:
        return f"<WatchLists of {len(self._all)} lines>"

    def attend(self, number: int, live: Collection[int]) -> None:
        """A session of this line watches: it is told of what others find.

        Args:
            live: lines that have a session; of the others only so many are remembered.
        """
        self._all[number] = self._all.pop(number, Watches())
        away = [one for one in self._all if one not in live and one != number]
        for one in away[: max(0, len(away) - AWAY_MOST)]:
            del self._all[one]

    def moved(self, old: int, new: int) -> None:
        """A line has another number now."""
        if old in self._all:
            self._all[new] = self._all.pop(old)

    def found(self, number: int, batch: Batch, edges: Collection[Key], where: Where | None) -> None:
        """A batch of this line is applied, and has hung these directories somewhere new."""
        if number in self._all:
            self._all[number].claimed(batch)
        if edges and where is not None:
            for other, watches in self._all.items():
                if other != number:
                    watches.add(edges, where)

    def commands(self, number: int, where: Where) -> list[Command]:
        """For the reply to a heartbeat of this line."""
        watches = self._all.get(number)
        return watches.commands(where) if watches is not None else []

    def rows(self, where: Where) -> list[WatchRow]:
        """As they are kept."""
        rows = [watches.row(number, where) for number, watches in self._all.items()]
        return [row for row in rows if row is not None]

    def restore(self, rows: Iterable[WatchRow]) -> None:
        """Take over what was kept."""
        for row in rows:
            self._all[row.line] = Watches()
            self._all[row.line].restore(row)


def _above(a: bytes, b: bytes) -> bytes:
    """The nearest directory above both view paths, or one of them."""
    parts = []
    for one, other in zip(a.split(b"/")[1:], b.split(b"/")[1:], strict=False):
        if one != other:
            break
        parts.append(one)
    return b"/" + b"/".join(p for p in parts if p)
