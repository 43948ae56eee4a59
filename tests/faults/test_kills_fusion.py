"""kill -9 of the fusion server at system calls: what was acknowledged is there, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .campaign import Campaign, boundaries
from .machine import Machine

EACH = 40  # kills on one home

pytestmark = pytest.mark.faults


@pytest.mark.amount("--kills")
def test_no_acknowledged_batch_is_lost(machine: Machine, tmp_path: Path, amount: int) -> None:
    machine.traces(tmp_path)
    with Campaign(tmp_path / "counts") as campaign:
        plan = list(boundaries(campaign, round(amount * 1.05) + 1))
    assert len(set(plan)) == len(plan) >= amount, f"only {len(plan)} boundaries"
    killed = verified = missed = acked = again = 0
    begun = 0
    while begun < len(plan) and killed < amount:
        with Campaign(tmp_path / f"home-{begun}") as campaign:
            for mode, boundary in plan[begun : begun + EACH]:
                campaign.kill_at(mode, boundary)
            campaign.finish()
            killed += sum(campaign.killed.values())
            verified, missed = verified + campaign.verified, missed + campaign.missed
            acked += sum(client.acked for client in campaign.clients)
            again += sum(client.told["sent again"] for client in campaign.clients)
        begun += EACH
        print(f"{killed} kills, {missed} missed, {acked} acknowledged, {again} sent again")
    assert killed >= amount, f"{missed} of {len(plan)} runs ended before they were killed"
    assert verified >= killed / 5, f"the view was asked {verified} times only"
