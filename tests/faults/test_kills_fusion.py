"""kill -9 of the fusion server at system calls: what was acknowledged is there, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .campaign import Campaign, Mode, boundaries
from .ledger import Ledger, Told
from .machine import Machine
from .tracing import Boundary

EACH = 40  # kills on one home

pytestmark = pytest.mark.faults


@pytest.mark.amount("--kills")
def test_no_acknowledged_batch_is_lost(
    machine: Machine, tmp_path: Path, amount: int, ledger: Ledger
) -> None:
    machine.traces(tmp_path)
    with Campaign(tmp_path / "counts") as campaign:
        plan = list(boundaries(campaign, round(amount * 1.05) + 1, ledger.spots("kills")))
    assert len(set(plan)) == len(plan) >= amount, f"only {len(plan)} boundaries"
    total = Told()
    for begun in range(0, len(plan), EACH):
        if total.counts["kills"] < amount:
            with ledger.telling("kills") as told:
                one_home(tmp_path / f"home-{begun}", plan[begun : begun + EACH], told)
            total.counts.update(told.counts)
            print(", ".join(f"{count} {name}" for name, count in sorted(total.counts.items())))
    killed, missed, verified = (total.counts[name] for name in ("kills", "missed", "looks"))
    assert killed >= amount, f"{missed} of {len(plan)} runs ended before they were killed"
    assert verified >= killed / 5, f"the view was asked {verified} times only"


def one_home(folder: Path, plan: list[tuple[Mode, Boundary]], told: Told) -> None:
    """The server is killed at each of these, and all is there whenever it is looked at."""
    with Campaign(folder) as campaign:
        try:
            for mode, boundary in plan:
                campaign.kill_at(mode, boundary)
            campaign.finish()
        finally:
            told.points.update(campaign.points)
            told.counts["kills"] = sum(campaign.killed.values())
            told.counts["missed"], told.counts["looks"] = campaign.missed, campaign.verified
            told.counts["lost"] = campaign.lost
            told.counts["acknowledged"] = sum(client.acked for client in campaign.clients)
            again = sum(client.told["sent again"] for client in campaign.clients)
            told.counts["sent again"] = again
