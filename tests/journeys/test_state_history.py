"""The state of real runs: kept while they go on, told after they were killed, sealed, hooked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fustor_core.client import Client
from fustor_core.state_runs.folders import read_run, run_folders
from fustor_core.state_runs.replaying import state_at
from fustor_core.state_runs.sealing import read_keyring

LIMIT_S = 60.0
COMMAND = [sys.executable, "-m", "fustor_core"]
SECRET = "pl4nted-s3cret"


class Site:
    """A home, a tree, a folder of runs, and the processes that a test starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.tree, self.history = folder / "home", folder / "tree", folder / "runs"
        self.tree.mkdir()
        (self.tree / "file").write_text("x")
        self.started: list[subprocess.Popen[str]] = []
        self.environ: dict[str, str] = {}

    def start(self, *words: str, until: str = "ready") -> subprocess.Popen[str]:
        """A process that has told this event."""
        with (self.folder / "stderr").open("a") as log:
            process = subprocess.Popen(
                [*COMMAND, "--home", str(self.home), *words, "--jsonl"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.environ},
            )
        self.started.append(process)
        self.event(process, until)
        return process

    def event(self, process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
        assert process.stdout is not None
        for line in process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == kind:
                return told
        raise AssertionError((self.folder / "stderr").read_text())

    def up(self, *words: str) -> subprocess.Popen[str]:
        return self.start("up", str(self.tree), "--state-history", str(self.history), *words)

    def stop(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "--home", str(self.home), *words],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**os.environ, **self.environ},
        )

    def told(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = self.run(*words, "--json")
        assert done.returncode == code, (words, done)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def past(self, *words: str, code: int = 0) -> dict[str, Any]:
        return self.told("history", *words, "--state-history", str(self.history), code=code)

    def replayed(self, key: str | None = None, number: int = -1) -> dict[str, Any]:
        """As `fustor history replay` has it, without a process of its own: it is asked often."""
        runs = run_folders(self.history)
        keys = None if key is None else read_keyring(key, os.environ)[0]
        told = read_run(runs[number], keys).story if runs else None
        return {"nodes": {}, "context": {"artifacts": {}}} if told is None else state_at(told)

    def statuses(self) -> dict[str, str]:
        return {name: node["status"] for name, node in self.replayed()["nodes"].items()}

    def pipe(self, name: str = "tree") -> dict[str, Any]:
        with Client(f"unix:{self.home}/fusion/api.sock") as client:
            return client.get(f"/pipes/{name}")


def until(reached: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < end, "too late"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_a_run_that_is_killed_replays_to_its_last_state(site: Site) -> None:
    """A paused pipe, then kill -9: the history says that it was paused, and is not complete."""
    process = site.up()
    until(lambda: site.statuses().get("messages_tree") == "executing")
    assert site.past("list")["runs"][0]["state"] == "running"
    site.told("pipe", "pause", "tree")
    until(lambda: site.statuses().get("pause_tree") == "executing")
    before = site.replayed()["nodes"]
    process.kill()
    process.wait(LIMIT_S)
    (run,) = site.past("list")["runs"]
    assert (run["state"], run["complete"], run["ended"]) == ("killed", False, None)
    after = site.past("replay")
    assert after["nodes"] == before
    assert after["ext"]["missing"] == 0
    statuses = site.statuses()
    assert statuses["serve_tree"] == "executing"
    assert statuses["snapshot_tree"] == "succeeded"
    assert statuses["messages_tree"] == "succeeded"
    assert not list(site.history.rglob("state_final.json"))


@pytest.mark.long
def test_a_run_from_its_beginning_to_its_end(site: Site) -> None:
    process = site.up()
    (job,) = [site.told("view", "scan", "tree:/", "--wait")]
    site.stop(process)
    shown = site.past("show")
    assert shown["ext"]["state"] == "ended"
    assert shown["ext"]["complete"] is True
    assert [mark["phase"] for mark in shown["ext"]["phases"]] == [
        "initialization",
        "execution",
        "finalization",
    ]
    nodes = shown["nodes"]
    assert nodes["snapshot_tree"]["output_payload"]["files"] == 1
    assert nodes["lead_tree"]["input_payload"]["epoch"] == 1
    scan = nodes[f"scan_{job['id'][:12]}"]
    assert (scan["status"], scan["input_payload"]["path"]) == ("succeeded", "/")
    assert scan["output_payload"]["entries"] == 1
    assert set(shown["ext"]["report"]["nodes"]) == {"succeeded"}
    assert all(plugin.partition("@")[2] for plugin in shown["context"]["active_plugins"])
    lines = site.run("history", "replay", "--state-history", str(site.history), "--jsonl").stdout
    seqs = [json.loads(line)["seq"] for line in lines.splitlines()]
    assert seqs == sorted(set(seqs))
    assert seqs[0] == 1
    process = site.up()
    site.stop(process)
    different = site.past("diff", code=1)["differences"]
    assert {"nodes.start_tree.node_id", "id"} <= {one["field"] for one in different}
    removed = site.past("prune", run_id(site, 0), "--yes")["removed"]
    assert [one["id"] for one in removed] == [shown["id"]]
    assert len(site.past("list")["runs"]) == 1


def run_id(site: Site, number: int) -> str:
    return str(site.past("list")["runs"][number]["id"])


@pytest.mark.long
def test_what_is_recorded_within_the_tree_is_not_seen(site: Site) -> None:
    site.history = site.tree / "executions"
    process = site.up()
    assert site.told("view", "find", "*.json", "--in", "tree:/")["matches"] == []
    assert list(site.history.rglob("*.json"))
    site.stop(process)
    assert site.past("show")["ext"]["complete"] is True


def planted(site: Site) -> Path:
    """A configuration with a secret in a file, one in the environment, and a key."""
    (site.folder / "key").write_text("6b" * 32)
    (site.folder / "push").write_text(SECRET)
    for name in ("key", "push"):
        (site.folder / name).chmod(0o600)
    site.environ["STATE_TEST_TOKEN"] = f"{SECRET}-in-env"
    config = site.folder / "site.yaml"
    config.write_text(
        f"""
version: 1
pipes:
  far:
    source: {{driver: fs, root: {site.tree}}}
    sink: {{driver: fusion, url: "http://127.0.0.1:1", key: "${{file:push}}", view: far}}
state: {{history: runs, encryption_key: "file:key"}}
"""
    )
    return config


@pytest.mark.long
@pytest.mark.parametrize("sealed", [True, False])
def test_a_planted_secret_is_nowhere(site: Site, sealed: bool) -> None:
    """An agent that reaches nobody: its errors are told again and again, and never its key."""
    config = planted(site)
    if not sealed:
        config.write_text(config.read_text().replace(', encryption_key: "file:key"', ""))
    process = site.start("agent", "-c", str(config), until="warning")
    key = ["--state-encryption-key", f"file:{site.folder / 'key'}"] if sealed else []

    def retried() -> bool:
        nodes = site.replayed(key[-1] if key else None)["nodes"]
        return bool(nodes.get("connect_far", {}).get("retry_count"))

    until(retried)
    site.stop(process)
    files = list(site.history.rglob("*.json"))
    content = b"".join(file.read_bytes() for file in files)
    assert files
    assert SECRET.encode() not in content
    assert b"6b" * 32 not in content
    assert (b"connect_far" not in content) is sealed
    shown = site.past("show", *key)
    assert SECRET not in json.dumps(shown)
    assert "6b" * 32 not in json.dumps(shown)
    assert shown["context"]["environment_vars"]["STATE_TEST_TOKEN"] == "***"
    assert f"file:{site.folder / 'push'}" in shown["context"]["secret_store"]
    assert shown["nodes"]["connect_far"]["status"] == "failed"
    assert shown["nodes"]["connect_far"]["retry_count"] >= 1
    if not sealed:
        return
    refused = site.run("history", "show", "--state-history", str(site.history))
    assert refused.returncode == 6
    assert "is encrypted with the key" in refused.stderr
    victim = next(file for file in files if file.name.startswith("state_node_start"))
    victim.write_bytes(victim.read_bytes()[:-9])
    done = site.run("history", "show", "--state-history", str(site.history), *key)
    assert done.returncode == 9
    assert victim.name in done.stderr


def test_a_key_on_the_command_line_is_refused_and_not_repeated(site: Site) -> None:
    done = site.run("up", str(site.tree), "--state-encryption-key", "6b" * 32)
    assert done.returncode == 2
    assert "6b" * 32 not in done.stderr + done.stdout
    assert "env:NAME or file:PATH" in done.stderr
    config = planted(site)
    config.write_text(config.read_text().replace("file:key", "6b" * 32))
    done = site.run("validate", str(config))
    assert done.returncode == 3
    assert "6b" * 32 not in done.stderr + done.stdout


def test_a_history_that_cannot_be_kept_is_told_at_once(site: Site) -> None:
    place = ("--state-history", str(site.tree / "file"))
    done = site.run("up", str(site.tree), *place)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert str(site.tree / "file") in done.stderr


@pytest.mark.long
def test_agent_and_fusion_keep_a_history_each(site: Site) -> None:
    """In one folder; fusion's tells what agents say of their phases, and who leads."""
    for kind in ("fusion", "agent"):
        made = subprocess.run(
            [*COMMAND, "--home", str(site.home), "init", "--kind", kind],
            cwd=site.tree,
            timeout=LIMIT_S,
            check=True,
            capture_output=True,
        )
        assert made.returncode == 0
    place = ("--state-history", str(site.history))
    fusion = site.start("fusion", *place)
    agent = site.start("agent", *place)

    def nodes(role: str) -> dict[str, Any]:
        return dict(site.replayed(number={"fusion": 0, "agent": 1}[role])["nodes"])

    until(lambda: nodes("fusion").get("fill_files", {}).get("status") == "succeeded")
    session = nodes("fusion")["lead_files"]["input_payload"]["session_id"]
    assert nodes("fusion")["fill_files"]["input_payload"]["session_id"] == session
    assert nodes("agent")["snapshot_my-pipe"]["input_payload"]["session_id"] == session
    fusion.kill()
    fusion.wait(LIMIT_S)
    until(lambda: nodes("agent")["connect_my-pipe"]["status"] == "retrying")
    site.stop(agent)
    states = [run["state"] for run in site.past("list")["runs"]]
    assert states == ["killed", "ended"]
    assert nodes("agent")["connect_my-pipe"]["status"] == "failed"


HOOKS = """
from fustor_core import StateHook

class Office(StateHook):
    def pre_state_mutation(self, mutation):
        if any(field.startswith("scan.") for field in mutation.changes):
            return "no scans in office hours"

class Notes(StateHook):
    def post_node_execute(self, node_id, previous_state, current_state):
        change = self.state.begin()
        change.set("context.artifacts.last", node_id)
        change.commit()

class Broken(StateHook):
    def post_node_execute(self, node_id, previous_state, current_state):
        raise RuntimeError("broken on purpose")
"""


@pytest.mark.long
def test_hooks_out_of_a_file(site: Site) -> None:
    """One vetoes, one writes, one is broken: the first two work, the last one is switched off."""
    (site.folder / "hooks.py").write_text(HOOKS)
    (site.folder / "hooks.py").chmod(0o644)
    config = site.folder / "site.yaml"
    config.write_text(
        f"""
version: 1
pipes:
  tree: {{source: {{driver: fs, root: {site.tree}}}, sink: {{driver: view, view: tree}}}}
views: {{tree: {{}}}}
state: {{history: runs}}
hooks: [./hooks.py]
"""
    )
    process = site.start("run", "-c", str(config))
    until(lambda: "last" in site.replayed()["context"]["artifacts"])
    done = site.run("view", "scan", "tree:/")
    assert done.returncode == 6
    assert "no scans in office hours" in done.stderr
    site.stop(process)
    shown = site.past("show")
    assert "Office@file" in shown["context"]["active_plugins"]
    assert shown["ext"]["complete"] is True
    (site.folder / "hooks.py").chmod(0o666)
    refused = site.run("run", "-c", str(config))
    assert refused.returncode == 3
    assert "others may write" in refused.stderr
