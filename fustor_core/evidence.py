"""Judgements that are remembered, and what they are called. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from fustor_core.claims import Batch, Cell, Key, Listing, Origin, Owe, Same, is_dir, unpack_row
from fustor_core.contracts import Verdict
from fustor_core.frames import BatchHead
from fustor_core.registers import Seen

NAMED_MOST = 64
LAG_SAMPLES = 16
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


def evidence_of(
    claim: Cell | Listing | Same | Owe, verdict: Verdict, head: BatchHead, seq: int
) -> list[Evidence]:
    """What is remembered of one judgement: each name that it is about, when they are few."""
    names: list[tuple[bytes | None, bytes | None]]
    if isinstance(claim, Cell):
        names = [(claim.name, claim.value)]
    elif len(verdict.writes) <= NAMED_MOST and verdict.rule != "first":
        names = [(w.name, w.new.value) for w in verdict.writes]
    else:
        names = [(None, None)]
    return [
        Evidence(
            head.arrival_us,
            head.agent,
            head.session,
            seq,
            claim.origin,
            claim.dir,
            name,
            verdict.seen,
            value,
            verdict_of(verdict.rule),
            verdict.rule,
        )
        for name, value in names
    ]


def fresh_ctimes(batch: Batch, skipped: Collection[int]) -> list[int]:
    """A few ctimes, in ns, of what an agent saw happen: they show the storage's clock."""
    found: list[int] = []
    for i, claim in enumerate(batch.claims):
        if len(found) >= LAG_SAMPLES:
            break
        if (
            isinstance(claim, Cell)
            and i not in skipped
            and claim.origin is Origin.REALTIME
            and claim.value is not None
            and claim.name
            and not is_dir(claim.value)
        ):
            found.append(unpack_row(claim.value).ctime_ns)
    return found
