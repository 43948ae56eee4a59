"""What must have happened sometimes: a campaign that never meets it proves nothing about it."""

from __future__ import annotations

from collections import Counter

from fustor_core.testing.sim.faults import KINDS, POINTS

RULES = (
    "first newer older same overlap debt silent owe incomplete silence_refused digest_refused"
).split()
ERRORS = ("DiskFull JournalFailed SessionObsoletedError SlowDown").split()
OPERATIONS = (
    "create write remove mkdir rename swap rmtree link begin out in many huge clear old same back"
    " chmod ask scan"
).split()
SEEN = ("weak moved word writing closed owed_deep digest stale_read overflow uncovered").split()
STATES = "loose hidden frozen suspect disputed split forgotten".split()
REST = (
    "net.lost net.twice net.cut net.timeout disk.torn disk.full disk.broken disk.dropped"
    " fusion.exits quarantined.unproven_root checked.again checked.order"
).split()

SOMETIMES = frozenset(
    [
        *(f"rule.{one}" for one in RULES),
        *(f"error.{one}" for one in ERRORS),
        *(f"op.{one}" for one in OPERATIONS),
        *(f"fault.{one}" for one in KINDS.values()),
        *(f"window.{one}" for one in POINTS),
        *(f"seen.{one}" for one in SEEN),
        *(f"state.{one}" for one in STATES),
        *REST,
    ]
)


RARELY = frozenset(["error.StaleEpochError"])
"""What some thousand seeds must meet."""


def never(counts: Counter[str], *, many: bool = False) -> list[str]:
    """What has not happened once.

    Args:
        many: in some thousand seeds; else in some hundred.
    """
    expected = SOMETIMES | RARELY if many else SOMETIMES
    return sorted(name for name in expected if not counts[name])
