"""What many clients in ``view wait`` cost a server that has nothing to tell them.

Most clients run the code of the command, each with its own connection, in one process; a few are
the command itself. At the end what half of them wait for comes true, and they must notice.
As a module: ``… wait SOCKET VIEW NUMBER LIMIT_S``, with the paths on stdin.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

from fustor_core.bench import corpus, gauges, scans
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Goal, Report

MODULE = [sys.executable, "-P", "-m", "fustor_core.bench.waiters"]
FILES = 2500
COMMANDS = 3
# Longer than any file is old: such a wait ends by its time limit only.
NEVER_S = 100 * 365 * 86_400
START_S = 10.0  # within it every connection stands
FIRST_S = 1.5  # and its first questions are answered
NOTICE_S = 5.0
NEW = b".comes-true-"  # what is made at the end; removed before, should a run have been broken off


def measure(
    report: Report, cache: Path, folder: Path, clients: int, seconds: float, pin: str | None
) -> None:
    """CPU of the server with nobody, then with many waiting, in % of a core.

    Args:
        cache: for the tree, which is an old one: new files are looked at by themselves.
        folder: for the home. clients: how many wait. seconds: for how long.
    """
    remove_new(cache)
    tree = corpus.prepared(cache, FILES)
    with scans.started(folder / "home", tree.root, pin) as program:
        program.wait_for("ready")
        program.settle()
        open_before = gauges.sockets(program.pid)
        idle = _share(program, seconds)
        waiting = Waiting(program, tree, clients, START_S + FIRST_S + seconds + NOTICE_S)
        try:
            waiting.stand(program, open_before + clients)
            standing = gauges.sockets(program.pid) - open_before
            busy = _share(program, seconds)
            memory = program.pss_bytes()
            late_ms, missed = waiting.fulfil()
        finally:
            codes = waiting.end()
            remove_new(cache)
    report.check(standing >= clients, f"{standing} connections stood, {clients} clients wait")
    report.check(not missed, f"{missed} of the clients did not notice what they waited for")
    for code in codes:
        report.check(code == 0, f"`view wait --exists` ended with {code}, not 0")
    section = f"{clients} clients in view wait"
    report.add(
        section,
        Figure("CPU of the server", "% of a core", [busy], "nobody waits", [idle], Goal("≤", 1.0)),
        Figure("memory of the server", "MiB", [memory / (1 << 20)]),
        Figure("comes true → noticed, p50", "ms", [gauges.percentile(late_ms, 50)]),
        Figure("comes true → noticed, p99", "ms", [gauges.percentile(late_ms, 99)]),
    )


class Waiting:
    """The clients: one process with most of them, and a few commands.

    Args:
        limit_s: of every wait.
    """

    def __init__(self, program: Program, tree: corpus.Corpus, clients: int, limit_s: float) -> None:
        self._tree = tree
        folders = [folder.path for folder in tree.plan.folders]
        most = clients - COMMANDS
        # every second one waits for a file that will be made, the others for the end of time
        self._paths = [
            folders[n % len(folders)].rstrip(b"/") + (b"/%b%d" % (NEW, n) if n % 2 else b"") or b"/"
            for n in range(most)
        ]
        self._many = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "fustor_core.bench.waiters",
                "wait",
                program.socket,
                scans.NAME,
                str(limit_s),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._many.stdin is not None
        with self._many.stdin as words:
            words.write(json.dumps([path.decode() for path in self._paths]).encode())
        command = [sys.executable, "-P", "-m", "fustor_core", "--home", os.fspath(program.home)]
        command += ["--timeout", f"{limit_s:.0f}s", "view", "wait", "--exists"]
        self._told = [folders[number].rstrip(b"/") + b"/" + NEW for number in range(COMMANDS)]
        self._commands = [
            subprocess.Popen(
                [*command, tree.place(path)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for path in self._told
        ]

    def stand(self, program: Program, sockets: int) -> None:
        """Until so many connections stand at the server, and a moment longer."""
        deadline = time.monotonic() + START_S
        while gauges.sockets(program.pid) < sockets and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(FIRST_S)

    def fulfil(self) -> tuple[list[float], int]:
        """Makes what half of them wait for come true.

        Returns:
            Time until each noticed, in ms, and how many did not.
        """
        stamps = {}
        for number, path in enumerate(self._paths):
            if NEW in path:
                self._make(path)
                stamps[number] = time.clock_gettime(time.CLOCK_BOOTTIME)
        for path in self._told:
            self._make(path)
        ended: dict[int, float] = {}
        for line in _lines(self._many, NOTICE_S):
            number, at_s = json.loads(line)
            ended[number] = at_s
            if ended.keys() >= stamps.keys():
                break
        late = [(ended[number] - at_s) * 1000 for number, at_s in stamps.items() if number in ended]
        return late or [float("inf")], len(stamps.keys() - ended.keys())

    def end(self) -> list[int]:
        """Ends the clients, waits for the commands, which end by themselves.

        Returns:
            Exit codes of the commands: 0 when they noticed, else their time limit's.
        """
        self._many.terminate()
        self._many.wait()
        assert self._many.stdout is not None
        self._many.stdout.close()
        return [command.wait() for command in self._commands]

    def _make(self, path: bytes) -> None:
        Path(os.fsdecode(self._tree.place(path))).touch()


def remove_new(cache: Path) -> None:
    """Takes what was made away again: the tree is as its manifest says."""
    for place in cache.glob(f"tree-{FILES}-*"):
        for path in place.rglob(f"{NEW.decode()}*"):
            path.unlink()


def _lines(process: subprocess.Popen[bytes], within_s: float) -> list[bytes]:
    """What a process prints within a time, or until it is silent for a fifth of it."""
    assert process.stdout is not None
    out = b""
    deadline = time.monotonic() + within_s
    while (left_s := min(deadline - time.monotonic(), within_s / 5)) > 0:
        ready, _, _ = select.select([process.stdout], [], [], left_s)
        chunk = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
        if not chunk:
            break
        out += chunk
    return out.splitlines()


def _share(program: Program, seconds: float) -> float:
    """CPU of the program over a time, in % of a core."""
    before, began = program.cpu_s(), time.perf_counter()
    time.sleep(seconds)
    return 100 * (program.cpu_s() - before) / (time.perf_counter() - began)


def wait(socket: str, view: str, limit_s: float) -> None:
    """Clients of the command's own code; prints who reached its goal, and when."""
    from fustor_core.cli.paths import Place
    from fustor_core.cli.waiting import Goal as Wanted
    from fustor_core.cli.waiting import wait_for
    from fustor_core.client import UNIX, Client

    told = threading.Lock()

    def one(number: int, path: bytes) -> None:
        wanted = Wanted("exists" if NEW in path else "stable", NEVER_S)
        with Client(UNIX + socket) as client:
            end = wait_for(client, Place(view, path), wanted, timeout_s=limit_s)
        at_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        if end.reached:
            with told:
                print(json.dumps([number, at_s]), flush=True)

    paths = [str(path).encode() for path in json.load(sys.stdin)]
    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(paths)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    _, _, at, name, limit = sys.argv
    wait(at, name, float(limit))
