"""From moves of machines to nodes: which phase has begun, which is over, and how. Pure.

The pipe's machine stays the source of truth; a node only tells what a bit's rise and fall mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fustor_core.machine import Move
from fustor_core.states.leadership import LeadershipState
from fustor_core.states.node import NodeStatus
from fustor_core.states.pipeline import PipelineState

P = PipelineState
S = NodeStatus

PIPE_STEPS = {
    P.INITIALIZING: "start",
    P.RECONNECTING: "connect",
    P.SNAPSHOT_PHASE: "snapshot",
    P.MESSAGE_PHASE: "messages",
    P.AUDIT_PHASE: "audit",
    P.PAUSED: "pause",
    P.DRAINING: "drain",
}
"""The phases of an agent's pipe, in the order in which they follow each other."""
FUSION_STEPS = {P.INITIALIZING: "open", P.RUNNING: "serve", P.STOPPING: "close"}
LEAD = "lead"
"""A leadership of a view; each is an attempt of this node."""
DONE = frozenset("ready session_opened snapshot_end audit_end drained stopped".split())
"""Events that end what they end because it is done."""
TRIED_AGAIN = frozenset("failed session_lost".split())
STANDINGS = frozenset((P.MESSAGE_PHASE, P.PAUSED, P.RUNNING))
"""These have no end of their own: to leave them on purpose is no failure."""
ROLE_ENDS = frozenset("follow stand_by pause stop drained".split())
"""After these nobody here tries again what has failed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a node is to become.

    Attributes:
        node: its name. status: what it becomes. event: of the machine, which is the reason.
    """

    node: str
    status: NodeStatus
    event: str


def node_name(step: str, subject: str) -> str:
    """``snapshot_projects``: no step has an underscore, so both can be told apart."""
    return f"{step}_{subject}"


def turns(move: Move[Any]) -> Iterator[Turn]:
    """What a move of any machine means for nodes; first what ends, then what begins."""
    if move.machine == "pipeline":
        yield from _bits(move, PIPE_STEPS)
        if move.event in ROLE_ENDS:
            for step in PIPE_STEPS.values():
                # Only what is being retried: see `path`.
                yield Turn(node_name(step, move.subject), S.FAILED, f"given up: {move.event}")
    elif move.machine == "fusion_pipeline":
        yield from _bits(move, FUSION_STEPS)
    elif move.machine == "leadership":
        name = node_name(LEAD, move.subject)
        if move.new is LeadershipState.LEADING:
            yield Turn(name, S.EXECUTING, move.event)
        elif move.old is LeadershipState.LEADING:
            yield Turn(name, S.SUCCEEDED, move.event)


def _bits(move: Move[Any], steps: dict[PipelineState, str]) -> Iterator[Turn]:
    old, new = P(move.old), P(move.new)
    for bit, step in steps.items():
        name = node_name(step, move.subject)
        if old & bit and not new & bit:
            yield Turn(name, _end(bit, move.event), move.event)
        elif old & new & bit and bit is P.RECONNECTING and move.event == "failed":
            yield Turn(name, S.RETRYING, move.event)
    for bit, step in steps.items():
        if new & bit and not old & bit:
            yield Turn(node_name(step, move.subject), S.EXECUTING, move.event)


def _end(bit: PipelineState, event: str) -> NodeStatus:
    if event in DONE:
        return S.SUCCEEDED
    if bit in STANDINGS and event not in ("alarm", *TRIED_AGAIN):
        return S.SUCCEEDED
    if event in TRIED_AGAIN and bit is not P.PAUSED:
        return S.RETRYING
    return S.SUCCEEDED if bit is P.PAUSED else S.FAILED


def path(status: NodeStatus | None, wanted: NodeStatus, event: str = "") -> list[NodeStatus]:
    """The statuses through which a node gets where it is wanted, one step after the other.

    Args:
        status: as it is; None: there is no such node yet.
        event: the reason; to give up means only what is being retried.
    """
    if event.startswith("given up"):
        return [S.FAILED] if status is S.RETRYING else []
    steps: list[NodeStatus] = []
    if status is None:
        steps.append(S.PENDING)
    elif status in (S.SUCCEEDED, S.FAILED):
        if wanted is status:
            return []
        steps.append(S.PENDING)
    elif status is wanted and wanted is not S.RETRYING:
        return []
    now = steps[-1] if steps else status
    if wanted is S.PENDING:
        return steps
    if now is S.PENDING and wanted is S.FAILED:
        return [*steps, S.FAILED]
    if now is S.RETRYING and wanted is S.FAILED:
        return [*steps, S.FAILED]
    if now is not S.EXECUTING:
        steps.append(S.EXECUTING)
    return steps if wanted is S.EXECUTING else [*steps, wanted]
