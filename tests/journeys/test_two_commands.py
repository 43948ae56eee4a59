"""`fustor agent` and `fustor fusion` as their users run them: two processes, one home, one tree."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fustor_core.client import Client

LIMIT_S = 30.0
OUTDATED = 16
COMMAND = [sys.executable, "-m", "fustor_core"]


class Site:
    """A home, a tree, and the processes that a test starts."""

    def __init__(self, folder: Path) -> None:
        self.home, self.tree, self.folder = folder / "home", folder / "tree", folder
        self.tree.mkdir()
        (self.tree / "file").write_text("x")
        self.started: list[subprocess.Popen[str]] = []

    @property
    def config(self) -> Path:
        return self.home / "agent-pipes-config" / "my-pipe.yaml"

    def init(self) -> None:
        """The configurations that `fustor init` writes, as they are."""
        for kind in ("fusion", "agent"):
            self.told("init", "--kind", kind, cwd=self.tree)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A process, with its events on stdout."""
        log = (self.folder / f"{words[0]}.log").open("a")
        process = subprocess.Popen(
            [*COMMAND, "--home", str(self.home), *words, "--jsonl"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        self.started.append(process)
        return process

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "--home", str(self.home), *words],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            cwd=cwd,
            check=False,
        )

    def told(self, *words: str, cwd: Path | None = None) -> dict[str, Any]:
        """The document of a command that went well."""
        done = self.run(*words, "--json", cwd=cwd)
        assert done.returncode == 0, (words, done)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def pipe(self, name: str = "my-pipe") -> dict[str, Any]:
        """Asked without a process of its own: it is asked often."""
        with Client(f"unix:{self.home}/agent/api.sock") as client:
            return client.get(f"/pipes/{name}")

    def change(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))


def event(process: subprocess.Popen[str], kind: str, **fields: Any) -> dict[str, Any]:
    """The next event of a kind, with these fields."""
    assert process.stdout is not None
    for line in process.stdout:
        told: dict[str, Any] = json.loads(line)
        if told["event"] == kind and fields.items() <= told.items():
            return told
    raise AssertionError(f"it ended with {process.wait(LIMIT_S)} before {kind}")


def until(reached: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < end, "too late"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


@pytest.fixture
def both(site: Site) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Fusion and an agent, ready."""
    site.init()
    fusion = site.start("fusion")
    event(fusion, "ready", view="files")
    agent = site.start("agent")
    event(agent, "ready", pipe="my-pipe")
    return fusion, agent


@pytest.mark.long
def test_two_processes_on_one_home(site: Site, both: Any) -> None:
    fusion, agent = both
    until(lambda: site.told("view", "stat", "files:/file")["existence"] == "present")
    status = site.told("status")
    assert status["roles"] == ["agent", "fusion"]
    assert [view["view"] for view in status["views"]] == ["files"]
    assert [pipe["id"] for pipe in status["pipes"]] == ["my-pipe"]
    assert site.told("status", "--role", "agent")["pid"] == agent.pid
    assert site.told("status", "--role", "fusion")["pid"] == fusion.pid
    shown = site.told("pipe", "show", "my-pipe")
    assert (shown["state"], shown["role"]) == (66, "leader")
    (session,) = site.told("session", "list")["sessions"]
    assert (session["pipe"], session["view"]) == ("my-pipe", "files")
    assert "MESSAGE_PHASE" in site.run("pipe", "list").stdout
    values = site.told("config", "show", "--effective")["values"]
    assert values["pipes.my-pipe.source.root"]["origin"].startswith(f"{site.config}:")
    assert values["views.files.driver"] == {"value": "file", "origin": "default"}
    for role in ("agent", "fusion"):
        refused = site.run(role)
        assert (refused.returncode, "in use by process" in refused.stderr) == (8, True)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_each_cleanly(site: Site, both: Any, number: int) -> None:
    for process in reversed(both):
        process.send_signal(number)
        event(process, "stopped")
        assert process.wait(LIMIT_S) == 0
    assert site.run("status").returncode == 4
    assert not (site.home / "agent" / "api.sock").exists()


@pytest.mark.long
def test_a_second_signal_ends_a_stop_that_takes_long(site: Site, both: Any) -> None:
    fusion, agent = both
    fusion.send_signal(signal.SIGSTOP)
    (site.tree / "new").write_text("not sent any more")
    until(lambda: site.pipe()["unacked_bytes"] > 0)
    agent.send_signal(signal.SIGTERM)
    until(lambda: site.pipe()["state"] == 512)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(LIMIT_S) == 143
    fusion.send_signal(signal.SIGCONT)


@pytest.mark.long
def test_one_is_stopped_and_the_other_goes_on(site: Site, both: Any) -> None:
    fusion, agent = both
    assert site.told("stop", "--role", "agent")["stopped"] == ["my-pipe"]
    assert agent.wait(LIMIT_S) == 0
    assert site.told("status")["roles"] == ["fusion"]
    assert site.told("view", "stat", "files:/file")["existence"] == "present"
    again = site.start("agent")
    event(again, "ready", pipe="my-pipe")
    fusion.kill()
    fusion.wait()
    assert site.told("status")["roles"] == ["agent"], "a socket that is left is no server"
    site.told("stop")
    assert again.wait(LIMIT_S) == 0


@pytest.mark.long
def test_both_are_stopped_at_once(site: Site, both: Any) -> None:
    site.told("stop")
    assert [process.wait(LIMIT_S) for process in both] == [0, 0]


@pytest.mark.long
def test_a_hangup_makes_it_follow_its_files(site: Site, both: Any) -> None:
    _, agent = both
    session = site.pipe()["session_id"]
    site.change("audit_interval_sec: 600", "audit_interval_sec: 60")
    agent.send_signal(signal.SIGHUP)
    assert event(agent, "reloaded")["changed"] == ["my-pipe"]
    assert (site.pipe()["session_id"], site.pipe()["generation"]) == (session, 1)
    site.change("audit_interval_sec: 60", "audit_interval_sek: 60")
    agent.send_signal(signal.SIGHUP)
    told = event(agent, "warning", line=13)
    assert told["file"] == str(site.config)
    assert "nothing has changed" in told["message"] or "cannot be used" in told["message"]
    assert site.pipe()["session_id"] == session
    site.change("audit_interval_sek: 60", "follower: standby")
    agent.send_signal(signal.SIGHUP)
    assert event(agent, "reloaded")["changed"] == ["my-pipe"]
    until(lambda: site.pipe()["generation"] == 2 and site.pipe()["state"] == 66)


@pytest.mark.long
def test_a_file_that_cannot_be_used_is_told_with_its_place(site: Site, both: Any) -> None:
    session = site.pipe()["session_id"]
    site.change("sentinel_interval_sec: 120", "sentinel_interval_sec: soon")
    done = site.run("reload", "--role", "agent")
    assert done.returncode == 3
    assert f"{site.config}:14:24" in done.stderr
    assert "nothing has changed" in done.stderr
    assert json.loads(site.run("reload", "--role", "agent", "--json").stderr)["line"] == 14
    assert (site.pipe()["session_id"], site.pipe()["state"]) == (session, 66)


@pytest.mark.long
def test_a_file_that_nobody_reloaded_shows_within_five_seconds(site: Site, both: Any) -> None:
    text = site.config.read_text()
    site.change("error_retry_interval: 5.0", "error_retry_interval: 2.0")
    until(lambda: site.pipe()["state"] == 66 | OUTDATED, 5)
    assert "CONF_OUTDATED" in site.pipe()["flags"]
    site.config.write_text(text)
    until(lambda: site.pipe()["state"] == 66, 5)
    site.config.write_text(text + "follower: standby\n")
    done = site.told("reload", "--no-restart", "--role", "agent")
    assert (done["outdated"], done["changed"]) == (["my-pipe"], [])
    assert site.pipe()["state"] == 66 | OUTDATED
    assert site.told("reload", "--role", "agent")["changed"] == ["my-pipe"]
    until(lambda: site.pipe()["state"] == 66)


@pytest.mark.long
def test_pipes_and_views_come_and_go(site: Site, both: Any) -> None:
    session = site.pipe()["session_id"]
    more = site.home / "conf.d" / "more.yaml"
    more.write_text("version: 1\nviews: {second: {}}\n")
    other = site.folder / "other"
    other.mkdir()
    pipe = site.config.with_name("second.yaml")
    pipe.write_text(
        f"id: second\nsource: {{driver: fs, root: {other}}}\nsink: {{driver: fusion,"
        f' url: "unix:{site.home}/fusion/api.sock", view: second}}\n'
    )
    done = site.told("reload")
    assert set(done["started"]) == {"view:second", "second"}
    assert "my-pipe" in done["untouched"]
    until(lambda: site.pipe("second")["state"] == 66)
    pipe.unlink()
    more.unlink()
    assert set(site.told("reload")["stopped"]) == {"view:second", "second"}
    assert site.pipe()["session_id"] == session
    assert site.run("view", "stat", "second:/").returncode == 5
    assert site.run("pipe", "show", "second").returncode == 5


@pytest.mark.long
def test_what_cannot_be_done_to_a_pipe_is_a_conflict(site: Site, both: Any) -> None:
    done = site.run("pipe", "resume", "my-pipe")
    assert done.returncode == 8
    assert "legal here: " in done.stderr
    assert site.told("pipe", "pause", "my-pipe")["flags"] == ["RUNNING", "PAUSED"]
    assert site.told("pipe", "resume", "my-pipe")["state"] == 2
    site.told("pipe", "restart", "my-pipe")
    until(lambda: (site.pipe()["generation"], site.pipe()["state"]) == (2, 66))


@pytest.mark.long
def test_one_file_for_both(site: Site) -> None:
    file = site.folder / "both.yaml"
    file.write_text(
        f"version: 1\npipes:\n  p:\n    source: {{driver: fs, root: {site.tree}}}\n"
        "    sink: {driver: view, view: v}\nviews: {v: {}}\n"
    )
    refused = site.run("agent", "-c", str(file))
    assert refused.returncode == 3
    assert f"{file}:5:20" in refused.stderr
    assert "fustor run" in refused.stderr
    fusion = site.start("fusion", "-c", str(file))
    event(fusion, "ready", view="v")
    assert "left out of fustor fusion: pipe p" in (site.folder / "fusion.log").read_text()
    assert site.told("status")["pipes"] == []
    site.told("stop")


@pytest.mark.parametrize("role", ["agent", "fusion"])
def test_nothing_to_run(site: Site, role: str) -> None:
    done = site.run(role)
    assert done.returncode == 3
    assert f"fustor init --kind {role}" in done.stderr
