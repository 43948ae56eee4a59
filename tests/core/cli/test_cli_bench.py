"""`fustor bench`: which commands there are, what is counted, and that they measure what runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fustor_core.bench.children import Child, ChildFailed
from fustor_core.bench.crowd import facts_in
from fustor_core.bench.state_ws import Found
from fustor_core.cli.program import build

RUN_S_MAX = 170


def found(**changes: object) -> Found:
    fields = dict.fromkeys(Found.__dataclass_fields__, 0)
    return Found(**{**fields, "facts": 100, "seconds": 5.0, "longest_ms": 50.0, **changes})  # type: ignore[arg-type]


def message(mask: list[str], base_seq: int = 7, **payload: object) -> bytes:
    return json.dumps({"update_mask": mask, "base_seq": base_seq, "payload": payload}).encode()


def test_every_file_of_the_group_brings_commands() -> None:
    import typer

    from fustor_core import cli
    from fustor_core.cli import benches

    files = {path.stem for path in Path(cli.__path__[0]).glob(f"{benches.PREFIX}*.py")}
    assert "bench_state_ws" in files
    app = typer.Typer()
    benches.collect(app)
    called = [one.callback.__module__.rpartition(".")[2] for one in app.registered_commands
              if one.callback is not None]  # fmt: skip
    assert set(called) == files
    assert "state-ws" in build().commands["bench"].commands


def test_facts_are_sessions_that_came_or_went() -> None:
    raw = message(
        ["sessions.a", "sessions.b", "sessions.c.state", "views.v.files"],
        sessions={"a": {"state": "ALIVE"}, "c": {"state": "STALE"}},
        views={"v": {"files": 3}},
    )
    assert facts_in(raw) == ["+a", "-b"]
    assert facts_in(message(["sessions"], 0, sessions={"a": {}})) == [], "a whole state"
    assert facts_in(message(["sessions.a"], 0, sessions={"a": {}})) == []


def test_what_was_found_is_judged() -> None:
    assert found().met
    assert not found(longest_ms=200.0).met
    assert found(longest_ms=200.0).whole, "late is not lost"
    assert not found(missed=1).whole
    assert not found(facts=3).whole, "nothing was measured"
    assert found(longest_ms=None).document()["met"] is False


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    words = ["-c", "raise SystemExit('no crowd today')"]
    failed = pytest.raises(ChildFailed, match="no crowd today")
    with Child(words, tmp_path / "log") as child, failed:
        child.told()


@pytest.mark.long
def test_the_live_state_is_measured_as_a_user_would(tmp_path: Path) -> None:
    """As installed: from another folder, which holds no checkout."""
    words = ["bench", "state-ws", "--clients", "7", "--nodes", "20", "--seconds", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fustor_core", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        cwd=tmp_path,
    )
    told = json.loads(done.stdout)
    assert done.returncode == 0, done
    assert told["whole"], told
    assert (told["clients"], told["nodes"], told["missed"]) == (7, 20, 0)
    assert told["longest_ms"] >= told["p50_ms"] > 0
    assert told["beats_per_s"] > 0
