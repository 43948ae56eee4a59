"""A run of the program: the four phases of its state.

Mutation is no stretch of time after the execution but the commit inside it: each change of the
state enters it and leaves it. A run that was killed has no finalization.
"""

from __future__ import annotations

from enum import StrEnum

from fustor_core.machine import Rule, Table


class RunPhase(StrEnum):
    """The phases; the values are what records say."""

    INITIALIZATION = "initialization"
    """The configuration is valid, drivers and hooks are loaded; the first snapshot is made."""
    EXECUTION = "execution"
    """Nodes are executed."""
    MUTATION = "mutation"
    """One change of the state is being committed."""
    FINALIZATION = "finalization"
    """The report is written; nothing changes any more."""


S = RunPhase

RUN = Table(
    "run",
    S.INITIALIZATION,
    [
        Rule("initialized", S.INITIALIZATION, S.EXECUTION),
        Rule("commit", S.EXECUTION, S.MUTATION),
        Rule("committed", S.MUTATION, S.EXECUTION),
        Rule("finalize", S.EXECUTION, S.FINALIZATION),
    ],
    final=(S.FINALIZATION,),
)
