"""The proof of the root: the same storage stands at the watched path as at first."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from fustor_core.claims import Key, Origin, Root, Stamp
from fustor_core.contracts import boottime_us
from fustor_core.errors import FustorError
from fustor_core.files.identity import Prober, Sight, Spot
from fustor_core.files.mounting import Caching, caching, mounted_at

MARKER = b".fustor-root"
MARKER_BYTES_MAX = 4096
_NO_KEY = Key(0, 0, 0)
# Times in kernel ticks; without birth times (small inodes) these, too, count whole seconds.
# Of these, what has just changed is answered from memory, by this kernel alone.
_PROMPT = frozenset({"ext4", "xfs", "btrfs", "tmpfs", "f2fs"})
_LOCAL_FINE = frozenset({"ext4", "xfs", "btrfs", "tmpfs", "zfs", "f2fs", "overlay"})
_FINE_NS, _COARSE_NS, _SKEWED_NS = 20_000_000, 2_100_000_000, 120_000_000_000


class RootVanished(FustorError):
    """Nothing usable, or another storage, stands at the root's path: no scan of it counts.

    Args:
        reason: ``vanished_root``, ``permission`` or ``io_error``.
    """

    def __init__(self, message: str, *, reason: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class Storage(NamedTuple):
    """What the root lies on.

    Attributes:
        identity: text that stays the same as long as it is the same storage.
        granularity_ns: two changes this close may carry one ctime; skewed server clocks included.
        caching: how old an answer may be that a cache of this host gave.
        remote: its clock is not this host's.
        prompt: looks at what has just changed wait for nothing (`fustor_core.files.prompt`).
    """

    identity: str
    granularity_ns: int
    caching: Caching
    remote: bool = False
    prompt: bool = False


class RootProof:
    """Opens the root and proves it; the first success is what later ones are compared with.

    Args:
        path: host path of the root; a symbolic link at its end is followed, none below it.
        birth: kind of the births in keys; "" = the best that the root has.
        proven: a success of another process that counts as the first one here.
        bound_us: of the caches, instead of what the mount says.
    """

    def __init__(
        self,
        path: bytes,
        birth: str = "",
        *,
        proven: Root | None = None,
        bound_us: int | None = None,
    ) -> None:
        self.path = path
        self.birth = proven.birth if proven is not None else birth
        self.key: Key | None = proven.key if proven is not None else None
        self.storage: Storage | None = None
        self._identity = proven.identity if proven is not None else ""
        self._marker = proven.marker if proven is not None else b""
        self._bound_us = bound_us
        self._dev: int | None = None  # st_dev at the last full proof
        self._ahead_us: int | None = None  # the storage's clock, of the raw one, at least

    def open(self, prober: Prober) -> Spot:
        """An O_PATH spot of the proven root; the caller closes it.

        Raises:
            RootVanished: nothing usable is there, or not what was there first.
        """
        try:
            fd = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            raise _vanished(self.path, err) from err
        try:
            return self._proven(prober, fd)
        except BaseException:
            os.close(fd)
            raise

    def past(self, ctime_ns: int, at_us: int) -> bool:
        """Whether by its own clock the storage was past a change time at a raw instant, whatever
        the wall clock of this host says.

        A change is never seen before it is made: so the newest that was seen says how far ahead
        the storage's clock is, at least.
        """
        ahead_us = ctime_ns // 1000 - at_us
        self._ahead_us = max(ahead_us, self._ahead_us if self._ahead_us is not None else ahead_us)
        return (self._ahead_us - ahead_us) * 1000 > _COARSE_NS

    def reopen(self, prober: Prober) -> Spot | None:
        """The root again, for events and looks; None when it is not there.

        Its inode, birth time and device tell it quickly. Where it has no birth time, the roots of
        other storages have the same inode and handle, and one of them may get the device of one
        that was unmounted: there it is proven in full each time.
        """
        if self.key is None:
            return None
        return self._quickly(prober, self.key) or self._in_full(prober)

    def _quickly(self, prober: Prober, key: Key) -> Spot | None:
        """The root, where its key and device prove it."""
        if self.birth != "btime" or not key.birth:
            return None
        prober.birth = self.birth
        try:
            fd = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            dev = prober.is_key(fd, key)
        except OSError:
            dev = None
        if dev is None or dev != self._dev:
            os.close(fd)
            return None
        return Spot(fd, key, dev, b"/")

    def _in_full(self, prober: Prober) -> Spot | None:
        try:
            return self.open(prober)
        except RootVanished:
            return None

    def claim(self, prober: Prober) -> Root:
        """The proof as a claim; what is not there is said in it, never raised."""
        f = boottime_us()
        reason = ""
        try:
            os.close(self.open(prober).fd)
        except RootVanished as err:
            reason = err.reason
        return Root(
            key=self.key or _NO_KEY,
            identity=self._identity,
            stamp=Stamp(f, boottime_us() + 1, 0, "s"),
            origin=Origin.REALTIME,
            marker=self._marker,
            present=not reason,
            reason=reason,
            birth=self.birth or "none",
        )

    def _proven(self, prober: Prober, fd: int) -> Spot:
        try:
            sight = prober.sight(fd)
            birth = self.birth or _birth_kind(prober, sight, fd)
            prober.birth = birth
            key = Key(0, sight.ino, prober.birth_of(sight, fd))
            storage = _storage(fd, sight)
            marker = _marker(fd)
        except OSError as err:
            raise _vanished(self.path, err) from err
        if self.key is None:
            self.birth, self.key, self._marker = birth, key, marker
            self._identity = storage.identity
        elif (key, storage.identity) != (self.key, self._identity):
            raise _other(self.path, "another directory or file system stands there now")
        elif self._marker and marker != self._marker:
            raise _other(self.path, f"its marker file {MARKER.decode()} is gone or another one")
        if self._bound_us is not None:
            storage = storage._replace(caching=storage.caching._replace(bound_us=self._bound_us))
        self.storage, self._dev = storage, sight.dev
        return Spot(fd, key, sight.dev, b"/", sight.ctime_ns)

    def __repr__(self) -> str:
        return f"RootProof({self.path!r}, key={self.key}, birth={self.birth!r})"


def _birth_kind(prober: Prober, sight: Sight, fd: int) -> str:
    if sight.birth_ns:
        return "btime"
    prober.birth = "handle"
    return "handle" if prober.birth_of(sight, fd) else "none"


def _vanished(path: bytes, err: OSError) -> RootVanished:
    if err.errno in (errno.EACCES, errno.EPERM):
        reason = "permission"
    elif err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        reason = "vanished_root"
    else:
        reason = "io_error"
    return RootVanished(
        f"root {os.fsdecode(path)!r} cannot be used: {err.strerror}",
        reason=reason,
        remedy="mount or restore it; nothing is deleted meanwhile",
    )


def _other(path: bytes, why: str) -> RootVanished:
    return RootVanished(
        f"root {os.fsdecode(path)!r}: {why}",
        reason="vanished_root",
        remedy="bring the storage back; for a new one, drop the view and start again",
    )


def _storage(fd: int, sight: Sight) -> Storage:
    mount = mounted_at(fd)
    fsid = os.fstatvfs(fd).f_fsid
    identity = f"fsid:{fsid:016x}" if fsid else f"mount:{mount.kind}:{mount.source}"
    identity += f":{sight.ino}"
    if mount.remote:
        return Storage(identity, _SKEWED_NS, caching(mount), remote=True)
    fine = mount.kind in _LOCAL_FINE and bool(sight.birth_ns)
    granularity_ns = _FINE_NS if fine else _COARSE_NS
    return Storage(identity, granularity_ns, Caching(0), prompt=mount.kind in _PROMPT)


def _marker(fd: int) -> bytes:
    """Content of the marker file of a root that is open on `fd`, b"" when it has none."""
    try:
        if not stat.S_ISREG(os.lstat(MARKER, dir_fd=fd).st_mode):
            return b""
        file = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
    except OSError:
        return b""
    try:
        return os.read(file, MARKER_BYTES_MAX)
    except OSError:
        return b""
    finally:
        os.close(file)
