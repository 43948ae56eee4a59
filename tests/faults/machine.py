"""What a machine must have for a fault; what it lacks is said, and in a nightly run is a fault."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = Path(__file__).with_name("packages.txt")

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")


class Machine:
    """Asked by tests before they make a fault.

    Args:
        nightly: a fault that cannot be made fails the run, instead of being skipped.
    """

    def __init__(self, *, nightly: bool) -> None:
        self.nightly = nightly

    def cannot(self, why: str) -> NoReturn:
        """End the test: this machine cannot make the fault."""
        if self.nightly:
            pytest.fail(f"a nightly run needs this fault, and the machine cannot make it: {why}")
        pytest.skip(f"this machine cannot make the fault: {why}")

    def needs(self, *programs: str) -> None:
        """Programs that must be there; `packages.txt` names the Debian packages that have them."""
        for program in programs:
            if shutil.which(program) is None:
                self.cannot(f"there is no {program} (packages: {PACKAGES.name})")

    def needs_root(self) -> None:
        """Mounts, namespaces, limits of others."""
        if os.geteuid():
            self.cannot("it takes root")

    def does(self, *words: str | Path) -> None:
        """A command that makes the fault; one that is refused ends the test as `cannot` does."""
        self.needs(str(words[0]))
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode:
            self.cannot(f"{' '.join(map(str, words))}: {done.stderr.decode().strip()}")

    def traces(self, folder: Path) -> None:
        """strace can follow a process here, and inject into its system calls."""
        self.needs("strace")
        if os.geteuid() and YAMA.exists() and YAMA.read_text("ascii").strip() != "0":
            self.cannot(f"{YAMA} keeps a process from following another that it has not started")
        words = ["strace", "-f", "-o", str(folder / "probe"), "-e", "inject=getcwd:error=EIO"]
        done = subprocess.run([*words, "true"], capture_output=True, check=False)
        if done.returncode:
            self.cannot(f"strace: {done.stderr.decode().strip()}")
