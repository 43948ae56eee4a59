"""Whether a directory reads as it did before, told from the bytes in which the kernel lists it.

The names, inodes and types of a directory that nobody has changed come in the same order each time
on most storages. One that gives them otherwise is merely compared the slow way.
"""

from __future__ import annotations

import ctypes

BUFFER_BYTES = 1 << 16
NAME_BYTES = 24  # the least that a name takes
_NO_MARK = 1

_libc = ctypes.CDLL(None, use_errno=True)
_getdents = getattr(_libc, "getdents64", None)
if _getdents is not None:
    _getdents.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    _getdents.restype = ctypes.c_ssize_t


class Marker:
    """Reads directories. One for each thread: it owns the buffer."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(BUFFER_BYTES)
        self._address = ctypes.addressof(self._buffer)

    def mark(self, fd: int) -> tuple[int, int]:
        """(a fingerprint of all its entries, 0 for none; how many bytes they took).

        Args:
            fd: the directory, open for reading and not read yet.
        """
        if _getdents is None:
            return 0, 0
        told, total = _NO_MARK, 0
        while True:
            got = _getdents(fd, self._address, BUFFER_BYTES)
            if got <= 0:
                return (told, total) if got == 0 else (0, total)
            told = hash((told, ctypes.string_at(self._address, got))) & (1 << 64) - 1 or _NO_MARK
            total += got
            ctypes.memset(self._address, 0, got)  # the kernel leaves gaps between names as they are

    def __repr__(self) -> str:
        return "Marker()"
