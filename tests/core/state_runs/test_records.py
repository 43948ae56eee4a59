"""The records of a run, and how watchers of the live state are told of them."""

from __future__ import annotations

from fustor_core.state_runs.records import (
    ExecutionContext,
    NodeState,
    RunHeader,
    RunState,
    run_document,
)

HEADER = RunHeader("pipeline_01H3XYZ9", "0.1.0", 1.5, "0" * 16)


def test_watchers_are_told_of_a_run_what_the_documents_name() -> None:
    context = ExecutionContext({"HOME": "/root"}, "file:/key", ("a@1",), {"report": "/r"})
    told = run_document(RunState(HEADER, context, {"snapshot_v": NodeState("snapshot_v_1")}), "x")
    header = {"id", "version", "start_timestamp", "config_hash"}
    assert set(told) == header | {"phase", "nodes", "context"}
    assert told["nodes"]["snapshot_v"] == {
        "node_id": "snapshot_v_1",
        "status": "pending",
        "input_payload": None,
        "output_payload": None,
        "error": None,
        "retry_count": 0,
        "execution_time": 0.0,
    }
    assert set(told["context"]) == {"secret_store", "active_plugins", "artifacts"}
