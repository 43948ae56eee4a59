"""The way from the proven root to a directory, walked by the process that looks."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from fustor_core.claims import Cell, Key, Origin, Stamp
from fustor_core.contracts import boottime_us
from fustor_core.files.identity import Spot
from fustor_core.files.listing import GONE, Lister
from fustor_core.files.looking import look_at
from fustor_core.files.rooted import RootProof
from fustor_source_nfs.frames import Found

OPEN_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_BYTES = 4000  # of one openat2
_OPENAT2 = 437  # on every architecture
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # no other mount, no link of any kind, never above the root
_HOW = struct.Struct("<QQQ").pack(OPEN_PATH, 0, _RESOLVE)
_libc = ctypes.CDLL(None, use_errno=True)


class Way:
    """Opens directories by their view paths, no link followed.

    Args:
        proof: of the root. lister: of the process.
    """

    def __init__(self, proof: RootProof, lister: Lister) -> None:
        self._proof = proof
        self._lister = lister

    def above(self, path: bytes, origin: Origin) -> tuple[Spot, bytes, int] | Found:
        """The directory that a path's last name is in, that name, and operations that it took.

        The spot is the caller's to close. When something else stands on the way, what it is.

        Raises:
            RootVanished: the root is not proven. OSError: the storage does not work.
        """
        names = [name for name in path.split(b"/") if name]
        prober = self._lister.prober
        top = self._proof.storage is not None and self._proof.reopen(prober)
        at = top or self._proof.open(prober)
        last = names.pop() if names else b""
        steps = 2 + 2 * len(names)
        if len(names) > 1:
            quick = self._at_once(at, names)
            if quick is not None:
                os.close(at.fd)
                return quick, last, steps
        try:
            for name in names:
                below = self._step(at, name, origin)
                if isinstance(below, Found):
                    os.close(at.fd)
                    return below
                os.close(at.fd)
                at = below
        except BaseException:
            os.close(at.fd)
            raise
        return at, last, steps

    def at(self, path: bytes, key: Key | None, flags: int) -> Spot | None:
        """The directory at a path, opened with `flags`; None when it is not the one with the key.

        Raises:
            RootVanished: the root is not proven. OSError: the storage does not work.
        """
        found = self.above(path, Origin.REALTIME)
        if isinstance(found, Found):
            return None
        at, name, _ = found
        fd = -1
        try:
            fd = os.open(name or b".", flags, dir_fd=at.fd)
            spot, crossing = at._replace(fd=fd), False
            if name:
                spot, crossing = self._lister.prober.opened(at, name, fd)
            wanted = key is None or spot.key == key
            if wanted and (self._lister.cross or not crossing) and not self._left_out(at, name):
                fd = -1
                return spot
        except OSError as err:
            if err.errno not in GONE:
                raise
        finally:
            os.close(at.fd)
            if fd >= 0:
                os.close(fd)
        return None

    def edge(self, at: Spot, name: bytes, origin: Origin) -> Found:
        """What stands at a name, as a stat."""
        now = boottime_us()
        value = look_at(self._lister.prober, at, name)
        stamp = Stamp(now - self._lister.cache_bound_us, boottime_us() + 1, 0, "s")
        cell = Cell(dir=at.key, name=name, value=value, stamp=stamp, origin=origin, path=at.path)
        return Found(claims=[cell], operations=4, gone=True)

    def _left_out(self, at: Spot, name: bytes) -> bool:
        test = self._lister.exclusion.within(at.path)
        return bool(name) and test is not None and test(name)

    def _at_once(self, top: Spot, names: list[bytes]) -> Spot | None:
        """All the way in one go; None when that cannot be, for whatever reason."""
        path = b"/".join(names)
        if len(path) > _PATH_BYTES or self._lister.exclusion.covers(b"/" + path):
            return None
        fd = _libc.syscall(_OPENAT2, top.fd, path, _HOW, len(_HOW))
        if fd < 0:
            return None
        try:
            sight = self._lister.prober.sight(fd)
            key = Key(top.key.dev, sight.ino, self._lister.prober.birth_of(sight, fd))
        except OSError:
            os.close(fd)
            return None
        return Spot(fd, key, sight.dev, b"/" + path, sight.ctime_ns)

    def _step(self, at: Spot, name: bytes, origin: Origin) -> Spot | Found:
        """One directory further down, or why that is not possible."""
        if self._left_out(at, name):
            return Found(gone=True)
        try:
            fd = os.open(name, OPEN_PATH, dir_fd=at.fd)
        except OSError as err:
            if err.errno in GONE:
                return self.edge(at, name, origin)
            raise
        try:
            below, crossing = self._lister.prober.opened(at, name, fd)
        except OSError:
            os.close(fd)
            raise
        if crossing and not self._lister.cross:
            os.close(fd)
            return Found(gone=True)
        return below


def failed(err: OSError) -> int:
    """The errno of an error, never 0."""
    return err.errno or errno.EIO
