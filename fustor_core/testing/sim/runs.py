"""Many seeds on all cores, and a ledger of those that were ever run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from fustor_core.testing.sim.campaign import Outcome, run_seed
from fustor_core.testing.sim.endless import Endless, bounded

CHUNK = 10
ENDLESS_S = 120.0
"""CPU seconds after which a seed is one that never ends; the slowest take three."""


@dataclass(slots=True)
class Part:
    """What came of some seeds that follow each other.

    Attributes:
        broken: (seed, promise, what happened).
    """

    first: int
    count: int
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str, str]] = field(default_factory=list)


def run_part(first: int, count: int) -> Part:
    """Some seeds, one after the other, in this process."""
    part = Part(first, count)
    for seed in range(first, first + count):
        outcome = _ended(seed)
        if outcome is None:
            part.broken.append((seed, "endless", f"more than {ENDLESS_S:g} s of CPU time"))
            continue
        part.counts += outcome.counts
        if outcome.promise:
            part.broken.append((seed, outcome.promise, outcome.text))
    return part


def _ended(seed: int) -> Outcome | None:
    """What came of a seed; None of one that never ends."""
    try:
        with bounded(ENDLESS_S) as ended:
            outcome = run_seed(seed)
    except Endless:
        return None
    return None if ended else outcome


def parts(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Seeds that follow each other, as parts: (first, count)."""
    for at in range(first, first + count, CHUNK):
        yield at, min(CHUNK, first + count - at)


def run_parts(
    wanted: Iterable[tuple[int, int]], *, jobs: int, until: float | None = None
) -> Iterator[Part]:
    """Parts in processes of their own, in no order.

    Args:
        wanted: (first, count). jobs: processes.
        until: no part is begun after this `time.monotonic`.
    """
    pending: set[Future[Part]] = set()
    rest = iter(wanted)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        while True:
            while len(pending) < 2 * jobs and not _over(until):
                part = next(rest, None)
                if part is None:
                    break
                pending.add(pool.submit(run_part, *part))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()


def _over(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until


class Ledger:
    """The seeds that were ever run, by the commit whose code ran them; one JSON file.

    Args:
        path: of the file; made when absent.

    Attributes:
        broken: (seed, promise, commit). fixed: by seed, the commit at which a broken one was run
            again, and was clean.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fixed: dict[int, str] = {}
        self.runs: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.broken: list[list[Any]] = []
        if path.exists():
            told = json.loads(path.read_text())
            self.runs, self.broken = told["runs"], told["broken"]
            self.counts = Counter(told["counts"])
            self.fixed = {int(seed): commit for seed, commit in told.get("fixed", {}).items()}

    def __repr__(self) -> str:
        return f"<Ledger {self.done} seeds in {self.path}>"

    @property
    def done(self) -> int:
        """How many seeds were run."""
        return sum(run["seeds"] for run in self.runs)

    @property
    def next(self) -> int:
        """The first seed that was never run."""
        return max((end for run in self.runs for _, end in run["ranges"]), default=0)

    def missing(self) -> Iterator[tuple[int, int]]:
        """Parts before `next` that were begun, and not ended: a run was stopped meanwhile."""
        at = 0
        for first, end in _joined([one for run in self.runs for one in run["ranges"]]):
            yield from parts(at, first - at)
            at = end

    def add(self, commit: str, part: Part) -> None:
        """A part was run."""
        if not self.runs or self.runs[-1]["commit"] != commit:
            self.runs.append({"commit": commit, "seeds": 0, "ranges": []})
        run = self.runs[-1]
        run["seeds"] += part.count
        run["ranges"] = _joined([*run["ranges"], [part.first, part.first + part.count]])
        self.counts += part.counts
        self.broken += [[seed, promise, commit] for seed, promise, _ in part.broken]
        self.write()

    def doubtful(self) -> list[tuple[int, int]]:
        """Seeds that ever broke a promise, as parts: they are run again, before all others."""
        return [(seed, 1) for seed in sorted({seed for seed, _, _ in self.broken})]

    def again(self, commit: str, part: Part) -> None:
        """Such a part was run again; it counts as no more seeds."""
        for seed in range(part.first, part.first + part.count):
            if seed not in {one for one, _, _ in part.broken}:
                self.fixed.setdefault(seed, commit)
                continue
            self.fixed.pop(seed, None)
        for seed, promise, _ in part.broken:
            noted = [one for one in self.broken if one[0] == seed and one[1] == promise]
            if not noted:
                self.broken.append([seed, promise, commit])
        self.write()

    def write(self) -> None:
        """To the file, whole or not at all."""
        told = {
            "runs": self.runs,
            "broken": self.broken,
            "fixed": {str(seed): commit for seed, commit in sorted(self.fixed.items())},
            "counts": dict(sorted(self.counts.items())),
        }
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(told, indent=1) + "\n")
        os.replace(fresh, self.path)


def _joined(ranges: list[list[int]]) -> list[list[int]]:
    """Ranges that touch become one."""
    joined: list[list[int]] = []
    for begin, end in sorted(ranges):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([begin, end])
    return joined


def commit_of(folder: Path) -> str:
    """The commit that is checked out in a folder, with a + when something is changed."""
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str:
    told = subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return told.stdout.strip()


def cores() -> int:
    """How many processes can run at once."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
