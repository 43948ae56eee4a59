"""Changes of a run's state: first committer wins, field by field. Pure.

Readers hold an immutable `RunState` and are never in anybody's way. A transaction begins with the
state as it is, collects what it wants to set, and is committed as a whole or not at all: not if
somebody has committed one of its fields since it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fustor_core.errors import IllegalTransition, MutationError, StateConflict
from fustor_core.state_runs.limits import fitted
from fustor_core.state_runs.records import (
    CONTEXT_FIELDS,
    NODE_FIELDS,
    Commit,
    ExecutionContext,
    Field,
    NodeState,
    RunState,
    dotted,
)
from fustor_core.states.node import NODE, NodeStatus

ENGINE = "engine"
OTHERS_NODE_FIELDS = frozenset({"output_payload", "error"})
"""What others than the engine may set of a node; of the context, the artifacts."""


class Transaction:
    """What one writer wants to change.

    Args:
        writer: who. base: the state that the decision was made on.

    Attributes:
        changes: field → value, in the order in which they were set.
    """

    def __init__(self, writer: str, base: RunState) -> None:
        self.writer, self.base = writer, base
        self.changes: dict[Field, Any] = {}

    def __repr__(self) -> str:
        return f"<Transaction of {self.writer} on {self.base.version}: {len(self.changes)} fields>"

    def set(self, path: str | Field, value: Any) -> None:
        """Set a field.

        Args:
            path: ``nodes.<name>.<field>``, ``context.artifacts.<key>``; or the same as a tuple. An
                artifact that is set to None is gone.

        Raises:
            MutationError: there is no such field, or it is not for this writer.
        """
        field = tuple(path.split(".", 2)) if isinstance(path, str) else path
        _check_field(field, value, self.writer)
        self.changes[field] = value


class Versions:
    """The state as it is now, and who has written each of its fields last.

    Args:
        state: at the beginning.
        keeps: whether values that are too large for their nodes are kept elsewhere.
    """

    def __init__(self, state: RunState, *, keeps: bool = True) -> None:
        self.state = state
        self._keeps = keeps
        self.large: dict[str, int] = {}  # nodes that people should hear of, with their size
        self._written: dict[Field, tuple[int, str]] = {}

    def __repr__(self) -> str:
        return f"<Versions {self.state.version}, {len(self.state.nodes)} nodes>"

    def begin(self, writer: str) -> Transaction:
        """A transaction on the state as it is now."""
        return Transaction(writer, self.state)

    def commit(
        self, transaction: Transaction, at: float, *, sampled: bool = False
    ) -> tuple[Commit, Mapping[str, bytes]]:
        """Make what a transaction wants; all of it or nothing.

        Args:
            at: seconds since 1970.

        Returns:
            What was made, and contents that were too large for their nodes, by reference.

        Raises:
            StateConflict: somebody was faster with one of the fields; names both.
            IllegalTransition: a node cannot go from its status to that one.
            StateTooLarge: a node would be too large.
        """
        before, writer = self.state, transaction.writer
        for path in transaction.changes:
            version, other = self._written.get(path, (0, ""))
            if version > transaction.base.version:
                raise StateConflict(dotted(path), mine=writer, theirs=other)
        nodes, attempts = dict(before.nodes), dict(before.attempts)
        moved: dict[str, bytes] = {}
        for name, values in _by_node(transaction.changes).items():
            node = _changed(name, before.nodes.get(name), values)
            fit = fitted(name, node, keeps=self._keeps)
            moved |= fit.moved
            self._note_size(name, fit.size, large=fit.large)
            attempts[name] = attempts.get(name, 0) + _begins(nodes.get(name), fit.node)
            nodes[name] = fit.node
        context = _with_artifacts(before.context, transaction.changes)
        made = RunState(before.header, context, nodes, attempts, before.version + 1)
        changes = {path: _value(made, path) for path in transaction.changes}
        self.state = made
        self._written |= dict.fromkeys(changes, (made.version, writer))
        return Commit(made.version, at, writer, before, made, changes, sampled), moved

    def forget(self, name: str) -> None:
        """A node is over and no longer shown; what was kept of it stays."""
        state = self.state
        nodes = {key: node for key, node in state.nodes.items() if key != name}
        attempts = {key: count for key, count in state.attempts.items() if key != name}
        self.state = RunState(state.header, state.context, nodes, attempts, state.version)
        self.large.pop(name, None)
        for path in [path for path in self._written if path[:2] == ("nodes", name)]:
            del self._written[path]

    def _note_size(self, name: str, size: int, *, large: bool) -> None:
        if large:
            self.large[name] = size
        else:
            self.large.pop(name, None)


def event_between(old: NodeStatus, new: NodeStatus) -> str:
    """The event that leads from one status to another.

    Raises:
        IllegalTransition: none does, in one step.
    """
    for event, target in NODE.edges(old):
        if target is new:
            return event
    raise IllegalTransition("node", old.name, f"→ {new.name}", NODE.legal_events(old))


def _check_field(field: Field, value: Any, writer: str) -> None:
    known = False
    if len(field) == 3 and field[0] == "nodes":
        known = field[2] in NODE_FIELDS
        free = field[2] in OTHERS_NODE_FIELDS
        plain = value is None or isinstance(value, Mapping)
    elif len(field) == 3 and field[:2] == ("context", "artifacts"):
        known = free = True
        plain = value is None or isinstance(value, str)
    elif field[0] == "context" and field[1:2] and field[1] in CONTEXT_FIELDS:
        raise MutationError(f"{dotted(field)} never changes in a run; set context.artifacts.<name>")
    else:
        free = plain = False
    if not known:
        raise MutationError(
            f"{dotted(field)} is no field of the state",
            remedy="nodes.<name>.<field>, or context.artifacts.<name>",
        )
    if writer == ENGINE:
        return
    if not free:
        raise MutationError(
            f"{dotted(field)} is for the engine alone to set",
            remedy=f"others set {', '.join(sorted(OTHERS_NODE_FIELDS))} and artifacts",
        )
    if not plain:
        raise MutationError(f"{dotted(field)} cannot be a {type(value).__name__}")


def _by_node(changes: Mapping[Field, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        if path[0] == "nodes":
            found.setdefault(path[1], {})[path[2]] = value
    return found


def _changed(name: str, node: NodeState | None, values: Mapping[str, Any]) -> NodeState:
    if node is None:
        if "node_id" not in values:
            raise MutationError(f"there is no node {name}")
        return NodeState(**values)
    if "status" in values and values["status"] != node.status:
        event_between(node.status, NodeStatus(values["status"]))
    return msgspec.structs.replace(node, **values)


def _begins(before: NodeState | None, node: NodeState) -> bool:
    """Whether another attempt begins: what is new, what is pending again, what is retried."""
    if before is None:
        return True
    if node.status is NodeStatus.PENDING:
        return before.status is not NodeStatus.PENDING
    return node.status is NodeStatus.EXECUTING and before.status is NodeStatus.RETRYING


def _with_artifacts(context: ExecutionContext, changes: Mapping[Field, Any]) -> ExecutionContext:
    told = {path[2]: value for path, value in changes.items() if path[0] == "context"}
    if not told:
        return context
    artifacts = {**context.artifacts, **told}
    kept = {key: value for key, value in artifacts.items() if value is not None}
    return msgspec.structs.replace(context, artifacts=kept)


def _value(state: RunState, path: Field) -> Any:
    """A field's value as it was committed: a large one is a reference by now."""
    if path[0] == "nodes":
        return getattr(state.nodes[path[1]], path[2])
    return state.context.artifacts.get(path[2])
