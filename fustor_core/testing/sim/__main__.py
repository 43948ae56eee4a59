"""``python -m fustor_core.testing.sim``: run seeds, print what breaks."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from fustor_core.testing.sim import runs
from fustor_core.testing.sim.campaign import as_text, run_seed, shrink
from fustor_core.testing.sim.counters import never

MANY = 5000


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 when no promise was broken, and everything happened that should sometimes."""
    asked = _parser().parse_args(arguments)
    if asked.ledger is not None:
        return _cumulate(asked)
    if asked.count == 1 or asked.shrink or asked.trace:
        return max(_one(seed, asked) for seed in range(asked.seed, asked.seed + asked.count))
    return _many(asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fustor_core.testing.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many")
    parser.add_argument("--shrink", action="store_true", help="look for fewer operations")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--jobs", type=int, default=runs.cores(), help="processes")
    parser.add_argument(
        "--sometimes", action="store_true", help="fail when something never happened"
    )
    parser.add_argument(
        "--ledger",
        type=Path,
        help="go on where this file ends, and write there what was run; what broke is run first",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="with --ledger: how long")
    return parser


def _one(seed: int, asked: argparse.Namespace) -> int:
    outcome = run_seed(seed, trace=print if asked.trace else None)
    print(outcome, flush=True)
    if not outcome.promise:
        return 0
    if outcome.error is not None and outcome.promise[0].isupper():
        traceback.print_exception(outcome.error)
    if asked.shrink:
        least = shrink(outcome)
        print(f"  {len(least.operations)} operations, {len(least.faults)} faults: {least.text}")
        for one in (*least.operations, *least.faults):
            print("   ", one)
        print("  " + as_text(least), flush=True)
    return 1


def _many(asked: argparse.Namespace) -> int:
    total: Counter[str] = Counter()
    broken = 0
    began = time.monotonic()
    for part in runs.run_parts(runs.parts(asked.seed, asked.count), jobs=asked.jobs):
        total += part.counts
        broken += len(part.broken)
        _told(part)
    spent = time.monotonic() - began
    print(f"{asked.count} seeds in {spent:.0f} s, {broken} broken")
    for name, number in sorted(total.items()):
        print(f"  {name} {number}")
    missing = never(total) if asked.sometimes else []
    if missing:
        print(f"never happened: {' '.join(missing)}")
    return 1 if broken or missing else 0


def _cumulate(asked: argparse.Namespace) -> int:
    ledger = runs.Ledger(asked.ledger)
    commit = runs.commit_of(Path(__file__).parent)
    until = time.monotonic() + 60 * asked.minutes
    broken = 0
    for part in runs.run_parts(ledger.doubtful(), jobs=asked.jobs, until=until):
        ledger.again(commit, part)
        broken += len(part.broken)
        _told(part)
    fresh = itertools.chain(list(ledger.missing()), runs.parts(ledger.next, 1 << 40))
    for part in runs.run_parts(fresh, jobs=asked.jobs, until=until):
        ledger.add(commit, part)
        broken += len(part.broken)
        _told(part)
    missing = never(ledger.counts, many=True) if ledger.done >= MANY else []
    if missing:
        print(f"never happened: {' '.join(missing)}")
    hours = ledger.counts["simulated.seconds"] / 3600
    print(f"{ledger.done} seeds so far, {hours:.0f} simulated hours; {broken} broken in this run")
    return 1 if broken or missing else 0


def _told(part: runs.Part) -> None:
    for seed, promise, text in part.broken:
        print(f"seed {seed}: {promise}\n  {text[:2000]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
