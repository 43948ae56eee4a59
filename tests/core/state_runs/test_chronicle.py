"""The files of a run: their names, what stands in them, and that they tell every version again."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fustor_core.state_runs.chronicle import (
    CHANGES_MOST,
    FINAL,
    INIT,
    KEPT_FIRST,
    KEPT_LAST,
    Chronicle,
    Drop,
    Put,
    node_of,
)
from fustor_core.state_runs.projection import path
from fustor_core.state_runs.records import ExecutionContext, RunHeader, RunState
from fustor_core.state_runs.replaying import differences, state_at, states, story
from fustor_core.state_runs.transactions import ENGINE, Versions
from fustor_core.states.node import NodeStatus

RUN = "pipeline_01H3XYZ9"
HEADER = RunHeader(RUN, "2.1.0", 1689876543.212, "e3b0c44298fc1cd0")
S = NodeStatus


class Book:
    """A run whose files are in memory; each goes through JSON, as on a disk."""

    def __init__(self, state: RunState | None = None) -> None:
        self.versions = Versions(state or RunState(HEADER, ExecutionContext({"DEBUG": "true"})))
        self.chronicle = Chronicle(RUN)
        self.files: dict[str, Any] = {}
        self.seen: dict[int, dict[str, Any]] = {}
        self.now = 1689876543.5
        self.do(self.chronicle.begin(self.versions.state, roles=["agent"]))

    def do(self, acts: Any) -> None:
        for act in acts:
            if isinstance(act, Put):
                self.files[act.name] = json.loads(json.dumps(act.document))
            elif isinstance(act, Drop):
                del self.files[act.name]

    def set(self, changes: dict[str, Any], writer: str = ENGINE, *, sampled: bool = False) -> None:
        self.now += 0.25
        wish = self.versions.begin(writer)
        for field, value in changes.items():
            wish.set(field, value)
        commit, _ = self.versions.commit(wish, self.now, sampled=sampled)
        self.do(self.chronicle.take(commit))
        if not sampled:
            nodes = {n: msgspec.to_builtins(s) for n, s in self.versions.state.nodes.items()}
            self.seen[self.chronicle.number] = nodes

    def become(self, name: str, wanted: NodeStatus, **fields: Any) -> None:
        node = self.versions.state.nodes.get(name)
        for status in path(node and node.status, wanted):
            made = {f"nodes.{name}.{key}": value for key, value in fields.items()}
            made[f"nodes.{name}.status"] = status
            if name not in self.versions.state.nodes:
                made[f"nodes.{name}.node_id"] = f"{name}_01H7XZAB"
            self.set(made)


def test_the_files_are_those_of_the_layout() -> None:
    book = Book()
    book.become("transform_csv", S.EXECUTING, input_payload={"path": "/data/raw.csv"})
    book.become("transform_csv", S.SUCCEEDED, execution_time=0.87)
    book.do(book.chronicle.end(book.versions.state, reason="stopped"))
    assert set(book.files) == {
        "state_init.json",
        "state_node_transform_csv_01H7XZAB_attempt1.json",
        "state_node_transform_csv_01H7XZAB_final.json",
        "state_final.json",
    }
    init = book.files[INIT]
    assert {key: init[key] for key in init if key not in ("context", "ext")} == {
        "id": "pipeline_01H3XYZ9",
        "version": "2.1.0",
        "start_timestamp": 1689876543.212,
        "config_hash": "e3b0c44298fc1cd0",
    }
    assert set(init["context"]) == {
        "environment_vars",
        "secret_store",
        "active_plugins",
        "artifacts",
    }
    node = book.files["state_node_transform_csv_01H7XZAB_attempt1.json"]
    assert {key: node[key] for key in node if key != "ext"} == {
        "node_id": "transform_csv_01H7XZAB",
        "status": "succeeded",
        "input_payload": {"path": "/data/raw.csv"},
        "output_payload": None,
        "error": None,
        "retry_count": 0,
        "execution_time": 0.87,
    }
    assert [change["set"]["status"] for change in node["ext"]["changes"]] == [
        "pending",
        "executing",
        "succeeded",
    ]
    assert book.files[FINAL]["nodes"]["transform_csv"]["status"] == "succeeded"


def test_each_time_is_an_attempt_of_its_own() -> None:
    book = Book()
    book.become("audit_data", S.SUCCEEDED)
    book.become("audit_data", S.RETRYING, error={"message": "gone"}, retry_count=1)
    book.become("audit_data", S.EXECUTING)
    names = sorted(name for name in book.files if "attempt" in name)
    assert [node_of(name) for name in names] == [("audit_data_01H7XZAB", n) for n in (1, 2, 3)]
    assert book.files[names[1]]["status"] == "retrying"
    assert book.files[names[2]]["error"] == {"message": "gone"}


def test_of_many_attempts_the_middle_is_summed_up() -> None:
    book = Book()
    for number in range(50):
        book.become("audit_data", S.EXECUTING)
        book.become("audit_data", S.SUCCEEDED if number % 5 else S.FAILED, execution_time=2.0)
    kept = sorted(node_of(name)[1] for name in book.files if "attempt" in name)  # type: ignore[index,type-var]
    assert kept == [*range(1, KEPT_FIRST + 1), *range(50 - KEPT_LAST + 1, 51)]
    sums = book.files["state_node_audit_data_01H7XZAB_final.json"]["ext"]["summed"]
    assert (sums["from"], sums["through"], sums["count"]) == (21, 30, 10)
    assert sums["statuses"] == {"failed": 2, "succeeded": 8}
    assert sums["execution_time"] == 20.0
    told = story(book.files)
    assert told.missing == 0
    assert state_at(told)["nodes"] == book.seen[book.chronicle.number]


def test_a_crash_between_the_sums_and_the_removal_counts_nothing_twice() -> None:
    book = Book()
    left: dict[str, Any] = {}
    for _ in range(41):
        book.become("audit_data", S.EXECUTING)
        left |= {name: document for name, document in book.files.items() if "attempt" in name}
        book.become("audit_data", S.SUCCEEDED)
    both = {**left, **book.files}
    assert len(both) == len(book.files) + 1
    assert story(both).versions == story(book.files).versions


def test_an_attempt_with_endless_changes_keeps_both_ends() -> None:
    book = Book()
    book.become("messages_data", S.EXECUTING)
    for number in range(2 * CHANGES_MOST):
        book.set({"nodes.messages_data.output_payload": {"number": number}})
    ext = book.files["state_node_messages_data_01H7XZAB_attempt1.json"]["ext"]
    assert len(ext["changes"]) == CHANGES_MOST
    assert ext["left_out"] == CHANGES_MOST + 2
    told = story(book.files)
    assert told.missing == 0
    assert state_at(told)["nodes"] == book.seen[book.chronicle.number]


def test_figures_that_only_go_on_are_not_kept() -> None:
    book = Book()
    book.become("snapshot_data", S.EXECUTING)
    before = json.dumps(book.files)
    book.set({"nodes.snapshot_data.execution_time": 1.0}, sampled=True)
    assert json.dumps(book.files) == before


def test_artifacts_come_back_too() -> None:
    book = Book()
    book.set({"context.artifacts.report": "/tmp/report"}, "hook x")
    book.set({"context.artifacts.other": "/tmp/other"}, "hook x")
    book.set({"context.artifacts.report": None}, "hook x")
    assert state_at(story(book.files))["context"]["artifacts"] == {"other": "/tmp/other"}
    assert state_at(story(book.files), 2)["context"]["artifacts"] == {
        "report": "/tmp/report",
        "other": "/tmp/other",
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a_x", "b_x", "c_x"]), st.sampled_from(S), st.integers(0, 3)),
        max_size=120,
    )
)
def test_every_version_is_rebuilt(steps: list[tuple[str, NodeStatus, int]]) -> None:
    """What goes through the files is what was there, at each instant that is kept."""
    book = Book()
    for name, status, number in steps:
        book.become(name, status, output_payload={"n": number}, execution_time=float(number))
    told = story(book.files)
    assert told.missing == 0
    assert not told.complete
    rebuilt = {version.seq: nodes for version, nodes in states(told)}
    for seq, nodes in rebuilt.items():
        summed = {name for name, node in nodes.items() if node["node_id"] in told.summed}
        expected = {n: node for n, node in book.seen[seq].items() if n not in summed}
        assert {n: node for n, node in nodes.items() if n not in summed} == expected
    if book.seen:
        assert state_at(told)["nodes"] == book.seen[book.chronicle.number]


def test_a_run_that_goes_on_with_another_begins_as_it_was() -> None:
    book = Book()
    book.become("messages_data", S.EXECUTING, input_payload={"role": "leader"})
    after = Book(book.versions.state)
    assert state_at(story(after.files))["nodes"] == book.seen[book.chronicle.number]
    after.become("messages_data", S.SUCCEEDED)
    assert state_at(story(after.files))["nodes"]["messages_data"]["status"] == "succeeded"


def test_a_file_that_is_gone_is_missed() -> None:
    book = Book()
    book.become("start_data", S.SUCCEEDED)
    book.become("snapshot_data", S.SUCCEEDED)
    book.do(book.chronicle.end(book.versions.state))
    assert story(book.files).complete
    del book.files["state_node_start_data_01H7XZAB_attempt1.json"]
    assert (story(book.files).missing, story(book.files).complete) == (3, False)


def test_differences_are_told_field_by_field() -> None:
    book = Book()
    book.become("start_data", S.EXECUTING)
    before = state_at(story(book.files))
    book.become("start_data", S.SUCCEEDED)
    found = differences(before, state_at(story(book.files)))
    assert found == [
        {"field": "nodes.start_data.status", "before": "executing", "after": "succeeded"}
    ]


@pytest.mark.parametrize("name", ["state_node_x.json", "x.json", "state_init.json", ".state_node_"])
def test_other_names_are_no_nodes(name: str) -> None:
    assert node_of(name) is None
