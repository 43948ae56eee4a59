"""A node of a run: a pipe's phase or a job's step, from one attempt to the next.

The words are those of the record that is kept of it (``pending``, ``executing`` …). What comes
back, as an audit does, is pending again and is executed once more: an attempt of its own.
"""

from __future__ import annotations

from enum import StrEnum

from fustor_core.machine import Rule, Table


class NodeStatus(StrEnum):
    """How a node stands; the values are what records say."""

    PENDING = "pending"
    """It is to be done, and was not begun."""
    EXECUTING = "executing"
    """It is being done."""
    SUCCEEDED = "succeeded"
    """It was done; or, of what has no end of its own, it was ended on purpose."""
    FAILED = "failed"
    """It was not done, and nobody tries again by himself."""
    RETRYING = "retrying"
    """It has failed and is tried again."""


S = NodeStatus

NODE = Table(
    "node",
    S.PENDING,
    [
        Rule("begin", (S.PENDING, S.RETRYING), S.EXECUTING),
        Rule("succeed", S.EXECUTING, S.SUCCEEDED),
        Rule("fail", (S.EXECUTING, S.RETRYING), S.FAILED),
        Rule("retry", S.EXECUTING, S.RETRYING),
        Rule("propagate", S.PENDING, S.FAILED),  # what it waits for has failed
        Rule("again", (S.SUCCEEDED, S.FAILED), S.PENDING),
    ],
)
