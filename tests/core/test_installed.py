"""What is installed is read once, and again when it may have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core.installed import HELD_S_MAX, Installed

GROUP = "fustor.sources"


def _lay(folder: Path, name: str, driver: str) -> Path:
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{driver} = {name}:Zz\n")
    return info / "entry_points.txt"


def test_asked_again_it_reads_nothing_and_a_new_folder_is_seen_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    _lay(tmp_path, "zz_a", "one")
    installed = Installed()
    (first,) = (entry for entry in installed.entries(GROUP) if entry.name == "one")
    assert installed.owner(first) == ("zz_a", "1.2")
    assert any(entry is first for entry in installed.entries(GROUP))
    _lay(tmp_path, "zz_b", "two")
    assert {"one", "two"} <= {entry.name for entry in installed.entries(GROUP)}


def test_what_came_late_into_a_folder_is_seen_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    late = _lay(tmp_path, "zz_a", "one")
    now_s = 100.0
    installed = Installed(clock=lambda: now_s)
    assert "one" in {entry.name for entry in installed.entries(GROUP)}
    late.write_text(f"[{GROUP}]\nother = zz_a:Zz\n")
    assert "one" in {entry.name for entry in installed.entries(GROUP)}
    now_s += HELD_S_MAX
    assert "other" in {entry.name for entry in installed.entries(GROUP)}
