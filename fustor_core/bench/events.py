"""From the close of a file to its place in the view, at a fixed rate of new files.

Writers create, write and close files on time; a reader follows the changes over the socket and
stamps what comes without looking at it. All clocks are `CLOCK_BOOTTIME` of one machine. As a
module: ``… write ROOT RATE SECONDS WRITERS NUMBER OUT`` and ``… read SOCKET VIEW OUT``.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from fustor_core.bench import answers, gauges, scans
from fustor_core.bench.asker import Asker
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Goal, Report

FOLDERS = 200
GOAL_RATE = 5000
A_WRITER = 5000  # files a second: for more there are several writers
STEP_S = 0.001
BEHIND_S = 0.01  # what a writer makes up for when it was held up; more would be a burst
QUIET_S = 2.0  # nothing came for this long after the last close: nothing more will
LOST_S = 20.0  # … and if some are missing, for this long
GRACE_S = 120.0
LATE_SHARE = 0.95  # writers below this share of its rate measured something else
WARM_UPS = 8
IDLE_S = 2.0
MS_NS = 1e6
HEAD = struct.Struct("<QI")
MODULE = [sys.executable, "-P", "-m", "fustor_core.bench.events"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of the files of one run.

    Args:
        delays_ms: close → visible with its whole size, of each that was seen so.
        lost: paths that never were. rate: closes in a second that the writers came to.
        cpu_us: CPU time of the program for each file.
    """

    delays_ms: list[float]
    lost: list[str]
    rate: float
    cpu_us: float


def measure(
    report: Report, folder: Path, rates: list[int], seconds: float, repeats: int, pin: str | None
) -> dict[int, list[Seen]]:
    """Runs every rate on one program and reports delays, losses and CPU time.

    Args:
        folder: for the tree and the home. rates: files in a second.

    Returns:
        Every run by its rate.
    """
    found = {}
    root = folder / "busy"
    for number in range(FOLDERS):
        (root / f"d{number:03d}").mkdir(parents=True)
    with scans.started(folder / "home", root, pin) as program:
        program.wait_for("ready")
        _warm_up(folder)
        program.settle()
        for rate in rates:
            found[rate] = [_run(program, folder, rate, seconds) for _ in range(repeats)]
            _tell(report, rate, found[rate])
            program.settle()
        _require_whole_view(report, program, root)
    return found


def _warm_up(folder: Path) -> None:
    """Writes until a writer keeps its rate: after many files were deleted, some file systems look
    long for the inode of each new one."""
    for _ in range(WARM_UPS):
        if _rate(_written(folder, A_WRITER, 1.0)) >= LATE_SHARE * A_WRITER:
            return


def _rate(written: list[tuple[str, int, int]]) -> float:
    """Files a second, of what `_written` tells."""
    return len(written) / ((written[-1][2] - written[0][2]) / 1e9)


def _tell(report: Report, rate: int, runs: list[Seen]) -> None:
    section = f"close → visible, {rate:,} files/s"
    late, lost = ("events-p99", "events-lost") if rate == GOAL_RATE else ("", "")
    delays = [run.delays_ms for run in runs]
    report.add(
        section,
        Figure("p50", "ms", [gauges.percentile(d, 50) for d in delays]),
        Figure(
            "p99",
            "ms",
            [gauges.percentile(d, 99) for d in delays],
            goal=Goal("≤", 50.0) if rate <= GOAL_RATE else None,
            row=late,
        ),
        Figure("longest", "ms", [max(d) for d in delays]),
        Figure(
            "lost",
            "files",
            [len(run.lost) for run in runs],
            goal=Goal("≤", 0),
            row=lost,
        ),
        Figure("CPU for each file", "µs", [run.cpu_us for run in runs]),
        Figure("rate of the writers", "files/s", [run.rate for run in runs]),
    )
    for run in runs:
        report.check(not run.lost, f"{len(run.lost)} of {rate} files/s lost: {run.lost[:3]}")
        if run.rate < LATE_SHARE * rate:
            report.note(f"the writers came to {run.rate:,.0f} of {rate:,} files/s only")


def _run(program: Program, folder: Path, rate: int, seconds: float) -> Seen:
    """Writers and one reader beside the program."""
    arrivals = folder / "arrivals"
    arrivals.unlink(missing_ok=True)
    read = [*MODULE, "read", program.socket, scans.NAME, arrivals]
    reader = subprocess.Popen([str(word) for word in read])
    try:
        _wait_for_bytes(arrivals, reader)
        before, began = program.cpu_s(), time.perf_counter()
        time.sleep(IDLE_S)
        idle = (program.cpu_s() - before) / (time.perf_counter() - began)
        before, began = program.cpu_s(), time.perf_counter()
        written = _written(folder, rate, seconds)
        sizes = {path: size for path, size, _ in written}
        _wait_for_quiet(program, arrivals, sizes)
        used = program.cpu_s() - before - idle * (time.perf_counter() - began)
        if reader.poll() is not None:
            raise RuntimeError("the stream of changes ended by itself")
    finally:
        reader.terminate()
        reader.wait()
    shown = _visible(arrivals, sizes)
    delays = [(shown[path] - at_ns) / MS_NS for path, _, at_ns in written if path in shown]
    lost = [path for path, _, _ in written if path not in shown]
    return Seen(delays or [float("inf")], lost, _rate(written), used / len(written) * 1e6)


def _written(folder: Path, rate: int, seconds: float) -> list[tuple[str, int, int]]:
    """(path, size, when it was closed in ns) of every file, in the order of time.

    Raises:
        RuntimeError: a writer has failed.
    """
    count = -(-rate // A_WRITER)
    closes = [folder / f"closes-{number}" for number in range(count)]
    tasks = [
        ("write", folder / "busy", rate, seconds, count, n, out) for n, out in enumerate(closes)
    ]
    writers = [subprocess.Popen([*MODULE, *map(str, task)]) for task in tasks]
    codes = [writer.wait() for writer in writers]  # of all, whatever the first says
    if any(codes):
        raise RuntimeError("a writer has failed")
    written = [json.loads(line) for out in closes for line in out.open("rb")]
    return sorted(written, key=itemgetter(2))


def _visible(arrivals: Path, sizes: dict[str, int]) -> dict[str, int]:
    """When each path first came with its whole size, in ns."""
    found: dict[str, int] = {}
    rest = b""
    for at_ns, chunk in _chunks(arrivals):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line.strip():
                continue
            change = json.loads(line)
            path = change.get("path")
            entry = change.get("entry") or {}
            if path in sizes and path not in found and entry.get("size") == sizes[path]:
                found[path] = at_ns
    return found


def _chunks(arrivals: Path) -> Iterator[tuple[int, bytes]]:
    """What the reader wrote down: a stamp in ns and the bytes that came."""
    with arrivals.open("rb") as stream:
        while len(head := stream.read(HEAD.size)) == HEAD.size:
            at_ns, size = HEAD.unpack(head)
            yield at_ns, stream.read(size)


def _wait_for_bytes(arrivals: Path, reader: subprocess.Popen[bytes]) -> None:
    """Until the stream has begun: its first line is a cursor.

    Raises:
        RuntimeError: it does not.
    """
    deadline = time.monotonic() + GRACE_S
    while not (arrivals.exists() and arrivals.stat().st_size):
        if reader.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the changes cannot be followed")
        time.sleep(0.01)


def _wait_for_quiet(program: Program, arrivals: Path, sizes: dict[str, int]) -> None:
    """Until every file has come; else until the view owes no look and nothing came for long.

    Where the kernel's queue ran over, the rest comes with a listing some seconds later: what is
    late must not count as lost. Blank lines that keep the stream alive do not count.

    Args:
        sizes: of the files that were written, by path.
    """
    deadline = time.monotonic() + GRACE_S
    size, since, quiet_s = arrivals.stat().st_size, time.monotonic(), QUIET_S
    with program.client(scans.NAME) as client:
        while time.monotonic() < deadline:
            time.sleep(0.05)
            now = arrivals.stat().st_size
            if now > size + 2 * HEAD.size or not client.get("du").json()["quality"]["complete"]:
                size, since, quiet_s = now, time.monotonic(), QUIET_S
            elif time.monotonic() - since > quiet_s:
                if quiet_s == LOST_S or sizes.keys() <= _visible(arrivals, sizes).keys():
                    return
                quiet_s = LOST_S  # a program that had no processor for a while has lost nothing


def _require_whole_view(report: Report, program: Program, root: Path) -> None:
    """Every file of the tree is in the view with the fields that lstat says, and no other."""
    top = os.fsencode(root)
    true = {}
    for at, folders, names in os.walk(top):
        for name in (*folders, *names):
            path = os.path.join(at, name)
            true[path[len(top) :]] = os.lstat(path)
    time.sleep(0.2)
    with program.client(scans.NAME) as client:
        reply = client.get("find", {"pattern": "*"}, answers.NDJSON).good()
    entries = [json.loads(line) for line in reply.content.splitlines() if line.strip()][:-1]
    told = {str(entry["path"]).encode(): entry for entry in entries}
    report.check(set(told) == set(true), f"{len(told)} paths in the view, {len(true)} in the tree")
    for path in set(told) & set(true):
        fault = answers.entry_fault(told[path], path, true[path])
        report.check(not fault, f"after the events: {fault}")


def write(root: Path, rate: int, seconds: float, writers: int, first: int, out: Path) -> None:
    """Creates, writes and closes files on time; the stamps go out when all is over.

    Args:
        rate: of all writers together. writers: how many there are. first: number of the first file;
            this one writes every file of `writers` from there on.
    """
    run = f"{time.time_ns() // 1000:x}_{first}"
    folders = [os.open(root / f"d{n:03d}", os.O_RDONLY | os.O_DIRECTORY) for n in range(FOLDERS)]
    total = int(rate * seconds)
    written = []
    boot = time.CLOCK_BOOTTIME
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    behind_s = max(BEHIND_S, 2 * writers / rate)  # two of its own files, else none would be due
    began = time.perf_counter()
    number = first
    while number < total:
        now = time.perf_counter()
        began = max(began, now - number / rate - behind_s)
        due = min(int((now - began) * rate), total)
        while number < due:
            name, body = f"{run}_{number:06d}.dat", b"x" * (number % 200 + 1)
            file = os.open(name, flags, 0o644, dir_fd=folders[number % FOLDERS])
            os.write(file, body)
            os.close(file)
            stamp = time.clock_gettime_ns(boot)
            written.append((f"/d{number % FOLDERS:03d}/{name}", len(body), stamp))
            number += writers
        time.sleep(STEP_S)
    for folder in folders:
        os.close(folder)
    out.write_text("".join(json.dumps(one) + "\n" for one in written), "utf-8")


def read(socket: str, view: str, out: Path) -> None:
    """Follows the changes of a view and stamps what comes, until it is ended."""
    place = f"/api/v1/views/{view}"
    with out.open("wb", buffering=0) as stream, Asker(socket, place, None) as client:
        for chunk in client.follow("changes", {"follow": "true"}, answers.NDJSON):
            at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            stream.write(HEAD.pack(at_ns, len(chunk)) + chunk)


def main(verb: str, *words: str) -> None:
    """The parts that run in processes of their own."""
    if verb == "write":
        root, rate, seconds, writers, first, out = words
        write(Path(root), int(rate), float(seconds), int(writers), int(first), Path(out))
    else:
        socket, view, out = words
        read(socket, view, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
