"""Worlds that once broke a promise: each line holds everything that it takes to run it again.

Of seeds that have no line, because several broke the same promise or because they show it in the
world of their time alone, the whole seed is run again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fustor_core.testing.sim.campaign import replayed, run_seed

HERE = Path(__file__).parent
LINES = (HERE / "corpus.jsonl").read_text().splitlines()
ENDLESS = {40603, 41728}  # they never ended, so no ledger names them
FOUND = {seed for seed, _, _ in json.loads((HERE / "ledger.json").read_text())["broken"]}
SHRUNK = {json.loads(line)["options"]["seed"] for line in LINES}


@pytest.mark.parametrize("number", range(len(LINES)))
def test_it_holds_now(number: int) -> None:
    outcome = replayed(LINES[number])
    assert not outcome.promise, str(outcome)


@pytest.mark.parametrize("seed", sorted((FOUND | ENDLESS) - SHRUNK))
def test_a_seed_that_was_found_is_clean(seed: int) -> None:
    outcome = run_seed(seed)
    assert not outcome.promise, str(outcome)
