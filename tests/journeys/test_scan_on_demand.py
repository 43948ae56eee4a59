"""A scan on demand says how far its result can be trusted, and ends the command so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The state directory of a program on a tree with a directory that cannot be read."""
    (tmp_path / "tree" / "open").mkdir(parents=True)
    (tmp_path / "tree" / "open" / "file").write_text("file")
    (tmp_path / "tree" / "shut").mkdir()
    (tmp_path / "tree" / "shut").chmod(0)
    home = tmp_path / "home"
    command = [sys.executable, "-m", "fustor_core", "--home", str(home), "--jsonl"]
    process = subprocess.Popen(
        [*command, "up", str(tmp_path / "tree")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process.stdout as events:
        while json.loads(events.readline())["event"] != "ready":
            pass
        yield home
        process.terminate()
        process.wait(LIMIT_S)
    (tmp_path / "tree" / "shut").chmod(0o700)


def scanned(home: Path, path: str) -> tuple[int, dict[str, Any]]:
    """Exit code and job of a scan that is waited for."""
    command = [sys.executable, "-m", "fustor_core", "--home", str(home), "--json"]
    done = subprocess.run(
        [*command, "view", "scan", path, "--wait"],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every directory")
def test_a_scan_that_could_not_read_all_is_partial(home: Path) -> None:
    code, job = scanned(home, "tree:/")
    assert (code, job["state"]) == (7, "completed")
    assert job["result"]["quality"]["complete"] is False
    assert job["result"]["quality"]["unscanned"][0]["path"] == "/shut"


def test_a_scan_says_how_good_its_result_is(home: Path) -> None:
    code, job = scanned(home, "tree:/open")
    assert (code, job["state"]) == (0, "completed")
    assert job["result"]["entries"] == 1
    assert job["result"]["quality"]["complete"] is True
