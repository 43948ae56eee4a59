"""The kernel's FUSE protocol, as much of it as a file system for tests needs.

Spoken directly: the libraries for it name files by path, and a directory that is held open would
become another one as soon as somebody renames it. A file handle of NFS does not, so it must not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

DEVICE = "/dev/fuse"
ROOT_ID = 1
MAX_WRITE = 1 << 17

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_INIT = struct.Struct("<IIIIHHIIHHII24x")
_ENTRY = struct.Struct("<QQQQII")
_ATTR = struct.Struct("<QQQqqqIIIIIIIIII")
_ATTR_HEAD = struct.Struct("<QII")
_DIRENT = struct.Struct("<QQII")
_MINOR = 31  # of protocol 7: all that is used here, and no longer headers
_PARALLEL = 1 << 18  # a look that hangs locks nobody out of its directory
_NOSUID, _NODEV = 2, 4
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Op(IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


class Request(NamedTuple):
    """One question of the kernel; `op` is a plain number when it is none of `Op`."""

    op: int
    unique: int
    node: int
    uid: int
    gid: int
    body: bytes


class Mount:
    """A FUSE mount made by this process, and its line to the kernel.

    Args:
        at: an existing directory. name: what `mount` shows as its source.

    Raises:
        OSError: there is no FUSE here, or nobody may mount.
    """

    def __init__(self, at: Path, name: str) -> None:
        self.fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        said = f"fd={self.fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        options = f"{said},default_permissions,allow_other".encode()
        kind = b"fuse.nfs_pair"
        flags = _NOSUID | _NODEV
        if _libc.mount(name.encode(), os.fsencode(at), kind, flags, options):
            code = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(code, f"mount: {os.strerror(code)}", str(at))

    def receive(self) -> Request | None:
        """The next question; None when the file system is no longer mounted."""
        while True:
            try:
                data = os.read(self.fd, MAX_WRITE + 4096)
            except OSError as err:
                if err.errno in (errno.EINTR, errno.ENOENT):  # it was taken back while we read
                    continue
                if err.errno == errno.ENODEV:
                    return None
                raise
            length, op, unique, node, uid, gid, _, _, _ = _IN.unpack_from(data)
            return Request(op, unique, node, uid, gid, data[_IN.size : length])

    def reply(self, unique: int, body: bytes = b"", code: int = 0) -> None:
        """Answer a question: a body, or an errno."""
        head = _OUT.pack(_OUT.size + len(body), -code, unique)
        try:
            os.write(self.fd, head + body)
        except OSError as err:
            if err.errno not in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
                raise  # else whoever asked is gone

    def reply_init(self, unique: int) -> None:
        """Answer the first question of all."""
        self.reply(
            unique, _INIT.pack(7, _MINOR, 1 << 17, _PARALLEL, 12, 9, MAX_WRITE, 1, 32, 0, 0, 0)
        )


def unmount(at: Path) -> None:
    """Take a mount away at once, whoever still looks; where none is, nothing happens."""
    _libc.umount2(os.fsencode(at), _MNT_DETACH)


def attributes(st: os.stat_result, ahead_ns: int = 0) -> bytes:
    """Attributes as the kernel takes them.

    Args:
        ahead_ns: how far the clock of whoever keeps the files is ahead of ours.
    """
    shown = (ns + ahead_ns for ns in (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns))
    times = [divmod(ns, 1_000_000_000) for ns in shown]
    return _ATTR.pack(
        st.st_ino,
        st.st_size,
        st.st_blocks,
        *(seconds for seconds, _ in times),
        *(ns for _, ns in times),
        st.st_mode,
        st.st_nlink,
        st.st_uid,
        st.st_gid,
        os.major(st.st_rdev) << 8 | os.minor(st.st_rdev),
        4096,
        0,
    )


def attr_reply(st: os.stat_result, ahead_ns: int = 0) -> bytes:
    """The answer to GETATTR and SETATTR: the kernel keeps none of it."""
    return _ATTR_HEAD.pack(0, 0, 0) + attributes(st, ahead_ns)


def entry_reply(node: int, generation: int, st: os.stat_result, ahead_ns: int = 0) -> bytes:
    """The answer to LOOKUP and all that makes a name: the kernel keeps none of it."""
    return _ENTRY.pack(node, generation, 0, 0, 0, 0) + attributes(st, ahead_ns)


def dirents(names: list[tuple[bytes, int, int]], offset: int, size: int) -> bytes:
    """A piece of a listing.

    Args:
        names: (name, inode, type) of all. offset: how many were told before. size: in bytes.
    """
    out = bytearray()
    for number, (name, ino, kind) in enumerate(names[offset:], offset + 1):
        one = _DIRENT.pack(ino, number, len(name), kind) + name
        one += b"\0" * (-len(one) % 8)
        if len(out) + len(one) > size:
            break
        out += one
    return bytes(out)


def forgets(request: Request) -> Iterator[tuple[int, int]]:
    """(node, how often) that a FORGET or BATCH_FORGET gives back."""
    if request.op == Op.FORGET:
        yield request.node, struct.unpack_from("<Q", request.body)[0]
        return
    (count,) = struct.unpack_from("<I", request.body)
    yield from struct.iter_unpack("<QQ", request.body[8 : 8 + 16 * count])
