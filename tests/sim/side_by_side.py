"""``python -m tests.sim.side_by_side``: the published rules of the earlier design beside ours.

The same worlds are run under both, to their end: what is broken is counted, and stops nothing. The
figures stand in `side_by_side.json` beside this file, and in the page of planted bugs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

from fustor_core.testing.sim.campaign import run_lists
from fustor_core.testing.sim.checker import Checker
from fustor_core.testing.sim.runs import commit_of, cores
from tests.sim.planted import FOUND, HERE, PAGE, SIDE, write_page
from tests.sim.planted_bugs import Worlds
from tests.sim.planted_published import published

WORLDS = Worlds("", "again huge")
SEEDS = 300
BROKEN = "broken."


@contextmanager
def counting() -> Iterator[None]:
    """What breaks is counted inside, and the world goes on."""

    def counted(checker: Checker, promise: str, text: str) -> None:
        checker.world.count(BROKEN + promise)

    checker: Any = Checker
    before = checker.fail
    checker.fail = counted
    try:
        yield
    finally:
        checker.fail = before


def told(seed: int, *, theirs: bool) -> Counter[str]:
    """What came of one world."""
    with counting():
        outcome = run_lists(*WORLDS.at(seed), **({"arbitrates": published} if theirs else {}))
    counts = Counter({name: n for name, n in outcome.counts.items() if name.startswith(BROKEN)})
    counts["crashed"] += bool(outcome.promise)
    counts["worlds"] += 1
    counts["registers"] += outcome.counts["checked.registers"]
    for promise in ("convergence", "honesty", "step_back"):
        counts["worlds." + promise] += bool(counts[BROKEN + promise])
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Run both; 0 when ours broke nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.side_by_side", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many worlds")
    asked = parser.parse_args(arguments)
    sums: dict[str, Any] = {"commit": commit_of(HERE)}
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        for who, theirs in (("ours", False), ("theirs", True)):
            total: Counter[str] = Counter()
            for one in pool.map(partial(told, theirs=theirs), range(asked.seeds), chunksize=4):
                total.update(one)
            sums[who] = dict(sorted(total.items()))
            print(who, sums[who], flush=True)
    SIDE.write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n")
    write_page(json.loads(FOUND.read_text()))
    print(f"written: {SIDE.name}, {PAGE.name}")
    return 1 if any(name.startswith(BROKEN) for name in sums["ours"]) else 0


if __name__ == "__main__":
    sys.exit(main())
