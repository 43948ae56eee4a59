"""Changes of a run's state: first committer wins; what may be set by whom; how large a node is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.errors import IllegalTransition, MutationError, StateConflict, StateTooLarge
from fustor_core.state_runs.limits import NODE_LIMIT, NODE_WARNING, fitted, size_of
from fustor_core.state_runs.records import NodeState, RunHeader, RunState
from fustor_core.state_runs.transactions import ENGINE, Transaction, Versions, event_between
from fustor_core.states.node import NODE, NodeStatus

HEADER = RunHeader("pipeline_x", "0.1.0", 1.5, "0" * 16)


def versions(*names: str) -> Versions:
    made = Versions(RunState(HEADER))
    for name in names:
        put(made, ENGINE, {f"nodes.{name}.node_id": f"{name}_1"})
    return made


def put(into: Versions, writer: str, changes: dict[str, Any]) -> Any:
    return into.commit(wish(into, writer, changes), 2.0)[0]


def wish(into: Versions, writer: str, changes: dict[str, Any]) -> Transaction:
    made = into.begin(writer)
    for field, value in changes.items():
        made.set(field, value)
    return made


def test_a_reader_keeps_what_it_has() -> None:
    into = versions("a")
    seen = into.state
    put(into, ENGINE, {"nodes.a.status": NodeStatus.EXECUTING})
    assert seen.nodes["a"].status == "pending"
    assert into.state.nodes["a"].status == "executing"
    assert (seen.version, into.state.version) == (1, 2)


def test_the_first_committer_of_a_field_wins_and_both_are_named() -> None:
    into = versions("a")
    first = wish(into, "hook one", {"nodes.a.output_payload": {"rows": 1}})
    second = wish(
        into, "hook two", {"context.artifacts.x": "/x", "nodes.a.output_payload": {"rows": 2}}
    )
    other = wish(into, "hook three", {"nodes.a.error": {"message": "another field"}})
    into.commit(first, 2.0)
    with pytest.raises(StateConflict) as conflict:
        into.commit(second, 2.0)
    assert conflict.value.field == "nodes.a.output_payload"
    assert (conflict.value.mine, conflict.value.theirs) == ("hook two", "hook one")
    assert "hook one" in str(conflict.value)
    assert "hook two" in str(conflict.value)
    assert into.state.context.artifacts == {}, "all of it or nothing"
    into.commit(other, 2.0)
    assert into.state.nodes["a"].output_payload == {"rows": 1}
    assert into.state.nodes["a"].error == {"message": "another field"}


def test_artifacts_of_different_names_do_not_meet() -> None:
    into = versions()
    one = wish(into, "hook one", {"context.artifacts.raw.data": "/raw"})
    two = wish(into, "hook two", {"context.artifacts.report": "/report"})
    commits = [into.commit(one, 2.0)[0], into.commit(two, 2.0)[0]]
    assert into.state.context.artifacts == {"raw.data": "/raw", "report": "/report"}
    assert commits[1].update_mask == ["context.artifacts"]
    assert commits[1].payload() == {"context": {"artifacts": {"report": "/report"}}}
    put(into, "hook one", {"context.artifacts.raw.data": None})
    assert into.state.context.artifacts == {"report": "/report"}


def test_a_commit_says_what_is_different() -> None:
    into = versions("a")
    made = put(into, ENGINE, {"nodes.a.status": NodeStatus.EXECUTING, "nodes.a.retry_count": 1})
    assert made.update_mask == ["nodes.a.status", "nodes.a.retry_count"]
    assert made.payload() == {"nodes": {"a": {"status": "executing", "retry_count": 1}}}
    assert made.nodes == ("a",)
    assert into.state.attempts == {"a": 1}


@pytest.mark.parametrize(
    ("writer", "field", "value"),
    [
        (ENGINE, "nodes.a.colour", 1),
        (ENGINE, "header.id", "x"),
        (ENGINE, "context.secret_store", "x"),
        (ENGINE, "nodes", 1),
        ("hook x", "nodes.a.status", "succeeded"),
        ("hook x", "nodes.a.output_payload", "text"),
        ("hook x", "context.artifacts.x", {"a": 1}),
    ],
)
def test_what_may_not_be_set(writer: str, field: str, value: object) -> None:
    with pytest.raises(MutationError):
        wish(versions("a"), writer, {field: value})


def test_a_node_that_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(MutationError, match="no node b"):
        put(versions("a"), "hook x", {"nodes.b.output_payload": {}})


def test_statuses_follow_the_table() -> None:
    into = versions("a")
    with pytest.raises(IllegalTransition):
        put(into, ENGINE, {"nodes.a.status": NodeStatus.SUCCEEDED})
    assert into.state.nodes["a"].status == "pending"


@given(st.sampled_from(NodeStatus), st.sampled_from(NodeStatus))
def test_every_step_of_the_table_and_no_other(old: NodeStatus, new: NodeStatus) -> None:
    if new in {target for _, target in NODE.edges(old)}:
        assert NODE.next(old, event_between(old, new)) is new
    else:
        with pytest.raises(IllegalTransition):
            event_between(old, new)


def test_a_node_that_is_over_is_forgotten() -> None:
    into = versions("a", "b")
    into.forget("a")
    assert set(into.state.nodes) == {"b"}
    put(into, ENGINE, {"nodes.a.node_id": "a_2"})
    assert into.state.nodes["a"].node_id == "a_2"


def node(**payload: Any) -> NodeState:
    return NodeState("a_1", output_payload=payload)


def test_a_node_within_the_limit_stays_as_it_is() -> None:
    small = node(rows=3)
    assert fitted("a", small) == type(fitted("a", small))(small, size_of(small))
    assert not fitted("a", small).large
    assert fitted("a", node(text="x" * NODE_WARNING)).large


def test_the_largest_value_becomes_a_reference() -> None:
    fit = fitted("a", node(rows=3, text="x" * NODE_LIMIT, more="y" * 1000))
    output = fit.node.output_payload
    assert output is not None
    (reference,) = fit.moved
    assert output["text"] == {"$artifact": reference, "size": NODE_LIMIT + 2}
    assert (output["rows"], output["more"]) == (3, "y" * 1000)
    assert fit.moved[reference] == b'"' + b"x" * NODE_LIMIT + b'"'
    assert fit.size <= NODE_LIMIT
    assert fit.large


def test_what_cannot_become_small_is_refused_and_named() -> None:
    into = versions("a")
    many = {f"key {number}": "x" * 40 for number in range(1000)}
    with pytest.raises(StateTooLarge) as refused:
        put(into, "hook x", {"nodes.a.output_payload": many})
    assert refused.value.field == "nodes.a.output_payload"
    assert refused.value.size > NODE_LIMIT
    assert into.state.nodes["a"].output_payload is None
    with pytest.raises(StateTooLarge, match=r"nodes\.a\.output_payload\.huge"):
        put(into, "hook x", {"nodes.a.output_payload": {"huge": "x" * (2 << 20)}})


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=6000), max_size=12))
def test_no_node_is_ever_larger_than_the_limit(payload: dict[str, str]) -> None:
    """A dozen values can always be made small enough."""
    fit = fitted("a", NodeState("a_1", output_payload=payload))
    assert size_of(fit.node) <= NODE_LIMIT
    assert set(fit.node.output_payload or {}) == set(payload)
