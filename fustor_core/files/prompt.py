"""Looks at single names of storage that answers from memory: without giving the interpreter away.

A system call of Python gives up the interpreter's lock, and has it back only when whoever computes
meanwhile lets go, which takes 5 ms. Of a name that has just changed a local file system answers in
one or two µs, so a watch that looks at a hundred names beside a busy event loop spent its time
waiting for the lock. Storage that may hang is never looked at like that, nor is another mount; and
a directory that is not in memory is opened by a call that gives the lock up.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from fustor_core.claims import ROW
from fustor_core.files.identity import Prober

_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# No symlink followed, no automount triggered, an empty path is the descriptor, no server asked:
# should another mount begin at a name, its attributes are those that lie in memory.
_FLAGS = 0x100 | 0x800 | 0x1000 | 0x4000
_WANTED = 0x7FF | 0x800  # the basic ones, birth
_OPENAT2 = 437  # on all architectures
_HOW = struct.pack("=QQQ", _PLACE, 0, 0x01)  # RESOLVE_NO_XDEV: no mount is entered on the way
_HOW_CACHED = struct.pack("=QQQ", _PLACE, 0, 0x01 | 0x20)  # nor is a disk waited for (Linux 5.12)
_HOW_BYTES = ctypes.c_size_t(len(_HOW))
# links, uid, gid, mode; inode, size; ctime and mtime: seconds and nanoseconds
_COLUMNS = struct.Struct("=16xIIIH2xQQ48xqI4xqI")
_NS = 10**9
_I64 = (1 << 63) - 1

_libc = ctypes.PyDLL(None, use_errno=True)  # keeps the lock
_statx = getattr(_libc, "statx", None)
_syscall, _close = _libc.syscall, _libc.close
_syscall_away = ctypes.CDLL(None, use_errno=True).syscall  # gives it up


class Looks(Prober):
    """A prober that can also open directories and make rows. One for each thread.

    Attributes:
        prompt: the next calls are about storage that answers from memory, and keep the lock.
    """

    def __init__(self, birth: str = "btime") -> None:
        super().__init__(birth)
        self.prompt = False

    def __repr__(self) -> str:
        return f"<Looks prompt={self.prompt}>"

    def open(self, path: bytes, place: int) -> int:
        """A directory by O_PATH, as `Prober.open`; by `prompt`, no other mount is entered."""
        if self.prompt:
            fd: int = _syscall(_OPENAT2, place, path, _HOW_CACHED, _HOW_BYTES)
            if fd < 0 and ctypes.get_errno() in (errno.EAGAIN, errno.EINVAL):
                fd = _syscall_away(_OPENAT2, place, path, _HOW, _HOW_BYTES)
            if fd >= 0:
                return fd
            self.prompt = False  # a mount on the way, or an old kernel: this one in the other way
        return super().open(path, place)

    def close(self, fd: int) -> None:
        """Give a descriptor back."""
        if self.prompt:
            _close(fd)
        else:
            super().close(fd)

    def _ask(self, fd: int, name: bytes) -> int:
        if not self.prompt or _statx is None:
            return super()._ask(fd, name)
        code: int = _statx(fd, name, _FLAGS, _WANTED, self._reference)
        return code

    def row(self, fd: int, name: bytes) -> bytes | None:
        """The row of a name in the directory `fd`, of `fd` itself for ``b""``.

        Returns:
            None when it has to be looked at in the other way.

        Raises:
            OSError: as lstat.
        """
        if not self.prompt or _statx is None:
            return None
        if self._ask(fd, name):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
        nlink, uid, gid, mode, ino, size, ctime, ctime_ns, mtime, mtime_ns = _COLUMNS.unpack_from(
            self._buffer
        )
        ctime_ns, mtime_ns = ctime * _NS + ctime_ns, mtime * _NS + mtime_ns
        try:
            return ROW.pack(size, mtime_ns, ctime_ns, ino, mode, uid, gid, nlink)
        except struct.error:  # a column that does not fit
            return None
