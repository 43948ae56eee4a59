"""Strings of puppets: pipes that stand in any state that a test wants, in real processes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .world import Host, free_port, until

PUPPET = Path(__file__).with_name("puppet")
TIMEOUT_S = 3.0
SETTLE_S = 40.0


def installed(folder: Path) -> str:
    """The puppet as an installed plugin: what has to be in PYTHONPATH."""
    info = folder / "puppet-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: puppet\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[fustor.sources]\npuppet = puppet_source:Puppet\n")
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(PUPPET), str(folder), *([given] if given else [])])


class Server(Host):
    """A fusion server with some views.

    Args:
        folder: of the test.
    """

    def __init__(self, folder: Path, name: str, views: list[str]) -> None:
        self.port = free_port()
        self.file = folder / f"{name}.yaml"
        view = {"session_timeout_seconds": TIMEOUT_S, "audit_interval_sec": 0}
        self.configure({name: {**view, "sentinel_interval_sec": 0} for name in views})
        super().__init__(folder / name, "fusion", "-c", str(self.file))

    def configure(self, views: Mapping[str, Mapping[str, Any]]) -> None:
        """Write its file."""
        self.views = dict(views)
        listen = ["unix", f"127.0.0.1:{self.port}"]
        receivers = {"main": {"driver": "http", "listen": listen}}
        document = {"version": 1, "views": self.views, "receivers": receivers}
        self.file.write_text(json.dumps(document))

    def key(self, *words: str) -> dict[str, str]:
        """A new key for pushing."""
        return self.told("key", "create", "--scope", "push", *words)


class Stage(Host):
    """An agent whose pipes are puppets.

    Args:
        folder: of the test. server: where they push.
    """

    def __init__(self, folder: Path, name: str, server: Server, key: str) -> None:
        self.file = folder / f"{name}.yaml"
        self._folder = folder / f"{name}-roots"
        self._server, self._key = server, folder / f"{name}.key"
        self._key.write_text(key)
        self.pipes: dict[str, dict[str, Any]] = {}
        super().__init__(folder / name, "agent", "-c", str(self.file), part="agent")

    def add(self, pipe: str, view: str, *words: str, **settings: Any) -> None:
        """A pipe, with what its puppet is told from the beginning."""
        (self._folder / pipe).mkdir(parents=True)
        self.say(pipe, *words)
        sink = {"driver": "fusion", "url": f"http://127.0.0.1:{self._server.port}", "view": view}
        sink |= {"key": f"${{file:{self._key}}}", "timeout": 2.0}
        usual = {"session_timeout_seconds": TIMEOUT_S, "heartbeat_interval_sec": 1.0}
        usual |= {"error_retry_interval": 6.0, "max_backoff_seconds": 6.0}
        source = {"driver": "puppet", "root": str(self._folder / pipe)}
        self.pipes[pipe] = {**usual, "source": source, "sink": sink, **settings}

    def write(self, *changed: str) -> None:
        """Write its file, with another setting in these pipes."""
        pipes = {
            name: {**pipe, "max_backoff_seconds": 7.0} if name in changed else pipe
            for name, pipe in self.pipes.items()
        }
        self.file.write_text(json.dumps({"version": 1, "pipes": pipes}))

    def say(self, pipe: str, *words: str) -> None:
        """Tell a puppet."""
        for word in words:
            (self._folder / pipe / word).touch()

    def unsay(self, pipe: str, *words: str) -> None:
        """Tell it no longer."""
        for word in words:
            (self._folder / pipe / word).unlink(missing_ok=True)

    def states(self) -> dict[str, int]:
        """State of every pipe, as one integer."""
        told = self.ask("/pipes") or {}
        return {pipe["id"]: pipe["state"] for pipe in told.get("pipes", ())}

    def stands(self, wanted: Mapping[str, int], within_s: float = SETTLE_S) -> None:
        """Wait until these pipes are in these states, all at the same time."""
        seen: dict[str, int] = {}

        def there() -> bool:
            seen.update(self.states())
            return all(seen.get(pipe) == state for pipe, state in wanted.items())

        def why() -> str:
            odd = {p: (seen.get(p), s) for p, s in wanted.items() if seen.get(p) != s}
            return f"(is, wanted): {odd}\n{self.tail()}"

        until(there, within_s, why)
