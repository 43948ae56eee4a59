"""Whether a change time is over is told by the storage's own clock, however a host's stands."""

from __future__ import annotations

from fustor_core.files.rooted import RootProof

S_US, S_NS = 1_000_000, 1_000_000_000
AHEAD_NS = 86_400 * S_NS  # so far is the storage's clock ahead of the raw one


def test_a_time_is_over_when_the_newest_that_was_seen_is_later() -> None:
    proof = RootProof(b"/somewhere")
    now_ns = AHEAD_NS + 100 * S_NS
    assert not proof.past(now_ns - 30 * S_NS, 100 * S_US), "nothing newer was seen yet"
    assert not proof.past(now_ns, 100 * S_US)
    assert proof.past(now_ns - 30 * S_NS, 100 * S_US)
    assert not proof.past(now_ns - 2 * S_NS, 100 * S_US), "times of old servers count in seconds"


def test_a_time_is_over_after_a_while() -> None:
    proof = RootProof(b"/somewhere")
    made_ns = AHEAD_NS + 50 * S_NS
    assert not proof.past(made_ns, 100 * S_US)
    assert not proof.past(made_ns, 102 * S_US)
    assert proof.past(made_ns, 103 * S_US)
