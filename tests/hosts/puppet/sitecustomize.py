"""A disk that hangs or is full for as long as a file says so; for processes that tests start."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

LOOK_S = 0.02


def slow(disk: Path) -> None:
    """Let `hold` in that folder hang every fdatasync, and `full` fail it."""
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        while (disk / "hold").exists():
            time.sleep(LOOK_S)
        if (disk / "full").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd)

    os.fdatasync = fdatasync


if "PUPPET_DISK" in os.environ:
    slow(Path(os.environ["PUPPET_DISK"]))
