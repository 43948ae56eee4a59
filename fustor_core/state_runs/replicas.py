"""One node told of by several writers, none of which knows the others: a delta-CRDT. Pure.

There are two writers where the lead of a view changes, since the old leader's last words may come
after the new one's first, and where a process connects again and both of its sessions are heard.
Everywhere else one writer commits (transactions.py).

Each field is a tuple, and the greatest tuple is the truth: so joining is commutative, associative
and idempotent, words may be lost, repeated and come in any order, and a delta is just a replica
that says little. A later leadership (epoch) beats an earlier one, then a later attempt an earlier
one, then what is over what is not; of two payloads of one attempt the one that was told later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from fustor_core.state_runs.records import NodeState
from fustor_core.states.node import NodeStatus

ORDER = (
    NodeStatus.PENDING,
    NodeStatus.EXECUTING,
    NodeStatus.RETRYING,
    NodeStatus.FAILED,
    NodeStatus.SUCCEEDED,
)
"""Within one attempt; the last three end it."""

Standing = tuple[int, int, int]
"""Epoch, attempt, place in `ORDER`."""
Word = tuple[int, int, int, str, str]
"""Epoch, attempt, the writer's clock, the writer, the value as JSON."""
NOTHING: Word = (0, 0, 0, "", "null")


class Replica(msgspec.Struct, frozen=True):
    """What was heard of a node."""

    standing: Standing = (0, 0, 0)
    input_payload: Word = NOTHING
    output_payload: Word = NOTHING
    error: Word = NOTHING
    retries: tuple[int, int] = (0, 0)
    """Epoch, how often."""
    time: tuple[int, int, float] = (0, 0, 0.0)
    """Epoch, attempt, seconds."""

    @property
    def attempt(self) -> int:
        """The attempt that it is about."""
        return self.standing[1]

    def node(self, node_id: str) -> NodeState:
        """The node as it is known."""
        return NodeState(
            node_id,
            ORDER[self.standing[2]],
            json.loads(self.input_payload[-1]),
            json.loads(self.output_payload[-1]),
            json.loads(self.error[-1]) if self.error[:2] == self.standing[:2] else None,
            self.retries[1],
            self.time[2] if self.time[:2] == self.standing[:2] else 0.0,
        )


def joined(one: Replica, other: Replica) -> Replica:
    """What both know together."""
    return Replica(
        *(max(getattr(one, key), getattr(other, key)) for key in Replica.__struct_fields__)
    )


def word(
    writer: str,
    clock: int,
    epoch: int,
    attempt: int,
    status: NodeStatus,
    **fields: Mapping[str, Any] | None,
) -> Replica:
    """A delta: one writer's word.

    Args:
        clock: of the writer; later words have greater ones.
        epoch: of the leadership under which it was said.
        fields: payloads and error, where there is something to say of them.
    """

    def told(value: Mapping[str, Any] | None) -> Word:
        return epoch, attempt, clock, writer, json.dumps(value, sort_keys=True)

    said = {key: told(value) for key, value in fields.items()}
    retries = attempt - 1 if status is not NodeStatus.RETRYING else attempt
    return Replica(
        standing=(epoch, attempt, ORDER.index(status)),
        input_payload=said.get("input_payload", NOTHING),
        output_payload=said.get("output_payload", NOTHING),
        error=said.get("error", NOTHING),
        retries=(epoch, max(0, retries)),
    )
