"""How fast a scan may ask the storage."""

from __future__ import annotations

import pytest

from fustor_core.tempo import PAUSE_MOST_S, SHARES, WINDOW, Tempo

QUICK_S, SLOW_S = 0.001, 0.010


def looks(tempo: Tempo, latency_s: float, count: int = 8 * WINDOW) -> float:
    """The pauses after so many looks, seconds together."""
    return sum(tempo.pause_s(1, latency_s) for _ in range(count))


def test_a_fixed_rate_is_kept() -> None:
    tempo, spent = Tempo(100), 0.0
    for _ in range(500):
        spent += 0.002 + tempo.pause_s(1, 0.002)
    assert spent == pytest.approx(5.0, rel=0.01)


def test_a_fixed_rate_that_the_storage_does_not_reach_makes_no_pauses() -> None:
    assert looks(Tempo(100), 0.02) == 0


def test_no_pause_is_long_and_none_is_forgotten() -> None:
    tempo = Tempo(10)
    pauses = [tempo.pause_s(100, 1.0)]
    while pauses[-1]:
        pauses.append(tempo.pause_s(1, 0.1))
    assert max(pauses) == PAUSE_MOST_S
    assert sum(pauses) == pytest.approx(9.0)


def test_a_quiet_storage_is_asked_without_pauses() -> None:
    tempo = Tempo()
    assert looks(tempo, QUICK_S) == 0
    assert looks(tempo, 2 * QUICK_S) == 0, "that may be anything"


def test_a_busy_storage_is_left_alone_most_of_the_time_but_never_quite() -> None:
    tempo = Tempo()
    looks(tempo, QUICK_S)
    looks(tempo, SLOW_S)
    assert tempo.share == SHARES[0]
    took_s = WINDOW * SLOW_S
    assert looks(tempo, SLOW_S, WINDOW) == pytest.approx(took_s / SHARES[0] - took_s, rel=0.2)


def test_when_it_is_quick_again_the_scan_is_too() -> None:
    tempo = Tempo()
    looks(tempo, QUICK_S)
    looks(tempo, SLOW_S)
    looks(tempo, QUICK_S)
    assert tempo.share == SHARES[1]


def test_a_few_slow_looks_do_not_count() -> None:
    tempo = Tempo()
    looks(tempo, QUICK_S)
    for _ in range(WINDOW * 4):
        tempo.pause_s(1, QUICK_S)
        tempo.pause_s(1, QUICK_S)
        tempo.pause_s(1, 1.0)
    assert tempo.share == SHARES[1]


def test_what_varies_below_a_few_microseconds_is_this_host() -> None:
    tempo = Tempo()
    looks(tempo, 0.000001)
    looks(tempo, 0.000015)
    assert tempo.share == SHARES[1]


def test_a_storage_that_stays_slow_is_another_one_in_the_end() -> None:
    tempo = Tempo()
    looks(tempo, QUICK_S)
    looks(tempo, SLOW_S, 600 * WINDOW)
    assert tempo.share == SHARES[1]
