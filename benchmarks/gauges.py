"""What is read off the machine: CPU time and memory of processes, the machine itself, its load."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# Of /proc/PID/stat, counted behind the command's closing bracket.
PPID, CUTIME, CSTIME = 1, 13, 14
# A load above this share of the cores means that others run here too.
BUSY_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall time in seconds."""

    cpu_s: float
    wall_s: float


def cpu_s(pid: int) -> float:
    """CPU time of a process so far: all its threads, its children, and those that have ended.

    Raises:
        OSError: it is gone.
    """
    total = 0.0
    for one in (pid, *children(pid)):
        try:
            # the process's own clock, see clock_getcpuclockid(3): exact, where stat has ticks
            total += time.clock_gettime((~one << 3) | 2)
            fields = _stat(one)
            total += (int(fields[CUTIME]) + int(fields[CSTIME])) * TICK_S
        except OSError:
            if one == pid:
                raise
    return total


def children(pid: int) -> list[int]:
    """Living processes below one, in no order."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = int(_stat(int(name))[PPID])
            except OSError:
                continue
    found: list[int] = []
    wave = {pid}
    while wave:
        wave = {one for one, parent in parents.items() if parent in wave}
        found.extend(wave)
    return found


def pss_bytes(pid: int) -> int:
    """Memory of a process and its children, shared pages divided among those who share them."""
    total = 0
    for one in (pid, *children(pid)):
        text = Path(f"/proc/{one}/smaps_rollup").read_text("ascii")
        total += next(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
    return total * 1024


def sockets(pid: int) -> int:
    """Sockets that a process holds open."""
    place = f"/proc/{pid}/fd"
    count = 0
    for name in os.listdir(place):
        try:
            count += os.readlink(f"{place}/{name}").startswith("socket:")
        except OSError:
            continue
    return count


def load() -> float:
    """Mean number of processes that wanted a core in the last minute."""
    return os.getloadavg()[0]


def warning() -> str:
    """What to say when the machine is busy, else nothing."""
    cores = os.cpu_count() or 1
    busy = load()
    if busy <= cores * BUSY_SHARE:
        return ""
    return f"the load is {busy:.2f} on {cores} cores: others run here, read the figures as ±30 %"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith(("model name", "Model"))
        ),
        platform.processor() or platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / (1 << 30), 1),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def median(values: Sequence[float]) -> float:
    """The middle value.

    Raises:
        ValueError: there is none.
    """
    return percentile(values, 50)


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest values.

    Args:
        share: 0 to 100.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    at = (len(ordered) - 1) * share / 100
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
