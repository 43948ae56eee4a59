"""What a plugin may be told of the state of a run: `from fustor_core import StateHook`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from fustor_core.state_runs.records import ExecutionContext, Mutation, NodeState, RunState


class Change(Protocol):
    """Something that a hook wants to change; see `StateAccess.begin`."""

    def set(self, field: str, value: Any) -> None:
        """Set a field.

        Args:
            field: ``context.artifacts.<name>``, or ``nodes.<name>.output_payload`` or ``.error``.
            value: a text for an artifact (None removes it), else a mapping or None.

        Raises:
            MutationError: there is no such field, or it is the engine's.
        """
        ...

    def commit(self) -> int:
        """Make the change; waits for it.

        Returns:
            The version of the state with it.

        Raises:
            StateConflict: somebody has changed one of the fields since `begin`; names both.
            StateTooLarge: a node would be too large. Vetoed: another hook does not want it.
            MutationError: the run is over.
        """
        ...


class StateAccess(Protocol):
    """The state, as hooks reach it; from their own threads too."""

    @property
    def now(self) -> RunState:
        """The state as it is; it never changes, later ones are others."""
        ...

    def begin(self) -> Change:
        """Begin a change on the state as it is now."""
        ...


class StateHook:
    """What a hook is told of runs. A subclass has those methods that it wants.

    It is found by an entry point of the group ``fustor.hooks``, or in a file that the configuration
    names under ``hooks:``. Each hook has a thread of its own, in which it is made and called, one
    call after the other: it may block itself, but nobody else. One that raises, or does not answer
    a question within a second, is reported; the third time it is switched off.

    Attributes:
        logger: writes to where the program's log goes, under the hook's name.
        state: the state now, and the way to change it.
    """

    logger: logging.Logger
    state: StateAccess

    def pre_state_initialize(self, config: Mapping[str, Any], context: ExecutionContext) -> None:
        """A run is about to begin; the program waits for this.

        Args:
            config: dotted key → value; secrets are ``***``.
            context: what nodes will be executed in.
        """

    def post_node_execute(
        self, node_id: str, previous_state: NodeState, current_state: NodeState
    ) -> None:
        """A node stands otherwise than before; told after the fact.

        Args:
            node_id: of the node.
            previous_state, current_state: of the node; they may have the same status.
        """

    def pre_state_mutation(self, mutation: Mutation) -> str | None:
        """The state is about to be changed; the change waits for the answer.

        Args:
            mutation: who wants what. What has happened already (``mutation.fact``) is told here,
                too, but nobody can veto it any more.

        Returns:
            None when there is nothing against it; a text vetoes it, and is told as the reason.
        """
        return None

    def post_state_finalize(self, report: Mapping[str, Any]) -> None:
        """The run is over; the program waits for this, for a while.

        Args:
            report: how long it took, its nodes by status, attempts, retries.
        """


EVENTS = (
    "pre_state_initialize",
    "post_node_execute",
    "pre_state_mutation",
    "post_state_finalize",
)
