"""A cheap audit by the book: directories are compared many at a time, and walked where they differ.

The order is that of a walk. A directory that differs is read, and what is new in it entered, before
the directories behind it are compared; so what was told up to any of them is whole.
"""

from __future__ import annotations

import heapq
import operator
import os
from collections.abc import Callable, Iterator
from itertools import starmap
from typing import cast

from fustor_core.claims import KEY, SILENCE, Calm, Key, Stamp
from fustor_core.contracts import Scope, leads_to, walk_order
from fustor_core.files.identity import Spot
from fustor_core.files.listing import OPEN, Kid, Lister, Stopped
from fustor_core.files.marks import NAME_BYTES, Marker
from fustor_core.files.members import READ_AT_ONCE
from fustor_source_fs.book import Block, Book, Writer
from fustor_source_fs.silence import unchanged
from fustor_source_fs.tree import NO_WATCH, Tree
from fustor_source_fs.walk import Walk, WalkClaim

SLICES = {"directories": 64, "names": 8}
"""So many directories are looked at between two looks at the stop sign."""
TOLD_US = 50_000  # what was found is not kept back longer
WATCH_AGAIN_MOST = 1000  # directories without a watch that one audit tries to give one
_TOP = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_columns = operator.attrgetter("st_ctime_ns", "st_mtime_ns", "st_ino", "st_nlink")
_device = operator.attrgetter("st_dev")
_lstat = os.lstat


class Review:
    """One cheap audit of the whole tree. Used by one thread.

    Args:
        book: of the last whole scan. walk: reads what differs; it tells `writer` what it found.
        tree: the registry; None when nothing is watched. writer: makes the next book.
    """

    def __init__(
        self,
        book: Book,
        walk: Walk,
        lister: Lister,
        tree: Tree | None,
        scope: Scope,
        writer: Writer,
    ) -> None:
        self._book, self._walk, self._lister = book, walk, lister
        self._tree, self._scope, self._writer = tree, scope, writer
        self._slice = SLICES[scope.tier]
        self._marker = Marker()
        self._new: list[tuple[bytes, bytes]] = []  # places and view paths, still to be entered
        self._void: set[bytes] = set()  # directories that the book has, and that are gone
        self._unwatched = 0

    def __repr__(self) -> str:
        return f"<Review of {len(self._book.blocks)} blocks>"

    def claims(self, top: Spot) -> Iterator[WalkClaim]:
        """Everything that is at and below the proven root, open by O_PATH on `top`."""
        for number, block in enumerate(self._book.blocks):
            names = block.names()
            first = self._told_of(block, names)
            for index in range(first):
                path = block.view_path(names[index])
                if leads_to(path, self._scope.after):
                    yield from self._look(top, number, index, path)
            if first == len(names):
                self._writer.keep(block)
            else:
                yield from self._block(top, number, names, first)
        yield from self._enter(top, None)

    def _told_of(self, block: Block, names: list[bytes]) -> int:
        """How many directories of a block an audit that goes on here has told of."""
        if not self._scope.after:
            return 0
        after = walk_order(self._scope.after)
        places = [walk_order(block.view_path(name)) for name in names]
        return len(names) if places[-1] <= after else sum(one <= after for one in places)

    def _block(self, top: Spot, number: int, names: list[bytes], first: int) -> Iterator[WalkClaim]:
        """The directories of one block, from the one with this index on."""
        block = self._book.blocks[number]
        told, written = first, 0  # so many are told of, and stand in the next book
        since_us = until_us = 0
        fd = _opened(top, block)
        try:
            for start in range(first, len(names), self._slice):
                end = min(len(names), start + self._slice)
                began_us = self._lister.now_us()
                since_us = began_us if told == start else since_us
                odd, operations = self._compared(fd, block, names, start, end)
                until_us = self._lister.now_us() + 1
                self._walk.pause(operations, began_us)
                if self._lister.stopped():
                    raise Stopped
                for index in range(start, end) if odd or self._new else ():
                    if index not in odd and not self._overtaken(block.view_path(names[index])):
                        continue
                    yield from self._calm(block, names, (told, index), (since_us, until_us))
                    self._write(block, names, written, index)
                    yield from self._enter(top, walk_order(block.view_path(names[index])))
                    told = written = index
                    if index in odd:
                        yield from self._look(top, number, index, block.view_path(names[index]))
                        told = written = index + 1
                    since_us = began_us
                if until_us - since_us > TOLD_US:
                    yield from self._calm(block, names, (told, end), (since_us, until_us))
                    told = end
            yield from self._calm(block, names, (told, len(names)), (since_us, until_us))
            if written:
                self._write(block, names, written, len(names))
            else:
                self._writer.keep(block)
        finally:
            if fd >= 0:
                os.close(fd)

    def _calm(
        self, block: Block, names: list[bytes], part: tuple[int, int], when_us: tuple[int, int]
    ) -> Iterator[Calm]:
        """One claim of the directories from an index to before another, looked at meanwhile."""
        (first, end), (since_us, until_us) = part, when_us
        if first < end:
            f = since_us - self._lister.cache_bound_us
            yield Calm(
                keys=block.keys[first * KEY.size : end * KEY.size],
                silences=block.silences[first * SILENCE.size : end * SILENCE.size],
                stamp=Stamp(f, until_us, since_us, "l" if block.exact else "k"),
                origin=self._scope.origin,
                path=block.view_path(names[end - 1]),
            )

    def _write(self, block: Block, names: list[bytes], first: int, end: int) -> None:
        for index in range(first, end):
            self._writer.keep_one(block, index, names[index])

    # -- comparing

    def _compared(
        self, fd: int, block: Block, names: list[bytes], start: int, end: int
    ) -> tuple[set[int], int]:
        """Which directories from an index to before another differ, and the operations it took.

        Args:
            fd: the top of the block; negative when it cannot be opened.
        """
        if fd < 0:
            return set(range(start, end)), 1
        if self._scope.tier == "directories":
            odd, operations = _changed(fd, block, names, start, end), end - start
            if self._scope.deep[1]:
                odd |= {i for i in range(start, end) if self._scope.whole(block.key(i))}
        else:
            odd, operations = set(), 0
            for index in range(start, end):
                calm, some = self._read_as_before(fd, block, index, names[index])
                operations += some
                if not calm:
                    odd.add(index)
        if self._tree is not None:
            odd |= self._uncovered(self._tree, block, start, end)
        return odd, operations

    def _read_as_before(self, top: int, block: Block, index: int, name: bytes) -> tuple[bool, int]:
        """Whether the members of a directory are those of before, and the operations it took."""
        key = block.key(index)
        if self._scope.whole(key):
            return False, 0
        try:
            fd = os.open(name, OPEN, dir_fd=top)
        except OSError:
            return False, 1
        try:
            st = os.fstat(fd)
            silence = block.silences[index * SILENCE.size : (index + 1) * SILENCE.size]
            if SILENCE.pack(*_columns(st)) != silence or st.st_dev != block.dev:
                return False, 2
            mark, size = self._marker.mark(fd)
            operations = 2 + size // (NAME_BYTES * READ_AT_ONCE)
            if mark and mark == block.marks[index]:
                return True, operations
            os.lseek(fd, 0, os.SEEK_SET)
            spot = Spot(fd, key, block.dev, block.view_path(name), st.st_ctime_ns)
            if unchanged(spot, self._scope, self._lister) is None:
                return False, operations
            block.marks[index] = mark
            return True, operations
        except OSError:
            return False, 2
        finally:
            os.close(fd)

    def _uncovered(self, tree: Tree, block: Block, start: int, end: int) -> set[int]:
        """Directories that have to be opened, to be watched or since they were never listed."""
        odd = set()
        keys = KEY.iter_unpack(block.keys[start * KEY.size : end * KEY.size])
        with tree.lock:
            for index, key in enumerate(keys, start):
                node = tree.by_key.get(cast("Key", key))
                if node is None or not node.listed or node.unread:
                    odd.add(index)
                    continue
                node.visit = tree.visits
                if node.wd == NO_WATCH and self._unwatched < WATCH_AGAIN_MOST:
                    self._unwatched += 1
                    odd.add(index)
        return odd

    # -- what differs

    def _look(self, top: Spot, number: int, index: int, path: bytes) -> Iterator[WalkClaim]:
        """Read a directory again; what is new in it is entered when its turn comes."""
        if self._is_void(path):
            return
        before = self._book.kids(number, index)
        stay: set[bytes] = set()
        below = path.rstrip(b"/") + b"/"

        def keep(kid: Kid) -> bool:
            if before.get(kid.name) == kid.key:
                stay.add(kid.name)
            else:
                heapq.heappush(self._new, (walk_order(below + kid.name), below + kid.name))
            return False

        yield from self._walked(top, path, keep)
        self._void.update(below + name for name in before if name not in stay)

    def _walked(
        self, top: Spot, path: bytes, keep: Callable[[Kid], bool] | None
    ) -> Iterator[WalkClaim]:
        node = self._tree.root if self._tree is not None else None
        names = [name for name in path.split(b"/") if name]
        return self._walk.below(top, node, names, keep) if names else self._walk.root(top, keep)

    def _enter(self, top: Spot, before: bytes | None) -> Iterator[WalkClaim]:
        """Walk what is new, as far as it comes before this place."""
        while self._new and (before is None or self._new[0][0] < before):
            yield from self._walked(top, heapq.heappop(self._new)[1], None)

    def _overtaken(self, path: bytes) -> bool:
        return bool(self._new) and self._new[0][0] < walk_order(path)

    def _is_void(self, path: bytes) -> bool:
        while path and self._void:
            if path in self._void:
                return True
            path = path[: path.rfind(b"/")]
        return False


def _opened(top: Spot, block: Block) -> int:
    """The directory that the paths of a block begin at; negative when there is none."""
    try:
        return os.open(block.top[1:] or b".", _TOP, dir_fd=top.fd)
    except OSError:
        return -1


def _changed(fd: int, block: Block, names: list[bytes], start: int, end: int) -> set[int]:
    """Which directories have another silence than before.

    A path may lead to another place meanwhile: what has this inode, these times and these links is
    the same directory wherever it is, and what it hangs in shows that it has changed.
    """
    before = block.silences[start * SILENCE.size : end * SILENCE.size]
    try:
        stats = [_lstat(name, dir_fd=fd) for name in names[start:end]]
    except OSError:
        return {i for i in range(start, end) if _differs(fd, block, names[i], i)}
    if b"".join(starmap(SILENCE.pack, map(_columns, stats))) == before and set(
        map(_device, stats)
    ) == {block.dev}:
        return set()
    return {i for i in range(start, end) if _differs(fd, block, names[i], i)}


def _differs(fd: int, block: Block, name: bytes, index: int) -> bool:
    try:
        st = _lstat(name, dir_fd=fd)
    except OSError:
        return True
    packed = SILENCE.pack(*_columns(st))
    before = block.silences[index * SILENCE.size : (index + 1) * SILENCE.size]
    return packed != before or st.st_dev != block.dev
