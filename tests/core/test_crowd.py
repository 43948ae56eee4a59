"""Overruns of a queue, and who is to blame for them."""

from __future__ import annotations

from fustor_core.files.crowd import OVERRUNS_MOST, SPAN_US, Crowd


def test_overruns_by_others_are_too_much_after_a_few() -> None:
    crowd = Crowd()
    for i in range(OVERRUNS_MOST):
        crowd.read(1000, 10)
        assert crowd.ran_over(i) == (i == OVERRUNS_MOST - 1)


def test_overruns_of_our_own_are_nothing_to_run_from() -> None:
    crowd = Crowd()
    for i in range(2 * OVERRUNS_MOST):
        crowd.read(1000, 600)
        assert not crowd.ran_over(i)
        assert not crowd.ran_over(i), "and nothing was read"
    assert not crowd.overruns


def test_overruns_long_ago_are_forgotten() -> None:
    crowd = Crowd()
    for i in range(2 * OVERRUNS_MOST):
        crowd.read(1000, 0)
        assert not crowd.ran_over(i * SPAN_US)
