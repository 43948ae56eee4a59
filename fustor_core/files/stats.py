"""The attributes of many names of one directory: a statx for each, and no object for any.

What the kernel writes lands in one buffer; a column of it becomes a column of rows in one go.
Seconds become nanoseconds for all names at once: a column of 64-bit fields is one long integer,
whose lanes cannot overflow into each other because they were checked before.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from itertools import repeat

from fustor_core.claims import ROW_BYTES
from fustor_core.files.identity import STATX, STATX_GOT_BTIME, STATX_MOUNT_ROOT, Sight

MOST = 1024  # names at once
_BYTES = 256  # of a struct statx
_STEP = STATX.size  # what is wanted of one: the rest of it the next one overwrites
_FLAGS = 0x100 | 0x800  # no symlink followed, no automount triggered
_WANTED = 0x7FF | 0x800  # the basic ones, birth
_NS = 10**9
# Seconds that are negative, or so many that their nanoseconds need more than 63 bits.
_ODD = int.from_bytes(struct.pack("<Q", 0xFFFF_FFFE_0000_0000) * 2 * MOST, "little")
_libc = ctypes.CDLL(None)  # errno is not asked for: what fails is looked at again, one by one
_statx = getattr(_libc, "statx", None) if sys.byteorder == "little" else None
_WORDS, _HALVES = _STEP // 8, _STEP // 4
_ROW_WORDS, _ROW_HALVES = ROW_BYTES // 8, ROW_BYTES // 4


class Stats:
    """Looks at names. One for each thread: it owns the buffer."""

    def __init__(self) -> None:
        self._raw = bytearray(MOST * _STEP + _BYTES)
        buffer = (ctypes.c_char * len(self._raw)).from_buffer(self._raw)
        self._places = [ctypes.byref(buffer, at * _STEP) for at in range(MOST)]
        view = memoryview(self._raw)[: MOST * _STEP]
        self._words, self._halves = view.cast("Q"), view.cast("I")
        self._owners = view[4:-4].cast("Q")  # of whom and of which group: two fields as one
        self._rows = memoryview(bytearray(MOST * ROW_BYTES))
        self._wide, self._narrow = self._rows.cast("Q"), self._rows.cast("I")
        self._owned = self._rows[4:-4].cast("Q")

    def __repr__(self) -> str:
        return f"<Stats of {MOST} at once>"

    def rows(self, fd: int, names: Sequence[bytes]) -> bytes | None:
        """The row of each name, in their order.

        Args:
            fd: of the directory. names: at most `MOST`.

        Returns:
            None when one of them could not be looked at, or does not fit a row: nothing is known.
        """
        if _statx is None or any(
            map(_statx, repeat(fd), names, repeat(_FLAGS), repeat(_WANTED), self._places)
        ):
            return None
        words, halves = self._words, self._halves
        count = len(names)
        end, half = count * _WORDS, count * _HALVES
        times = _nanoseconds(words, end)
        if times is None:
            return None
        last, final = count * _ROW_WORDS, count * _ROW_HALVES
        wide, narrow = self._wide, self._narrow
        wide[0:last:_ROW_WORDS] = words[5:end:_WORDS]  # size
        wide[1:last:_ROW_WORDS] = times[:count]  # mtime
        wide[2:last:_ROW_WORDS] = times[count:]  # ctime
        wide[3:last:_ROW_WORDS] = words[4:end:_WORDS]  # inode
        narrow[8:final:_ROW_HALVES] = halves[7:half:_HALVES]  # mode
        self._owned[4:last:_ROW_WORDS] = self._owners[2:end:_WORDS]  # uid, gid
        narrow[11:final:_ROW_HALVES] = halves[4:half:_HALVES]  # nlink
        return self._rows[: count * ROW_BYTES].tobytes()

    def sights(self, names: Sequence[bytes], dirs: bytes) -> dict[bytes, Sight]:
        """What the last look saw of directories, beside their rows.

        Args:
            names: as they were looked at. dirs: for each 1 if it is one.
        """
        found: dict[bytes, Sight] = {}
        at = dirs.find(1)
        while at >= 0:
            found[names[at]] = self.sight(at)
            at = dirs.find(1, at + 1)
        return found

    def sight(self, at: int) -> Sight:
        """What the last look saw of a name beside its row.

        Args:
            at: index of the name.
        """
        mask, attributes, mode, ino, birth, birth_ns, ctime, ctime_ns, major, minor = (
            STATX.unpack_from(self._raw, at * _STEP)
        )
        return Sight(
            mode,
            ino,
            birth * _NS + birth_ns if mask & STATX_GOT_BTIME else None,
            ctime * _NS + ctime_ns,
            os.makedev(major, minor),
            bool(attributes & STATX_MOUNT_ROOT),
        )


def _nanoseconds(words: memoryview[int], end: int) -> memoryview[int] | None:
    """All times of modification, then all of change, of the structs up to word `end`."""
    seconds = int.from_bytes(
        words[14:end:_WORDS].tobytes() + words[12:end:_WORDS].tobytes(), "little"
    )
    if seconds & _ODD:
        return None
    rest = int.from_bytes(words[15:end:_WORDS].tobytes() + words[13:end:_WORDS].tobytes(), "little")
    count = 2 * end // _WORDS
    return memoryview((seconds * _NS + rest).to_bytes(8 * count, "little")).cast("Q")
