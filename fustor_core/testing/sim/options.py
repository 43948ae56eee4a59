"""What a seed draws: which world, which faults, how often (swarm testing)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

from fustor_core.errands import LOOK_AGAIN_US

FEATURES = (
    "links", "partial", "outside", "bulk", "huge", "times", "reuse",  # what people do
    "overflow", "limit", "doubtful", "slow", "unreadable", "hang",  # what a source meets
    "cut", "loss", "twice", "late",  # the network
    "stop", "kill", "restart", "reboot", "wall",  # processes and machines
    "full", "broken",  # the disk of fusion
    "vanish", "other",  # the root
    "again", "standby", "asks",  # the rest
)  # fmt: skip


RARE = {"huge": 0.02, "broken": 0.15, "again": 0.2}
"""Shares of seeds that have what costs more."""


@dataclass(frozen=True)
class Options:
    """One world. Seconds, unless named otherwise.

    Attributes:
        hosts: agents. bound_s: of the caches of their mounts, 0 = none; shorter than the pause
            between two listings, else a poller disputes with itself (arbitration.md §11 #21).
        understated: the bound that they claim, as a share (1 = honest).
        births: keys hold births. tick_us: granularity of the storage's times.
        blind: share of operations that no agent's host does. rate: operations a second.
        length_s: of the safety phase. features: those that are on.
        scans: ``full``: all audits; ``silent``: none that looks at files, so that in the end the
            names alone are right; ``none``: no audits, for worlds in which everything is watched:
            in the end names and rows are right. Suspects wait for an audit.
    """

    seed: int
    hosts: int = 2
    bound_s: float = 0.0
    understated: float = 1.0
    births: bool = True
    tick_us: int = 1
    blind: float = 0.2
    rate: float = 2.0
    length_s: float = 30.0
    features: frozenset[str] = frozenset()
    session_timeout_s: float = 3.0
    heartbeat_s: float = 1.0
    audit_s: float = 5.0
    full_s: float = 10.0
    sentinel_s: float = 1.5
    hot_s: float = 1.5
    second_look_s: float = 3.0
    guard_count: int = 6
    guard_ratio: float = 0.3
    retry_s: float = 0.5
    backoff_s: float = 4.0
    timeout_s: float = 2.0
    loose_age_s: float = 5.0
    scans: str = "full"

    def has(self, feature: str) -> bool:
        """Whether a feature is on."""
        return feature in self.features

    def text(self) -> str:
        """As a failure prints it."""
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        shown["features"] = sorted(self.features)
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())


def draw(seed: int, **fixed: Any) -> Options:
    """The options of a seed; `fixed` ones are as given."""
    rng = Random(f"options {seed}")
    features = frozenset(name for name in FEATURES if rng.random() < RARE.get(name, 0.3))
    drawn = Options(
        seed,
        hosts=rng.choice([1, 1, 2, 2, 3]),
        bound_s=rng.choice([0.0, 0.0, 0.5, 1.5]),
        births=rng.random() < 0.7,
        tick_us=rng.choice([1, 4_000, 1_000_000]),
        blind=rng.choice([0.0, 0.2, 0.6]),
        rate=rng.choice([0.5, 2.0, 6.0]),
        length_s=rng.choice([10.0, 20.0, 30.0]),
        features=features,
        guard_count=rng.choice([3, 6, 1000]),
    )
    return replace(drawn, **fixed)


def settle_s(options: Options) -> float:
    """The bound T of reliability.md §2.3: how long after the last fault and change all is right.

    A term each for what may have to happen one after the other: fusion back and a session lost, the
    longest back-off, a new leader and its snapshot; two audits of all files, since a scan may have
    begun before the last change, each one cache bound late; what was cached once more; the guard's
    second look; hot files; three rounds of the sentinel.
    """
    lost_s = options.session_timeout_s + 3 * options.heartbeat_s + options.backoff_s
    lost_s += 2 * options.timeout_s + options.retry_s
    audits_s = {"full": options.full_s + options.audit_s, "silent": options.audit_s, "none": 0.0}
    scans_s = 2 * (audits_s[options.scans] + 2 * options.bound_s)
    if options.scans == "none":  # a look whose order was lost is asked for again; audits come first
        scans_s += LOOK_AGAIN_US / 1e6
    looks_s = options.second_look_s + 2 * options.hot_s + 3 * options.sentinel_s
    return lost_s + scans_s + looks_s + 5.0
