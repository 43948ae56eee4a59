"""Lines: exchanges bound the offset, nonsense is left aside, a broken clock is noticed."""

from __future__ import annotations

import random

import pytest

from fustor_core.clock import OffsetBounds, PastBounds
from fustor_core.lines import LineName, Lines

S = 1_000_000
NAME = LineName("a", "p", "boot", "1", "m")
FAR = NAME._replace(boot="far")


def lines(**more: int) -> Lines:
    given = {"start_us": -(1 << 62), "floor_us": -(1 << 62), "most": 3, **more}
    return Lines("boot", 1000, **given)


class Clock:
    """A line whose true offset is known."""

    def __init__(self, offset_us: int, name: LineName = FAR) -> None:
        self.table, self.offset_us, self.now_us = lines(), offset_us, 100 * S
        self.line = self.table.of(name)
        self.echo: tuple[int, int] | None = None

    def exchange(self, there_us: int = 300, back_us: int = 300) -> bool:
        """A request and its reply; whether the clock is said to be broken."""
        sent = self.now_us - self.offset_us
        self.now_us += there_us
        broken = self.line.heard(self.now_us, sent, self.echo)
        told = self.line.told(self.now_us)
        self.now_us += back_us
        self.echo = told, self.now_us - self.offset_us
        self.now_us += S
        return broken


def test_the_same_name_is_the_same_line_until_it_is_forgotten() -> None:
    table = lines()
    first = table.of(NAME)
    assert table.of(NAME) is first
    assert table.of(NAME._replace(process="2")).number == 2
    table.of(NAME)
    for process in "34":
        table.of(NAME._replace(process=process))
    assert table.of(NAME) is first, "the one used last is kept longest"
    assert table.of(NAME._replace(process="2")).number == 5


def test_an_exchange_bounds_the_offset_from_both_sides() -> None:
    clock = Clock(-5_000 * S)
    assert clock.line.offsets() == (None, None)
    clock.exchange()
    clock.exchange()
    least, most = clock.line.offsets()
    assert least is not None
    assert most is not None
    assert least <= clock.offset_us <= most
    assert most - least < 1_500


def test_the_constant_of_the_same_boot_is_used_once_an_exchange_has_shown_it() -> None:
    clock = Clock(1000, NAME)
    clock.exchange()
    assert clock.line.bounds.exact_us is None, "a boot id alone proves nothing"
    clock.exchange()
    assert clock.line.bounds.exact_us == 1000
    here = lines().of(NAME)
    here.here()
    assert here.bounds.exact_us == 1000


@pytest.mark.parametrize("shift_us", [-10 * S, -3_000, 3_000, 86_400 * S])
def test_a_time_namespace_with_the_same_boot_id_is_found_out(shift_us: int) -> None:
    clock = Clock(1000 + shift_us, NAME)
    assert not clock.exchange(), clock.line
    assert not clock.exchange()
    assert clock.line.bounds.exact_us is None
    seen = clock.now_us - 2 * S
    lo, hi = clock.line.bounds.map(seen - clock.offset_us, seen - clock.offset_us, clock.now_us)
    assert lo <= seen <= hi


def test_slow_exchanges_prove_less_than_quick_ones() -> None:
    clock = Clock(1000 + 5_000, NAME)
    for _ in range(2):
        assert not clock.exchange(20_000, 20_000)
    assert clock.line.bounds.exact_us == 1000, "as far as can be told"
    for _ in range(2):
        assert not clock.exchange()
    assert clock.line.bounds.exact_us is None
    assert clock.line.row().same_clock is False, "for good"


def test_a_clock_that_steps_is_broken_and_gets_a_new_number() -> None:
    clock = Clock(-5 * S)
    for _ in range(3):
        assert not clock.exchange()
    clock.offset_us += 10_000
    assert clock.exchange() or clock.exchange()
    clock.table.renew(clock.line)
    clock.echo = None
    assert clock.line.number == 2
    assert clock.line.offsets() == (None, None)
    assert not clock.exchange()
    assert not clock.exchange()


def test_nonsense_is_ignored_and_counted() -> None:
    clock = Clock(-5 * S)
    for _ in range(3):
        clock.exchange()
    line, sent = clock.line, clock.now_us - clock.offset_us
    given, received = clock.echo or (0, 0)
    for sent_us, echo in [
        (1 << 62, None),
        (-(1 << 62), None),
        (sent + 7_200 * S, None),
        (sent, (given + 1, received)),  # a time that was never given out
        (sent, (given, sent + 5)),  # received after this was sent
        (sent, (given, -(1 << 62))),
    ]:
        assert not line.heard(clock.now_us, sent_us, echo)
    assert line.ignored == 6
    least, most = line.offsets()
    assert least is not None
    assert most is not None
    assert clock.offset_us - 2_000 < least <= clock.offset_us <= most < clock.offset_us + 2_000
    assert not line.heard(clock.now_us, None, None), "who says nothing is not wrong"


def test_a_clock_that_stays_far_off_is_a_broken_one() -> None:
    clock = Clock(-5 * S)
    for _ in range(3):
        clock.exchange()
    clock.offset_us -= 7_200 * S
    clock.echo = None
    told = [clock.line.heard(clock.now_us, clock.now_us - clock.offset_us, None) for _ in range(3)]
    assert told == [False, False, True]


def test_what_is_kept_comes_back() -> None:
    clock = Clock(-5 * S)
    for _ in range(4):
        clock.exchange()
    again = lines()
    again.restore(clock.table.rows(), rebooted=None)
    assert again.of(FAR).number == clock.line.number
    assert again.of(FAR).offsets() == clock.line.offsets()
    assert again.of(NAME).number > clock.line.number
    rebooted = lines()
    rebooted.restore(clock.table.rows(), rebooted=(-(1 << 62), clock.now_us))
    assert rebooted.of(FAR).offsets() == (None, None)
    assert len(rebooted.of(FAR).bounds.past) == 1


@pytest.mark.parametrize("seed", range(100))
def test_bounds_of_earlier_boots_keep_what_they_know(seed: int) -> None:
    """arbitration.md §8: three boots of fusion's clock, each gap guessed wrong; drift 200 ppm."""
    draw = random.Random(seed)
    drift = draw.uniform(-2e-4, 2e-4)
    skew = draw.uniform(-1e12, 1e12)
    spans: list[tuple[float, float, float]] = []  # true start, true end, fusion less true
    at, shift = 0.0, 0.0
    for _ in range(3):
        end = at + draw.uniform(10, 500) * S
        spans.append((at, end, shift))
        gap = draw.uniform(0, 400) * S
        shift += draw.uniform(-gap, 300 * S)
        at = end + gap

    def raw(true: float) -> int:
        return round((true + skew) * (1 + drift))

    def fusion(true: float) -> tuple[float, float]:
        """Where a true instant lies: exactly while fusion ran, within the gap else."""
        for start, end, less in spans:
            if start <= true <= end:
                return true + less, true + less
        before = [end + less for _, end, less in spans if end < true]
        after = [start + less for start, _, less in spans if start > true]
        return max(before, default=-4e18), min(after, default=4e18)

    past = []
    bounds = OffsetBounds()
    for number, (start, end, less) in enumerate(spans):
        bounds = OffsetBounds(past=list(past))
        bounds.start_us = -(1 << 62) if number == 0 else round(start + less)
        now = start
        while now < end - 20 * S:
            there, back = draw.uniform(1e3, 3e5), draw.uniform(1e3, 3e5)
            bounds.request(sent_raw_us=raw(now), received_us=round(now + there + less))
            sent = round(now + there + less)
            bounds.reply(sent_us=sent, received_raw_us=raw(now + there + back))
            now += draw.uniform(1, 60) * S
        finish = round(end + less)
        past.append(PastBounds(bounds.start_us, finish, bounds.lows, bounds.highs))
    arrival = round(spans[-1][1] + spans[-1][2])
    for _ in range(50):
        true = draw.uniform(0, spans[-1][1])
        lo, hi = bounds.map(raw(true), raw(true), arrival)
        least, most = fusion(true)
        assert lo - 3 <= most, (true, spans)
        assert hi + 3 >= least, (true, spans)
