"""The process that looks: it may hang in the kernel, and be killed; `python -m`, see crew.py."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from functools import partial

import msgspec

from fustor_core.claims import ROW_BYTES, Cell, Listing, Origin, Stamp, is_dir, split_names
from fustor_core.contracts import boottime_us
from fustor_core.errors import Refused
from fustor_core.files.exclusion import Exclusion, view_paths
from fustor_core.files.identity import Prober, Spot, refuse_birth
from fustor_core.files.listing import GONE, OPEN, Kid, Lister, entries, reason_of, row_of
from fustor_core.files.looking import fresh_row, is_file, look, look_at, revalidated
from fustor_core.files.rooted import RootProof, RootVanished
from fustor_source_nfs.config import SILLY
from fustor_source_nfs.frames import (
    HEAD,
    ORDERS,
    Alive,
    Begin,
    Births,
    Child,
    Failed,
    Found,
    Look,
    Read,
    Task,
    frame,
)

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ALIVE_S = 0.5
FRESH_MOST = 2000  # files of one directory that are opened for a look past the caches


class Looker:
    """Does tasks, one after the other.

    Args:
        begin: what they are about. alive: called while a long one goes on.
    """

    def __init__(self, begin: Begin, alive: Callable[[], None]) -> None:
        self._begin = begin
        self._alive = alive
        self._told_s = 0.0
        self._proof = RootProof(
            begin.root, begin.birth, proven=begin.proven, bound_us=begin.bound_us
        )
        globs = [*begin.exclude, SILLY] if begin.silly else begin.exclude
        paths = view_paths(begin.root, begin.exclude_paths) if begin.exclude_paths else []
        self._silly = Exclusion([SILLY]).within(b"/") if begin.silly else None
        self._lister = Lister(
            Prober(begin.birth or "btime"),
            Exclusion(globs, paths),
            proof=self._proof,
            cross=begin.cross,
            now_us=boottime_us,
            stopped=self._goes_on,
        )

    def do(self, task: Task) -> Found:
        """The answer to one task.

        Raises:
            RootVanished: the root is not proven.
            Refused: the births cannot be had.
            OSError: the storage does not work.
        """
        begun = time.monotonic_ns()
        if isinstance(task, Read):
            found = self._read(task)
        elif isinstance(task, Look):
            cells = look(self._proof, self._lister, task.paths, task.origin)
            found = Found(claims=list(cells), operations=2 * len(cells))
        elif isinstance(task, Births):
            refuse_birth(self._begin.root, task.kind)
            found = Found()
        else:
            found = Found(claims=[self._proof.claim(self._lister.prober)], operations=4)
        return Found(
            claims=found.claims,
            kids=found.kids,
            hidden=found.hidden,
            bound_us=self._lister.cache_bound_us,
            operations=found.operations,
            took_us=(time.monotonic_ns() - begun) // 1000,
        )

    def _goes_on(self) -> bool:
        """Asked by the lister between two pieces of a large directory: never a reason to stop."""
        now = time.monotonic()
        if now - self._told_s > ALIVE_S:
            self._told_s = now
            self._alive()
        return False

    def _read(self, task: Read) -> Found:
        names = [name for name in task.path.split(b"/") if name]
        prober = self._lister.prober
        top = self._proof.storage is not None and self._proof.reopen(prober)
        at = top or self._proof.open(prober)
        steps = 2
        try:
            for name in names[:-1]:
                steps += 2
                below = self._step(at, name, task)
                if isinstance(below, Found):
                    return below
                os.close(at.fd)
                at = below
            return self._listed(at, names[-1] if names else b"", task, steps)
        finally:
            os.close(at.fd)

    def _step(self, at: Spot, name: bytes, task: Read) -> Spot | Found:
        """One directory further down, or why that is not possible."""
        shut = self._left_out(at, name)
        if shut is not None:
            return shut
        try:
            fd = os.open(name, _PATH, dir_fd=at.fd)
        except OSError as err:
            if err.errno in GONE:
                return self._edge(at, name, task.origin)
            raise
        try:
            below, crossing = self._lister.prober.opened(at, name, fd)
        except OSError:
            os.close(fd)
            raise
        if crossing and not self._lister.cross:
            os.close(fd)
            return Found()
        return below

    def _listed(self, at: Spot, name: bytes, task: Read, steps: int) -> Found:
        """Read the directory `name` in `at`; `at` itself without a name."""
        origin, via = task.origin, (at.key, name) if name else None
        shut = self._left_out(at, name) if name else None
        if shut is not None:
            return shut
        crossing, fd, since_us = False, -1, boottime_us()
        fresh = task.fresh and revalidated(
            self._lister, name or self._begin.root, at.fd if name else None
        )
        try:
            fd = os.open(name or b".", OPEN, dir_fd=at.fd)
            if name:
                spot, crossing = self._lister.prober.opened(at, name, fd)
            else:
                spot = at._replace(fd=fd, ctime_ns=os.fstat(fd).st_ctime_ns)
        except OSError as err:
            if fd >= 0:
                os.close(fd)
            if name and err.errno in GONE:
                return self._edge(at, name, origin)
            return self._unread(at, name, origin, err.errno or errno.EIO)
        try:
            if task.key is not None and spot.key != task.key:
                return self._edge(at, name, origin)
            if crossing and not self._lister.cross:
                return Found()
            reading = self._lister.read(spot, origin, via, None)
            listing = self._fresh(fd, reading.listing, since_us) if fresh else reading.listing
            hidden = self._hidden(fd)
        finally:
            os.close(fd)
        kids, claims = reading.kids, [listing]
        claims += [kept for kid in kids if kid.left_out for kept in self._kept_out(spot, kid, task)]
        return Found(
            claims=list(claims),
            kids=[Child(*kid) for kid in kids],
            hidden=hidden,
            operations=steps + 3 + len(reading.listing.rows) // 48,
        )

    def _fresh(self, fd: int, listing: Listing, since_us: int) -> Listing:
        """The listing with attributes of now; names whose file cannot be opened become weak."""
        names = split_names(listing.names)
        if not listing.complete or not self._lister.cache_bound_us or len(names) > FRESH_MOST:
            return listing
        rows, weak = bytearray(listing.rows), []
        for at, name in enumerate(names):
            self._goes_on()
            place = slice(at * ROW_BYTES, (at + 1) * ROW_BYTES)
            if is_dir(rows[place]):
                continue
            try:
                if is_file(bytes(rows[place])):
                    rows[place] = fresh_row(fd, name)
                    continue
            except PermissionError:
                pass
            except OSError:
                return listing  # it changed, or fails: the next look tells
            weak.append(name)
        end_us = boottime_us() + 1
        stamp = Stamp(since_us, end_us, since_us, listing.stamp.kind)
        return msgspec.structs.replace(listing, rows=bytes(rows), weak=tuple(weak), stamp=stamp)

    def _kept_out(self, spot: Spot, kid: Kid, task: Read) -> list[Listing]:
        """A directory left out by choice, without rows: only the fact is shown."""
        via = (spot.key, kid.name)
        return [
            self._lister.unread(
                kid.key, spot.below(kid.name), task.origin, via, reason=kid.left_out
            )
        ]

    def _left_out(self, at: Spot, name: bytes) -> Found | None:
        test = self._lister.exclusion.within(at.path)
        return Found() if test is not None and test(name) else None

    def _hidden(self, fd: int) -> list[bytes]:
        silly = self._silly
        try:
            return [name for name in entries(fd) if silly(name)] if silly is not None else []
        except OSError:
            return []

    def _edge(self, at: Spot, name: bytes, origin: Origin) -> Found:
        """What stands there instead of a directory, as a stat."""
        now = boottime_us()
        value = look_at(self._lister.prober, at, name)
        stamp = Stamp(now - self._lister.cache_bound_us, boottime_us() + 1, 0, "s")
        cell = Cell(dir=at.key, name=name, value=value, stamp=stamp, origin=origin, path=at.path)
        return Found(claims=[cell], operations=4)

    def _unread(self, at: Spot, name: bytes, origin: Origin, code: int) -> Found:
        """An incomplete listing of a directory that cannot be opened."""
        key, path, via, own = at.key, at.path, None, None
        if name:
            sight = self._lister.prober.sight(at.fd, name)
            if not stat.S_ISDIR(sight.mode):
                return self._edge(at, name, origin)
            key, _ = self._lister.prober.child(at, name, sight)
            path, via = at.below(name), (at.key, name)
            own = row_of(os.lstat(name, dir_fd=at.fd))
        reason = reason_of(code)
        return Found(
            claims=[self._lister.unread(key, path, origin, via, reason=reason, code=code, own=own)],
            operations=4,
        )


def answer(looker: Looker, task: Task) -> Found | Failed:
    """The answer to a task, failures included."""
    try:
        return looker.do(task)
    except RootVanished as err:
        return Failed("vanished", err.message, err.remedy, err.reason)
    except Refused as err:
        return Failed("refused", err.message, err.remedy)
    except OSError as err:
        return Failed("os", err.strerror or str(err), code=err.errno or errno.EIO)


def _received(line: socket.socket) -> bytes:
    """The next frame; the process ends with the line."""
    size = HEAD.unpack(_exactly(line, HEAD.size))[0]
    return _exactly(line, size)


def _exactly(line: socket.socket, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        part = line.recv(size - len(body))
        if not part:
            raise SystemExit(0)
        body += part
    return bytes(body)


def main() -> None:
    """Do tasks until the other end of the socket on standard input is closed."""
    line = socket.socket(fileno=0)

    begin = ORDERS.decode(_received(line))
    assert isinstance(begin, Begin)
    alive = partial(line.sendall, frame(Alive()))
    alive()  # from here on it is the storage that takes its time
    looker = Looker(begin, alive)
    while True:
        task = ORDERS.decode(_received(line))
        assert not isinstance(task, Begin)
        line.sendall(frame(answer(looker, task)))


if __name__ == "__main__":
    main()
