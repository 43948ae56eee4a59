"""The program that is measured: a real `fustor up`, started, asked over its socket, weighed."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fustor_core import heap
from fustor_core.bench import gauges
from fustor_core.bench.asker import Asker
from fustor_core.bench.children import as_installed

EVENT_S_MAX = 900.0
STOP_S_MAX = 120.0
SETTLED_SHARE = 0.03  # of a core; below it nothing that belongs to the scan is still going on
SETTLE_STEP_S = 0.5
SETTLE_S_MAX = 120.0
REST_S = heap.STILL_S + 2 * heap.LOOK_S
"""Of doing nothing, until it has given back what is free in its heap; it tells nobody when."""
LOG_CHARS = 3000


@dataclass(frozen=True, slots=True)
class Told:
    """An event of ``up --jsonl`` and what had been used when it came.

    Args:
        at_s: `time.perf_counter`. cpu_s: of the program since its start.
    """

    event: dict[str, Any]
    at_s: float
    cpu_s: float


class Program:
    """One `fustor` process with a home of its own; the home is kept when it ends.

    Args:
        home: state directory. words: what stands behind ``fustor --home HOME``.
        pin: cores as taskset takes them.
    """

    def __init__(self, home: Path, words: Sequence[str | bytes], pin: str | None = None) -> None:
        self.home = home
        self.began_s = 0.0
        self._words = words
        self._pin = ["taskset", "-c", pin] if pin else []
        self._process: subprocess.Popen[bytes] | None = None
        self._told: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._log = home.with_name(home.name + ".log")

    def __repr__(self) -> str:
        return f"<Program {self.pid if self._process else 'not started'} on {self.home}>"

    def __enter__(self) -> Program:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    @property
    def pid(self) -> int:
        """Its process.

        Raises:
            RuntimeError: it was not started.
        """
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """The end of what it has told on stderr."""
        return self._log.read_text("utf-8", "replace")[-LOG_CHARS:]

    def start(self) -> None:
        """Starts it and returns at once."""
        # -P: what is installed is measured, not what lies in the working directory
        command = [sys.executable, "-P", "-m", "fustor_core", "--home", os.fspath(self.home)]
        with self._log.open("ab") as log:
            self.began_s = time.perf_counter()
            self._process = subprocess.Popen(
                [*self._pin, *command, "--no-progress", "--jsonl", *self._words],
                env=as_installed(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        # a queue of its own: the end of the process before it is no event of this one
        self._told = queue.SimpleQueue()
        read = threading.Thread(target=_read, args=(self._process, self._told), daemon=True)
        read.start()

    def wait_for(self, kind: str) -> Told:
        """The next event of a kind; those before it are dropped.

        Raises:
            RuntimeError: the program ended, or nothing came for a quarter of an hour.
        """
        while True:
            try:
                told = self._told.get(timeout=EVENT_S_MAX)
            except queue.Empty:
                told = None
            if told is None:
                raise RuntimeError(f"no {kind}: {self.log}")
            if told.event.get("event") == kind:
                return told

    def cpu_s(self) -> float:
        """CPU time since its start, all threads and children."""
        return gauges.cpu_s(self.pid)

    def pss_bytes(self) -> int:
        """Memory now, with its children."""
        return gauges.pss_bytes(self.pid)

    def pss_at_rest(self) -> int:
        """Memory when it has settled and tidied up; it must have settled before."""
        time.sleep(REST_S)
        return self.pss_bytes()

    def settle(self) -> bool:
        """Waits until it does next to nothing.

        Returns:
            Whether it came to rest in time.
        """
        deadline = time.monotonic() + SETTLE_S_MAX
        quiet = 0
        while time.monotonic() < deadline:
            before = self.cpu_s()
            time.sleep(SETTLE_STEP_S)
            used = (self.cpu_s() - before) / SETTLE_STEP_S
            quiet = quiet + 1 if used < SETTLED_SHARE else 0
            if quiet == 3:
                return True
        return False

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """A clean stop.

        Returns:
            The exit code.
        """
        return self._end(signal.SIGTERM)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.home / "fusion" / "api.sock"

    def client(self, view: str = "") -> Asker:
        """A keep-alive connection to its socket.

        Args:
            view: requests are relative to this view when it is given.
        """
        place = f"/api/v1/views/{view}" if view else "/api/v1"
        return Asker(os.fspath(self.socket), place)

    def state_bytes(self) -> int:
        """Disk space of its home."""
        return sum(path.lstat().st_blocks * 512 for path in self.home.rglob("*") if path.is_file())

    def _end(self, number: int) -> int:
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"it did not stop within {STOP_S_MAX:.0f} s") from None
        finally:
            self._process = None


def _read(process: subprocess.Popen[bytes], told: queue.SimpleQueue[Told | None]) -> None:
    """Stamps every event as it comes; None at the end."""
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            at_s = time.perf_counter()
            try:
                used_s = gauges.cpu_s(process.pid)
            except OSError:
                used_s = 0.0
            told.put(Told(json.loads(line), at_s, used_s))
    told.put(None)


@contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """A folder for homes and trees of one measurement, on the file system of the cache.

    Its path is short, so that sockets in it have an address.
    """
    place = Path(tempfile.mkdtemp(prefix="s", dir=cache))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
