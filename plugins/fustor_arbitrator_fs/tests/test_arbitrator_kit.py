"""The arbitrator `fs` keeps the promises of an arbitrator."""

from __future__ import annotations

from fustor_arbitrator_fs import FSArbitrator

from fustor_core.testing import arbitrator_kit


def test_it_keeps_every_promise_of_an_arbitrator() -> None:
    arbitrator_kit(FSArbitrator, FSArbitrator.Config())
