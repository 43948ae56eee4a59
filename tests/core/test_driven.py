"""The record of moves: each once, on disk at once, readable whatever became of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fustor_core.driven import Driven, coverage, recorded, records
from fustor_core.machine import Move, Table
from fustor_core.states import ALL
from fustor_core.states.leadership import LEADERSHIP
from fustor_core.states.pipeline import PIPELINE, PipelineState

P = PipelineState

every_table = pytest.mark.parametrize("table", ALL.values(), ids=ALL.keys())


def drive(record: Driven, table: Table[Any], *events: str, subject: str = "x") -> None:
    """Walk a table from its beginning."""
    state = table.initial
    for event in events:
        move = table.move(subject, state, event)
        record.record(move)
        state = move.new


def every_move(table: Table[Any]) -> list[Move[Any]]:
    return [
        Move(table.name, "x", event, state, target)
        for state in table.reachable()
        for event, target in table.edges(state)
    ]


def test_a_move_is_written_once_and_at_once(tmp_path: Path) -> None:
    path = tmp_path / "driven.jsonl"
    record = Driven(path)
    for subject in ("a", "b"):
        drive(record, PIPELINE, "start", "ready", "session_lost", subject=subject)
        assert list(recorded([path])) == [
            ("pipeline", 0, "start", 1),
            ("pipeline", 1, "ready", 2),
            ("pipeline", 2, "session_lost", 258),
        ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_process_goes_on_with_the_record(tmp_path: Path) -> None:
    path = tmp_path / "driven.jsonl"
    drive(Driven(path), LEADERSHIP, "elect")
    size = path.stat().st_size
    drive(Driven(path), LEADERSHIP, "elect")
    assert path.stat().st_size == size
    drive(Driven(path), LEADERSHIP, "elect", "durable")
    assert [event for _, _, event, _ in recorded([path])] == ["elect", "durable"]


@every_table
def test_a_record_is_no_larger_than_its_table(tmp_path: Path, table: Table[Any]) -> None:
    path = tmp_path / "driven.jsonl"
    moves = every_move(table)
    for _ in range(3):
        record = Driven(path)
        for move in moves:
            record.record(move)
    assert len(list(recorded([path]))) == len(moves)


def test_what_is_torn_or_foreign_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "driven.jsonl"
    path.write_bytes(b'["leadership", "VACANT", "elect", "ELEC\n{"a": 1}\n[1, [], {}, 4]\n\xff\n7')
    assert list(recorded([path, tmp_path / "nowhere", tmp_path])) == []
    drive(Driven(path), LEADERSHIP, "elect")
    assert list(recorded([path])) == [("leadership", "VACANT", "elect", "ELECTED")]


def test_a_record_that_cannot_be_written_harms_nobody(tmp_path: Path) -> None:
    record = Driven(tmp_path / "later" / "driven.jsonl")
    drive(record, LEADERSHIP, "elect")
    (tmp_path / "later").mkdir()
    drive(record, LEADERSHIP, "elect")
    assert len(list(recorded([tmp_path / "later" / "driven.jsonl"]))) == 1


# ------------------------------------------------------------------ coverage


@every_table
def test_all_moves_cover_the_table(table: Table[Any]) -> None:
    steps = [(m.machine, m.old.value, m.event, m.new.value) for m in every_move(table)]
    whole = coverage(table, steps)
    assert (whole["states_missing"], whole["edges_missing"]) == ([], [])
    nothing = coverage(table, [("other", *step[1:]) for step in steps])
    assert (nothing["states_driven"], nothing["edges_driven"]) == ([], [])
    assert nothing["states_missing"] == whole["states_driven"]
    assert nothing["edges_missing"] == whole["edges_driven"]


def test_an_edge_is_an_arrow_of_the_drawing() -> None:
    told = coverage(LEADERSHIP, [("leadership", "VACANT", "elect", "ELECTED")])
    assert told["states_driven"] == ["VACANT", "ELECTED"]
    assert told["edges_driven"] == [{"source": "VACANT", "event": "elect", "target": "ELECTED"}]
    assert len(told["edges_missing"]) == len(LEADERSHIP.arrows()) - 1


def test_of_flags_each_bit_has_arrows_of_its_own() -> None:
    audit = int(P.RUNNING | P.MESSAGE_PHASE | P.AUDIT_PHASE)
    lost = int(P.RUNNING | P.RECONNECTING)
    told = coverage(PIPELINE, [("pipeline", audit, "session_lost", lost)])
    assert told["states_driven"] == [
        "RUNNING|RECONNECTING",
        "RUNNING|MESSAGE_PHASE|AUDIT_PHASE",
    ]
    assert {(edge["source"], edge["target"]) for edge in told["edges_driven"]} == {
        ("MESSAGE_PHASE", "no_MESSAGE_PHASE"),
        ("AUDIT_PHASE", "no_AUDIT_PHASE"),
        ("no_RECONNECTING", "RECONNECTING"),
    }


def test_states_of_another_version_count_for_nothing() -> None:
    steps = [("leadership", "GONE", "elect", "ELECTED"), ("pipeline", 3, "start", "x")]
    for table in (LEADERSHIP, PIPELINE):
        assert coverage(table, steps)["states_driven"] == []


def test_both_halves_of_a_home_have_a_record(tmp_path: Path) -> None:
    assert [path.parent.name for path in records(tmp_path)] == ["agent", "fusion"]
