"""What the program is measured against, on the same tree in the same run.

`find -printf` with every field that a view holds is the reference for scanning; a server that
answers with constant bytes is the floor of any answer. As a module: ``… walk ROOT``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fustor_core.bench.asker import Asker
from fustor_core.bench.children import as_installed
from fustor_core.bench.gauges import Cost

PRINTED = r"%p\0%s\0%T@\0%C@\0%i\0%m\0%U\0%G\0%n\0"
READY_S_MAX = 20.0


def ran(command: Sequence[str | bytes], pin: str | None = None) -> Cost:
    """Runs a command with its output thrown away.

    Args:
        pin: cores as taskset takes them.

    Raises:
        RuntimeError: it failed.
    """
    words = [*(["taskset", "-c", pin] if pin else []), *command]
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=as_installed())
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]!r} ended with {process.returncode}")
    return Cost(used.ru_utime + used.ru_stime, wall_s)


def find_all(root: Path, pin: str | None = None) -> Cost:
    """`find` printing all that a view holds of every entry."""
    return ran(["find", os.fspath(root), "-printf", PRINTED], pin)


def find_where(root: Path, *tests: str, pin: str | None = None) -> Cost:
    """`find` with tests, as a user without a view would ask."""
    return ran(["find", os.fspath(root), *tests], pin)


def list_one(path: bytes, pin: str | None = None) -> Cost:
    """`ls -lf` of one directory."""
    return ran(["ls", "-lf", path], pin)


def du_all(path: bytes, pin: str | None = None) -> Cost:
    """`du` of everything below a directory, by apparent size."""
    return ran(["du", "-s", "--apparent-size", path], pin)


def walk_in_python(root: Path, pin: str | None = None) -> Cost:
    """`os.scandir` and a stat of every entry, in a process of its own; start-up not counted."""
    words = [sys.executable, "-P", "-m", "fustor_core.bench.yardsticks", "walk", os.fspath(root)]
    command = [*(["taskset", "-c", pin] if pin else []), *words]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return Cost(told["cpu_s"], told["wall_s"])


@contextmanager
def hello(folder: Path, pin: str | None = None) -> Iterator[Asker]:
    """A server that answers every request with as many constant bytes as ``?bytes=`` says.

    It runs on the same event loop, HTTP parser and kind of socket as the program.

    Args:
        folder: for its socket; the path is short enough for an address.
    """
    socket = os.fspath(folder / "hello.sock")
    words = [sys.executable, "-P", "-m", "uvicorn", "fustor_core.bench.hello:answer"]
    words += ["--uds", socket, "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
    words += ["--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(
        [*(["taskset", "-c", pin] if pin else []), *words], env=as_installed()
    )
    try:
        with Asker(socket) as client:
            client.first("/", {"bytes": "1"}, lambda: process.poll() is None, READY_S_MAX).good()
            yield client
    finally:
        process.terminate()
        process.wait()


def _walk(root: str) -> int:
    """Entries below a directory, each looked at."""
    count, stack = 0, [root]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                count += 1
    return count


def main(verb: str, argument: str) -> None:
    """The part that runs in a process of its own."""
    assert verb == "walk"
    began, cpu = time.perf_counter(), time.process_time()
    count = _walk(argument)
    used = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - began}
    print(json.dumps({"entries": count, **used}))


if __name__ == "__main__":
    main(*sys.argv[1:])
