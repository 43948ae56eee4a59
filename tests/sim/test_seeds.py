"""The simulator by seeds: promises hold, and a seed is a seed in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fustor_core.testing.sim.campaign import run_seed

ASK = "from fustor_core.testing.sim.campaign import run_seed; print(run_seed({}).digest)"


@pytest.mark.parametrize("seed", range(3))
def test_promises_hold(seed: int) -> None:
    outcome = run_seed(seed)
    assert not outcome.promise, str(outcome)


@pytest.mark.long
def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", ASK.format(9)],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for hashing in ("0", "1", "2")
    }
    assert len(digests) == 1
