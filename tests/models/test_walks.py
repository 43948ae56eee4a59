"""Random walks on every table of states: never off it, never stuck, and any walk can be ended."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.errors import IllegalTransition
from fustor_core.machine import Table
from fustor_core.states import ALL

STEPS_MOST = 60

every_table = pytest.mark.parametrize("table", ALL.values(), ids=ALL.keys())


def walked(table: Table[Any], picks: list[tuple[int, int]]) -> list[Any]:
    """The states of a walk: at each step any event is tried, then one that is legal there."""
    states = [table.initial]
    for tried, chosen in picks:
        state = states[-1]
        event = table.events[tried % len(table.events)]
        legal = table.legal_events(state)
        if event not in legal:
            with pytest.raises(IllegalTransition):
                table.next(state, event)
        if not legal:
            assert state in table.final, f"{table.describe(state)} is a dead end"
            break
        move = table.move("walk", state, legal[chosen % len(legal)])
        assert move.new == table.next(state, move.event)
        assert (move.event, move.new) in set(table.edges(state))
        states.append(move.new)
    return states


def way_out(table: Table[Any], state: Any) -> list[str]:
    """The shortest way from a state to an end, or back to the beginning."""
    ends = table.final or (table.initial,)
    queue, met = deque([(state, ())]), {state}
    while queue:
        at, way = queue.popleft()
        if at in ends:
            return list(way)
        for event, new in table.edges(at):
            if new not in met:
                met.add(new)
                queue.append((new, (*way, event)))
    raise AssertionError(f"from {table.describe(state)} there is no way to an end")


@every_table
@given(picks=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=STEPS_MOST))
def test_a_walk_stays_on_its_table_and_can_be_ended(
    table: Table[Any], picks: list[tuple[int, int]]
) -> None:
    states = walked(table, picks)
    assert all(table.legal(state) for state in states)
    assert set(states) <= set(table.reachable())
    for event in way_out(table, states[-1]):
        states.append(table.next(states[-1], event))
    assert states[-1] in (table.final or (table.initial,))


@every_table
@given(picks=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=STEPS_MOST))
def test_the_same_events_lead_to_the_same_state(
    table: Table[Any], picks: list[tuple[int, int]]
) -> None:
    """A table is a function: what was logged can be walked again."""
    assert walked(table, picks) == walked(table, picks)
