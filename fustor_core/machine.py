"""The kernel of all state machines: rules are data, a table answers, nobody assigns a state.

Theory of operation. A machine is a `Table`: a name, an initial state and a list of `Rule`s. The
owner of a machine keeps its state, asks `Table.next(state, event, facts)` for the new one and
stores the answer; an event that no rule allows raises `IllegalTransition`. There are no callbacks:
side effects belong to the owner, who acts after the move. So a table can be walked, drawn and
tested without anything around it.

Two kinds of states:

- a plain enum: a rule's `source` is the state (or a tuple: any of these), `target` replaces it;
- an `IntFlag`: the state is one integer of bits. `source` names the bits that must be set (zero:
  the state must be exactly zero), `without` the bits that must not be; the move first drops
  `clear`, then sets `target`; all other bits stay.

Rules are tried in the order of the table; the first whose guard agrees wins. States should be
`IntFlag`, `IntEnum` or `StrEnum` members: these hash as plain values, which keeps `next` fast, and
an equal plain value (258) finds the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, Flag
from typing import Any, Generic, TypeVar

from fustor_core.errors import IllegalTransition

State = TypeVar("State", bound=Enum)

Guard = Callable[[Any], bool]
"""Asked with the facts of `Table.next`; a named function, because its name is shown."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[State]):
    """One line of a table.

    Args:
        event: what happened, as a verb or participle: ``audit_begin``, ``session_lost``.
        source: the state left, or a tuple of them; of flags: the bits that must be set.
        target: the state entered; of flags: the bits that are set.
        clear: flags only: the bits that are dropped before `target` is set.
        without: flags only: the bits that must not be set in the state left.
        guard: says with the facts whether this rule applies; None = always.
    """

    event: str
    source: State | tuple[State, ...]
    target: State
    clear: State | None = None
    without: State | None = None
    guard: Guard | None = None

    @property
    def sources(self) -> tuple[State, ...]:
        """The states left, always as a tuple."""
        return self.source if isinstance(self.source, tuple) else (self.source,)


@dataclass(frozen=True, slots=True)
class Move(Generic[State]):
    """A move that was made: what owners tell to the `fustor_transition` hook, logs and journals.

    Args:
        machine: the table's name.
        subject: whose machine it is, e.g. a session id.
        event: what happened.
        old, new: the state left and the state entered.
    """

    machine: str
    subject: str
    event: str
    old: State
    new: State


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow of a machine's drawing, by the names of what it joins.

    Of flags, each bit has a region of its own in the drawing, with the ends ``BIT`` and ``no_BIT``:
    an arrow is an event that sets or drops that bit, whatever the other bits are.
    """

    source: str
    event: str
    target: str


class Table(Generic[State]):
    """A whole machine as data.

    Args:
        name: as in ``fustor machines show NAME``.
        initial: the state in which each instance begins.
        rules: in the order in which they are tried.
        legal: which values are states at all; None = every member of the enum. Flags need it, to
            forbid the nonsense among their combinations.
        final: states without a way out, on purpose.

    Raises:
        ValueError: a plain enum's rule uses `clear` or `without`, which only flags have.
    """

    def __init__(
        self,
        name: str,
        initial: State,
        rules: Sequence[Rule[State]],
        *,
        legal: Callable[[State], bool] | None = None,
        final: Collection[State] = (),
    ) -> None:
        self.name = name
        self.initial = initial
        self.rules = tuple(rules)
        self.final = tuple(final)
        self.kind: type[State] = type(initial)
        self.flags = issubclass(self.kind, Flag)
        self.events = tuple(dict.fromkeys(rule.event for rule in self.rules))
        self._legal = legal
        self._ways: dict[tuple[State, str], tuple[tuple[Guard | None, State], ...]] = {}
        if not self.flags:
            for rule in self.rules:
                if rule.clear is not None or rule.without is not None:
                    raise ValueError(f"{name}: {rule.event}: only flags have bits to clear")

    def __repr__(self) -> str:
        return f"<Table {self.name}: {len(self.rules)} rules, {len(self.events)} events>"

    # -- moving

    def next(self, state: State, event: str, facts: object = None) -> State:
        """The state after `event`.

        Args:
            state: the state now; an equal plain value will do.
            event: what happened.
            facts: what guards look at; tables without guards need none.

        Raises:
            IllegalTransition: no rule allows it; names the events that are legal here and now.
        """
        ways = self._ways.get((state, event))
        if ways is None:
            ways = self._find_ways(state, event)
        for guard, target in ways:
            if guard is None or guard(facts):
                return target
        refusal = IllegalTransition(
            self.name, self.describe(state), event, self.legal_events(state, facts)
        )
        for guard, _target in ways:
            refusal.add_note(f"refused by guard {_name_of(guard)}")
        raise refusal

    def move(self, subject: str, state: State, event: str, facts: object = None) -> Move[State]:
        """`next`, with the names of those concerned; raises as `next` does."""
        return Move(self.name, subject, event, state, self.next(state, event, facts))

    def legal_events(self, state: State, facts: object = None) -> tuple[str, ...]:
        """The events that `next` would take in this state with these facts, in table order."""
        return tuple(
            event
            for event in self.events
            if any(guard is None or guard(facts) for guard, _ in self._find_ways(state, event))
        )

    def legal(self, state: State) -> bool:
        """Whether a value is a state of this machine at all."""
        return self._legal is None or self._legal(state)

    # -- looking at the whole

    def edges(self, state: State) -> Iterator[tuple[str, State]]:
        """All (event, target) that may leave `state`, whatever the guards say."""
        for event in self.events:
            for _guard, target in self._find_ways(state, event):
                yield event, target

    def reachable(self) -> tuple[State, ...]:
        """Every state that some chain of events reaches, in the order of their discovery."""
        found = {self.initial: None}
        queue = [self.initial]
        for state in queue:
            for _event, target in self.edges(state):
                if target not in found:
                    found[target] = None
                    queue.append(target)
        return tuple(found)

    def arrows(self) -> tuple[Arrow, ...]:
        """Every arrow of the drawing, each once, in the order of their discovery."""
        found: dict[Arrow, None] = {}
        for state in self.reachable():
            for event, target in self.edges(state):
                found.update(dict.fromkeys(self.arrows_of(state, event, target)))
        return tuple(found)

    def arrows_of(self, old: State, event: str, new: State) -> tuple[Arrow, ...]:
        """The arrows that one move follows: of flags, one for each bit that changes."""
        if not self.flags:
            return (Arrow(self.describe(old), event, self.describe(new)),)
        follows = []
        for bit in (member for member in self.members() if member.value):
            ends = f"no_{bit.name}", str(bit.name)
            was, now = (bool(state.value & bit.value) for state in (old, new))
            if was != now:
                follows.append(Arrow(ends[was], event, ends[now]))
        return tuple(follows)

    def members(self) -> tuple[State, ...]:
        """The named states in the order of their definition, a flag's zero member included."""
        return tuple(self.kind.__members__.values())

    def describe(self, state: State) -> str:
        """The name of a state: ``RUNNING|RECONNECTING``; a number where it has none."""
        value = self.kind(state)
        return value.name or str(value.value)

    # -- showing

    def document(self) -> dict[str, Any]:
        """The table as the JSON of ``fustor machines show NAME``.

        A rule that leaves several states becomes several entries; bits that must not be set are
        told in `guard`, as ``not PAUSED|RECONNECTING``.
        """
        return {
            "name": self.name,
            "initial": self.describe(self.initial),
            "states": [{"name": m.name, "value": m.value} for m in self.members()],
            "rules": [
                {
                    "event": rule.event,
                    "source": self.describe(source),
                    "target": self.describe(rule.target),
                    "clear": None if rule.clear is None else self.describe(rule.clear),
                    "guard": self._condition(rule),
                }
                for rule in self.rules
                for source in rule.sources
            ],
        }

    def mermaid(self) -> str:
        """The drawing: one diagram, for flags a region for each bit (never their product)."""
        lines = ["stateDiagram-v2", *(self._regions() if self.flags else self._arrows())]
        return "\n".join(lines) + "\n"

    def _arrows(self) -> Iterator[str]:
        yield f"    [*] --> {self.initial.name}"
        for rule in self.rules:
            guard = "" if rule.guard is None else f" [{_name_of(rule.guard)}]"
            for source in rule.sources:
                yield f"    {source.name} --> {rule.target.name}: {rule.event}{guard}"
        for state in self.final:
            yield f"    {state.name} --> [*]"

    def _regions(self) -> Iterator[str]:
        arrows = self.arrows()
        yield f"    state {self.name} {{"
        separator = ""
        for bit in (member for member in self.members() if member.value):
            rising = ", ".join(arrow.event for arrow in arrows if arrow.target == bit.name)
            falling = ", ".join(arrow.event for arrow in arrows if arrow.source == bit.name)
            if not rising:
                continue
            yield from [separator] if separator else []
            separator = "        --"
            yield f"        [*] --> no_{bit.name}"
            yield f"        no_{bit.name} --> {bit.name}: {rising}"
            yield f"        {bit.name} --> no_{bit.name}: {falling}"
        yield "    }"

    # -- the meaning of rules

    def _condition(self, rule: Rule[State]) -> str | None:
        told = [] if rule.without is None else [f"not {self.describe(rule.without)}"]
        told += [] if rule.guard is None else [_name_of(rule.guard)]
        return ", ".join(told) or None

    def _find_ways(self, state: State, event: str) -> tuple[tuple[Guard | None, State], ...]:
        """The (guard, target) pairs of `event` in `state`, remembered for the next time."""
        known = self._ways.get((state, event))
        if known is not None:
            return known
        member = self.kind(state)
        found = []
        if self.legal(member):
            for rule in self.rules:
                if rule.event == event and self._applies(rule, member):
                    found.append((rule.guard, self._result(rule, member)))
        ways = tuple(found)
        self._ways[member, event] = ways
        return ways

    def _applies(self, rule: Rule[State], state: State) -> bool:
        if not self.flags:
            return state in rule.sources
        if rule.without is not None and state.value & rule.without.value:
            return False
        return any(
            state.value & source.value == source.value if source.value else not state.value
            for source in rule.sources
        )

    def _result(self, rule: Rule[State], state: State) -> State:
        target = rule.target
        if self.flags:
            dropped = 0 if rule.clear is None else rule.clear.value
            target = self.kind(state.value & ~dropped | rule.target.value)
        if not self.legal(target):
            raise ValueError(
                f"{self.name}: {rule.event} leads from {self.describe(state)}"
                f" to {self.describe(target)}, which is no state of this machine"
            )
        return target


def _name_of(guard: Guard | None) -> str:
    return getattr(guard, "__name__", repr(guard))
