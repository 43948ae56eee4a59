"""What a planted bug is: attributes of the core, changed while it stands, and the worlds it meets.

Nothing of the core is copied: a change takes what stands under a name and gives back what shall
stand there instead. A function of a module is changed in every module that has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from types import ModuleType
from typing import Any

from fustor_core.testing.sim.campaign import Outcome, run_lists
from fustor_core.testing.sim.faults import Fault, draw_faults
from fustor_core.testing.sim.operations import Operation, draw_operations
from fustor_core.testing.sim.options import Options, draw

SHORT_S = 10.0
"""Safety phase of most worlds: short ones are many."""
Lists = tuple[Options, Sequence[Operation], Sequence[Fault]]


@dataclass(frozen=True)
class Change:
    """One attribute of a module or a class, and what it becomes."""

    owner: Any
    name: str
    to: Callable[[Any], Any]

    @contextmanager
    def made(self) -> Iterator[None]:
        """The change holds inside."""
        old = getattr(self.owner, self.name)
        new = self.to(old)
        places = _importers(self.name, old) if isinstance(self.owner, ModuleType) else [self.owner]
        for place in places:
            setattr(place, self.name, new)
        try:
            yield
        finally:
            for place in places:
                setattr(place, self.name, old)


def _importers(name: str, what: object) -> list[Any]:
    """Every module of the house that has it under this name."""
    modules = [module for at, module in list(sys.modules.items()) if at.startswith("fustor_")]
    return [module for module in modules if vars(module).get(name) is what]


@dataclass(frozen=True)
class Worlds:
    """The worlds in which a bug is looked for: those that a seed draws, but for what stands here.

    Attributes:
        with_, without: features that all of them have, and that none has.
        fixed: options that are as given.
        lists: a directed world instead, by seed.
    """

    with_: str = ""
    without: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    lists: Callable[[int], Lists] | None = None

    def at(self, seed: int) -> Lists:
        """The world of a seed."""
        if self.lists is not None:
            return self.lists(seed)
        fixed = {"length_s": SHORT_S, **self.fixed}
        drawn = draw(seed, **fixed).features
        features = (drawn | set(self.with_.split())) - set(self.without.split())
        options = draw(seed, **{**fixed, "features": features})
        return options, draw_operations(options), draw_faults(options)

    def text(self) -> str:
        """As the table says it."""
        if self.lists is not None:
            return "directed"
        said = self.with_.split()
        said += [f"{name} {value}" for name, value in self.fixed.items()]
        return ", ".join(said) or "as drawn"


@dataclass(frozen=True)
class Bug:
    """One planted bug.

    Attributes:
        row: ``W1``… of reliability.md §1.2, ``A1``… of arbitration.md §11, or a word.
        text: what is wrong. given: what both have, the core with the bug and without it:
            shorter times, so that what is rare happens. more: arguments for `run_lists`.
        counts: a counter that grows by this factor, where nothing breaks.
    """

    row: str
    text: str
    changes: tuple[Change, ...] = ()
    worlds: Worlds = Worlds()
    given: tuple[Change, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    counts: tuple[str, float] | None = None

    @contextmanager
    def planted(self) -> Iterator[None]:
        """It stands in the core inside."""
        with ExitStack() as changes:
            for change in (*self.given, *self.changes):
                changes.enter_context(change.made())
            yield

    def run(self, seed: int) -> Outcome:
        """The world of a seed with the bug in it."""
        lists = self.worlds.at(seed)
        with self.planted():
            return run_lists(*lists, **self.more)

    def bare(self) -> Bug:
        """The same worlds without the bug."""
        return Bug(self.row, self.text, worlds=self.worlds, given=self.given)


def wrapped(owner: Any, name: str, inside: Callable[..., Any]) -> Change:
    """A function that is called as `inside(old, …)`."""

    def to(old: Any) -> Any:
        def new(*args: Any, **named: Any) -> Any:
            return inside(old, *args, **named)

        return new

    return Change(owner, name, to)


def instead(owner: Any, name: str, value: Any) -> Change:
    """Something else under this name."""
    return Change(owner, name, lambda old: value)


def crowded(
    features: str,
    each_s: float = 0.03,
    until_s: float = 6.0,
    *,
    kinds: str = "create create remove write",
    host: int | None = None,
    **fixed: Any,
) -> Worlds:
    """Worlds in which the same few names of the root change all the time.

    Args:
        each_s: between two changes. until_s: when they end. kinds: of changes. host: whose.
    """

    def lists(seed: int) -> Lists:
        options = draw(
            seed, **{**fixed, "features": frozenset(features.split()), "length_s": until_s}
        )
        rng = Random(f"crowded {seed}")
        operations, at_us = [], 500_000
        while at_us < until_s * 1e6:
            kind = rng.choice(kinds.split())
            who, name = rng.randrange(options.hosts), rng.randrange(3)
            who = who if host is None else host
            a = rng.randrange(1 << 16) if kind != "create" else 0
            b = name << 8 if kind == "rename" else name
            operations.append(Operation(at_us, who, kind, a, b))
            at_us += int(rng.expovariate(1 / each_s) * 1e6) + 1
        return options, operations, draw_faults(options)

    return Worlds(lists=lists)
