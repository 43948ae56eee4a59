"""The kernel's queue of one host: bounded, per watched inode, blind to other hosts."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable

from fustor_core.testing.sim.storage import Inode, Told

OVERFLOW = Told(Inode.__new__(Inode), b"", "overflow", Inode.__new__(Inode))


class Inotify:
    """One instance.

    Args:
        most: queue length. limit: watches. wake: called when there is something to read.
    """

    def __init__(self, most: int, limit: int, wake: Callable[[], None]) -> None:
        self.most, self.limit = most, limit
        self._wake = wake
        self.watched: dict[int, Inode] = {}
        self._queue: deque[Told] = deque()
        self.lost = self.refused = 0

    def __repr__(self) -> str:
        return f"<Inotify {len(self.watched)} watches, {len(self._queue)} events>"

    def add(self, folder: Inode) -> bool:
        """Watch a directory.

        Returns:
            Whether it is new.

        Raises:
            OSError: ENOSPC, there are too many.
        """
        if folder.uid in self.watched:
            return False
        if len(self.watched) >= self.limit:
            self.refused += 1
            raise OSError(errno.ENOSPC, "no more watches")
        self.watched[folder.uid] = folder
        return True

    def remove(self, uid: int) -> None:
        """Give a watch back."""
        self.watched.pop(uid, None)

    def tell(self, told: Told) -> None:
        """Something happened on this host."""
        if told.folder.uid in self.watched:
            self._put(told)
        gone = told.word == "delete" and told.child.folder
        if gone and self.watched.pop(told.child.uid, None) is not None:
            self._put(Told(told.child, b"", "ignored", told.child))
        if told.word in ("attrib", "from", "to") and told.child.uid in self.watched:
            self._put(
                Told(told.child, b"", "attrib" if told.word == "attrib" else "self", told.child)
            )

    def take(self, most: int) -> list[Told]:
        """Read."""
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    @property
    def empty(self) -> bool:
        """Nothing waits to be read."""
        return not self._queue

    def _put(self, told: Told) -> None:
        if len(self._queue) >= self.most:
            if self._queue[-1] is not OVERFLOW:
                self._queue.append(OVERFLOW)
                self.lost += 1
        else:
            self._queue.append(told)
        self._wake()
