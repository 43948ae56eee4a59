"""Starts `fustor` by fork from a process that has imported everything: a start costs a third.

As a script it is that process: a line of JSON (words, log file) begins one program, whose pid is
told at once and whose exit code when it ends.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path

from tests.hosts.world import VIEW, Host

PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).parents[2]
WAIT_S = 60.0


class Forked:
    """One program, with what of `subprocess.Popen` is used of it."""

    def __init__(self, starter: subprocess.Popen[bytes], pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._starter = starter

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float = WAIT_S) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def send_signal(self, number: int) -> None:
        """To it alone; nothing, once it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, within_s: float) -> int | None:
        out = self._starter.stdout
        assert out is not None
        if self.returncode is None and select.select([out], [], [], within_s)[0]:
            self.returncode = int(out.readline())
        return self.returncode


class WarmHost(Host):
    """A host whose program is forked; one at a time."""

    starter: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and do not wait."""
        if self.command != Host.command:
            return super().launch()
        if self.starter is None:
            self.starter = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.warm"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
        words = [str(Host.command[0]), "--home", str(self.home), *self.words]
        assert self.starter.stdin is not None
        assert self.starter.stdout is not None
        self.starter.stdin.write(json.dumps([words, str(self.log)]).encode() + b"\n")
        self.process = Forked(self.starter, int(self.starter.stdout.readline()))  # type: ignore[assignment]
        return self.process  # type: ignore[return-value]

    def on(self, home: Path) -> WarmHost:
        """The same program on another home, started by the same process; not started."""
        host = WarmHost(home, *self.words, part=self.part)
        host.starter = self.starter
        return host

    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.process is None or self.process.poll() is not None

    def files(self) -> dict[str, int]:
        """Path → size of every file; nothing, when the view does not even know its root."""
        top = self.ask(f"/views/{VIEW}/stat", path="/")
        if top is None or top["entry"] is None:
            return {}
        entries, _ = self.entries(VIEW)
        return {e["path"]: e["size"] for e in entries if e["type"] == "file"}

    def close(self) -> None:
        """End the program, then what has started it."""
        self.end()
        if self.starter is not None:
            self.starter.communicate(timeout=WAIT_S)
            self.starter = None


def follow() -> None:
    """Die with the parent, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def begin(words: list[str], log: str) -> None:
    """In the child: be the installed command; does not return."""
    os.setsid()
    follow()
    target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, fd in ((nothing, 0), (target, 1), (target, 2)):
        os.dup2(source, fd)
    os.closerange(3, 64)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in enumerate("rww"))
    sys.argv = words
    main = importlib.import_module("fustor_core.cli").main
    code = 1
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare() -> None:
    """Import what the command imports, in this process."""
    modules = {entry.module.partition(".")[0] for d in distributions() for entry in d.entry_points}
    for top in ["fustor_core", *sorted(m for m in modules if m.startswith("fustor_"))]:
        package = importlib.import_module(top)
        for module in pkgutil.walk_packages(package.__path__, f"{top}."):
            if "testing" not in module.name and not module.name.endswith("__main__"):
                with suppress(ImportError):  # of an extra that is not installed
                    importlib.import_module(module.name)


def serve() -> None:
    """Begin one program after the other, until nobody asks."""
    follow()
    prepare()
    for line in sys.stdin.buffer:
        words, log = json.loads(line)
        pid = os.fork()
        if not pid:
            begin(words, log)
        os.write(1, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()
