"""Seeds: one, many, shrunk, and those that once failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from fustor_core.engine import attempted
from fustor_core.testing.sim.checker import Broken
from fustor_core.testing.sim.faults import Fault, draw_faults
from fustor_core.testing.sim.operations import Operation, draw_operations
from fustor_core.testing.sim.options import Options, draw
from fustor_core.testing.sim.world import World, run_world

T = TypeVar("T")
TRIES_MAX = 400  # runs that a shrinking may take


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        promise: the promise that was broken; the exception's name for a crash; "" when all is well.
        text: what happened. digest: of the trace. counts: the sometimes-counters.
    """

    options: Options
    operations: list[Operation]
    faults: list[Fault]
    promise: str = ""
    text: str = ""
    digest: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    error: BaseException | None = None

    def __str__(self) -> str:
        head = f"seed {self.options.seed}: {self.promise or 'clean'} {self.digest}"
        return head + (f"\n  {self.text}\n  {self.options.text()}" if self.promise else "")


def run_lists(
    options: Options, operations: Sequence[Operation], faults: Sequence[Fault], **more: Any
) -> Outcome:
    """One world with these operations and faults; `more` goes to `World`."""
    outcome = Outcome(options, list(operations), list(faults))
    world = attempted(lambda: run_world(options, operations, faults, **more))
    if isinstance(world, Exception):
        outcome.error = world
        outcome.promise, outcome.text = type(world).__name__, repr(world)
        if isinstance(world, Broken):
            outcome.promise, outcome.text = world.promise, str(world)
        return outcome
    outcome.digest = world.digest
    outcome.counts = counts_of(world)
    return outcome


def counts_of(world: World) -> Counter[str]:
    """All counters of a world, with what was checked and how long it took in the world."""
    counts = Counter(world.counts)
    counts["checked.registers"] = world.checker.registers
    counts["checked.steps"] = world.checker.steps
    counts["simulated.seconds"] = int(world.now_s)
    return counts


def run_seed(seed: int, *, fixed: dict[str, Any] | None = None, **more: Any) -> Outcome:
    """The world of a seed; `fixed` options are as given, `more` goes to `World`."""
    options = draw(seed, **(fixed or {}))
    return run_lists(options, draw_operations(options), draw_faults(options), **more)


def run_seeds(seeds: Sequence[int], **more: Any) -> Iterator[Outcome]:
    """One after the other."""
    for seed in seeds:
        yield run_seed(seed, **more)


def shrink(outcome: Outcome, **more: Any) -> Outcome:
    """The same promise broken with fewer operations and faults (ddmin)."""
    best = outcome
    left = TRIES_MAX

    def fails(operations: list[Operation], faults: list[Fault]) -> bool:
        nonlocal best, left
        if left <= 0:
            return False
        left -= 1
        found = run_lists(outcome.options, operations, faults, **more)
        if found.promise != outcome.promise:
            return False
        best = found
        return True

    before = -1
    while left > 0 and before != len(best.operations) + len(best.faults):
        before = len(best.operations) + len(best.faults)
        smaller(best.faults, lambda faults: fails(best.operations, faults))
        smaller(best.operations, lambda operations: fails(operations, best.faults))
    return best


def smaller(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """A sublist that still fails, from which no part can be left out (ddmin)."""
    if not items or fails([]):
        return []
    parts = 2
    while len(items) >= 2:
        size = max(1, len(items) // parts)
        for start in range(0, len(items), size):
            rest = items[:start] + items[start + size :]
            if rest and fails(rest):
                items, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(items), parts * 2)
    return items


def as_text(outcome: Outcome) -> str:
    """A failure as one line of a corpus: everything that it takes to run it again."""
    options = {f.name: getattr(outcome.options, f.name) for f in fields(outcome.options)}
    return json.dumps(
        {
            "promise": outcome.promise,
            "options": {**options, "features": sorted(outcome.options.features)},
            "operations": [list(one) for one in outcome.operations],
            "faults": [list(one) for one in outcome.faults],
        }
    )


def replayed(line: str, **more: Any) -> Outcome:
    """Run one line of a corpus again."""
    told = json.loads(line)
    options = told["options"]
    options["features"] = frozenset(options["features"])
    operations = [Operation(*one) for one in told["operations"]]
    faults = [Fault(*one) for one in told["faults"]]
    return run_lists(Options(**options), operations, faults, **more)
