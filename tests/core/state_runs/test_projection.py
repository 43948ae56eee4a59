"""What moves of machines mean for nodes, over every walk that the tables allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.machine import Move
from fustor_core.state_runs.projection import PIPE_STEPS, path, turns
from fustor_core.state_runs.transactions import event_between
from fustor_core.states import ALL
from fustor_core.states.node import NodeStatus
from fustor_core.states.pipeline import PIPELINE, PipelineState

S = NodeStatus
P = PipelineState


class Nodes:
    """The nodes of one pipe, led by its events."""

    def __init__(self) -> None:
        self.state: P = PIPELINE.initial
        self.nodes: dict[str, NodeStatus] = {}

    def drive(self, events: str) -> dict[str, str]:
        for event in events.split():
            self.move(event)
        return {name.removesuffix("_x"): str(status) for name, status in self.nodes.items()}

    def move(self, event: str) -> None:
        move = PIPELINE.move("x", self.state, event)
        self.state = move.new
        for turn in turns(move):
            for status in path(self.nodes.get(turn.node), turn.status, turn.event):
                if turn.node in self.nodes:
                    event_between(self.nodes[turn.node], status)
                else:
                    assert status is S.PENDING
                self.nodes[turn.node] = status


LEADS = "start ready session_lost session_opened lead snapshot_end"


def test_a_leader_that_is_stopped() -> None:
    nodes = Nodes()
    assert nodes.drive(LEADS) == {
        "start": "succeeded",
        "connect": "succeeded",
        "snapshot": "succeeded",
        "messages": "executing",
    }
    told = nodes.drive("audit_begin audit_end stop drain drained")
    assert (told["messages"], told["audit"], told["drain"]) == ("succeeded",) * 3


def test_an_error_is_retried_until_nobody_tries() -> None:
    nodes = Nodes()
    told = nodes.drive(f"{LEADS} audit_begin failed")
    assert (told["messages"], told["audit"], told["connect"]) == (
        "retrying",
        "retrying",
        "executing",
    )
    assert nodes.drive("failed")["connect"] == "retrying"
    told = nodes.drive("session_opened follow")
    assert (told["connect"], told["audit"], told["messages"], told["pause"]) == (
        "succeeded",
        "failed",
        "executing",
        "executing",
    )


def test_an_alarm_is_a_failure_and_its_retry_begins_again() -> None:
    nodes = Nodes()
    assert nodes.drive("start ready session_lost alarm")["connect"] == "failed"
    assert nodes.drive("retry")["connect"] == "executing"


def test_a_snapshot_that_is_cut_short_has_failed() -> None:
    assert Nodes().drive("start ready lead stop drain")["snapshot"] == "failed"
    assert Nodes().drive("start ready lead pause")["snapshot"] == "failed"


@given(st.lists(st.integers(0, 30), max_size=60))
def test_after_every_walk_a_node_executes_exactly_while_its_bit_is_set(walk: list[int]) -> None:
    nodes = Nodes()
    for choice in walk:
        legal = PIPELINE.legal_events(nodes.state)
        nodes.move(legal[choice % len(legal)])
        for bit, step in PIPE_STEPS.items():
            status = nodes.nodes.get(f"{step}_x")
            if nodes.state & bit:
                assert status in (S.EXECUTING, S.RETRYING)
                assert status is S.EXECUTING or bit is P.RECONNECTING
            else:
                assert status is not S.EXECUTING


@pytest.mark.parametrize("status", [None, *S])
@pytest.mark.parametrize("wanted", list(S))
def test_every_way_to_a_status_follows_the_table(
    status: NodeStatus | None, wanted: NodeStatus
) -> None:
    now = status
    for step in path(status, wanted):
        assert now is not None or step is S.PENDING
        if now is not None:
            event_between(now, step)
        now = step
    begun = wanted is S.PENDING and status in (S.EXECUTING, S.RETRYING)
    assert now is (status if begun else wanted)


def test_a_leadership_is_an_attempt_of_a_node() -> None:
    table, state = ALL["leadership"], ALL["leadership"].initial
    told = []
    for event in ("elect", "durable", "lapse", "elect", "durable"):
        move: Move[object] = table.move("data", state, event)
        state = move.new
        told += [(turn.node, turn.status) for turn in turns(move)]
    assert told == [("lead_data", S.EXECUTING), ("lead_data", S.SUCCEEDED)] * 1 + [
        ("lead_data", S.EXECUTING)
    ]
