"""Files of the state directory: written whole or not at all, private, compared by parts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def write_atomic(path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
    """Put `data` at `path` so that a crash leaves the old file or the new one, never a part.

    Args:
        path: its folder exists; a file of that name is replaced.
        mode: permission bits of the new file, whatever the umask.

    Raises:
        OSError: nothing has changed.
    """
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(folder: Path, *, mode: int = FOLDER_MODE) -> None:
    """Make a folder and those above it, if missing, and their names durable.

    Its own name is made durable also when it is there: who made it may have been killed.

    Raises:
        OSError: it cannot be made, or something else stands there.
    """
    missing = [folder]
    while not os.path.lexists(missing[-1].parent):
        missing.append(missing[-1].parent)
    for one in reversed(missing):
        one.mkdir(mode=mode, exist_ok=True)
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_inside(outer: Path | bytes, inner: Path | bytes) -> bool:
    """True when `inner` is `outer` or lies below it, by parts: ``/data2`` is not in ``/data``.

    Args:
        outer, inner: absolute and already resolved; nothing is looked up.
    """
    outer_parts, inner_parts = _parts(outer), _parts(inner)
    return inner_parts[: len(outer_parts)] == outer_parts


def _parts(path: Path | bytes) -> list[bytes]:
    raw = os.fsencode(path)
    if not raw.startswith(b"/"):
        raise ValueError(f"not an absolute path: {os.fsdecode(raw)!r}")
    return [part for part in raw.split(b"/") if part]
