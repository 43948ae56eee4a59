"""kill -9 of an agent at system calls, in a storm: after the next start the view is the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.conftest import times as times  # noqa: PLC0414
from tests.hosts.world import Site, until
from tests.hosts.writers import Storms

from .ledger import Ledger
from .machine import Machine
from .tracing import Boundary, Traced

KINDS = ("sendto", "write", "fsync", "rename")
MOST = {"sendto": 60, "write": 60, "fsync": 2, "rename": 1}
DEAD_S = 30.0
EXACT_S = 240.0  # removals wait for second looks, on a machine with other things to do

pytestmark = pytest.mark.faults


@pytest.mark.amount("--agent-kills")
def test_an_agent_that_is_killed_loses_nothing(
    place: Site, machine: Machine, tmp_path: Path, amount: int, ledger: Ledger
) -> None:
    machine.traces(tmp_path)
    alpha = place.agent("alpha", mounted=False)
    place.start()
    traced = Traced(alpha, tmp_path / "trace")
    storms = Storms([place.tree], place.outside)
    killed = 0
    alpha.stop()
    with ledger.telling("agent kills") as told, place.polled():
        for number in range(amount):
            kind = KINDS[number % len(KINDS)]
            nth = 1 + number // len(KINDS) % MOST[kind]
            traced.launch(*Boundary(kind, nth).words)
            try:
                for _ in range(20):
                    if not traced.runs:
                        break
                    storms.run(40)
                until(lambda: not traced.runs, DEAD_S, place.tails)
                killed += 1
                told.counts["kills"] += 1
                told.points[kind].add(nth)
            except AssertionError:
                traced.end()  # so many calls it does not make: it is killed in between two
        storms.calm()
        alpha.begin()
        place.settles(EXACT_S)
        told.counts["exact"] += 1
    print(f"{killed} of {amount} kills at a boundary")
    assert killed >= amount * 0.5
