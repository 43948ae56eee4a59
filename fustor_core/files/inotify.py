"""The kernel's inotify, read late and in bulk.

`Inotify` is the instance: watches in, bytes out. `Reader` is the thread that empties it into
memory, so that slow looks never make the kernel's queue run over. Waking up costs more than an
event does, hence the reader lets a little time pass between the first event and the read.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import threading
from collections import deque
from collections.abc import Callable, Container, Iterator
from typing import NamedTuple, Protocol

from fustor_core.claims import Key
from fustor_core.contracts import boottime_us

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
UNMOUNT = 0x2000
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ISDIR = 0x40000000
_DELETE_SELF = 0x400
_ONLYDIR = 0x01000000
_EXCL_UNLINK = 0x04000000

NAMES = CREATE | DELETE | MOVED_FROM | MOVED_TO  # the directory's own mtime and ctime move
# The end of a watched directory is told by IN_IGNORED in any case, so IN_DELETE_SELF is left out.
MASK = NAMES | MODIFY | ATTRIB | CLOSE_WRITE | _ONLYDIR | _EXCL_UNLINK
TOP = _DELETE_SELF | _ONLYDIR  # only that it is gone, or unmounted, which is told in any case
LIMIT_FILE = "/proc/sys/fs/inotify/max_user_watches"

READ_BYTES = 1 << 18
EVENT_BYTES_MAX = 1024  # a read that leaves as much room has emptied the queue
READS_MOST = 32  # at a time; the kernel's queue of usual length is 4 to 20
HELD_BYTES_MAX = 48 << 20  # of raw events in memory; beyond, evidence is lost and said to be
WINDOW_MS_MIN = 3.0
WINDOW_MS_MAX = 8.0
_BUSY_BYTES = 256  # more than one file that was made, written and closed

_HEAD = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Raw(NamedTuple):
    """One event as the kernel gave it; `wd` is -1 for an overflow."""

    wd: int
    mask: int
    cookie: int
    name: bytes


class Chunk(NamedTuple):
    """One read of the queue.

    Attributes:
        since_us: the queue was empty at or after this raw instant, before these events came.
        data: the bytes; empty when `lost`.
        lost: events were thrown away here because nobody took them.
    """

    since_us: int
    data: bytes
    lost: bool = False


class Ears(Protocol):
    """What hears of changes in directories; inotify is one way.

    Each directory has a number, as watches have: `add` gives it, and events carry it.

    Attributes:
        way: ``inotify`` or ``fanotify``. why: it is not the better one, "" where it is.
        warning: what is amiss with it, and what to do; "" when nothing is.
    """

    way: str
    why: str
    warning: str

    @property
    def fd(self) -> int:
        """Readable when there is something to read."""

    def add(self, fd: int, key: Key) -> int:
        """Hear of a directory from now on.

        Raises:
            OSError: it cannot be heard of.
        """

    def own(self, key: Key) -> int:
        """A number by which only a directory's own attributes are told; -1: its parent tells."""

    def remove(self, wd: int) -> None:
        """Forget a directory."""

    def read(self) -> bytes:
        """What there is to read; b"" when there was nothing at the last call, or is nothing now."""

    def sift(self, data: bytes, known: Container[int]) -> bytes:
        """What is left of a read without events of unknown numbers; perhaps all of it."""

    def events(self, data: bytes, known: Container[int]) -> Iterator[Raw]:
        """The events in one read; those of numbers that are not known may be left out."""

    def overrun(self, now_us: int) -> bool:
        """Events were lost; whether every directory has to be added anew.

        Args:
            now_us: raw instant.
        """

    def close(self) -> None:
        """Give everything back."""


def parse(data: bytes) -> Iterator[Raw]:
    """The events in one read, in queue order."""
    head, size, at, end = _HEAD.unpack_from, _HEAD.size, 0, len(data)
    while at < end:
        wd, mask, cookie, length = head(data, at)
        at += size
        name = data[at : at + length].rstrip(b"\0") if length else b""
        at += length
        yield Raw(wd, mask, cookie, name)


def watch_limit() -> int:
    """How many watches this user may have, 0 when the kernel does not say."""
    try:
        with open(LIMIT_FILE, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


class Inotify:
    """One inotify instance.

    Args:
        fd: of an instance that is there already; else a new one is made.
        why: nothing better is used.

    Raises:
        OSError: EMFILE when the user has too many instances, ENOSYS without inotify.
    """

    def __init__(self, fd: int = -1, *, why: str = "") -> None:
        self.way, self.why, self.warning = "inotify", why, ""
        self._emptied = False
        self.fd: int = fd if fd >= 0 else _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise error_of("inotify_init1")

    def add(self, fd: int, key: Key | None = None, *, mask: int = MASK) -> int:
        """Watch the very directory behind an open descriptor: no path, no race.

        Args:
            key: of the directory; not needed here. mask: what is to be told.

        Raises:
            OSError: ENOSPC at the watch limit, EACCES without the right to read.
        """
        wd: int = _libc.inotify_add_watch(self.fd, b"/proc/self/fd/%d" % fd, mask)
        if wd < 0:
            raise error_of("inotify_add_watch")
        return wd

    def own(self, key: Key) -> int:
        """Attributes of a directory are told by its parent's watch, too."""
        return -1

    def remove(self, wd: int) -> None:
        """Stop watching; a watch that is already gone is no error. IN_IGNORED follows."""
        _libc.inotify_rm_watch(self.fd, wd)

    def read(self) -> bytes:
        """What is in the queue, at most `READ_BYTES`; b"" when it is empty, or the last call has
        emptied it: each call to the kernel gives the interpreter away."""
        if self._emptied:
            self._emptied = False
            return b""
        data = self.ask()
        self._emptied = 0 < len(data) < READ_BYTES - EVENT_BYTES_MAX
        return data

    def ask(self) -> bytes:
        """What is in the queue now, at most `READ_BYTES`."""
        try:
            return os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b""

    def sift(self, data: bytes, known: Container[int]) -> bytes:
        """All of a read: there is a watch behind each event."""
        return data

    def events(self, data: bytes, known: Container[int]) -> Iterator[Raw]:
        """The events in one read, in queue order; those of watches that are not known, too."""
        return parse(data)

    def overrun(self, now_us: int) -> bool:
        """There is no other way of hearing."""
        return False

    def close(self) -> None:
        """Give the instance and all its watches back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __repr__(self) -> str:
        return f"Inotify(fd={self.fd})"


def error_of(call: str) -> OSError:
    """What a call of the C library that has just failed says."""
    code = ctypes.get_errno()
    return OSError(code, f"{call}: {os.strerror(code)} ({errno.errorcode.get(code, code)})")


class Reader:
    """The thread that empties the kernel's queue into memory.

    Args:
        ears: what is read; stays the caller's.
        arrived: called on the reader's thread after each read that brought something.
        known: numbers of directories. What happens in others is thrown away at once: whoever
            comes to know one lists it afterwards.
    """

    def __init__(self, ears: Ears, arrived: Callable[[], None], known: Container[int] = ()) -> None:
        self._ears = ears
        self._known = known
        self._arrived = arrived
        self._chunks: deque[Chunk] = deque()
        self._held_bytes = 0
        self._lock = threading.Lock()  # one read at a time: chunks stay in queue order
        self._empty_us = boottime_us()
        self._asked_us = 0  # for what was read last, when that was not nothing
        self._window_ms = WINDOW_MS_MIN
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="fustor-inotify", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self) -> list[Chunk]:
        """All chunks that were read and not taken yet, oldest first."""
        with self._lock:
            taken, self._held_bytes = list(self._chunks), 0
            self._chunks.clear()
        return taken

    def pull(self) -> bool:
        """Read until the queue is empty, on the caller's thread; whether anything is kept of it.

        Whoever fills it faster than it is read does not keep everybody waiting for its end.
        """
        came = False
        with self._lock:
            for _ in range(READS_MOST):
                asked_us = boottime_us()
                data = self._ears.read()
                if not data:  # the ears may know that from the read before
                    self._empty_us, self._asked_us = self._asked_us or asked_us, 0
                    break
                self._asked_us = asked_us
                data = self._ears.sift(data, self._known)
                if data:
                    came = True
                    self._keep(data)
        return came

    def close(self) -> None:
        """End the thread and wait for it."""
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._wake)

    def _keep(self, data: bytes) -> None:
        if self._held_bytes + len(data) > HELD_BYTES_MAX:
            self._chunks.clear()
            self._held_bytes = 0
            self._chunks.append(Chunk(self._empty_us, b"", lost=True))
        self._chunks.append(Chunk(self._empty_us, data))
        self._held_bytes += len(data)

    def _run(self) -> None:
        ready, waiting = select.poll(), select.poll()
        ready.register(self._ears.fd, select.POLLIN)
        ready.register(self._wake, select.POLLIN)
        waiting.register(self._wake, select.POLLIN)
        more = False  # is likely to have come within the window: nobody asks whether it has
        while True:
            if not more and any(fd == self._wake for fd, _ in ready.poll()):
                return
            if waiting.poll(self._window_ms):
                return
            before, expected = self._held_bytes, more
            more = self.pull()
            if not more:
                if not expected:  # others make noise: it is listened to less often
                    self._window_ms = min(WINDOW_MS_MAX, self._window_ms * 1.5)
                continue
            busy = self._held_bytes - before > _BUSY_BYTES
            step = 1.5 if busy else 0.5
            self._window_ms = min(WINDOW_MS_MAX, max(WINDOW_MS_MIN, self._window_ms * step))
            self._arrived()

    def __repr__(self) -> str:
        return f"Reader(held_bytes={self._held_bytes}, window_ms={self._window_ms:.1f})"
