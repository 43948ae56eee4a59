"""A scan's thread stands behind others when it is told to, and no other thread does."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource
from pydantic import ValidationError

from fustor_core.contracts import Scope

GET = {"x86_64": 252, "aarch64": 31, "riscv64": 31}
NICE = 19 - 3  # of the fields behind a thread's name (proc(5))
libc = ctypes.CDLL(None, use_errno=True)


def nice_of(thread: int) -> int:
    facts = Path(f"/proc/self/task/{thread}/stat").read_text("utf-8").rpartition(")")[2]
    return int(facts.split()[NICE])


def disk_of(thread: int) -> tuple[int, int]:
    """Class and level of a thread's reads."""
    found = libc.syscall(ctypes.c_long(GET[platform.machine()]), 1, thread)
    assert found >= 0, os.strerror(ctypes.get_errno())
    return found >> 13, found & 0x1FFF


async def thread_of_a_scan(root: Path, **config: Any) -> tuple[int, tuple[int, int]]:
    """Niceness and class of the thread that reads the directories."""
    seen: list[tuple[int, tuple[int, int]]] = []

    def pace(operations: int, seconds: float) -> float:  # the walk asks in its own thread
        assert threading.current_thread() is not threading.main_thread()
        thread = threading.get_native_id()
        seen.append((nice_of(thread), disk_of(thread)))
        return 0.0

    it = FsSource(FsConfig(root=str(root), **config))
    async for _ in it.scan(Scope(pace=pace)):
        pass
    (one,) = set(seen)
    return one


@pytest.mark.skipif(platform.machine() not in GET, reason="numbers of system calls are not known")
async def test_a_scan_is_nicer_than_the_process_when_it_is_told_to(tmp_path: Path) -> None:
    mine = nice_of(threading.get_native_id()), disk_of(threading.get_native_id())
    assert await thread_of_a_scan(tmp_path) == mine
    nice, disk = await thread_of_a_scan(tmp_path, scan_nice=7, scan_ionice="idle")
    assert nice == min(19, mine[0] + 7)
    assert disk[0] == 3
    _, disk = await thread_of_a_scan(tmp_path, scan_ionice="best-effort")
    assert disk == (2, 7)
    assert (nice_of(threading.get_native_id()), disk_of(threading.get_native_id())) == mine


@pytest.mark.parametrize("config", [{"scan_nice": -1}, {"scan_nice": 20}, {"scan_ionice": "none"}])
def test_what_is_no_priority_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        FsConfig(root=str(tmp_path), **config)
