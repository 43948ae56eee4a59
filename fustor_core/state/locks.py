"""One process a state directory: locks that name their holder and end with it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shlex
import signal
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from fustor_core.errors import StateError, StateInUse
from fustor_core.state.files import FILE_MODE

# Someone who only looks holds the lock for a moment. A killed process with gigabytes to give back
# holds it for longer: its files are closed after its memory.
_PATIENCE_S = 1.0
_PATIENCE_DYING_S = 15.0
_PAUSE_S = 0.02
_PF_EXITING = 0x4
_SIGKILL_BIT = 1 << (signal.SIGKILL - 1)
_CONTENT_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: process id, what it does, since when (RFC 3339, UTC)."""

    pid: int
    role: str
    started_at: str


class Lock:
    """A held lock; ends with `release`, with the ``with`` block, or with the process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def __repr__(self) -> str:
        return f"<Lock {self.path} {'held' if self._fd >= 0 else 'released'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go; the file stays, empty."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)


def take_lock(path: Path, role: str, home: Path) -> Lock:
    """Take the lock at `path`, or say who has it. A lock whose holder has died is free.

    Args:
        path: the lock file; made (0600) when absent. Its folder exists.
        role: what this process does, as ``up``.
        home: the state directory, for the message.

    Raises:
        StateInUse: with the holder's pid, and the two ways out.
        StateError: the file cannot be opened or written.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}", remedy="choose another --home") from error
    try:
        _wait_for(fd, home)
        _write(fd, role)
    except OSError as error:
        os.close(fd)
        raise StateError(f"{path}: cannot be locked: {error.strerror}") from error
    except StateError:
        os.close(fd)
        raise
    return Lock(path, fd)


def _write(fd: int, role: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content = json.dumps(asdict(Holder(os.getpid(), role, now))).encode() + b"\n"
    try:
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
    except OSError as error:
        # The lock is the flock; on a full disk it only does not say whose it is.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _wait_for(fd: int, home: Path) -> None:
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _read(fd)
        life = _life(holder.pid) if holder is not None else "gone"
        patience = {"alive": 0.0, "dying": _PATIENCE_DYING_S, "gone": _PATIENCE_S}[life]
        if time.monotonic() - started >= patience:
            raise _in_use(home, holder, life)
        time.sleep(_PAUSE_S)


def _in_use(home: Path, holder: Holder | None, life: str) -> StateInUse:
    kill = ""
    if holder is None:
        who = "another process"
    elif life == "gone":
        who = f"a process that {holder.pid}, which has ended, started"
    else:
        who = f"process {holder.pid} (`fustor {holder.role}`, since {holder.started_at})"
        kill = f" (or `kill {holder.pid}`)"
    return StateInUse(
        f"the state directory {home} is in use by {who}",
        pid=0 if holder is None else holder.pid,
        remedy=f"stop it with `fustor stop --home {shlex.quote(str(home))}`{kill},"
        " or run beside it with another `--home DIR`",
    )


def lock_holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now; None when nobody does, or it cannot be looked at."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(fd)
        return None
    finally:
        os.close(fd)


def _read(fd: int) -> Holder | None:
    try:
        found = json.loads(os.pread(fd, _CONTENT_BYTES_MAX, 0))
        return Holder(int(found["pid"]), str(found["role"]), str(found["started_at"]))
    except (ValueError, KeyError, TypeError):
        return None


def _life(pid: int) -> str:
    """``alive``, ``dying`` (killed, but not yet through with it) or ``gone``."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (ProcessLookupError, OverflowError):
        return "gone"
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
        flags = int(facts[6])
        pending = [int(mask, 16) for mask in re.findall(r"(?:Sig|Shd)Pnd:\s*(\w+)", status)]
    except (OSError, ValueError, IndexError):
        return "alive"
    killed = any(mask & _SIGKILL_BIT for mask in pending)
    return "dying" if killed or flags & _PF_EXITING else "alive"
