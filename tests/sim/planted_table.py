"""The page with the table of planted bugs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median_high
from typing import Any

from tests.sim.planted_bugs import Bug

HEAD = """# Planted bugs

<!-- written by `python -m tests.sim.planted` -->

A simulator that finds nothing proves nothing until it is known what it would find. So bugs are put
into the real core, one at a time, each a change of one or two of its functions, and the
[simulator](guarantees.md) has to find every one: a promise of the view is broken in a world of some
seed, and is kept in the same world without the bug.

    nox -s planted                          # every bug, from three starts; takes about an hour
    nox -s planted -- A8 W7 --starts 1      # some of them

*seeds* is the median of how many seeds it took, over the starts. *worlds* says what was fixed of
the worlds in which it was looked for; the rest is drawn from the seed, but that most of them are
10 s long and without reboots and other faults that take time and have no part in it. *directed*
worlds have their operations and faults by hand, because chance does not meet what they need in
reasonable time.
*found by* is the promise that was broken, or the counter that grew where nothing can break.

`W` are the situations in which the published rules of the earlier design give a wrong view, `A` the
counterexamples that shaped the rules of arbitration. Row 24 of those breaks nothing, so it is no
bug.

"""


SIDE = """
## Side by side

The published rules of the earlier design (realtime wins, then mtime and receipt decide, nothing is
ever in doubt) in the same core, in the same {worlds:,} worlds, each run to its end:
`python -m tests.sim.side_by_side`.

| | earlier design | this one |
|---|---:|---:|
"""
COMPARED = (
    ("worlds whose final view was wrong", "worlds.convergence"),
    ("worlds that showed a row as certain that was never true in its interval", "worlds.honesty"),
    ("such rows", "broken.honesty"),
    ("worlds that showed something certain older than before", "worlds.step_back"),
    ("such steps back", "broken.step_back"),
    ("rows shown as certain that were checked", "registers"),
)


def page(bugs: Sequence[Bug], found: Mapping[str, Any], side: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        side: sums of the earlier design (`theirs`) and of this one (`ours`); none: not run yet.
    """
    lines = ["| bug | what is wrong | worlds | seeds | found by |", "|---|---|---|---|---|"]
    for bug in sorted(bugs, key=_place):
        told = found.get(bug.row)
        text = f"| {bug.row} | {bug.text} | {bug.worlds.text()} | "
        lines.append(text + (_result(told) if told is not None else "not looked for yet |  |"))
    done = [bug for bug in bugs if bug.row in found and any(found[bug.row]["seeds"])]
    missing = sorted({bug.row for bug in bugs} - {bug.row for bug in done})
    end = f"\n{len(done)} of {len(bugs)} were found; not found: {', '.join(missing) or 'none'}.\n"
    return HEAD + "\n".join(lines) + "\n" + end + (_beside(side) if side else "")


def _beside(side: Mapping[str, Any]) -> str:
    theirs, ours = side["theirs"], side["ours"]
    rows = [f"| {text} | {theirs.get(n, 0):,} | {ours.get(n, 0):,} |" for text, n in COMPARED]
    return SIDE.format(worlds=ours["worlds"]) + "\n".join(rows) + "\n"


def _place(bug: Bug) -> tuple[str, int]:
    letter, number = bug.row[:1], bug.row[1:]
    return (letter, int(number)) if number.isdigit() else ("Z" + bug.row, 0)


def _result(told: Mapping[str, Any]) -> str:
    seeds, tried = told["seeds"], told["tried"]
    hits = [number for number in seeds if number is not None]
    if not hits:
        starts = "1 start" if len(seeds) == 1 else f"{len(seeds)} starts"
        return f"**not found in {tried} seeds** from {starts} |  |"
    missed = f", from {len(seeds) - len(hits)} of the starts not in {tried}" if tried else ""
    shown = median_high([tried + 1 if n is None else n for n in seeds])
    return f"{shown if shown <= max(hits) else f'> {tried}'} ({_all(hits)}{missed}) | " + (
        ", ".join(told["promises"]) + " |"
    )


def _all(hits: Sequence[int]) -> str:
    return ", ".join(map(str, hits))
