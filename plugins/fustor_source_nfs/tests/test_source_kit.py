"""The driver keeps the promises of a source."""

from __future__ import annotations

from pathlib import Path

import pytest
from fustor_source_nfs import NfsConfig, NfsSource

from fustor_core.claims import Origin
from fustor_core.contracts import Scope
from fustor_core.testing import source_kit


@pytest.mark.long
def test_the_driver_passes_the_kit(tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "file").write_text("content")
    (tmp_path / "other").mkdir()
    source_kit(NfsSource, NfsConfig(root=str(tmp_path)))


async def test_a_scan_keeps_to_the_pace_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("")
    told: list[int] = []

    def pace(operations: int, seconds: float) -> float:
        told.append(operations)
        assert 0 < seconds < 60
        return 0.0

    source = NfsSource(NfsConfig(root=str(tmp_path)))
    claims = [one async for one in source.scan(Scope(origin=Origin.AUDIT, pace=pace))]
    assert len(told) == len(claims) == 2
    assert min(told) > 2


async def test_only_what_a_leader_scans_is_polled(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    source = NfsSource(NfsConfig(root=str(tmp_path)))
    async with source.watch():
        for origin, polled in ((Origin.ON_DEMAND, 0), (Origin.SNAPSHOT, 2), (Origin.ON_DEMAND, 2)):
            assert [one async for one in source.scan(Scope(origin=origin))]
            assert source.coverage()["polled_dirs"] == polled
            assert source.coverage()["uncovered"] == [b"/"], "no watch sees what others write"
