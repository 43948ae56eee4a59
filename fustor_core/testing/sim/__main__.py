"""``python -m fustor_core.testing.sim``: run seeds, print what breaks."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections import Counter

from fustor_core.testing.sim.campaign import as_text, run_seed, shrink


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 when no promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m fustor_core.testing.sim", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--shrink", action="store_true", help="look for fewer operations")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    asked = parser.parse_args(arguments)
    trace = print if asked.trace else None
    total: Counter[str] = Counter()
    broken = 0
    for seed in range(asked.seed, asked.seed + asked.count):
        outcome = run_seed(seed, trace=trace)
        total += outcome.counts
        if asked.count == 1 or outcome.promise:
            print(outcome, flush=True)
        if not outcome.promise:
            continue
        broken += 1
        if outcome.error is not None and asked.trace:
            traceback.print_exception(outcome.error)
        if asked.shrink:
            least = shrink(outcome)
            print(f"  {len(least.operations)} operations, {len(least.faults)} faults: {least.text}")
            for one in (*least.operations, *least.faults):
                print("   ", one)
            print("  " + as_text(least), flush=True)
    if asked.count > 1:
        print(f"{asked.count} seeds, {broken} broken")
        for name, number in sorted(total.items()):
            print(f"  {name} {number}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
