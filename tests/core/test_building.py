"""What a process is called: a number of the system that comes again is not enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fustor_core import building
from fustor_core.building import process_name


def test_a_process_is_named_by_its_number_and_its_start() -> None:
    pid, _, started = process_name().partition("-")
    assert int(pid) == os.getpid()
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    age_s = up_s - int(started) / os.sysconf("SC_CLK_TCK")
    assert 0 <= age_s < 24 * 3600, "of this process, not of the first one of that number"
    assert process_name() == process_name()


def test_two_processes_have_two_names() -> None:
    code = "from fustor_core.building import process_name; print(process_name())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() != process_name()


def test_a_program_name_with_brackets_and_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = " ".join(str(number) for number in range(4, 53))
    (tmp_path / "stat").write_text(f"7 (a) b (c) S {facts}\n")
    monkeypatch.setattr(building, "OWN_STAT", tmp_path / "stat")
    assert process_name() == f"{os.getpid()}-22"
