"""Worlds that once broke a promise: each line holds everything that it takes to run it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core.testing.sim.campaign import replayed

LINES = (Path(__file__).parent / "corpus.jsonl").read_text().splitlines()


@pytest.mark.parametrize("number", range(len(LINES)))
def test_it_holds_now(number: int) -> None:
    outcome = replayed(LINES[number])
    assert not outcome.promise, str(outcome)
