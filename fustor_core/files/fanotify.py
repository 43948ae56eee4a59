"""The kernel's fanotify: one mark hears a whole file system, so no directory needs a watch.

An event names its directory by a file handle. Where the handle's layout is known it holds the
inode number, which is what the registry of directories has anyway: nothing is made or kept for a
directory. A mark hears everybody, so whatever is of no directory that is known is thrown away
where it is parsed.

The kernel merges what one process does to one name while nobody reads: words lose their order, so
each event says that it may be many (`MERGED`). It does not tell of an unmount, and some file
systems cannot be marked: an inotify instance beside the marks serves for both.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from collections.abc import Container, Iterator
from contextlib import suppress
from typing import NamedTuple

from fustor_core.claims import Key
from fustor_core.files import inotify as words
from fustor_core.files.crowd import OVERRUNS_MOST, Crowd
from fustor_core.files.inotify import IGNORED, UNMOUNT, Inotify, Raw, error_of, parse
from fustor_core.files.mounting import mounted_at

RENAME = 0x10000000
OWNS_MAX = 100_000  # directories of which nothing else is told
MERGED = 0x20000000  # of ours: the order of the words in this mask, and around it, is not known

_CLOEXEC, _NONBLOCK = 0x1, 0x2
_DIR_FID, _NAME = 0x400, 0x800
_ADD, _FLUSH, _FILESYSTEM = 0x1, 0x80, 0x100
_HEARD = words.CREATE | words.DELETE | words.MODIFY | words.ATTRIB | words.CLOSE_WRITE
_MASK = _HEARD | RENAME | words.ISDIR
_OWN = words.ATTRIB | words.ISDIR
_NAMED, _FROM, _TO = 2, 10, 12  # kinds of records: directory and name; both ends of a move
_TOLD = frozenset({_NAMED, 3})  # 3: a directory without a name

_EVENT = struct.Struct("=I2xHQ8x")  # bytes, bytes before the first record, mask
_RECORD = struct.Struct("=BxH")  # kind, bytes
_FSID = struct.Struct("=II")
_HANDLE = struct.Struct("=Ii")  # bytes, type
_RECORD_BYTES, _HANDLE_AT = 4, 20  # in a record: file system and kind of handle; the handle
_HANDLE_BYTES = 128
_AT_EMPTY_PATH, _AT_FDCWD = 0x1000, -100
# (handle type, bytes) → where the inode number is: what ext*, tmpfs and xfs give.
_LAYOUTS = {
    (0x1, 8): ("=I", 0),
    (0x1, 12): ("=Q", 4),
    (0x81, 12): ("=Q", 0),
}
_APART = 64  # bits: numbers of the second marked file system begin here
_FROM_INOTIFY = b"\0\0\0\0"  # no event is so short: what inotify said follows
_WDS_AT = -2  # inotify's watches are numbered from here downward

_libc = ctypes.CDLL(None, use_errno=True)
_init = getattr(_libc, "fanotify_init", None)
_mark = getattr(_libc, "fanotify_mark", None)
_name_to_handle_at = getattr(_libc, "name_to_handle_at", None)
if _mark is not None:
    _number = ctypes.c_int
    _mark.argtypes = [_number, ctypes.c_uint, ctypes.c_uint64, _number, ctypes.c_char_p]


class Place(NamedTuple):
    """A marked file system.

    Attributes:
        inode: reads the inode number of a directory in a record. at: where in it.
        plus: what makes it a number that no other file system has.
    """

    inode: struct.Struct
    at: int
    plus: int


class Fanotify:
    """Marks of file systems; directories in them are known by numbers, as watches are.

    Args:
        yields: give the marks up when what others do makes the queue run over again and again.

    Attributes:
        way: by which the root is heard: ``fanotify``, or ``inotify`` if it could not be marked,
            or its mark was given up. why: that is so.
        warning: the marks that are wanted are of no good, or cannot be had.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN, EMFILE at the limit of groups, ENOSYS without it.
    """

    def __init__(self, *, yields: bool = False) -> None:
        if _init is None or _mark is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._marks: int = _init(_DIR_FID | _NAME | _CLOEXEC | _NONBLOCK, os.O_RDONLY)
        if self._marks < 0:
            raise error_of("fanotify_init")
        self.way, self.why, self.warning = "fanotify", "", ""
        self._yields, self._left, self._emptied = yields, False, False
        self._crowd = Crowd()
        self._places: dict[bytes, Place] = {}
        self._marked: set[bytes] = set()
        self._owns: set[int] = set()
        self._plus: dict[int, int] = {}  # by the first part of keys; -1: not marked
        self._devices: dict[int, int] = {}  # by st_dev
        self._tops: dict[int, int] = {}  # inotify's watch of a top → its number
        self._unmounted: set[int] = set()  # tops whose file systems are gone, too
        self._numbers = 0
        self._cookie = 0
        try:
            self._inotify = Inotify()
        except OSError:
            os.close(self._marks)
            raise
        self._both = select.epoll()
        self._both.register(self._marks, select.EPOLLIN)
        self._both.register(self._inotify.fd, select.EPOLLIN)

    @property
    def fd(self) -> int:
        """Readable when there is something to read; -1 after the end."""
        return -1 if self._both.closed else self._both.fileno()

    def mark(self, fd: int) -> int:
        """Hear everything on the file system of a directory; what makes its numbers.

        Args:
            fd: of the topmost directory of it that is of interest.

        Raises:
            OSError: EPERM, EXDEV, ENODEV, EOPNOTSUPP: it cannot be heard so.
        """
        stat = os.fstat(fd)
        known = self._devices.get(stat.st_dev)
        if known is not None:
            return known
        plus = self._numbers << _APART
        record, place = _place(fd, stat.st_ino, plus)
        if record[: _FSID.size] in self._marked:  # a copy of a disk, mounted beside it
            raise OSError(errno.EOPNOTSUPP, "another file system that is marked has the same id")
        top = self._inotify.add(fd, mask=words.TOP)
        path = b"/proc/self/fd/%d" % fd  # a descriptor by O_PATH is taken in no other way
        if _mark is None or _mark(self._marks, _ADD | _FILESYSTEM, _MASK, _AT_FDCWD, path):
            error = error_of("fanotify_mark")
            self._inotify.remove(top)
            raise error
        self._numbers += 1
        self._tops[top] = stat.st_ino + plus
        self._devices[stat.st_dev] = plus
        self._places[record] = place
        self._marked.add(record[: _FSID.size])
        return plus

    def add(self, fd: int, key: Key) -> int:
        """The number of the directory that is open on `fd`; its events are heard from now on.

        Where its file system cannot be marked it gets a watch of its own.

        Raises:
            OSError: as `Inotify.add`.
        """
        plus = self._plus.get(key.dev)
        if plus is None:
            try:
                plus = -1 if self._left else self.mark(fd)
            except OSError as err:
                plus = -1
                if not key.dev:
                    (self.why, remedy), self.way = refusal(err), "inotify"
                    self.warning = "" if self._yields else f"no mark: {self.why}; {remedy}"
            self._plus[key.dev] = plus
        if plus > 0:
            return key.ino + plus
        return key.ino if plus == 0 else _WDS_AT - self._inotify.add(fd)

    def own(self, key: Key) -> int:
        """The number of a directory of which only its own attributes are to be told.

        Its parent is not told of them. -1 where it has a watch, or there are too many of them.
        """
        plus = self._plus.get(key.dev, -1)
        if plus < 0 or len(self._owns) >= OWNS_MAX:
            return -1
        self._owns.add(key.ino + plus)
        return key.ino + plus

    def remove(self, number: int) -> None:
        """Forget a directory: nothing is kept of one on a marked file system."""
        if number <= _WDS_AT:
            self._inotify.remove(_WDS_AT - number)

    def read(self) -> bytes:
        """What is in a queue, at most `READ_BYTES`; b"" when both are empty, or were at the last
        call."""
        if not self._emptied:
            with suppress(BlockingIOError):
                data = os.read(self._marks, words.READ_BYTES)
                self._emptied = len(data) < words.READ_BYTES - words.EVENT_BYTES_MAX
                return data
        self._emptied = False
        said = self._inotify.ask()  # not `read`, which may answer for a time before these marks
        return _FROM_INOTIFY + said if said else b""

    def sift(self, data: bytes, known: Container[int]) -> bytes:
        """What is left of a read without events of directories that are not known."""
        if data.startswith(_FROM_INOTIFY):
            return data
        event, places, kept = _EVENT.unpack_from, self._places, []
        end, size = 0, len(data)
        while end < size:
            start = end
            length, at, mask = event(data, start)
            at, end = start + at, start + length
            place = places.get(data[at + _RECORD_BYTES : at + _HANDLE_AT])
            if place is not None and data[at] in _TOLD:
                number = place.inode.unpack_from(data, at + place.at)[0] + place.plus
                if number in known or (mask & _OWN == _OWN and number in self._owns):
                    kept.append(data[start:end])
            elif next(self.events(data[start:end], known), None) is not None:
                kept.append(data[start:end])
        left = b"".join(kept)
        self._crowd.read(size, len(left))
        return left

    def events(self, data: bytes, known: Container[int]) -> Iterator[Raw]:
        """The events in one read that are of known directories, in queue order."""
        if data.startswith(_FROM_INOTIFY):
            yield from self._watched(data[len(_FROM_INOTIFY) :])
            return
        event, record, places = _EVENT.unpack_from, _RECORD.unpack_from, self._places
        start, end = 0, len(data)
        while start < end:
            length, at, mask = event(data, start)
            at += start
            start += length
            if at >= start:  # without a record: an overflow, or a handle that could not be made
                yield Raw(-1, words.Q_OVERFLOW, 0, b"")
                continue
            kind, size = record(data, at)
            if kind not in _TOLD:
                yield from self._moved(data, at, start, mask, known)
                continue
            place = places.get(data[at + _RECORD_BYTES : at + _HANDLE_AT])
            if place is None:
                if data[at + _RECORD_BYTES : at + _RECORD_BYTES + _FSID.size] in self._marked:
                    yield Raw(-1, words.Q_OVERFLOW, 0, b"")  # of a directory that has no number
                continue
            number = place.inode.unpack_from(data, at + place.at)[0] + place.plus
            if number in known or (mask & _OWN == _OWN and number in self._owns):
                yield Raw(number, mask | MERGED, 0, _name(data, at, size))

    def _moved(
        self, data: bytes, at: int, end: int, mask: int, known: Container[int]
    ) -> Iterator[Raw]:
        """Both ends of a move, as far as they are known, the one that was left first."""
        ends: dict[int, tuple[int, bytes]] = {}
        while at < end:
            kind, size = _RECORD.unpack_from(data, at)
            place = self._places.get(data[at + _RECORD_BYTES : at + _HANDLE_AT])
            if place is not None and kind in (_FROM, _TO):
                number = place.inode.unpack_from(data, at + place.at)[0] + place.plus
                if number in known:
                    ends[kind] = number, _name(data, at, size)
            at += size
        cookie = 0
        if len(ends) > 1:
            self._cookie = cookie = self._cookie + 1
        flags = mask & words.ISDIR | MERGED
        for kind, word in ((_FROM, words.MOVED_FROM), (_TO, words.MOVED_TO)):
            if kind in ends:
                number, name = ends[kind]
                yield Raw(number, word | flags, cookie, name)

    def _watched(self, data: bytes) -> Iterator[Raw]:
        """What inotify said: of directories that are not on a marked file system, and of tops."""
        for wd, mask, cookie, name in parse(data):
            top = self._tops.get(wd)
            if top is None:
                yield Raw(_WDS_AT - wd if wd >= 0 else wd, mask, cookie, name)
                continue
            if mask & (UNMOUNT | IGNORED):
                yield Raw(top, mask, 0, b"")
            if mask & UNMOUNT:
                self._unmounted.add(wd)
            if mask & IGNORED:
                # Where only the top is gone, its disk may be heard of at other places, too.
                root = self._plus.get(0) == top >> _APART << _APART
                self._unmarked(wd, top)
                if wd not in self._unmounted and not root:
                    yield Raw(-1, words.Q_OVERFLOW, 0, b"")
                self._unmounted.discard(wd)

    def _unmarked(self, wd: int, top: int) -> None:
        """A file system, or the top in it, is gone; what stands there later is marked anew."""
        plus = top >> _APART << _APART
        del self._tops[wd]
        self._devices = {dev: each for dev, each in self._devices.items() if each != plus}
        self._plus = {part: each for part, each in self._plus.items() if each != plus}
        self._places = {s: each for s, each in self._places.items() if each.plus != plus}
        self._marked = {record[: _FSID.size] for record in self._places}

    def overrun(self, now_us: int) -> bool:
        """Events were lost; by others again and again: then each directory has a watch instead."""
        if self._left or not self._crowd.ran_over(now_us):
            return False
        told = f"its queue ran over {OVERRUNS_MOST} times by what others do on the same disk"
        if not self._yields:
            self.warning = f"{told}; set `watch: inotify`, or raise fs.fanotify.max_queued_events"
            return False
        self._left, self.way, self.why = True, "inotify", f"fanotify was left: {told}"
        assert _mark is not None
        _mark(self._marks, _FLUSH | _FILESYSTEM, 0, _AT_FDCWD, None)
        self._places, self._marked, self._tops, self._devices = {}, set(), {}, {}
        self._plus = {}
        return True

    def close(self) -> None:
        """Give everything back."""
        if not self._both.closed:
            self._both.close()
            self._inotify.close()
            os.close(self._marks)

    def __repr__(self) -> str:
        return f"Fanotify(fd={self.fd}, file_systems={len(self._places)})"


def refusal(err: OSError) -> tuple[str, str]:
    """(why a file system cannot be marked, what to do about it)."""
    if str(err.strerror).startswith("inotify"):  # of the watch beside the mark
        limit = "watches" if err.errno == errno.ENOSPC else "instances"
        if err.errno not in (errno.ENOSPC, errno.EMFILE):
            return f"its root cannot be watched: {err.strerror}", "give the right to read it"
        why = f"a mark needs inotify beside it, and this user has too many {limit}"
        return why, f"raise fs.inotify.max_user_{limit}"
    if err.errno in (errno.EPERM, errno.EACCES):
        return (
            "marking a file system needs the capability CAP_SYS_ADMIN",
            "run it as root, or with AmbientCapabilities=CAP_SYS_ADMIN in its unit",
        )
    if err.errno == errno.EMFILE:
        return "this user has too many fanotify groups", "raise fs.fanotify.max_user_groups"
    if err.errno == errno.ENOSPC:
        return "this user has too many fanotify marks", "raise fs.fanotify.max_user_marks"
    if err.errno in (errno.EINVAL, errno.ENOSYS):
        return "the kernel's fanotify tells too little", "use Linux 5.17 or later"
    told = (err.strerror or str(err)).removeprefix("fanotify_mark: ")
    return f"its file system cannot be marked: {told}", "use inotify there"


def refused(fd: int) -> tuple[str, str]:
    """Why the file system of an open directory cannot be heard, and what to do; "" when it can."""
    try:
        ears = Fanotify()
    except OSError as err:
        return refusal(err)
    try:
        ears.mark(fd)
    except OSError as err:
        return refusal(err)
    finally:
        ears.close()
    return "", ""


def _place(fd: int, ino: int, plus: int) -> tuple[bytes, Place]:
    """How records name directories on the file system of an open one, proven by its inode number.

    Raises:
        OSError: they cannot be told apart, or do not tell of all that changes there.
    """
    kind = mounted_at(fd)
    if kind.remote:
        raise OSError(errno.EOPNOTSUPP, f"what others change on {kind.kind} is not told")
    handle, mount = ctypes.create_string_buffer(_HANDLE.size + _HANDLE_BYTES), ctypes.c_int()
    _HANDLE.pack_into(handle, 0, _HANDLE_BYTES, 0)
    if _name_to_handle_at is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _name_to_handle_at(fd, b"", handle, ctypes.byref(mount), _AT_EMPTY_PATH):
        raise error_of("name_to_handle_at")
    size, handle_type = _HANDLE.unpack_from(handle)
    code, at = _LAYOUTS.get((handle_type, size), ("", 0))
    inode = struct.Struct(code)
    if not code or inode.unpack_from(handle, _HANDLE.size + at)[0] != ino:
        raise OSError(errno.EOPNOTSUPP, f"directories of {kind.kind} have unknown file handles")
    fsid = os.fstatvfs(fd).f_fsid
    record = _FSID.pack(fsid & 0xFFFFFFFF, fsid >> 32) + _HANDLE.pack(size, handle_type)
    return record, Place(inode, _HANDLE_AT + at, plus)


def _name(data: bytes, at: int, size: int) -> bytes:
    """The name in a record of `size` bytes, b"" for the directory itself."""
    (length,) = struct.unpack_from("=I", data, at + 12)
    name = data[at + _HANDLE_AT + length : at + size].rstrip(b"\0")
    return b"" if name == b"." else name
