"""Writes the files of one run, in a thread: whole or not at all, and nobody waits for it.

A file that is to be written again before it was, is written once. So what waits is bounded by the
number of files, however slow the disk is; and one that hangs or is full costs history, never the
program.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from fustor_core.errors import StateError
from fustor_core.state.files import FOLDER_MODE, write_atomic
from fustor_core.state_runs.chronicle import Act, Drop, Put
from fustor_core.state_runs.sealing import Keyring

RETRY_S = (0.5, 2.0, 10.0, 30.0)


class Scribe:
    """The thread that writes.

    Args:
        folder: of the run; made here. Its lock says that the run goes on.
        run: id of the run. keys: seal each file; None: plain.
        trouble: told a sentence, in that thread, when writing fails and when it works again.

    Raises:
        StateError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        *,
        keys: Keyring | None = None,
        trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder, self.run = folder, run
        self._keys, self._trouble = keys, trouble
        self._changed = threading.Condition()
        self._waiting: dict[str, Any] = {}  # name → document, bytes, or None: it goes
        self._sizes: dict[str, int] = {}
        self._ending = self._failing = self._busy = False
        self._lock = _make(folder)
        self._thread = threading.Thread(target=self._write, name="fustor-history", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Scribe {self.folder.name}, {len(self._waiting)} waiting>"

    @property
    def size_bytes(self) -> int:
        """What was written and is still there."""
        return sum(self._sizes.values())

    def do(self, acts: Iterable[Act]) -> None:
        """Take what is to be done with files; never waits."""
        with self._changed:
            for act in acts:
                self._waiting[act.name] = act.document if isinstance(act, Put) else None
                if isinstance(act, Drop):  # behind what it depends on
                    self._waiting[act.name] = self._waiting.pop(act.name)
            self._changed.notify_all()

    def keep(self, name: str, content: bytes) -> None:
        """Take the content of a file that no document is."""
        with self._changed:
            self._waiting[name] = content
            self._changed.notify_all()

    def flush(self, limit_s: float) -> bool:
        """Wait until everything is written; blocks.

        Returns:
            False: it was not, within the limit.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, limit_s)

    def close(self, limit_s: float) -> bool:
        """Write what waits, as long as that takes no longer, and end; blocks.

        Returns:
            Whether everything is written.
        """
        done = self.flush(limit_s)
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if done:
            self._thread.join(limit_s)
            os.close(self._lock)
        return done

    def _write(self) -> None:
        tries = 0
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if self._ending:
                    return
                name = next(iter(self._waiting))
                what = self._waiting.pop(name)
                self._busy = True
            try:
                self._put(name, what)
            except OSError as error:
                self._failed(name, what, error)
                time.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
                continue
            tries = 0
            if self._failing:
                self._failing = False
                self._trouble(f"the state history is written again to {self.folder}")

    def _failed(self, name: str, what: Any, error: OSError) -> None:
        with self._changed:
            self._waiting = {name: what} | self._waiting
        if not self._failing:
            self._failing = True
            self._trouble(
                f"the state history cannot be written to {self.folder}:"
                f" {error.strerror or error}; it is tried again"
            )

    def _put(self, name: str, what: Any) -> None:
        path = self.folder / name
        if what is None:
            path.unlink(missing_ok=True)
            self._sizes.pop(name, None)
            return
        content = what if isinstance(what, bytes) else encoded(what)
        if self._keys is not None:
            content = self._keys.seal(self.run, name, content)
        write_atomic(path, content)
        self._sizes[name] = len(content)


def encoded(document: Any) -> bytes:
    """A document as it stands in its file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _make(folder: Path) -> int:
    """Make a run's folder and lock it; the descriptor that holds the lock."""
    try:
        folder.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        folder.mkdir(mode=FOLDER_MODE)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(
            f"the state history cannot be kept in {folder.parent}: {error.strerror or error}",
            remedy="choose another folder with --state-history, or do without",
        ) from error
    with suppress(OSError):  # some file systems have no locks: then the run's process is asked for
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd
