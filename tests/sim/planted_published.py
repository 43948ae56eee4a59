"""The published rules of the earlier design, as an arbitrator (reliability.md §1.2).

Realtime always wins; a scan brings nothing that is not newer by mtime, brings back nothing that is
not newer than its deletion, and deletes what it misses and nobody touched since it began; whatever
arrives later was later; nothing is ever in doubt.
"""

from __future__ import annotations

from typing import Any

from fustor_arbitrator_fs import FSArbitrator

from fustor_core import arbitration
from fustor_core.arbitration import Rules
from fustor_core.claims import Claim, is_dir, unpack_row
from fustor_core.contracts import Facts, Known, Verdict
from fustor_core.registers import Register
from tests.sim.planted_bugs import Bug, Worlds, instead
from tests.sim.planted_order import BUSY, CALM


class Published(FSArbitrator):
    """Judges as the earlier design says."""

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        """By mtime, receipt and role."""

        def judged(k: Register | None, c: Register, rules: Rules) -> tuple[Register, str]:
            if k is None or c.rt:
                return c, "first" if k is None else "newer"
            return (c, "newer") if _accepted(k, c, facts) else (k, "older")

        with (
            instead(arbitration, "judge", judged).made(),
            instead(arbitration, "order", lambda k, c: 1).made(),
        ):
            return super().judge(known, claim, facts)


def _accepted(k: Register, c: Register, facts: Facts) -> bool:
    """Whether a scan's claim changes what is held."""
    if c.value is None:
        return k.seen.hi <= c.seen.lo  # not touched since the scan began
    if is_dir(c.value):
        return True
    mtime_ns = unpack_row(c.value).mtime_ns
    if k.value is None:
        deleted_ns = facts.storage_ns - (facts.arrival_us - k.seen.hi) * 1000
        return mtime_ns > deleted_ns
    return is_dir(k.value) or mtime_ns > unpack_row(k.value).mtime_ns


def published() -> Any:
    """A new one."""
    return Published(Published.Config())


RULES = (
    Bug("published", "the published rules of the earlier design, all together",
        worlds=Worlds("", CALM, BUSY), more={"arbitrates": published}),
)  # fmt: skip
