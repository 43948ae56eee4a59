"""The process that looks: it may hang in the kernel, and be killed; `python -m`, see crew.py."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import msgspec

from fustor_core.contracts import boottime_us
from fustor_core.errors import Refused
from fustor_core.files.exclusion import Exclusion, view_paths
from fustor_core.files.identity import Prober, refuse_birth
from fustor_core.files.inotify import Inotify
from fustor_core.files.listing import Lister
from fustor_core.files.looking import look
from fustor_core.files.rooted import RootProof, RootVanished
from fustor_source_nfs.config import SILLY
from fustor_source_nfs.frames import (
    HEAD,
    ORDERS,
    Alive,
    Begin,
    Births,
    Deaf,
    Failed,
    Found,
    Glance,
    Look,
    Read,
    Stats,
    Task,
    Touch,
    frame,
)
from fustor_source_nfs.glancing import Glancing
from fustor_source_nfs.reading import Reading
from fustor_source_nfs.way import Way

ALIVE_S = 0.5


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
        self._lister = Lister(
            Prober(begin.birth or "btime"),
            Exclusion(globs, paths),
            proof=self._proof,
            cross=begin.cross,
            now_us=boottime_us,
            stopped=self._goes_on,
        )
        way = Way(self._proof, self._lister)
        self._ears = Inotify(begin.ears) if begin.ears >= 0 else None
        self._reading = Reading(
            begin.root,
            way,
            self._lister,
            ears=self._ears,
            silly=Exclusion([SILLY]).within(b"/") if begin.silly else None,
            goes_on=self._goes_on,
        )
        self._glancing = Glancing(way, self._lister, self._ears)

    def do(self, task: Task) -> Found:
        """The answer to one task.

        Raises:
            RootVanished: the root is not proven.
            Refused: the births cannot be had.
            OSError: the storage does not work.
        """
        begun = time.monotonic_ns()
        found = self._done(task)
        took_us = (time.monotonic_ns() - begun) // 1000
        bound_us = self._lister.cache_bound_us
        return msgspec.structs.replace(found, bound_us=bound_us, took_us=took_us)

    def _done(self, task: Task) -> Found:
        if isinstance(task, Read):
            return self._reading.read(task)
        if isinstance(task, Glance):
            return self._glancing.glance(task)
        if isinstance(task, Stats):
            return self._glancing.stats(task)
        if isinstance(task, Touch):
            return self._glancing.touch(task)
        if isinstance(task, Look):
            cells = look(self._proof, self._lister, task.paths, task.origin)
            return Found(claims=list(cells), operations=2 * len(cells))
        if isinstance(task, Births):
            refuse_birth(self._begin.root, task.kind)
            return Found()
        if isinstance(task, Deaf):
            if self._ears is not None:
                for wd in task.wds:
                    self._ears.remove(wd)
            return Found(operations=0)
        return Found(claims=[self._proof.claim(self._lister.prober)], operations=4)

    def _goes_on(self) -> bool:
        """Asked by the lister between two pieces of a large directory: never a reason to stop."""
        now = time.monotonic()
        if now - self._told_s > ALIVE_S:
            self._told_s = now
            self._alive()
        return False


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
    try:
        _serve(socket.socket(fileno=0))
    except ConnectionError:  # whoever asked was killed; errors of the storage are answered
        raise SystemExit(0) from None


def _serve(line: socket.socket) -> NoReturn:
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
