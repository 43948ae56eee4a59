"""The hooks: what every installed plugin may be told (pluggy).

A hook is told, never asked to decide for one pipe. Hooks are synchronous and quick: they run
between two turns of the event loop, and one that raises ends the work that told it. What must be
awaited is a contract (contracts.py), not a hook.
An implementation takes only those arguments that it wants, by name:

    from fustor_core.hookspecs import hookimpl

    @hookimpl
    def fustor_transition(machine, subject, new):
        print(machine, subject, new)

It is found by an entry point of the group ``fustor.hooks``, or in the package of a driver that is
in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from fustor_core.contracts import Asset

PROJECT = "fustor"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def fustor_transition(machine: str, subject: str, event: str, old: object, new: object) -> None:
    """A machine has moved; its owner already holds the new state.

    Args:
        machine: name of the table, e.g. ``pipeline``.
        subject: whose machine it is, e.g. the id of the pipe.
        event: what moved it.
        old, new: the states, members of the table's own enumeration.
    """


@hookspec
def fustor_batch_accepted(view: str, session_id: str, seq: int, claims: int) -> None:
    """A batch is durable and about to be acknowledged; it may not be applied yet.

    Args:
        view: name of the view.
        session_id: the session that sent it.
        seq: its number within the session, from 1.
        claims: how many claims it holds, quarantined ones included.
    """


@hookspec
def fustor_tables() -> Sequence[Any]:
    """The plugin's own state machines (`fustor_core.machine.Table`), for ``fustor machines``."""
    return ()


@hookspec
def fustor_assets() -> Sequence[Asset]:
    """Files for browsers: receivers serve them as they are, at their paths, to whoever comes.

    They are asked for once, when a receiver begins to serve, and hold nothing that is secret. A
    file lies at ``/`` or below ``/assets/``; anything else, and a path that another plugin has
    taken before, is left out with a warning. Scripts and styles are files of their own: the policy
    that a receiver sends with each (Content-Security-Policy) forbids all that stands in markup,
    and all that comes from elsewhere.
    """
    return ()
