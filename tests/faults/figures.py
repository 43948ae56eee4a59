"""``python -m tests.faults.figures``: what the campaigns made so far, into docs/guarantees.md."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .ledger import counted, largest, places, spots
from .power import FATES

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "guarantees.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end of faults -->\n"
STOPS = ("stop agent", "stop server", "cut", "refuse")
Kept = Mapping[str, Any]
Lines = list[tuple[str, str]]


def _kills(kept: Kept) -> Lines:
    counts = counted(kept)
    calls = Counter[str]()
    for kind, numbers in spots(kept).items():
        calls[kind.rpartition(" ")[2]] += len(numbers)
    kinds = ", ".join(f"{name} {count}" for name, count in calls.most_common())
    return [
        ("`kill -9` of the server", f"{counts['kills']:,}"),
        (f"distinct boundaries: {kinds}", f"{places(kept):,}"),
        ("batches acknowledged by a server that was killed", f"{counts['acknowledged']:,}"),
        ("batches sent again", f"{counts['sent again']:,}"),
        ("looks at the whole view", f"{counts['looks']:,}"),
        ("acknowledged batches lost", f"{counts['lost']:,}"),
    ]


def _agent_kills(kept: Kept) -> Lines:
    counts = counted(kept)
    return [
        ("`kill -9` of an agent in a storm", f"{counts['kills']:,}"),
        ("distinct boundaries", f"{places(kept):,}"),
        ("campaigns that ended with an exact view", f"{counts['exact']:,}"),
    ]


def _power(kept: Kept) -> Lines:
    counts = counted(kept)
    fates = ", ".join(f"{counts[f'unsynced {fate}']:,} {fate}" for fate in FATES)
    return [
        (f"power cuts of the server; what was not synced: {fates}", f"{counts['cuts']:,}"),
        ("distinct places on a tape of system calls", f"{places(kept):,}"),
        ("acknowledged batches looked for", f"{counts['batches looked for']:,}"),
        ("acknowledged batches lost", f"{counts['lost']:,}"),
    ]


def _agent_power(kept: Kept) -> Lines:
    return [("power cuts of an agent, each with an exact view after", f"{counted(kept)['cuts']:,}")]


def _mounts(kept: Kept) -> Lines:
    counts = counted(kept)
    kinds = ("vanish", "wrong_disk", "empty_disk", "swapped")
    said = ", ".join(f"{counts[kind]:,} {kind.replace('_', ' ')}" for kind in kinds)
    return [
        (f"mounts: {said}", f"{sum(counts[kind] for kind in kinds):,}"),
        ("files removed by a disk that was not theirs", f"{counts['removed']:,}"),
        ("alarms within 5 s", f"{counts['in time']:,}"),
        ("longest alarm", f"{largest(kept, 'alarm_s'):.1f} s"),
    ]


def _nfs(kept: Kept) -> Lines:
    counts = counted(kept)
    faults = sum(count for name, count in counts.items() if name.startswith("fault "))
    return [
        ("worlds of two NFS clients, each from a seed", f"{places(kept):,}"),
        ("operations through both", f"{counts['operations']:,}"),
        ("faults of the storage: errors, broken listings, hangs, vanished mounts", f"{faults:,}"),
        ("runs of them whose view was exact after healing", f"{counts['exact']:,}"),
    ]


def _soak(kept: Kept) -> Lines:
    counts = counted(kept)
    grown = [f"{largest(kept, f'{name} memory more'):.1f} MiB" for name in ("fusion", "alpha")]
    more = max(
        largest(kept, f"{name} {what} more")
        for name in ("fusion", "alpha")
        for what in ("descriptors", "threads")
    )
    return [
        ("minutes of everything together", f"{counts['seconds'] // 60:,}"),
        ("operations on files", f"{counts['operations']:,}"),
        ("kills", f"{counts['kill agent'] + counts['kill server']:,}"),
        ("stops and cuts", f"{sum(counts[name] for name in STOPS):,}"),
        ("views that were exact again", f"{counts['exact']:,}"),
        ("memory that the server grew by, once warm; its last 100,000 changes are kept", grown[0]),
        ("memory that an agent grew by, once warm", grown[1]),
        ("descriptors and threads that either grew by", f"{more:.0f}"),
    ]


CAMPAIGNS: dict[str, Callable[[Kept], Lines]] = {
    "kills": _kills,
    "agent kills": _agent_kills,
    "power": _power,
    "agent power": _agent_power,
    "mounts": _mounts,
    "nfs": _nfs,
    "soak": _soak,
}


def flips(kept: Kept) -> list[str]:
    """A table of files, and what came of harm to each."""
    files: dict[str, Counter[str]] = {}
    for name, count in counted(kept).items():
        file, _, outcome = name.rpartition(": ")
        files.setdefault(file, Counter())[outcome] += count
    rows = [
        f"| `{file}` | {sum(told.values()):,} | {told['refused']:,} | {told['told']:,} |"
        f" {told['as it was']:,} |"
        for file, told in sorted(files.items())
    ]
    return [
        "| a bit flipped, an end cut off | harms | refused | told, rest served | nothing lost |",
        "|---|---:|---:|---:|---:|",
        *rows,
    ]


def figures(ledger: Mapping[str, Kept]) -> str:
    """As tables, and what failed."""
    lines = ["| campaign | figure | |", "|---|---|---:|"]
    for name, told in CAMPAIGNS.items():
        if name in ledger:
            commit = ledger[name]["runs"][-1]["commit"]
            heads = [f"{name}, until `{commit}`"] + [""] * 10
            pairs = zip(heads, told(ledger[name]), strict=False)
            lines += [f"| {head} | {what} | {figure} |" for head, (what, figure) in pairs]
    if "flips" in ledger:
        lines += ["", *flips(ledger["flips"])]
    failed = [
        f"- {name}, at `{commit}`: {why}"
        for name, kept in ledger.items()
        for why, commit in kept["broken"]
    ]
    lines += ["", "What failed, and at which commit:" if failed else "None failed."]
    return "\n".join([*lines, "", *failed] if failed else lines) + "\n"


def main() -> int:
    """Write them."""
    ledger = json.loads((HERE / "ledger.json").read_text("utf-8"))
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + figures(ledger) + END + after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
