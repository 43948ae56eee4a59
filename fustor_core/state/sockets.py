"""Unix sockets at paths of any length: a socket address holds 107 bytes, a folder may lie deeper.

A longer one is named through a descriptor of its folder, ``/proc/self/fd/N/name``.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fustor_core.errors import StateError
from fustor_core.state.files import FILE_MODE

ADDRESS_BYTES_MAX = 107


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address for `path` that fits; valid, in this process only, while the block lasts.

    Raises:
        OSError: the folder cannot be opened.
    """
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield os.fspath(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def bind_socket(path: Path) -> socket.socket:
    """A stream socket bound at `path`, mode 0600, not yet listening.

    A socket left there by a process that has ended is replaced: the caller holds the lock.

    Args:
        path: its folder exists and is ours alone (0700).

    Raises:
        StateError: something else stands there, or the folder cannot be written.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        with socket_address(path) as address:
            bound.bind(address)
            # Nobody connects before listen(), so there is no moment with wider permissions.
            os.chmod(path, FILE_MODE)
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise StateError(f"{path}: the socket cannot be made: {reason}") from error
    except StateError:
        bound.close()
        raise
    return bound


def connect_socket(path: Path, timeout_s: float | None = None) -> socket.socket:
    """A stream socket connected to the one at `path`.

    Args:
        timeout_s: for connecting, and of the socket afterwards; None waits for ever.

    Raises:
        OSError: nobody listens there (`FileNotFoundError`, `ConnectionRefusedError`), or denied.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(timeout_s)
    try:
        with socket_address(path) as address:
            connected.connect(address)
    except OSError:
        connected.close()
        raise
    return connected


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(f"{path}: stands in the way of the socket", remedy="move it away")
    path.unlink()
