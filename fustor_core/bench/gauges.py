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
OTHERS_MAX = 15.0  # % of a core


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


class Others:
    """CPU time that everybody else used, from its making on."""

    def __init__(self) -> None:
        self._busy_s, self._own_s = _busy_s(), _own_s()
        self._began_s = time.monotonic()

    def share(self) -> float:
        """Mean use by others so far, in % of one core."""
        busy_s, own_s = _busy_s() - self._busy_s, _own_s() - self._own_s
        return max(100 * (busy_s - own_s) / (time.monotonic() - self._began_s), 0.0)

    def warning(self) -> str:
        """What to say when they are too many, else nothing."""
        share = self.share()
        if share <= OTHERS_MAX:
            return ""
        return (
            f"others used {share:.0f} % of a core during this run: its CPU times are rough, "
            "its wall times and latencies say little"
        )


def warning() -> str:
    """What to say before a run when the machine is busy, else nothing."""
    cores = os.cpu_count() or 1
    busy = load()
    if busy <= cores * BUSY_SHARE:
        return ""
    return f"the load is {busy:.2f} on {cores} cores before the run: others are at work"


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
        "kernel": platform.release().partition("-")[0],
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


def _busy_s() -> float:
    """CPU time of all processes of the machine since it was started: user, nice, system."""
    with open("/proc/stat", encoding="ascii") as file:
        return sum(map(int, file.readline().split()[1:4])) * TICK_S


def _own_s() -> float:
    """CPU time of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
