"""What the state of a run consists of, immutable. Field names are a format: never renamed.

A run is one start of the program. Its nodes are the phases of pipes and the steps of jobs, named
``<step>_<of what>``: ``snapshot_projects``. A field of the state is named by a path:
``("nodes", "snapshot_projects", "status")`` or ``("context", "artifacts", "report")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fustor_core.states.node import NodeStatus

Field = tuple[str, ...]
Payload = Mapping[str, Any]


class RunHeader(msgspec.Struct, frozen=True):
    """The part that never changes (the seed's Pipeline State).

    Attributes:
        id: ``pipeline_`` and 26 characters that sort by time.
        version: of the program.
        start_timestamp: seconds since 1970.
        config_hash: of the configuration without its secrets, 16 hexadecimal digits.
    """

    id: str
    version: str
    start_timestamp: float
    config_hash: str


class NodeState(msgspec.Struct, frozen=True):
    """How one node stands.

    Attributes:
        node_id: its name and a suffix that makes it unique among all runs.
        input_payload: what the attempt began with. output_payload: what came of it.
        error: ``{message, event}`` of the last failure, None when there is none.
        retry_count: how often it was tried again since it was last pending.
        execution_time: seconds that the attempt has taken so far.
    """

    node_id: str
    status: NodeStatus = NodeStatus.PENDING
    input_payload: Payload | None = None
    output_payload: Payload | None = None
    error: Payload | None = None
    retry_count: int = 0
    execution_time: float = 0.0


class ExecutionContext(msgspec.Struct, frozen=True):
    """What nodes are executed in.

    Attributes:
        environment_vars: values of an allow-list; all others are ``***``.
        secret_store: where secrets come from, never what they are; None: there are none.
        active_plugins: ``name@version``.
        artifacts: name → path or address of what was made.
    """

    environment_vars: Mapping[str, str] = {}
    secret_store: str | None = None
    active_plugins: tuple[str, ...] = ()
    artifacts: Mapping[str, str] = {}


UNTOLD = ("environment_vars",)
"""Of the context, what watchers have no use for: it stands in the history."""

NODE_FIELDS = NodeState.__struct_fields__
CONTEXT_FIELDS = ExecutionContext.__struct_fields__


@dataclass(frozen=True, slots=True)
class RunState:
    """The whole state at one instant.

    Attributes:
        nodes: by name. attempts: number of the attempt that each is at, from 1.
        version: how many changes were committed, this one included.
    """

    header: RunHeader
    context: ExecutionContext = field(default_factory=ExecutionContext)
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """One change that was made.

    Attributes:
        version: of the state that it made. at: seconds since 1970. writer: who made it.
        before, state: the state before, and with it. changes: what is different.
        sampled: figures that go on all the time and mean nothing alone; not kept.
    """

    version: int
    at: float
    writer: str
    before: RunState
    state: RunState
    changes: Mapping[Field, Any]
    sampled: bool = False

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it has changed."""
        return tuple(dict.fromkeys(path[1] for path in self.changes if path[0] == "nodes"))

    @property
    def update_mask(self) -> list[str]:
        """The fields that are different: ``nodes.snapshot_data.status``, ``context.artifacts``."""
        paths = (path if path[0] == "nodes" else path[:2] for path in self.changes)
        return list(dict.fromkeys(map(dotted, paths)))

    def payload(self) -> dict[str, Any]:
        """The same fields with their values, nested; an artifact that is gone is None."""
        made: dict[str, Any] = {}
        for path, value in self.changes.items():
            part = made
            for key in path[:-1]:
                part = part.setdefault(key, {})
            part[path[-1]] = value
        return made


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change that is about to be made, as hooks are told of it.

    Attributes:
        writer: who wants it: ``engine``, ``person``, or the name of a hook.
        fact: it has happened already: it can be told, but not be vetoed any more.
        changes: dotted field → new value.
    """

    writer: str
    fact: bool
    changes: Mapping[str, Any]


def dotted(path: Field) -> str:
    """A field as people see it."""
    return ".".join(path)


def run_document(state: RunState, phase: str) -> dict[str, Any]:
    """A run as watchers of the live state are told of it.

    Args:
        phase: of its life.
    """
    context: dict[str, Any] = msgspec.to_builtins(state.context)
    return {
        **msgspec.to_builtins(state.header),
        "phase": phase,
        "nodes": {name: msgspec.to_builtins(node) for name, node in state.nodes.items()},
        "context": {name: value for name, value in context.items() if name not in UNTOLD},
    }
