"""The real agent of Fustor 0.8.17, in an environment of its own, and what its data can say."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.storms.live import Program
from tests.storms.oracle import Fields, path_of

COMMAND = "FUSTOR_OLD_AGENT"
VIEW = "old"
KEY = "key-of-the-earlier-system"
TIMEOUT_S = 6.0
AUDIT_S = 4.0
SENTINEL_S = 2.0
RENEW_S = 20.0
# An event that the agent lost is found by the scan of its next session, a deletion by the audit
# behind that and the sentinel behind that; each may just have been missed.
BOUND_S = RENEW_S + TIMEOUT_S + 2 * (AUDIT_S + 2 * SENTINEL_S) + 20
START_S = 60.0
LOOK_S = 0.2
SHOWN_MOST = 12
PRECISION_NS = 1000  # its times have been through floats
FUSION = """\
version: 1
views:
  {view}:
    driver: file
    session_timeout_seconds: {timeout}
    audit_interval_sec: {audit}
    sentinel_interval_sec: {sentinel}
receivers:
  main: {{driver: http, listen: [unix]}}
  old:
    driver: v08
    listen: ["127.0.0.1:{port}"]
    view: {view}
    keys: {{site: "{key}"}}
    cache_bound: 0
    renew: {renew}
"""


class OldAgent:
    """One agent with one pipe.

    Args:
        folder: its home. root: what it watches. port: of the receiver.
    """

    def __init__(self, folder: Path, root: Path, port: int) -> None:
        self.command = os.environ[COMMAND]
        self.home = folder
        self.log = folder.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        config = folder / "agent-config"
        config.mkdir(parents=True)
        source = {
            "driver": "fs",
            "uri": str(root),
            "max_queue_size": 1_000_000,  # of the default, 1000, a burst ends its events for good
            "driver_params": {"throttle_interval_sec": 0.2, "max_sync_delay_seconds": 0.2},
        }
        sender = {
            "driver": "fusion",
            "uri": f"http://127.0.0.1:{port}",
            "credential": {"key": KEY},
        }
        pipe = {
            "source": "tree",
            "sender": "fusion",
            "error_retry_interval": 1.0,
            "max_backoff_seconds": 2.0,
        }
        document = {"sources": {"tree": source}, "senders": {"fusion": sender}}
        (config / "default.yaml").write_text(json.dumps({**document, "pipes": {"p": pipe}}))

    def start(self) -> None:
        """Start it and do not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.command, "start"],
                env={**os.environ, "FUSTOR_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9: it says goodbye to nobody."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self) -> str:
        """The end of what it has written."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


class Site:
    """A tree, fusion, and agents of 0.8.17.

    Args:
        folder: of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.outside = folder / "tree", folder / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.configure(renew_s=RENEW_S)
        words = ("fusion", "-c", str(folder / "fusion.yaml"), "--no-progress")
        self.fusion = Program(folder / "home", *words)
        self.agents: list[OldAgent] = []

    def configure(self, *, renew_s: float, audit_s: float = AUDIT_S) -> None:
        """Write fusion's file; before it starts."""
        text = FUSION.format(
            view=VIEW,
            timeout=TIMEOUT_S,
            audit=audit_s,
            sentinel=SENTINEL_S,
            port=self.port,
            key=KEY,
            renew=renew_s,
        )
        (self.folder / "fusion.yaml").write_text(text)

    def agent(self) -> OldAgent:
        """One more agent, not started."""
        name = f"agent-{len(self.agents)}"
        self.agents.append(OldAgent(self.folder / name, self.root, self.port))
        return self.agents[-1]

    def close(self) -> None:
        """End all processes."""
        for agent in self.agents:
            agent.kill()
        self.fusion.stop()

    # ---- what is true

    def differences(self) -> list[str]:
        """How the view and what such an agent can see of the tree differ now."""
        try:
            entries, _ = self.fusion.entries(VIEW)
        except httpx.HTTPError as error:
            return [f"{error!r}"]
        if not entries:
            return ["nothing is known of the root"]
        return differences(truth(self.root), told(entries))

    def settles(self, within_s: float = BOUND_S) -> None:
        """Within the bound they are the same."""
        found: list[str] = []

        def exact() -> bool:
            found[:] = self.differences()
            return not found

        until(exact, within_s, lambda: "\n".join([*found, self.tails()]))

    def tails(self) -> str:
        """The ends of what all have written."""
        parts = [agent.tail() for agent in self.agents]
        return "\n---\n".join([*parts, self.fusion.tail()])

    def shows(self, path: str) -> bool:
        """Whether the view has something there."""
        return self.fusion.existence(VIEW, path) == "present"

    def size(self, path: str) -> int | None:
        """Of what the view has there."""
        with self.fusion.client() as client:
            told = client.get(f"/views/{VIEW}/stat", params={"path": f"/{path}"}).json()
        return None if told["entry"] is None else int(told["entry"]["size"])

    def sessions(self) -> list[dict[str, Any]]:
        """Session of interfaces.md §2, of all that live."""
        with self.fusion.client() as client:
            return list(client.get("/sessions").json()["sessions"])


def until(holds: Callable[[], bool], within_s: float, told: Callable[[], str] = lambda: "") -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it never did; `told` says what was instead.
    """
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {told()}"
        time.sleep(LOOK_S)  # between two looks at what other processes do


def truth(root: Path) -> dict[bytes, Fields]:
    """Every path with (type, size, mtime), as an agent of 0.8.17 can tell them.

    It follows links and leaves out those that lead nowhere; what is no directory is a file; a name
    that is no UTF-8 it writes in another way, so that what is below cannot be compared.
    """
    top = os.fsencode(root)
    out = {b"/": _fields(os.stat(top))}
    stack = [(top, b"")]
    while stack:
        at, prefix = stack.pop()
        for name in os.listdir(at):
            path = os.path.join(at, name)
            try:
                name.decode()
                out[prefix + b"/" + name] = _fields(os.stat(path))
            except (UnicodeDecodeError, OSError):
                continue
            if stat.S_ISDIR(os.lstat(path).st_mode):
                stack.append((path, prefix + b"/" + name))
    return out


def _fields(found: os.stat_result) -> Fields:
    if stat.S_ISDIR(found.st_mode):
        return ("dir", None, found.st_mtime_ns)
    return ("file", found.st_size, found.st_mtime_ns)


def told(entries: list[dict[str, Any]]) -> dict[bytes, Fields]:
    """Entries of the view in the form of `truth`."""
    out: dict[bytes, Fields] = {}
    for entry in entries:
        path = path_of(entry)
        if b"?" in path:
            continue  # how it writes what is no UTF-8
        size = None if entry["type"] == "dir" else entry["size"]
        out[path] = (entry["type"], size, entry["mtime_ns"])
    return out


def differences(true: dict[bytes, Fields], view: dict[bytes, Fields]) -> list[str]:
    """The first differences, readable."""
    out = []
    for path in sorted({*true, *view}):
        a, b = true.get(path), view.get(path)
        same = a is not None and b is not None and a[:2] == b[:2]
        if a is None or b is None or not same or abs(a[2] - (b[2] or 0)) > PRECISION_NS:
            out.append(f"{path!r}\n    tree {a}\n    view {b}")
    return out[:SHOWN_MOST]
