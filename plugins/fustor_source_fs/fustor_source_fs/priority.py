"""How a scan's thread stands behind others: for the processor, and for the disk."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import threading
from typing import Literal, NamedTuple

Disk = Literal["best-effort", "idle"]

NICE_MOST = 19
_CLASSES = {"best-effort": 2, "idle": 3}
_LEVEL = {"best-effort": 7, "idle": 0}  # of a class, the last one
_CLASS_AT = 13  # bits
_THREAD = 1  # who; 0 is the one that calls
_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}  # the C library has no ioprio_set

log = logging.getLogger("fustor.source.fs")
_libc = ctypes.CDLL(None, use_errno=True)


class Priority(NamedTuple):
    """What a thread gives itself when it begins.

    Attributes:
        nice: steps behind the process. disk: class of its reads; None = as the process.
    """

    nice: int = 0
    disk: Disk | None = None

    def take(self) -> None:
        """For the calling thread. What the system refuses is logged, and left as it was."""
        thread = threading.get_native_id()
        try:
            if self.nice:
                now = os.getpriority(os.PRIO_PROCESS, thread)
                os.setpriority(os.PRIO_PROCESS, thread, min(NICE_MOST, now + self.nice))
            if self.disk is not None:
                _set(_CLASSES[self.disk] << _CLASS_AT | _LEVEL[self.disk])
        except OSError as err:
            log.warning("scan-priority", extra={"fields": {"err": str(err)}})


def _set(value: int) -> None:
    number = _SET.get(platform.machine())
    if number is None:
        raise OSError(f"the class of reads cannot be set on {platform.machine()}")
    if _libc.syscall(ctypes.c_long(number), _THREAD, 0, value) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ioprio_set: {os.strerror(code)}")
