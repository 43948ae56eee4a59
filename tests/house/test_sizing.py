"""The page of sizes says what was measured, and its plots draw that and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKE = [sys.executable, str(ROOT / "docs" / "sizing.py")]


def test_page_and_plots_are_what_the_newest_run_says() -> None:
    done = subprocess.run(
        [*MAKE, "--check"], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr} run: python docs/sizing.py"


def test_every_run_that_is_kept_was_right() -> None:
    runs = sorted((ROOT / "docs" / "bench").glob("*.json"))
    assert runs, "nothing was measured"
    for path in runs:
        run = json.loads(path.read_text("utf-8"))
        assert run["wrong"] == [], path.name
        assert run["machine"]["cores"], path.name
