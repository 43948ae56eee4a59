"""The driver keeps the promises of a source."""

from __future__ import annotations

from pathlib import Path

from fustor_source_nfs import NfsConfig, NfsSource

from fustor_core.testing import source_kit


def test_the_driver_passes_the_kit(tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "file").write_text("content")
    (tmp_path / "other").mkdir()
    source_kit(NfsSource, NfsConfig(root=str(tmp_path)))
