"""``python -m tests.sim.planted``: look for each planted bug, and write the table.

What was found stands in `planted.json` beside this file: rows that are there are not looked for
again but with ``--again``. From each of some starts the seeds are tried one after the other.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fustor_core.testing.sim.endless import Endless, bounded
from fustor_core.testing.sim.runs import commit_of
from tests.sim.planted_agents import AGENTS
from tests.sim.planted_bounds import BOUNDS
from tests.sim.planted_bugs import Bug
from tests.sim.planted_order import ORDER
from tests.sim.planted_published import RULES
from tests.sim.planted_table import page
from tests.sim.planted_tree import SEATS

BUGS = (*ORDER, *SEATS, *AGENTS, *BOUNDS, *RULES)
HERE = Path(__file__).parent
FOUND, PAGE = HERE / "planted.json", HERE.parents[1] / "docs" / "planted-bugs.md"
SIDE = HERE / "side_by_side.json"
APART = 1000
"""Between two starts; so many seeds are tried from each, at most."""
COUNTED = 20
"""Seeds in which a counter is compared."""
ENDLESS_S = 15.0
"""CPU seconds after which a run is one that never ends."""


def search(bug: Bug, start: int, most: int) -> tuple[int, str]:
    """(seeds tried, promise broken) from a start; the promise "" when it was not found."""
    if bug.counts is not None:
        return _compared(bug, start)
    for number in range(most):
        promise = found_by(bug, start + number)
        if promise:
            return number + 1, promise
    return most, ""


def found_by(bug: Bug, seed: int) -> str:
    """The promise that the world of a seed breaks with the bug alone; "" = none."""
    try:
        with bounded(ENDLESS_S) as ended:
            promise = bug.run(seed).promise
    except Endless:
        promise = ""
    promise = ended[0] if ended else promise
    return promise if promise and not (bug.changes and bug.bare().run(seed).promise) else ""


def _compared(bug: Bug, start: int) -> tuple[int, str]:
    """Whether a counter grows as it should."""
    assert bug.counts is not None
    name, factor = bug.counts
    totals = []
    for one in (bug, bug.bare()):
        counts: Counter[str] = Counter()
        for seed in range(start, start + COUNTED):
            counts += one.run(seed).counts
        totals.append(counts[name])
    ratio = totals[0] / max(1, totals[1])
    return COUNTED, f"{name} × {ratio:.2g}" if ratio >= factor else ""


def main(arguments: list[str] | None = None) -> int:
    """Look; 0 when every bug was found."""
    asked = _parser().parse_args(arguments)
    found: dict[str, Any] = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    rows = set(asked.rows) or {bug.row for bug in BUGS}
    for bug in BUGS:
        if bug.row not in rows or (bug.row in found and not asked.again):
            continue
        told = [search(bug, start * APART, asked.most) for start in range(asked.starts)]
        missed = [tried for tried, promise in told if not promise]
        found[bug.row] = {
            "seeds": [tried if promise else None for tried, promise in told],
            "tried": max(missed, default=0),
            "promises": sorted({promise for _, promise in told if promise}),
            "commit": commit_of(HERE),
        }
        print(bug.row, found[bug.row], flush=True)
        FOUND.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    write_page(found)
    return 0 if all(any(found.get(bug.row, {}).get("seeds", ())) for bug in BUGS) else 1


def write_page(found: dict[str, Any]) -> None:
    """The page, with what was found and the last figures of both designs side by side."""
    PAGE.write_text(page(BUGS, found, json.loads(SIDE.read_text()) if SIDE.exists() else {}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.planted", description=__doc__)
    parser.add_argument("rows", nargs="*", help="these rows alone")
    parser.add_argument("--starts", type=int, default=3, help="how many starts")
    parser.add_argument("--most", type=int, default=APART, help="seeds from a start, at most")
    parser.add_argument("--again", action="store_true", help="also what was found before")
    return parser


if __name__ == "__main__":
    sys.exit(main())
