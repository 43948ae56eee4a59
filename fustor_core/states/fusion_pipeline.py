"""Fusion's pipe, one a view: the same integers as the agent's, fewer of them.

    0 start→ 1 ready→ 2 stop→ 1024 stopped→ 0          1 init_failed→ 8 stop→ 1024
                      2 failed→ 8 recovered→ 2

Sessions have their own machine: the pipe's state does not change with them. What failed while it
served is tried again (`chores`), and it serves meanwhile. CONF_OUTDATED rides on 2 and 8 until the
configuration is as it was, or a stop takes it away.
"""

from __future__ import annotations

from fustor_core.machine import Rule, Table
from fustor_core.states.pipeline import EVERYTHING, PipelineState

P = PipelineState


def legal(state: PipelineState) -> bool:
    """Whether a value is a state of fusion's pipe."""
    outdated = int(state) & P.CONF_OUTDATED
    stage = int(state) & ~int(P.CONF_OUTDATED)
    if outdated:
        return stage in (P.RUNNING, P.ERROR)
    return stage in (P.STOPPED, P.INITIALIZING, P.RUNNING, P.ERROR, P.STOPPING)


FUSION_PIPELINE = Table(
    "fusion_pipeline",
    P.STOPPED,
    [
        Rule("start", P.STOPPED, P.INITIALIZING),
        Rule("ready", P.INITIALIZING, P.RUNNING, clear=P.INITIALIZING),
        Rule("init_failed", P.INITIALIZING, P.ERROR, clear=P.INITIALIZING),
        Rule("failed", P.RUNNING, P.ERROR, clear=P.RUNNING),
        Rule("recovered", P.ERROR, P.RUNNING, clear=P.ERROR),
        Rule("config_changed", (P.RUNNING, P.ERROR), P.CONF_OUTDATED),
        Rule("config_restored", P.RUNNING | P.CONF_OUTDATED, P.RUNNING, clear=P.CONF_OUTDATED),
        Rule("config_restored", P.ERROR | P.CONF_OUTDATED, P.ERROR, clear=P.CONF_OUTDATED),
        Rule("stop", (P.RUNNING, P.ERROR), P.STOPPING, clear=EVERYTHING),
        Rule("stopped", P.STOPPING, P.STOPPED, clear=P.STOPPING),
    ],
    legal=legal,
)
