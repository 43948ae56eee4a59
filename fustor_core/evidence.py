"""Judgements that are remembered, and what they are called. Pure."""

from __future__ import annotations

import msgspec

from fustor_core.claims import Key
from fustor_core.registers import Seen

_TOLD = {"older": "older", "same": "same", "debt": "debt"}  # of a rule; others: accepted


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """One judgement, remembered for `view explain`. `name` None: a whole listing."""

    at_us: int
    agent: str
    session: str
    seq: int
    origin: str
    key: Key
    name: bytes | None
    seen: Seen
    value: bytes | None
    verdict: str
    rule: str


def verdict_of(rule: str) -> str:
    """What a judgement by a rule of the arbitrator is called."""
    return _TOLD.get(rule, "accepted")
