"""What lasts is looked at once by the collector of cycles."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fustor_core import heap

SCRIPT = """
import gc
from fustor_core import heap

heap.arrange()
heap.arrange()
assert len(gc.callbacks) == 1
assert gc.get_threshold() == heap.THRESHOLDS
kept = [[number] for number in range(1000)]
gc.collect(0)
assert gc.get_freeze_count() == 0
gc.collect()
assert gc.get_freeze_count() >= len(kept)
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() == 1
"""


def test_what_survives_a_whole_collection_is_left_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


async def _tidied(used: list[float]) -> list[float]:
    """CPU time used whenever it was tidied, given what was used at each look."""
    tidied: list[float] = []
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == len(used):
            raise Over

    with pytest.raises(Over):
        await heap.keep_tidy(sleep, lambda: used[looks], lambda: tidied.append(used[looks]))
    return tidied


async def test_the_heap_is_tidied_when_work_is_over_and_not_for_nothing() -> None:
    """CPU time in each look: at work, calm, calm, a little, calm; then at work without an end."""
    used = [0.0, 1.0, 1.01, 1.02, 1.2, 1.21] + [3.0 + 2.0 * n for n in range(40)]
    tidied = await _tidied(used)
    assert tidied[0] == 1.01, "when it became calm"
    assert len(tidied) == 2, "once in a minute of work"
    assert tidied[1] - 3.0 >= heap.BUSY_S - 4 * heap.LOOK_S


async def test_the_heap_is_tidied_once_more_when_all_is_still() -> None:
    """A checkpoint, too short to count as work, follows a scan."""
    used = [0.0, 5.0, 5.01, 5.31] + [5.32 + 0.001 * n for n in range(20)]
    tidied = await _tidied(used)
    assert tidied[0] == 5.01
    assert len(tidied) == 2
    assert tidied[1] >= 5.32 + 0.001 * (heap.STILL_S / heap.LOOK_S - 1)


class Over(Exception):
    """There are no more looks."""
