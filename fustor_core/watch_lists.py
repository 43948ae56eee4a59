"""The directories that lines should watch too, since others have told of them.

They belong to an agent's line, not to its session: the process keeps its watches when the session
is lost, and needs to hear what came meanwhile.

There may be ten thousand lines, and all are told nearly the same. So there is one list for all, in
the order in which directories were found, and each line has a place in it: what lies behind its
place it is still to be told of, but for what it has told itself. A line that falls far behind is
told of one directory above all that it missed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from fustor_core.claims import Batch, Cell, Key, Listing, edge_key, is_dir
from fustor_core.contracts import Command
from fustor_core.frames import WatchRow

KEPT = 10_000
"""A line that has more to hear of is told of one directory above; it may come to twice as many."""
AT_ONCE = 2000
"""Directories in one reply."""
AWAY_MOST = 50
"""Lines without a session that are remembered; it may come to twice this."""
KEYS_IN_ROW, KEYS_IN_ROWS = 1000, 1_000_000
"""More, of one line and of all, are kept for a restart as one directory above them."""

Where = Callable[[Key], bytes | None]
"""The view path of a directory, None when it has none."""


@dataclass(slots=True, eq=False)
class Watches:
    """What one line is still to be told of.

    Attributes:
        at: its place in the list.
        known: what it told of itself, and the end of the list at that time.
        own: the last place of something that it has found; -1 = none.
        more: what is in no list, and comes first.
        top: all below this, before all others. last: its reply may have been lost: said twice.
    """

    at: int
    known: dict[Key, int] = field(default_factory=dict)
    own: int = -1
    more: dict[Key, None] = field(default_factory=dict)
    top: bytes | None = None
    last: Command | None = None

    @property
    def common(self) -> bool:
        """Whether what lies behind its place is all news to it."""
        return not self.known and self.own < self.at


class WatchLists:
    """The directories that each line should watch too, by number of the line."""

    def __init__(self) -> None:
        self._lines: dict[int, Watches] = {}
        self._list: list[tuple[Key, Watches | None]] = []  # with the line that found it
        self._begin = 0  # place of the first one
        self._last: dict[Key, int] = {}  # last place of each
        self._said: dict[
            tuple[int, int], Command | None
        ] = {}  # for lines with nothing of their own
        self._crowd = AWAY_MOST  # with more lines, those that are away are looked for

    def __repr__(self) -> str:
        return f"<WatchLists of {len(self._lines)} lines, {len(self._list)} directories>"

    @property
    def _end(self) -> int:
        return self._begin + len(self._list)

    def attend(self, number: int, live: Callable[[], Collection[int]]) -> None:
        """A session of this line watches: it is told of what others find.

        Args:
            live: lines that have a session; of the others only so many are remembered.
        """
        line = self._lines.pop(number, None)
        self._lines[number] = Watches(self._end) if line is None else line
        if len(self._lines) <= self._crowd:
            return
        there = {number, *live()}
        away = [one for one in self._lines if one not in there]
        for one in away[: max(0, len(away) - AWAY_MOST)]:
            del self._lines[one]
        self._crowd = len(self._lines) + AWAY_MOST

    def moved(self, old: int, new: int) -> None:
        """A line has another number now."""
        if old in self._lines:
            self._lines[new] = self._lines.pop(old)

    def found(self, number: int, batch: Batch, edges: Collection[Key], where: Where | None) -> None:
        """A batch of this line is applied, and has hung these directories somewhere new."""
        line = self._lines.get(number)
        if line is not None:
            self._claimed(line, batch)
        if not edges or where is None:
            return
        self._said.clear()  # paths may be others now
        if len(self._lines) == (line is not None):
            return  # there is nobody to be told
        begin = self._end
        self._list += [(key, line) for key in edges]
        self._last.update(zip(edges, range(begin, self._end), strict=True))
        if line is not None:
            line.own = self._end - 1
            if line.at == begin:
                line.at = self._end
        if len(self._list) > 2 * KEPT:
            self._shorten(where)

    def _claimed(self, line: Watches, batch: Batch) -> None:
        """What the agent itself tells of, it watches already."""
        if line.at == self._end and not line.more:
            return
        for claim in batch.claims:
            if isinstance(claim, Listing):
                key = claim.dir
            elif isinstance(claim, Cell) and claim.value is not None and is_dir(claim.value):
                key = edge_key(claim.value)
            else:
                continue
            line.more.pop(key, None)
            if self._last.get(key, -1) >= line.at:
                line.known[key] = self._end

    def _news(self, line: Watches, until: int) -> Iterator[Key]:
        """What lies between its place and `until`, and is news to this line."""
        known = line.known
        part = islice(self._list, line.at - self._begin, until - self._begin)
        for place, (key, finder) in enumerate(part, line.at):
            if finder is not line and known.get(key, -1) <= place:
                yield key

    def _advance(self, line: Watches, until: int) -> None:
        line.at = until
        if line.known:
            line.known = {k: e for k, e in line.known.items() if self._last.get(k, -1) >= until}

    def _shorten(self, where: Where) -> None:
        """Nobody has to hear of more than `KEPT`; what all have heard of is forgotten."""
        end = self._end
        late = [line for line in self._lines.values() if end - line.at > KEPT]
        common = [line for line in late if line.common]
        top = None
        if common:
            first = min(common, key=lambda line: line.at)
            top = _over(None, self._news(first, end), where)
        for line in late:
            if line.common:
                line.top = _joined(line.top, top)
            else:
                line.more.update(dict.fromkeys(self._news(line, end)))
            if len(line.more) > KEPT:
                line.top = _over(line.top, line.more, where)
                line.more = {}
            self._advance(line, end)
        self._drop(min((line.at for line in self._lines.values()), default=end))

    def _drop(self, begin: int) -> None:
        for place, (key, _) in enumerate(self._list[: begin - self._begin], self._begin):
            if self._last[key] == place:
                del self._last[key]
        del self._list[: begin - self._begin]
        self._begin = begin

    # ---- telling

    def commands(self, number: int, where: Where) -> list[Command]:
        """For the reply to a heartbeat of this line."""
        line = self._lines.get(number)
        if line is None:
            return []
        out = [] if line.last is None else [line.last]
        line.last = self._next(line, where)
        return out if line.last is None else [*out, line.last]

    def _next(self, line: Watches, where: Where) -> Command | None:
        if line.top is not None:
            top, line.top = line.top, None
            return Command(uuid.uuid4().hex, "watch", ((None, top),), True)
        if line.more:
            some = list(islice(line.more, AT_ONCE))
            for key in some:
                del line.more[key]
            return _command(some, where)
        begin, end = line.at, self._end
        if begin == end:
            return None
        until = min(end, (begin // AT_ONCE + 1) * AT_ONCE)  # the same pieces for all lines
        if not line.common:
            said = _command(list(self._news(line, until)), where)
        elif (begin, until) in self._said:
            said = self._said[begin, until]
        else:
            said = self._said[begin, until] = _command(list(self._news(line, until)), where)
        self._advance(line, until)
        return said

    # ---- keeping

    def rows(self, where: Where) -> list[WatchRow]:
        """As they are kept; what was said once is said again after a restart."""
        most = min(KEYS_IN_ROW, KEYS_IN_ROWS // max(1, len(self._lines)))
        rows, made = [], dict[tuple[int, int], tuple[list[Key], bytes | None]]()
        for number, line in self._lines.items():
            if line.common and not line.more and line.top is None:
                place = line.at, id(line.last)
                if place not in made:
                    made[place] = self._row(line, most, where)
                keys, top = made[place]
            else:
                keys, top = self._row(line, most, where)
            if keys or top is not None:
                rows.append(WatchRow(number, keys, top))
        return rows

    def _row(self, line: Watches, most: int, where: Where) -> tuple[list[Key], bytes | None]:
        keys, top = dict(line.more), line.top
        keys.update(dict.fromkeys(self._news(line, self._end)))
        if line.last is not None:
            said = line.last.targets
            keys.update({key: None for key, _ in said if key is not None})
            top = _joined(top, said[0][1]) if line.last.recursive else top
        if top is not None or len(keys) > most:
            return [], _over(top, keys, where)
        return list(keys), None

    def restore(self, rows: Iterable[WatchRow]) -> None:
        """Take over what was kept."""
        for row in rows:
            more = dict.fromkeys(row.keys)
            self._lines[row.line] = Watches(self._end, more=more, top=row.top)
        self._crowd = len(self._lines) + AWAY_MOST


def _command(keys: Iterable[Key], where: Where) -> Command | None:
    found = {key: path for key in keys if (path := where(key)) is not None}
    return Command(uuid.uuid4().hex, "watch", tuple(found.items())) if found else None


def _over(top: bytes | None, keys: Iterable[Key], where: Where) -> bytes | None:
    """The nearest directory above all of them and `top`; None = there is nothing."""
    for key in keys:
        if top == b"/":
            return top
        top = _joined(top, where(key))
    return top


def _joined(a: bytes | None, b: bytes | None) -> bytes | None:
    """The nearest directory above both view paths, or one of them."""
    if a is None or b is None:
        return b if a is None else a
    parts = []
    for one, other in zip(a.split(b"/")[1:], b.split(b"/")[1:], strict=False):
        if one != other:
            break
        parts.append(one)
    return b"/" + b"/".join(p for p in parts if p)
