"""A fusion server or an agent under strace: killed or refused at the N-th system call of a kind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.world import END_S, Host

KINDS = (
    *("fdatasync", "fsync", "pwrite64", "write", "sendto", "rename", "ftruncate"),
    *("read", "accept4", "openat", "close", "epoll_wait", "futex"),
)
"""System calls that make something durable, or tell it to somebody; and those between them."""
WATCHED = ("-e", f"trace={','.join(KINDS)}")
_CALL = re.compile(r"^(\d+) +([a-z_0-9]+)\(")


@dataclass(frozen=True, order=True)
class Boundary:
    """Just before the `nth` call of this kind, counted in each thread by itself."""

    kind: str
    nth: int

    @property
    def words(self) -> tuple[str, ...]:
        """For strace: kill there."""
        return ("-e", f"inject={self.kind}:signal=SIGKILL:when={self.nth}")


class Traced:
    """strace beside a program of `Host`: from its first call on, or once it has started.

    Args:
        host: not started. trace: where strace writes what it saw. watched: what it shall see.
    """

    def __init__(self, host: Host, trace: Path, watched: tuple[str, ...] = WATCHED) -> None:
        self.host = host
        self.trace = trace
        self._watched = watched
        self._plain = host.command
        self._tracer: subprocess.Popen[bytes] | None = None

    def launch(self, *words: str) -> None:
        """Start the program under strace, with these words more; it ends as its program does."""
        self.host.command = (*self._strace(words), "-qq", *self._plain)
        try:
            self.host.launch()
        finally:
            self.host.command = self._plain

    def attach(self, *words: str) -> None:
        """Follow the program, which runs, from now on."""
        assert self.host.process is not None
        self._tracer = subprocess.Popen(
            [*self._strace(words), "-p", str(self.host.process.pid)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert self._tracer.stderr is not None
        said = self._tracer.stderr.readline()
        assert b"attached" in said or not self.runs, said

    def _strace(self, words: tuple[str, ...]) -> tuple[str | Path, ...]:
        return ("strace", "-f", "-o", self.trace, *self._watched, "-e", "signal=none", *words)

    @property
    def runs(self) -> bool:
        """Whether the program does."""
        return self.host.process is not None and self.host.process.poll() is None

    def counts(self) -> Counter[str]:
        """How many calls of each kind the busiest thread made; strace counts in threads."""
        seen: Counter[tuple[str, str]] = Counter()
        for line in self.trace.read_text(errors="replace").splitlines():
            if found := _CALL.match(line):
                seen[found[1], found[2]] += 1
        most: Counter[str] = Counter()
        for (_, kind), count in seen.items():
            most[kind] = max(most[kind], count)
        return most

    def wait(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        assert self.host.process is not None
        code = self.host.process.wait(END_S)
        self._left()
        return code

    def stop(self) -> int:
        """A clean stop, also under strace, which keeps signals from itself."""
        self._signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """End it, whatever it does."""
        if self.runs:
            self._signal(signal.SIGKILL)
            self.wait()
        self._left()

    def _left(self) -> None:
        """strace has nobody to follow any more, and ends."""
        tracer, self._tracer = self._tracer, None
        if tracer is not None:
            try:
                tracer.communicate(timeout=END_S)
            except subprocess.TimeoutExpired:
                tracer.kill()
                tracer.communicate()

    def _signal(self, number: int) -> None:
        assert self.host.process is not None
        try:
            os.killpg(self.host.process.pid, number)
        except ProcessLookupError:
            pass  # it has ended meanwhile
