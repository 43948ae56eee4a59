"""``python -m tests.sim.figures``: the last figures into docs/guarantees.md."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fustor_core.testing.sim.counters import OPERATIONS

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "guarantees.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def figures(ledger: Mapping[str, Any], planted: Mapping[str, Any], stories: int) -> str:
    """As a table and some lines."""
    counts = Counter(ledger["counts"])
    seeds = sum(run["seeds"] for run in ledger["runs"])
    commit = ledger["runs"][-1]["commit"]
    faults = sum(n for name, n in counts.items() if name.startswith("fault."))
    kinds = sum(1 for name, n in counts.items() if name.startswith("fault.") and n)
    operations = sum(counts[f"op.{kind}"] for kind in OPERATIONS if kind not in ("ask", "scan"))
    fixed = {int(seed): at for seed, at in ledger.get("fixed", {}).items()}
    seen = {seed for seed, _, _ in ledger["broken"]}
    rows = [
        ("seeds", seeds),
        ("simulated hours", counts["simulated.seconds"] // 3600),
        ("operations on files", operations),
        (f"faults, of {kinds} kinds", faults),
        ("steps: answered requests after which all was checked", counts["checked.steps"]),
        ("registers checked for honesty and steps back", counts["checked.registers"]),
        ("batches delivered twice", counts["checked.again"]),
        ("journals folded in another order", counts["checked.order"]),
        ("worlds that came to rest within T, and whose state was read back", seeds - len(seen)),
        ("disks full, torn, broken", sum(counts[f"disk.{n}"] for n in ("full", "torn", "broken"))),
        ("worlds that broke a promise", len(seen)),
        ("of them fixed: run again at a later commit, and clean", len(seen & fixed.keys())),
    ]
    lines = [f"| {name} | {number:,} |" for name, number in rows]
    table = "\n".join(["| until commit " + commit + " | |", "|---|---:|", *lines])
    broken = "; ".join(_broken(*one, fixed.get(one[0], "")) for one in ledger["broken"]) or "none"
    found = sum(1 for told in planted.values() if any(told["seeds"]))
    return (
        f"{table}\n\nWhich seeds, and what they broke: {broken}.\n\n"
        f"Planted bugs: {found} of {len(planted)} that were looked for were found."
        f" Worlds in the corpus: {stories}; seeds without a line there are run whole beside it.\n"
    )


def _broken(seed: int, promise: str, commit: str, fixed: str) -> str:
    """What one seed has found, and what became of it."""
    became = f"found, fixed: clean at {fixed}" if fixed else "found, open"
    return f"seed {seed}: {promise}, at {commit} ({became})"


def main() -> int:
    """Write them."""
    ledger = json.loads((HERE / "ledger.json").read_text())
    planted = json.loads((HERE / "planted.json").read_text())
    stories = len((HERE / "corpus.jsonl").read_text().splitlines())
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + figures(ledger, planted, stories) + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
