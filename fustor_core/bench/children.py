"""The other processes of a measurement: started, read line by line, ended in any case."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from fustor_core.errors import FustorError

LINE_S_MAX = 120.0
STOP_S_MAX = 60.0
LOG_BYTES = 3000  # as much of its log is told when it fails


def as_installed() -> dict[str, str]:
    """This environment, but for a wish to do without bytecode: installed programs have theirs."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


class ChildFailed(FustorError):
    """A process of a measurement has ended, or says nothing."""


class Child:
    """One Python process beside this one; it tells JSON documents, one a line.

    Args:
        words: what stands behind ``python``.
        log: file that takes its stderr.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self._words, self._log = words, log
        self._rest = b""
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Child {' '.join(self._words)}>"

    def __enter__(self) -> Child:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", *self._words],
                env=as_installed(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,  # a Ctrl-C is ours, and ends them in order
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        process = self.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process.

        Raises:
            ChildFailed: it was not started.
        """
        if self._process is None:
            raise self._failed("was not started")
        return self._process

    def cpu_s(self) -> float:
        """CPU time that it has used, all its threads."""
        # the process's own clock, see clock_getcpuclockid(3)
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def told(self, within_s: float = LINE_S_MAX) -> dict[str, Any]:
        """The next document.

        Raises:
            ChildFailed: it has ended without one, or none came in this time.
        """
        stream = self.process.stdout
        assert stream is not None
        until = time.monotonic() + within_s
        while b"\n" not in self._rest:
            ready, _, _ = select.select([stream], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise self._failed(f"said nothing for {within_s:g} s")
            piece = os.read(stream.fileno(), 1 << 20)
            if not piece:
                raise self._failed(f"has ended with {self.process.wait()}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def ended(self) -> dict[str, Any]:
        """What it tells when its stdin is closed."""
        stream = self.process.stdin
        assert stream is not None
        stream.close()
        return self.told()

    def _failed(self, how: str) -> ChildFailed:
        try:
            log = self._log.read_text("utf-8", "replace")[-LOG_BYTES:].strip()
        except OSError:
            log = ""
        return ChildFailed(
            f"{' '.join(self._words)} {how}" + (f":\n{log}" if log else ""),
            remedy="try it with fewer clients and nodes; if it stays so, report this",
        )
