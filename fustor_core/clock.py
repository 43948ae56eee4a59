"""Time as the decisions see it. Nothing here reads a clock: instants come as arguments.

`FusionClock` is the only clock that decides; `OffsetBounds` maps an agent's raw clock to it;
`LogicalClock` estimates the storage's own time, used for the age of files and nothing else;
`WallDistance` gives instants the wall times that people are shown.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

DRIFT_PPM = 200
SAMPLES_KEPT = 5
_FOREVER = 1 << 62
NEVER = -_FOREVER
"""Before every instant of every clock."""


class SavedClock(msgspec.Struct, frozen=True):
    """What is kept of the fusion clock across restarts.

    Attributes:
        boot: boot id of the operating system.
        offset_us: fusion time = raw CLOCK_BOOTTIME + offset, within that boot.
        high_us: a fusion time that is at or after every one given out.
        wall_us: wall time when `high_us` was saved.
    """

    boot: str
    offset_us: int
    high_us: int
    wall_us: int


@dataclass(frozen=True, slots=True)
class FusionClock:
    """Fusion time: µs, monotonic over restarts, advancing by the real time fusion was down.

    Within one boot of the operating system it is CLOCK_BOOTTIME plus a constant, hence exact.
    """

    boot: str
    offset_us: int

    @classmethod
    def resume(
        cls, saved: SavedClock | None, *, boot: str, raw_us: int, wall_us: int
    ) -> FusionClock:
        """The clock after a start.

        Args:
            saved: what the last run kept, None on a first start (fusion time begins at 0).
            boot: boot id now. raw_us: CLOCK_BOOTTIME now. wall_us: wall time now.
        """
        if saved is None:
            return cls(boot, -raw_us)
        if saved.boot == boot and raw_us + saved.offset_us >= saved.high_us:
            return cls(boot, saved.offset_us)
        # A guess: the wall is all that spans a reboot. The gap is never without length: looks that
        # were made in it could not be told from each other, and one would pass for later.
        elapsed = max(1, wall_us - saved.wall_us)
        return cls(boot, saved.high_us + elapsed - raw_us)

    def at(self, raw_us: int) -> int:
        """Fusion time of a raw instant of this boot."""
        return raw_us + self.offset_us


class PastBounds(msgspec.Struct, array_like=True, frozen=True):
    """What was known of a line while fusion time ran from `start_us` to `end_us` (one boot).

    Attributes:
        lows, highs: as in `OffsetBounds`.
    """

    start_us: int
    end_us: int
    lows: list[tuple[int, int]]
    highs: list[tuple[int, int]]


@dataclass(slots=True)
class OffsetBounds:
    """Bounds on (fusion − raw) of one line, kept from request/response pairs (arbitration.md §8).

    Each bound is exact only at its own raw instant and is worth less by the drift bound the
    further away it is used.

    Attributes:
        exact_us: the constant of a line on fusion's own boot clock, None for others.
        lows, highs: (offset at least, or at most; raw instant), of this boot of fusion's clock.
        start_us: when this boot of fusion's clock began; nothing is known to lie before in the
            first.
        floor_us: end of the boot before; looks on fusion's own boot clock were made after it.
        past: the same of earlier boots. They are combined with these, never replaced by them: how
            long fusion was down is only guessed.
    """

    exact_us: int | None = None
    lows: list[tuple[int, int]] = field(default_factory=list)
    highs: list[tuple[int, int]] = field(default_factory=list)
    start_us: int = -_FOREVER
    floor_us: int = -_FOREVER
    past: list[PastBounds] = field(default_factory=list)

    def request(self, *, sent_raw_us: int, received_us: int) -> None:
        """A request left the agent at `sent_raw_us` and came in at fusion time `received_us`."""
        self.highs = _best(self.highs, (received_us - sent_raw_us, sent_raw_us), 1)

    def reply(self, *, sent_us: int, received_raw_us: int) -> None:
        """A reply left fusion at `sent_us` and reached the agent at `received_raw_us`."""
        self.lows = _best(self.lows, (sent_us - received_raw_us, received_raw_us), -1)

    def at(self, raw_us: int) -> tuple[int, int]:
        """(at least, at most): the offset at a raw instant, as far as this boot's samples say."""
        if self.exact_us is not None:
            return self.exact_us, self.exact_us
        return _low(self.lows, raw_us), _high(self.highs, raw_us)

    def map(self, f: int, t: int, arrival_us: int) -> tuple[int, int]:
        """Fusion interval [lo, hi] of the raw interval [f, t]; `hi` is capped by the arrival.

        ``lo > hi`` means a broken clock: the caller drops the samples and owes a deep look.
        """
        if self.exact_us is not None:
            lo, hi = f + self.exact_us, t + self.exact_us
            return max(lo, self.floor_us), min(arrival_us, max(hi, self.floor_us))
        lo, hi = -_FOREVER, _FOREVER
        if self.lows and f + (low := _low(self.lows, f)) >= self.start_us:
            lo = f + low
        if self.highs:
            hi = max(t + _high(self.highs, t), self.start_us)
        for boot in self.past:
            if boot.lows and f + (low := _low(boot.lows, f)) >= boot.start_us:
                lo = max(lo, min(f + low, boot.end_us))
            if boot.highs and t + (high := _high(boot.highs, t)) <= boot.end_us:
                hi = min(hi, max(t + high, boot.start_us))
        return lo, min(arrival_us, hi)

    def contradiction_us(self) -> int:
        """By how much the samples of this boot contradict each other; 0 = not at all."""
        worst = 0
        for least, a in self.lows:
            for most, at in self.highs:
                if least - most > worst:  # else there is nothing for a drift to excuse
                    worst = max(worst, least - _drift(a - at) - most)
        return worst


def _low(lows: list[tuple[int, int]], raw_us: int) -> int:
    best = -_FOREVER
    for least, at in lows:
        said = least - abs(raw_us - at) * DRIFT_PPM // 1_000_000 - 1
        if said > best:
            best = said
    return best


def _high(highs: list[tuple[int, int]], raw_us: int) -> int:
    best = _FOREVER
    for most, at in highs:
        said = most + abs(raw_us - at) * DRIFT_PPM // 1_000_000 + 1
        if said < best:
            best = said
    return best


def _drift(distance_us: int) -> int:
    return abs(distance_us) * DRIFT_PPM // 1_000_000 + 1


def _best(kept: list[tuple[int, int]], new: tuple[int, int], sign: int) -> list[tuple[int, int]]:
    """The samples that say most at the newest one's instant, and always the newest itself."""
    at = new[1]
    ranked = [*kept, new]
    ranked.sort(key=lambda s: sign * s[0] + abs(at - s[1]) * DRIFT_PPM // 1_000_000)
    ranked = ranked[: SAMPLES_KEPT - 1]
    return ranked if new in ranked else [*ranked, new]


class LogicalClock:
    """Storage time: fusion's wall time less the usual lag between it and fresh ctimes.

    The lag is the mode over the last realtime samples of (wall − ctime), in steps of 100 ms.
    ctime, because no user can set it: archives and ``cp -p`` lie with mtime. Used only for the age
    of files, never for order or existence.
    """

    STEP_NS = 100_000_000
    WINDOW = 4096

    def __init__(self, samples: list[int] | None = None) -> None:
        self._window: deque[int] = deque(samples or (), maxlen=self.WINDOW)
        self._counts: Counter[int] = Counter(self._window)
        self._mode: int | None = None

    def sample(self, wall_ns: int, ctime_ns: int) -> None:
        """A realtime claim showed a ctime at this wall time."""
        step = (wall_ns - ctime_ns) // self.STEP_NS
        if len(self._window) == self.WINDOW:
            old = self._window[0]
            self._counts[old] -= 1
            if not self._counts[old]:
                del self._counts[old]
        self._window.append(step)
        self._counts[step] += 1
        self._mode = None

    def watermark(self, wall_ns: int) -> int:
        """Storage time at this wall time, ns since 1970."""
        if self._mode is None:
            best = max(self._counts.items(), key=lambda item: (item[1], -item[0]), default=(0, 0))
            self._mode = best[0]
        return wall_ns - self._mode * self.STEP_NS

    def samples(self) -> list[int]:
        """The window, to be kept across restarts."""
        return list(self._window)

    def __repr__(self) -> str:
        return f"LogicalClock(samples={len(self._window)}, mode={self._mode})"


class WallDistance:
    """How far the wall clock is from fusion time, held until it has really moved.

    So an instant of fusion time has the same wall time whenever it is told, though two clocks can
    never be read at once.

    Args:
        slack_ns: by so much both may differ before the distance is taken anew.
    """

    def __init__(self, slack_ns: int = 10_000_000) -> None:
        self._slack_ns = slack_ns
        self._distance_ns: int | None = None

    def __repr__(self) -> str:
        return f"<WallDistance {self._distance_ns} ns>"

    def wall_ns(self, now_us: int, read_ns: int) -> int:
        """The wall time of now.

        Args:
            now_us: fusion time now. read_ns: the wall clock, read just now.
        """
        distance = read_ns - now_us * 1000
        if self._distance_ns is None or abs(distance - self._distance_ns) > self._slack_ns:
            self._distance_ns = distance
        return now_us * 1000 + self._distance_ns
