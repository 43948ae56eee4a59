"""What a stopped pipe leaves behind for its next start: directories, never claims.

A stop that could send everything removes the file. One that could not writes the directories that
were not acknowledged: the next start owes them with its first batch. While a pipe runs, the file
says just that; who finds it so knows that the process before was killed, and what it had seen and
not sent is not known to anybody. Then the whole tree is owed.

Why not less: beside the queues of the process, the kernel's queue of events was lost, of which
nothing can be written down. Why not more: a pipe that was stopped cleanly is, until its next start,
as a host without an agent; what happens there meanwhile is for audits to find. So the restart of a
follower costs nothing, and its death one deep listing. A leader looks at everything after each
start of its process, whatever stands here; so does who took the lead when it died.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from fustor_core.claims import Owe, Owed
from fustor_core.state.files import make_folder, write_atomic

FORMAT = 1
DIGEST_BYTES = 16
BYTES_MAX = 4 << 20


class Left(msgspec.Struct, frozen=True, array_like=True):
    """What was left.

    Attributes:
        everything: nobody knows how much: all of the tree is owed.
        owed: else these directories.
    """

    everything: bool = False
    owed: tuple[Owed, ...] = ()

    def __bool__(self) -> bool:
        return self.everything or bool(self.owed)


class _File(msgspec.Struct, frozen=True, array_like=True):
    format: int
    left: Left


NOTHING = Left()
_RUNNING = Left(everything=True)


class Spool:
    """The file of one pipe.

    Args:
        path: where it is; None keeps nothing, and never finds anything.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"<Spool {self._path}>"

    def begin(self) -> Left:
        """A pipe starts: what was left, and the mark that it runs.

        Raises:
            OSError: the mark cannot be written. What was left stands there still.
        """
        if self._path is None:
            return NOTHING
        left = self._read(self._path)
        self._write(self._path, _RUNNING)
        return left

    def end(self, owed: Iterable[Owe], before: Left) -> None:
        """A pipe has stopped.

        Args:
            owed: what it could not send. before: what it was given at its start and never told.

        Raises:
            OSError: it cannot be written; then the mark stays, and everything will be owed.
        """
        if self._path is None or before.everything:
            return
        more = [Owed(one.dir, one.path, one.deep) for one in owed]
        left = Left(owed=(*before.owed, *more))
        if left:
            self._write(self._path, left)
        else:
            self._path.unlink(missing_ok=True)

    def _read(self, path: Path) -> Left:
        try:
            with path.open("rb") as file:
                data = file.read(BYTES_MAX + 1)
        except FileNotFoundError:
            return NOTHING
        except OSError:
            return _RUNNING
        digest, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if len(data) > BYTES_MAX or digest != _digest(body):
            return _RUNNING
        try:
            found = msgspec.msgpack.decode(body, type=_File)
        except msgspec.MsgspecError:
            return _RUNNING
        return found.left if found.format == FORMAT else _RUNNING

    def _write(self, path: Path, left: Left) -> None:
        if not path.parent.exists():
            make_folder(path.parent)
        body = msgspec.msgpack.encode(_File(FORMAT, left))
        write_atomic(path, _digest(body) + body)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()
