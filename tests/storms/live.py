"""A live program as its user runs it: the installed command, asked over its socket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from fustor_core.state import socket_address

from .oracle import differences, rollups, told, told_rollups, truth

COMMAND = Path(sys.executable).with_name("fustor")
TAIL = 3000
BASE = "http://localhost/api/v1"


class Program:
    """One `fustor` process, in a process group and on a home of its own.

    Args:
        home: state directory. words: arguments behind ``fustor --home HOME``.
        part: whose socket is asked, `fusion` or `agent`.

    Attributes:
        command: what is run; the installed command.
    """

    command: tuple[str | Path, ...] = (COMMAND,)

    def __init__(self, home: Path, *words: str, part: str = "fusion") -> None:
        self.home = home
        self.words = words
        self.part = part
        self.log = home.parent / f"{home.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, ready_within_s: float = 60, *, scanned: bool = True) -> None:
        """Start it and wait until it answers.

        Args:
            scanned: wait until every view's first scan is over, too.
        """
        process = self.launch()
        deadline = time.monotonic() + ready_within_s
        while True:
            assert process.poll() is None, f"it ended: {self.tail()}"
            wait = ["--wait"] if scanned else []
            done = self.run("status", *wait, "--timeout", "5s", check=False)
            if done.returncode == 0:
                return
            late = f"not ready after {ready_within_s} s: {done.stderr!r} {self.tail()}"
            assert time.monotonic() < deadline, late

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and do not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--home", str(self.home), *self.words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def tail(self) -> str:
        """The end of what it has written."""
        return self.log.read_text(errors="replace")[-TAIL:] if self.log.exists() else ""

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """One command beside it."""
        return subprocess.run(
            [COMMAND, "--home", str(self.home), *words],
            capture_output=True,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """kill -9, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """A clean stop; returns the exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    # ---- asking

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """An HTTP client on its socket."""
        with socket_address(self.home / self.part / "api.sock") as uds:
            transport = httpx.HTTPTransport(uds=uds, verify=False)
            with httpx.Client(transport=transport, base_url=BASE, timeout=60) as client:
                yield client

    def view(self) -> str:
        """The name of its only view."""
        with self.client() as client:
            return str(client.get("/views").json()["views"][0]["view"])

    def existence(self, view: str, path: str) -> str:
        """``present``, ``absent`` or ``unknown``."""
        with self.client() as client:
            told = client.get(f"/views/{view}/stat", params={"path": f"/{path}"}).json()
        return str(told["existence"])

    def entries(self, view: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Every entry of a view with the root's own, and the quality of that answer."""
        found: list[dict[str, Any]] = []
        with self.client() as client:
            top = client.get(f"/views/{view}/stat", params={"path": "/"}).json()
            if top["entry"] is not None:
                found.append(top["entry"])
            with client.stream(
                "GET",
                f"/views/{view}/find",
                params={"pattern": "*"},
                headers={"Accept": "application/x-ndjson"},
            ) as answer:
                answer.raise_for_status()
                for line in answer.iter_lines():
                    if line:
                        found.append(json.loads(line))
        summary = found.pop()["summary"]
        return found, summary["quality"]

    def differences(self, view: str, root: Path) -> list[str]:
        """How a view and a tree differ now, rollups included; empty when it is exact and whole."""
        entries, quality = self.entries(view)
        true = truth(root)
        found = differences(true, told(entries))
        found += differences(rollups(true), told_rollups(entries))
        if not found and not (quality["complete"] and not quality["debts"]):
            found.append(f"not complete: {quality}")
        return found
