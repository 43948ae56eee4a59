"""A live program as its user runs it: `fustor up`, asked over its socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx


class Program:
    """One `fustor` process on a home of its own.

    Args:
        home: state directory. words: arguments behind ``fustor --home HOME``.
    """

    def __init__(self, home: Path, *words: str) -> None:
        self.home = home
        self.words = words
        self.log = home.parent / f"{home.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, ready_within_s: float = 60, *, scanned: bool = True) -> None:
        """Start it and wait until it answers.

        Args:
            scanned: wait until every view's first scan is over, too.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fustor_core", "--home", str(self.home), *self.words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + ready_within_s
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended: {self.log.read_text(errors='replace')[-3000:]}")
            wait = ["--wait"] if scanned else []
            done = self.run("status", *wait, "--timeout", "5s", check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                text = self.log.read_text(errors="replace")[-3000:]
                raise AssertionError(f"not ready after {ready_within_s} s: {done.stderr!r} {text}")

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """One command beside it."""
        return subprocess.run(
            [sys.executable, "-m", "fustor_core", "--home", str(self.home), *words],
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

    def client(self) -> httpx.Client:
        """An HTTP client on its socket."""
        folder = os.open(self.home / "fusion", os.O_PATH | os.O_DIRECTORY)
        socket = f"/proc/self/fd/{folder}/api.sock"
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=socket), base_url="http://fustor/api/v1", timeout=60
        )

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
