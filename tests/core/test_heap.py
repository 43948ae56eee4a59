"""What lasts is looked at once by the collector of cycles."""

from __future__ import annotations

import subprocess
import sys

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
