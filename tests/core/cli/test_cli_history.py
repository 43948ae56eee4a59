"""`fustor history`: runs in files that the program itself has written; no server runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fustor_core.state_runs.journal import RunJournal, header_at
from fustor_core.state_runs.records import ExecutionContext, RunHeader, RunState
from fustor_core.state_runs.sealing import Keyring
from fustor_core.state_runs.transactions import ENGINE, Versions
from fustor_core.states.node import NodeStatus

Fustor = Callable[..., Any]
S = NodeStatus
LIMIT_S = 30.0
DAY_S = 86400.0
KEY = b"k" * 32


class Writer:
    """A run that is being written."""

    def __init__(self, folder: Path, *, age_s: float = 0.0, keys: Keyring | None = None) -> None:
        header = header_at(time.time() - age_s, "0.1.0", "0" * 16)
        state = RunState(header, ExecutionContext(active_plugins=("fustor-driver-x@1",)))
        none = {"rotate_bytes": 0, "rotate_age_s": 0.0, "keep_bytes": 0, "keep_age_s": 0.0}
        self.warned: list[str] = []
        about = {"roles": ["agent"], "pid": 77}
        self.journal = RunJournal(
            folder, state, keys=keys, warn=self.warned.append, about=about, **none
        )
        self.versions = Versions(state)

    @property
    def header(self) -> RunHeader:
        return self.versions.state.header

    def node(self, name: str, *statuses: NodeStatus, **fields: Any) -> Writer:
        for status in statuses:
            wish = self.versions.begin(ENGINE)
            if name not in self.versions.state.nodes:
                wish.set(f"nodes.{name}.node_id", f"{name}_1")
            wish.set(f"nodes.{name}.status", status)
            for key, value in fields.items():
                wish.set(f"nodes.{name}.{key}", value)
            self.journal.take(*self.versions.commit(wish, time.time()))
        return self

    def end(self, *, killed: bool = False) -> str:
        assert self.journal.flush(LIMIT_S)
        state = self.versions.state
        assert self.journal.close(state, {"ended": time.time(), "reason": "stopped"}, LIMIT_S)
        if killed:
            (self.journal.path / "state_final.json").unlink()
        return self.header.id


@pytest.fixture
def folder(home: Path) -> Path:
    """Where runs are when no place is named."""
    return home / "executions"


@pytest.fixture
def two(folder: Path) -> tuple[str, str]:
    """One that has ended, and one that was killed a day later while it retried."""
    first = Writer(folder, age_s=DAY_S).node("start_data", S.PENDING, S.EXECUTING, S.SUCCEEDED)
    second = Writer(folder).node("start_data", S.PENDING, S.EXECUTING)
    second.node("start_data", S.RETRYING, error={"message": "no\x1b[31m root", "event": "failed"})
    return first.end(), second.end(killed=True)


@pytest.fixture
def live(folder: Path) -> Iterator[Writer]:
    made = Writer(folder).node("start_data", S.PENDING)
    assert made.journal.flush(LIMIT_S)
    yield made
    made.end()


def test_runs_are_listed(fustor: Fustor, two: tuple[str, str], folder: Path) -> None:
    runs = fustor("history", "list", "--json").document["runs"]
    assert [run["id"] for run in runs] == list(two)
    told = [(run["state"], run["complete"], run["nodes"]) for run in runs]
    assert told == [("ended", True, 1), ("killed", False, 1)]
    assert runs[0]["folder"].startswith(str(folder))
    assert (runs[0]["ended"] is None, runs[1]["ended"]) == (False, None)
    lines = fustor("history", "list").lines
    assert len(lines) == 3
    assert b"killed" in lines[2]
    each = [json.loads(line) for line in fustor("history", "list", "--jsonl").lines]
    assert each == runs


def test_no_runs_and_where_they_might_be(fustor: Fustor, tmp_path: Path) -> None:
    done = fustor("history", "list")
    assert (done.code, done.out) == (0, b"")
    assert "--state-history DIR" in done.err
    assert fustor("history", "list", "--json").document == {"runs": []}
    done = fustor("history", "show", "--state-history", str(tmp_path / "nowhere"))
    assert done.code == 5
    assert "no runs in" in done.err


def test_a_run_is_shown(fustor: Fustor, two: tuple[str, str]) -> None:
    shown = fustor("history", "show", two[0], "--json").document
    assert {"id", "version", "start_timestamp", "config_hash", "context", "nodes", "ext"} == set(
        shown
    )
    assert shown["ext"]["state"] == "ended"
    assert shown["nodes"]["start_data"]["status"] == "succeeded"
    done = fustor("history", "show")
    assert done.code == 0
    assert two[1].encode() in done.out, "the newest one when none is named"
    assert b"it was killed" in done.out
    assert b"\x1b[31m root" not in done.out, "no raw control bytes"
    assert b"root" in done.out


@pytest.mark.parametrize("how", ["id", "part", "folder", "name"])
def test_ways_to_name_a_run(fustor: Fustor, two: tuple[str, str], folder: Path, how: str) -> None:
    (path,) = folder.glob(f"*{two[0]}")
    names = {"id": two[0], "part": two[0][-9:], "folder": str(path), "name": path.name}
    assert fustor("history", "show", names[how], "--json").document["id"] == two[0]


def test_a_run_that_is_not_there_or_not_the_only_one(fustor: Fustor, two: tuple[str, str]) -> None:
    assert fustor("history", "show", "nope").code == 5
    done = fustor("history", "show", "pipeline_")
    assert done.code == 2
    assert two[0] in done.err
    assert "several runs" in done.err
    assert fustor("history", "show", "nope", "--json").problem["type"].endswith("no-such-run")


def test_a_run_is_replayed(fustor: Fustor, two: tuple[str, str]) -> None:
    done = fustor("history", "replay", two[1])
    assert [line.split()[0] for line in done.lines] == [b"1", b"2", b"3"]
    assert "executing → retrying".encode() in done.lines[2]
    assert "it was killed" in done.err
    state = fustor("history", "replay", two[1], "--json").document
    assert state["nodes"]["start_data"]["status"] == "retrying"
    assert state["ext"]["complete"] is False
    before = fustor("history", "replay", two[1], "--to", "2", "--json").document
    assert before["nodes"]["start_data"]["status"] == "executing"
    same = fustor("history", "replay", f"{two[1]}@2", "--json").document
    assert same == before
    steps = [json.loads(line) for line in fustor("history", "replay", two[1], "--jsonl").lines]
    assert [step["changes"]["status"] for step in steps] == ["pending", "executing", "retrying"]
    assert fustor("history", "replay", two[1], "--node", "other").out == b""


def test_what_is_different(fustor: Fustor, two: tuple[str, str]) -> None:
    done = fustor("history", "diff", f"{two[1]}@1", f"{two[1]}@2", "--json")
    assert done.code == 1
    assert done.document["differences"] == [
        {"field": "nodes.start_data.status", "before": "pending", "after": "executing"}
    ]
    done = fustor("history", "diff")
    assert done.code == 1
    assert "nodes.start_data.status: succeeded → retrying".encode() in done.out
    assert fustor("history", "diff", two[0], two[0]).code == 0
    assert fustor("history", "diff", two[0]).code == 2, "there is none before the first"
    assert fustor("history", "diff", *two, two[0]).code == 2


def test_old_runs_go(fustor: Fustor, two: tuple[str, str]) -> None:
    done = fustor("history", "prune", "--older", "12h", "--dry-run", "--json")
    assert [one["id"] for one in done.document["removed"]] == [two[0]]
    assert len(fustor("history", "list", "--json").document["runs"]) == 2
    assert fustor("history", "prune", "--json").document["removed"] == [], "it is not that old"
    assert fustor("--yes", "history", "prune", "--max-size", "1").code == 0
    runs = fustor("history", "list", "--json").document["runs"]
    assert [run["id"] for run in runs] == [two[1]], "the newest one stays"
    assert fustor("history", "prune", "--max-size", "a lot").code == 2
    assert fustor("history", "prune", "--older", "a while").code == 2


def test_a_run_that_goes_on_is_never_removed(fustor: Fustor, live: Writer) -> None:
    assert fustor("history", "list", "--json").document["runs"][0]["state"] == "running"
    done = fustor("--yes", "history", "prune", live.header.id)
    assert done.code == 8
    assert "goes on" in done.err
    assert b"it goes on" in fustor("history", "show").out


def test_a_damaged_file_is_named_and_the_rest_is_told(
    fustor: Fustor, two: tuple[str, str], folder: Path
) -> None:
    (path,) = folder.glob(f"*{two[0]}")
    name = "state_node_start_data_1_attempt1.json"
    (path / name).write_bytes((path / name).read_bytes()[:40])
    done = fustor("history", "show", two[0])
    assert done.code == 9
    assert name in done.err
    assert two[0].encode() in done.out
    document = fustor("history", "show", two[0], "--json").document
    assert any(name in fault for fault in document["ext"]["faults"])
    assert "faults" in fustor("history", "list").lines[1].decode()
    (path / "state_init.json").write_bytes(b"\0")
    done = fustor("history", "replay", two[0], "--json")
    assert done.code == 9
    assert done.problem["type"].endswith("damaged")


def test_an_encrypted_run_needs_its_key(
    fustor: Fustor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Writer(folder, keys=Keyring([KEY])).node("start_data", S.PENDING)
    run.end()
    listed = fustor("history", "list")
    assert (listed.code, b"encrypted" in listed.out) == (0, True)
    done = fustor("history", "show")
    assert done.code == 6
    assert "--state-encryption-key" in done.err
    monkeypatch.setenv("STATE_KEY", KEY.hex())
    shown = fustor("history", "show", "--state-encryption-key", "env:STATE_KEY", "--json").document
    assert (shown["ext"]["encrypted"], shown["ext"]["faults"]) == (True, [])
    done = fustor("history", "show", "--state-encryption-key", KEY.hex())
    assert done.code == 3
    assert KEY.hex() not in done.err


def test_a_run_of_a_newer_version_is_left_alone(
    fustor: Fustor, two: tuple[str, str], folder: Path
) -> None:
    (path,) = folder.glob(f"*{two[0]}")
    document = json.loads((path / "state_init.json").read_bytes())
    document["ext"]["format"] = 2
    (path / "state_init.json").write_bytes(msgspec.json.encode(document))
    done = fustor("history", "show", two[0])
    assert done.code == 9
    assert "has format 2" in done.err
