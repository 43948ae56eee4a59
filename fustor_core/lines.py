"""Lines: one raw clock and one file cache each, and how their instants map to fusion time. Pure.

A line is (boot, process, mount) of one pipe (arbitration.md §8). It outlives sessions: its ordinals
go on, and so do its bounds. A new process, a new boot, or a clock that broke its bounds is a new
line. Being forgotten costs a line nothing but a number: looks of two numbers are ordered by fusion
time alone, which is always right and only says less.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from fustor_core.clock import OffsetBounds, PastBounds

TOLERANCE_US = 1_000
NONSENSE_US = 3_600_000_000
NONSENSE_IN_A_ROW = 3
RAW_MAX = 1 << 53
GIVEN_KEPT = 16
BOOTS_KEPT = 4


class LineName(NamedTuple):
    """What a line is known by. Agent and pipe, because processes of two containers may share the
    rest, and because each pipe counts its own events."""

    agent: str
    pipe: str
    boot: str
    process: str
    mount: str


class LineRow(msgspec.Struct, array_like=True, frozen=True):
    """A line as it is kept. `same_clock`: it may be on fusion's own boot clock."""

    name: LineName
    number: int
    same_clock: bool
    lows: list[tuple[int, int]]
    highs: list[tuple[int, int]]
    past: list[PastBounds]


def aged(row: LineRow, start_us: int, end_us: int) -> LineRow:
    """A line whose bounds hold for a boot of fusion's clock that is over: from start to end."""
    if not row.lows and not row.highs:
        return row
    past = [*row.past, PastBounds(start_us, end_us, row.lows, row.highs)]
    return LineRow(row.name, row.number, row.same_clock, [], [], past[-BOOTS_KEPT:])


class Line:
    """One line.

    Attributes:
        number: names it in stamps; another one after its clock broke its bounds.
        bounds: to map its raw instants.
        same_clock_us: the constant of fusion's own boot clock while this line may be on it. Boot
            ids are shared by containers and time namespaces, so it is used only once an exchange
            has shown it, or for a caller in this process.
        ignored: clock stamps that made no sense and were left aside.
    """

    def __init__(self, name: LineName, number: int, same_clock_us: int | None) -> None:
        self.name = name
        self.number = number
        self.bounds = OffsetBounds()
        self.same_clock_us = same_clock_us
        self.ignored = 0
        self._given: deque[int] = deque(maxlen=GIVEN_KEPT)
        self._odd = 0

    def __repr__(self) -> str:
        return f"<Line {self.number} {self.name} ignored={self.ignored}>"

    def told(self, server_time_us: int) -> int:
        """A reply carries this fusion time; only such a one may be echoed. Returns it."""
        self._given.append(server_time_us)
        return server_time_us

    def here(self) -> None:
        """The caller is in this process: its clock is ours."""
        self.bounds.exact_us = self.same_clock_us

    def heard(self, now_us: int, sent_us: int | None, echo: tuple[int, int] | None) -> bool:
        """A request came in.

        Args:
            now_us: fusion time. sent_us, echo: see `Caller`.

        Returns:
            Whether the clock is broken: the caller gives the line a new number (`Lines.renew`) and
            owes a deep look at everything.
        """
        if sent_us is None:
            return False
        if abs(sent_us) > RAW_MAX:
            self.ignored += 1
            return False
        if echo is not None and (echo[0] not in self._given or not -RAW_MAX < echo[1] <= sent_us):
            self.ignored += 1
            echo = None
        if self._far_off(now_us, sent_us, echo):
            self.ignored += 1
            self._odd += 1
            return self._odd % NONSENSE_IN_A_ROW == 0
        self._odd = 0
        bounds = self.bounds
        if echo is not None:
            bounds.reply(sent_us=echo[0], received_raw_us=echo[1])
        bounds.request(sent_raw_us=sent_us, received_us=now_us)
        self._compare()
        return bounds.contradiction_us() > TOLERANCE_US

    def offsets(self) -> tuple[int | None, int | None]:
        """(at least, at most): fusion time less raw time when last heard; None = not known."""
        bounds = self.bounds
        least, most = bounds.at(bounds.highs[-1][1] if bounds.highs else 0)
        known = bounds.exact_us is not None
        return least if known or bounds.lows else None, most if known or bounds.highs else None

    def row(self) -> LineRow:
        """As it is kept."""
        bounds = self.bounds
        same = self.same_clock_us is not None
        return LineRow(self.name, self.number, same, bounds.lows, bounds.highs, bounds.past)

    def _far_off(self, now_us: int, sent_us: int, echo: tuple[int, int] | None) -> bool:
        """Whether a stamp is so far from all before it that it can be no clock's."""
        least, most = self.bounds.at(sent_us)
        if self.bounds.lows and now_us - sent_us < least - NONSENSE_US:
            return True
        if echo is None or not self.bounds.highs:
            return False
        return echo[0] - echo[1] > most + NONSENSE_US

    def _compare(self) -> None:
        """Use fusion's own constant as long as the samples bear it out."""
        same, bounds = self.same_clock_us, self.bounds
        if same is None or not bounds.lows:
            return
        least = max(low for low, _ in bounds.lows)
        most = min(high for high, _ in bounds.highs)
        if least - TOLERANCE_US <= same <= most + TOLERANCE_US:
            bounds.exact_us = same
        else:
            self.same_clock_us = bounds.exact_us = None


class Lines:
    """The lines of one view, those used last.

    Args:
        boot: boot id of fusion's host. offset_us: constant of its clock.
        start_us: when this boot of fusion's clock began. floor_us: when the one before ended.
        most: lines that are kept.
    """

    def __init__(
        self, boot: str, offset_us: int, *, start_us: int, floor_us: int, most: int
    ) -> None:
        self.next_number = 1
        self._boot = boot
        self._offset_us = offset_us
        self._start_us = start_us
        self._floor_us = floor_us
        self._most = most
        self._lines: dict[LineName, Line] = {}

    def __repr__(self) -> str:
        return f"<Lines {len(self._lines)}, next {self.next_number}>"

    def of(self, name: LineName) -> Line:
        """The line of that name, a new one when it was never heard of or is forgotten."""
        line = self._lines.pop(name, None)
        if line is None:
            same = self._offset_us if name.boot == self._boot else None
            line = Line(name, self._take_number(), same)
            self._begin(line)
        self._lines[name] = line  # the one used last stands last
        while len(self._lines) > self._most:
            del self._lines[next(iter(self._lines))]
        return line

    def renew(self, line: Line) -> None:
        """The clock of a line is broken: nothing that was known of it holds."""
        line.number = self._take_number()
        line.bounds = OffsetBounds()
        line.same_clock_us = None
        self._begin(line)

    def rows(self) -> list[LineRow]:
        """All lines as they are kept, the one used last at the end."""
        return [line.row() for line in self._lines.values()]

    def restore(self, rows: Iterable[LineRow], *, rebooted: tuple[int, int] | None) -> None:
        """Take over what was kept.

        Args:
            rebooted: (start, end) of the boot of fusion's clock in which the rows were kept, None
                when it is still the same.
        """
        for row in rows:
            same = self._offset_us if row.same_clock and row.name.boot == self._boot else None
            line = Line(row.name, row.number, same)
            self._begin(line)
            kept = row if rebooted is None else aged(row, *rebooted)
            line.bounds.lows, line.bounds.highs = list(kept.lows), list(kept.highs)
            line.bounds.past = list(kept.past)
            self._lines.pop(row.name, None)
            self._lines[row.name] = line
            self.next_number = max(self.next_number, row.number + 1)

    def _begin(self, line: Line) -> None:
        line.bounds.start_us, line.bounds.floor_us = self._start_us, self._floor_us

    def _take_number(self) -> int:
        number, self.next_number = self.next_number, self.next_number + 1
        return number
