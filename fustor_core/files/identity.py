"""Who a directory is: its key, its birth, and the proof that the root is still the same storage.

A key is (file system, inode, birth) (arbitration.md §1). The file system is 0 for the one that the
root lies on, else a hash of the mount point's path below the root: never st_dev, which differs
between the hosts and mounts of one storage. The birth tells two lives of one inode apart.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import struct
from typing import NamedTuple

from fustor_core.claims import Key
from fustor_core.errors import Refused

BIRTHS = ("btime", "handle")  # beside "none"; the first one that a root has is its own choice

_AT_EMPTY_PATH = 0x1000
_LOOK_FLAGS = 0x100 | 0x800 | _AT_EMPTY_PATH  # no symlink followed, no automount triggered
_WANTED = 0x1 | 0x2 | 0x80 | 0x100 | 0x800  # type, mode, ctime, inode, birth
STATX_GOT_BTIME = 0x800
STATX_MOUNT_ROOT = 0x2000
_U63 = (1 << 63) - 1
_HANDLE_BYTES = 128
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# mask, attributes; mode, inode; birth; ctime; device (seconds and nanoseconds, major and minor)
STATX = struct.Struct("=I4xQ12xH2xQ40xqI4xqI28xII")
_STATX_BYTES = 256

_libc = ctypes.CDLL(None, use_errno=True)
_statx = getattr(_libc, "statx", None)
_name_to_handle_at = getattr(_libc, "name_to_handle_at", None)


class Sight(NamedTuple):
    """What statx says about one name.

    Attributes:
        birth_ns: birth time, None where the file system keeps none.
        mount_root: a mount begins here (kernel 5.8 and later).
    """

    mode: int
    ino: int
    birth_ns: int | None
    ctime_ns: int
    dev: int
    mount_root: bool


class Spot(NamedTuple):
    """A directory that is held open: the place from which names are looked up.

    Attributes:
        fd: its descriptor, closed by whoever opened it.
        dev: st_dev, to notice where another file system begins.
        path: view path when it was opened.
        ctime_ns: its change time just after it was opened.
    """

    fd: int
    key: Key
    dev: int
    path: bytes
    ctime_ns: int = 0

    def below(self, name: bytes) -> bytes:
        """View path of a name in this directory."""
        return (b"" if self.path == b"/" else self.path) + b"/" + name


class Prober:
    """Looks at identities. One for each thread: it owns the buffers of its calls.

    Args:
        birth: where births come from: ``btime``, ``handle`` or ``none`` (one kind per view).
    """

    def __init__(self, birth: str = "btime") -> None:
        self.birth = birth
        self._buffer = ctypes.create_string_buffer(_STATX_BYTES)
        self._reference = ctypes.byref(self._buffer)
        self._handle = ctypes.create_string_buffer(8 + _HANDLE_BYTES)
        self._mount = ctypes.c_int()

    def sight(self, fd: int, name: bytes = b"") -> Sight:
        """statx of `name` in the directory `fd`, or of `fd` itself. No link is followed.

        Raises:
            OSError: as lstat.
        """
        if _statx is None:
            st = os.lstat(name, dir_fd=fd) if name else os.fstat(fd)
            return Sight(st.st_mode, st.st_ino, None, st.st_ctime_ns, st.st_dev, False)
        if self._ask(fd, name):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
        mask, attributes, mode, ino, birth, birth_ns, ctime, ctime_ns, major, minor = (
            STATX.unpack_from(self._buffer)
        )
        return Sight(
            mode,
            ino,
            birth * 1_000_000_000 + birth_ns if mask & STATX_GOT_BTIME else None,
            ctime * 1_000_000_000 + ctime_ns,
            os.makedev(major, minor),
            bool(attributes & STATX_MOUNT_ROOT),
        )

    def _ask(self, fd: int, name: bytes) -> int:
        """statx into the buffer; 0 when that went well."""
        assert _statx is not None
        code: int = _statx(fd, name, _LOOK_FLAGS, _WANTED, self._reference)
        return code

    def open(self, path: bytes, place: int) -> int:
        """A directory by O_PATH, no link followed at its end; the caller closes it.

        Args:
            path: below the open directory `place`.

        Raises:
            OSError: it cannot be opened.
        """
        return os.open(path, _PLACE, dir_fd=place)

    def close(self, fd: int) -> None:
        """Give a descriptor back."""
        os.close(fd)

    def birth_of(self, sight: Sight, fd: int, name: bytes = b"") -> int:
        """The birth in this view's kind, 0 when there is none: the key is inexact then."""
        if self.birth == "btime":
            return sight.birth_ns or 0
        return self._generation(fd, name) if self.birth == "handle" else 0

    def child(self, spot: Spot, name: bytes, sight: Sight) -> tuple[Key, bool]:
        """(key of a child directory, whether it lies on another mount), by what was seen."""
        crossing = sight.mount_root or sight.dev != spot.dev
        part = mount_part(spot.below(name)) if crossing else spot.key.dev
        btime = self.birth == "btime"
        birth = sight.birth_ns or 0 if btime else self.birth_of(sight, spot.fd, name)
        return Key(part, sight.ino, birth), crossing

    def opened(self, parent: Spot, name: bytes, fd: int) -> tuple[Spot, bool]:
        """(the spot of a child directory that is open on `fd`, whether a mount begins there)."""
        _, ino, birth_ns, ctime_ns, dev, mount_root = sight = self.sight(fd)
        above = parent.path
        path = above + b"/" + name if above != b"/" else above + name
        crossing = mount_root or dev != parent.dev
        part = mount_part(path) if crossing else parent.key.dev
        birth = birth_ns or 0 if self.birth == "btime" else self.birth_of(sight, fd)
        return Spot(fd, Key(part, ino, birth), dev, path, ctime_ns), crossing

    def is_key(self, fd: int, key: Key) -> int | None:
        """st_dev when the directory open on `fd` is the one with this key, else None."""
        sight = self.sight(fd)
        if sight.ino != key.ino or not stat.S_ISDIR(sight.mode):
            return None
        return sight.dev if self.birth_of(sight, fd) == key.birth else None

    def _generation(self, fd: int, name: bytes) -> int:
        if _name_to_handle_at is None:
            return 0
        handle = self._handle
        struct.pack_into("I", handle, 0, _HANDLE_BYTES)
        if _name_to_handle_at(fd, name, handle, ctypes.byref(self._mount), _AT_EMPTY_PATH):
            return 0
        (size,) = struct.unpack_from("I", handle)
        return _hash63(handle.raw[4 : 8 + size])


def refuse_birth(path: bytes, kind: str) -> None:
    """See that the directory at a host path has births of a kind.

    Raises:
        Refused: it has none, or there is no such kind.
        OSError: it cannot be looked at.
    """
    prober = Prober(kind)
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sight = prober.sight(fd)
        if kind == "none" or (kind in BIRTHS and prober.birth_of(sight, fd)):
            return
        found = [one for one in BIRTHS if Prober(one).birth_of(sight, fd)] or ["none"]
    finally:
        os.close(fd)
    raise Refused(
        f"the view's keys are made with births of the kind {kind!r}; the file system of"
        f" {os.fsdecode(path)!r} has {', '.join(found)}",
        remedy="use a kernel and mount that have it, or drop the view and let this agent be first",
    )


def mount_part(path: bytes) -> int:
    """First part of the keys below a mount point: a hash of its view path, never 0."""
    return _hash63(path) or 1


def _hash63(data: bytes) -> int:
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "little") & _U63
