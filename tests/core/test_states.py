"""The free tests of every table, and the exact integers of a pipe's life."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from fustor_core.errors import IllegalTransition
from fustor_core.machine import Table
from fustor_core.states import ALL
from fustor_core.states.couplings import COUPLINGS
from fustor_core.states.page import render
from fustor_core.states.pipeline import PIPELINE, PipelineState

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

every_table = pytest.mark.parametrize("table", ALL.values(), ids=ALL.keys())


def universe(table: Table[Any]) -> list[Any]:
    """Every value that the enum can take: its members, or all combinations of its bits."""
    if not table.flags:
        return list(table.members())
    bits = [member.value for member in table.members() if member.value]
    return [table.kind(value) for value in range(2 * max(bits))]


# -- the free tests


@every_table
def test_every_reachable_state_is_legal(table: Table[Any]) -> None:
    assert all(table.legal(state) for state in table.reachable())


@every_table
def test_every_event_moves_to_a_legal_state_or_raises(table: Table[Any]) -> None:
    moved = refused = 0
    for state, event in itertools.product(universe(table), table.events):
        legal = table.legal_events(state)
        try:
            target = table.next(state, event)
        except IllegalTransition:
            assert event not in legal
            refused += 1
        else:
            assert event in legal
            assert table.legal(target)
            moved += 1
    assert moved
    assert refused


@every_table
def test_every_legal_state_is_reachable(table: Table[Any]) -> None:
    assert {s for s in universe(table) if table.legal(s)} == set(table.reachable())


@every_table
def test_states_that_are_not_final_have_a_way_out(table: Table[Any]) -> None:
    for state in table.reachable():
        leaves = any(target != state for _event, target in table.edges(state))
        assert leaves == (state not in table.final), table.describe(state)


@every_table
def test_every_rule_is_used(table: Table[Any]) -> None:
    for rule in table.rules:
        alone = Table(table.name, table.initial, [rule], legal=table.legal)
        assert any(list(alone.edges(state)) for state in table.reachable()), rule


@every_table
def test_the_table_is_known_by_its_name(table: Table[Any]) -> None:
    assert ALL[table.name] is table


def test_the_page_is_what_the_generator_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(ALL.values(), COUPLINGS)


def test_couplings_name_what_exists() -> None:
    for (machine, state), moves in COUPLINGS.items():
        assert state in ALL[machine].kind.__members__
        for other, event in moves:
            assert event in ALL[other].events


# -- the pipe's integers


def test_the_bits_are_wire_format() -> None:
    assert {flag.name: flag.value for flag in PIPELINE.members()} == {
        "STOPPED": 0,
        "INITIALIZING": 1,
        "RUNNING": 2,
        "PAUSED": 4,
        "ERROR": 8,
        "CONF_OUTDATED": 16,
        "SNAPSHOT_PHASE": 32,
        "MESSAGE_PHASE": 64,
        "AUDIT_PHASE": 128,
        "RECONNECTING": 256,
        "DRAINING": 512,
        "STOPPING": 1024,
    }


UP = [("start", 1), ("ready", 2), ("session_lost", 258), ("session_opened", 2)]
DOWN = [("stop", 1024), ("drain", 512), ("drained", 0)]

LIVES = {
    "leader": [
        *UP,
        ("lead", 34),
        ("snapshot_end", 66),
        ("audit_begin", 194),
        ("audit_end", 66),
        *DOWN,
    ],
    "sink without sessions": [("start", 1), ("ready", 2), ("lead", 34), *DOWN],
    "realtime follower promoted": [*UP, ("follow", 70), ("lead", 98), ("snapshot_end", 66)],
    "standby promoted": [*UP, ("stand_by", 6), ("lead", 34), ("snapshot_end", 66)],
    "demoted in its snapshot": [*UP, ("lead", 34), ("follow", 70)],
    "demoted in its snapshot, to standby": [*UP, ("lead", 34), ("stand_by", 6)],
    "demoted in its second snapshot": [*UP, ("follow", 70), ("lead", 98), ("follow", 70)],
    "demoted among messages": [*UP, ("lead", 34), ("snapshot_end", 66), ("stand_by", 6)],
    "demoted in an audit": [
        *UP,
        ("lead", 34),
        ("snapshot_end", 66),
        ("audit_begin", 194),
        ("follow", 70),
    ],
    "session lost in an audit": [
        *UP,
        ("lead", 34),
        ("snapshot_end", 66),
        ("audit_begin", 194),
        ("session_lost", 258),
        ("session_opened", 2),
    ],
    "five errors, then one try, then another": [
        *UP,
        *[("failed", 258)] * 4,
        ("alarm", 8),
        ("retry", 258),
        ("alarm", 8),
        ("retry", 258),
        ("session_opened", 2),
    ],
    "stopped by its errors until resumed": [*UP, ("alarm", 8), ("resume", 258)],
    "resumed while it backs off": [*UP, ("failed", 258), ("resume", 258), ("session_opened", 2)],
    "error in the snapshot": [*UP, ("lead", 34), ("failed", 258), ("session_opened", 2)],
    "init failure": [("start", 1), ("init_failed", 8), *DOWN],
    "outdated until restarted": [
        *UP,
        ("config_changed", 18),
        ("lead", 50),
        ("snapshot_end", 82),
        ("audit_begin", 210),
        ("failed", 274),
        ("alarm", 24),
        ("retry", 274),
        ("session_opened", 18),
        ("follow", 86),
        ("lead", 114),
        ("stop", 1024),
        ("drain", 512),
        ("config_changed", 528),
        ("drained", 0),
        ("start", 1),
        ("ready", 2),
    ],
    "paused and resumed by a person": [
        *UP,
        ("lead", 34),
        ("snapshot_end", 66),
        ("pause", 6),
        ("resume", 2),
        ("lead", 34),
    ],
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
def test_a_pipe_s_life_in_integers(life: list[tuple[str, int]]) -> None:
    state = PIPELINE.initial
    for event, expected in life:
        state = PIPELINE.next(state, event)
        assert int(state) == expected, event


def test_an_agent_s_pipe_is_in_these_states_and_no_other() -> None:
    plain = {0, 1, 2, 6, 8, 34, 66, 70, 98, 194, 258, 512, 1024}
    outdated = {value | 16 for value in plain if 2 <= value <= 512}
    assert {int(state) for state in PIPELINE.reachable()} == plain | outdated


@pytest.mark.parametrize(
    ("state", "events"),
    [
        (0, {"start"}),
        (1, {"ready", "init_failed"}),
        (8, {"retry", "resume", "config_changed", "stop"}),
        (258, {"session_opened", "resume", "failed", "alarm", "config_changed", "stop"}),
        (512, {"drained", "config_changed"}),
        (1024, {"drain"}),
    ],
)
def test_what_a_pipe_accepts_outside_its_phases(state: int, events: set[str]) -> None:
    assert set(PIPELINE.legal_events(PipelineState(state))) == events


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (34, "lead"),
        (34, "audit_begin"),
        (66, "snapshot_end"),
        (66, "lead"),
        (70, "audit_begin"),
        (70, "follow"),
        (98, "audit_begin"),
        (194, "audit_begin"),
        (258, "lead"),
        (258, "follow"),
        (258, "session_lost"),
    ],
)
def test_what_a_running_pipe_refuses(state: int, event: str) -> None:
    with pytest.raises(IllegalTransition):
        PIPELINE.next(PipelineState(state), event)


NONSENSE = {
    "phase without running": 32,
    "paused without running": 4,
    "two stages": 2 | 8,
    "outdated and stopped": 16,
    "outdated while initializing": 1 | 16,
    "outdated while stopping": 16 | 1024,
    "error with a phase": 8 | 64,
    "reconnecting with a phase": 258 | 64,
    "reconnecting and paused": 258 | 4,
    "follower with a snapshot": 2 | 4 | 32,
    "follower with an audit": 70 | 128,
    "audit beside a snapshot": 98 | 128,
    "audit without messages": 2 | 128,
    "unknown bit": 2048,
}


@pytest.mark.parametrize("value", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_not_legal(value: int) -> None:
    assert not PIPELINE.legal(PipelineState(value))


def test_fusion_s_pipe_in_integers() -> None:
    table = ALL["fusion_pipeline"]
    state = table.initial
    life = [("start", 1), ("ready", 2), ("stop", 1024), ("stopped", 0), ("start", 1)]
    for event, expected in [*life, ("init_failed", 8), ("stop", 1024)]:
        state = table.next(state, event)
        assert int(state) == expected
    for event, expected in [("stopped", 0), *life[:2], ("config_changed", 18)]:
        state = table.next(state, event)
        assert int(state) == expected
    assert int(table.next(state, "config_restored")) == 2
    assert int(table.next(state, "stop")) == 1024
    for event, expected in [("failed", 24), ("config_restored", 8), ("recovered", 2)]:
        state = table.next(state, event)
        assert int(state) == expected
    assert {int(s) for s in table.reachable()} == {0, 1, 2, 8, 18, 24, 1024}
