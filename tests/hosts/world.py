"""A site: one fusion server, agents that push to it through a proxy each, and a tree they share.

Everything is real: processes of the installed command, TCP on loopback, inotify, keys.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.storms.live import Program

from .mounts import Mounts
from .poller import HZ, Poller
from .proxy import Proxy

VIEW = "shared"
START_S = 30.0
END_S = 20.0
LOOK_S = 0.1
ANCHORS = 12
UNFORESEEN = ("is restarted:", "should not happen", "Traceback", "never retrieved")
DEEP_EVERY = 2

FUSION = """\
version: 1
views:
  {view}:
    driver: file
    session_timeout_seconds: {times.timeout_s}
    audit_interval_sec: {times.audit_s}
    sentinel_interval_sec: {times.sentinel_s}
    mass_delete_guard: {{second_look: {times.second_look_s}}}
receivers:
  main: {{driver: http, listen: ["unix", "127.0.0.1:{port}"], max_batch_bytes: 1MiB}}
"""


@dataclass(frozen=True)
class Times:
    """What the configuration says, in seconds, and the bounds that follow from it."""

    timeout_s: float = 4.0
    heartbeat_s: float = 1.0
    audit_s: float = 0.0
    sentinel_s: float = 2.0
    second_look_s: float = 5.0
    retry_s: float = 0.5
    backoff_s: float = 2.0
    request_s: float = 3.0

    @property
    def failover_s(self) -> float:
        """From the end of a leader to the next one."""
        return self.timeout_s + 2.0

    @property
    def exact_s(self) -> float:
        """From the last change to an exact view.

        What may still be owed then: a drained queue and its batch, a try after a back-off, a new
        session, looks that only the sentinel makes and those that they lead to; a removal that is
        frozen waits for its second look; with audits, what only an audit finds.
        """
        rounds = 6 * (self.sentinel_s + self.heartbeat_s)
        audit = (1 + DEEP_EVERY) * self.audit_s
        wait = self.request_s + self.backoff_s + self.timeout_s
        return 10 + self.second_look_s + wait + rounds + audit


class Host(Program):
    """A program on a host of its own: an agent, or the fusion server."""

    def begin(self, ready_within_s: float = START_S) -> None:
        """Start it and wait until it answers."""
        process = self.launch()

        def answers() -> bool:
            assert process.poll() is None, f"{self} ended: {self.tail()}"
            return self.ask("/status") is not None

        until(answers, ready_within_s, lambda: f"{self} does not answer: {self.tail()}")

    def __repr__(self) -> str:
        return f"<Host {self.home.name}>"

    def ask(self, where: str, **params: Any) -> dict[str, Any] | None:
        """A document from its socket; None when it does not answer."""
        try:
            with self.client() as client:
                reply = client.get(where, params=params)
                reply.raise_for_status()
                document: dict[str, Any] = reply.json()
                return document
        except (OSError, httpx.HTTPError):
            return None

    def told(self, *words: str) -> dict[str, Any]:
        """The document of a command, of its `--json`."""
        done = self.run(*words, "--json", check=False)
        assert done.returncode == 0, f"{words}: {done.returncode} {done.stderr!r} {self.tail()}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def signal(self, number: int) -> None:
        """SIGSTOP, SIGCONT, …"""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def end(self) -> None:
        """End it, whatever it does; for `finally`."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(END_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class AgentHost(Host):
    """An agent with one pipe or more; the first is named like itself.

    Attributes:
        proxy: its way to the server. root: where the tree is mounted on this host.
    """

    def __init__(self, home: Path, proxy: Proxy, root: Path) -> None:
        self.config = home.with_name(f"{home.name}.yaml")
        super().__init__(home, "agent", "-c", str(self.config), part="agent")
        self.proxy = proxy
        self.root = root

    def pipe(self, name: str | None = None) -> dict[str, Any]:
        """Pipe of interfaces.md §2; {} while the agent does not answer."""
        told = self.ask("/pipes") or {}
        wanted = name or self.home.name
        return next((p for p in told.get("pipes", ()) if p["id"] == wanted), {})

    @property
    def state(self) -> int | None:
        """The state of its first pipe, as one integer."""
        state = self.pipe().get("state")
        return None if state is None else int(state)

    def seen_in(self, *states: int, within_s: float = START_S) -> None:
        """Wait for one of these states."""
        until(lambda: self.state in states, within_s, lambda: f"{self.pipe()} {self.tail()}")


class Site:
    """Hosts around one tree.

    Args:
        folder: of its own. times: what both sides are configured with.
    """

    def __init__(self, folder: Path, times: Times | None = None) -> None:
        self.folder = folder
        self.times = times or Times()
        self.tree, self.outside = folder / "tree", folder / "outside"
        self.tree.mkdir()
        self.outside.mkdir()
        self.anchors = list(_anchored(self.tree))
        self.port = free_port()
        self.agents: dict[str, AgentHost] = {}
        self.mounts = Mounts()
        self._held = ExitStack()
        self._held.callback(self.mounts.close)
        config = folder / "fusion.yaml"
        config.write_text(FUSION.format(view=VIEW, times=self.times, port=self.port))
        self.fusion = Host(folder / "fusion-home", "fusion", "-c", str(config))
        self._held.callback(self.fusion.end)

    def close(self) -> None:
        """End all processes, proxies and mounts."""
        self._held.close()

    # ---- hosts

    def start_fusion(self) -> None:
        """The server, and a key for its agents."""
        self.fusion.begin()
        self.key_file = self.folder / "push.key"
        self.key_file.write_text(self.key("push"))

    def key(self, scope: str, *words: str) -> str:
        """A new key."""
        return str(self.fusion.told("key", "create", "--scope", scope, *words)["key"])

    def agent(self, name: str, *, mounted: bool = True, **settings: Any) -> AgentHost:
        """A host that watches the tree, at a mount point of its own; not started.

        Args:
            mounted: at a mount point of its own, else at the tree itself.
            settings: of its pipe, above those that follow from `times`; `source` is merged.
        """
        home = self.folder / name
        root = self.mounts.bind(self.tree, self.folder / f"mnt-{name}") if mounted else self.tree
        proxy = Proxy(self.port)
        self._held.callback(proxy.close)
        agent = AgentHost(home, proxy, root)
        self._held.callback(agent.end)
        self.agents[name] = agent
        self.configure(agent, {name: settings})
        return agent

    def configure(
        self, agent: AgentHost, pipes: dict[str, dict[str, Any]], agent_id: str | None = None
    ) -> None:
        """Write an agent's file: pipes with what is set in each, and an id if not its own."""
        made = {name: self._pipe(agent, settings) for name, settings in pipes.items()}
        document = {"version": 1, "agent": {"id": agent_id}, "pipes": made}
        agent.config.write_text(json.dumps(document, indent=1))

    def _pipe(self, agent: AgentHost, settings: dict[str, Any]) -> dict[str, Any]:
        times = self.times
        source = {"driver": "fs", "root": str(agent.root), **settings.get("source", {})}
        sink = {
            "driver": "fusion",
            "url": f"http://127.0.0.1:{agent.proxy.port}",
            "key": f"${{file:{self.folder / 'push.key'}}}",
            "view": VIEW,
            "timeout": times.request_s,
            **settings.get("sink", {}),
        }
        usual: dict[str, Any] = {
            "session_timeout_seconds": times.timeout_s,
            "heartbeat_interval_sec": times.heartbeat_s,
            "error_retry_interval": times.retry_s,
            "max_backoff_seconds": times.backoff_s,
            "audit": {"deep_every": DEEP_EVERY},
        }
        return {**usual, **settings, "source": source, "sink": sink}

    def start(self, *agents: AgentHost) -> None:
        """The server, then these agents (else all), until the first snapshot is over."""
        self.start_fusion()
        wanted = agents or tuple(self.agents.values())
        for agent in wanted:
            agent.begin()
        until(lambda: len(self.sessions()) == len(wanted), START_S, self.tails)
        self.settles()

    # ---- what is true

    def polled(self, hz: float = HZ) -> Poller:
        """Questions all the time, for a `with` block."""
        return Poller(self.fusion, VIEW, self.anchors, self.tails, hz)

    def leader(self) -> AgentHost | None:
        """The agent whose pipe leads the view as the server tells it."""
        told = self.sessions()
        leads = next((s for s in told if s["role"] == "leader"), None)
        return self.agents.get(leads["pipe"]) if leads else None

    def sessions(self) -> list[dict[str, Any]]:
        """Session of interfaces.md §2, of all that live."""
        document = self.fusion.ask("/sessions") or {}
        return list(document.get("sessions", ()))

    def files(self) -> int:
        """How many files the view has."""
        document = self.fusion.ask(f"/views/{VIEW}/du", path="/")
        return int(document["rollup"]["files"]) if document else 0

    def settles(self, within_s: float | None = None) -> float:
        """Wait until the view equals the tree in every field; the bound is the computed one.

        Returns:
            Seconds that it took.
        """
        limit_s = self.times.exact_s if within_s is None else within_s
        found: list[str] = []

        def exact() -> bool:
            try:
                found[:] = self.fusion.differences(VIEW, self.tree)
            except httpx.HTTPStatusError as error:
                found[:] = [f"{error}"]  # nothing is known of the root before the first scan
            return not found

        return until(exact, limit_s, lambda: "\n".join([*found, self.tails()]))

    def sound(self) -> None:
        """No program has met an error that nobody foresaw.

        Raises:
            AssertionError: one has; it says so in its log, and goes on.
        """
        for host in (self.fusion, *self.agents.values()):
            said = host.log.read_text(errors="replace") if host.log.exists() else ""
            lines = [line for line in said.splitlines() if any(word in line for word in UNFORESEEN)]
            assert not lines, f"{host}: {lines[:5]}"

    def tails(self) -> str:
        """The ends of what all processes have written, and the states of the pipes."""
        parts = [f"--- fusion\n{self.fusion.tail()}\n{self.sessions()}"]
        for name, agent in self.agents.items():
            parts.append(f"--- {name} {agent.pipe()}\n{agent.tail()}")
        return "\n".join(parts)


def until(
    holds: Callable[[], bool], within_s: float, told: Callable[[], str] = lambda: ""
) -> float:
    """Wait until something holds.

    Returns:
        Seconds that it took.

    Raises:
        AssertionError: it never did; `told` says what was instead.
    """
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within_s, f"not within {within_s} s: {told()}"
        time.sleep(LOOK_S)  # between two looks at what other processes do
    return time.monotonic() - begun


def free_port() -> int:
    """A port that nobody listens on; a server that is restarted keeps it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def site(folder: Path, times: Times | None = None) -> Iterator[Site]:
    """A site that is ended with the block."""
    made = Site(folder, times)
    try:
        yield made
    finally:
        made.close()


def _anchored(tree: Path) -> Iterator[str]:
    """Files that nobody touches again, in places that nobody moves; their view paths."""
    for number in range(ANCHORS):
        folder = tree / f"anchor-{number % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"file-{number}").write_bytes(b"x" * number)
        yield f"/{folder.name}/file-{number}"
    (tree / "anchor").write_text("at the top")
    yield "/anchor"
