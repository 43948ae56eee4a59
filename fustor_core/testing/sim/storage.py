"""The storage: a true file tree, and what was true of each register at each instant."""

from __future__ import annotations

import stat
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from fustor_core.claims import Key, Row, edge_row

FILE, FOLDER = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
DAY_NS = 86_400_000_000_000


class Inode:
    """A file or a directory.

    Attributes:
        uid: never given again; `ino` may be. names: registers that show it, as (directory, name).
        kids: of a directory. change: grows with each change of its names or attributes.
        writers: hosts that are writing it. row: its attributes; own: packed. top: it needs no name
        to exist. key: as a directory's. value: what a register that shows it holds.
    """

    __slots__ = (
        *("birth", "change", "folder", "ino", "key", "kids", "names", "own"),
        *("row", "top", "uid", "value", "writers"),
    )

    def __init__(self, uid: int, ino: int, birth: int, row: Row, *, folder: bool) -> None:
        self.uid, self.folder = uid, folder
        self.kids: dict[bytes, Inode] | None = {} if folder else None
        self.numbered(ino, birth)
        self.becomes(row)
        self.names: dict[tuple[int, bytes], Inode] = {}
        self.change = 0
        self.top = False
        self.writers: set[int] = set()

    def numbered(self, ino: int, birth: int) -> None:
        """What its file system calls it."""
        self.ino, self.birth = ino, birth
        self.key = Key(0, ino, birth)
        self.value = edge_row(self.key, FOLDER)

    def becomes(self, row: Row) -> None:
        """Its attributes are these."""
        self.row, self.own = row, row.pack()
        if not self.folder:
            self.value = self.own

    def __repr__(self) -> str:
        return f"<Inode {self.uid} ino={self.ino} {sorted(self.kids or ())}>"


class Told(NamedTuple):
    """One thing that happened in a directory, as the kernel of its author tells it."""

    folder: Inode
    name: bytes
    word: str  # create delete from to modify close attrib
    child: Inode
    cookie: int = 0


class Storage:
    """A tree with its whole history. Times are true time, µs.

    Args:
        births: keys hold births; without them an inode number may come again as the same key.
        tick_us: granularity of times. skew_us: of the storage's own clock.
        reuse: inode numbers are given again.
    """

    def __init__(self, *, births: bool, tick_us: int, skew_us: int, reuse: bool) -> None:
        self.births, self.tick_us, self.skew_us, self.reuse = births, tick_us, skew_us, reuse
        self.now_us = 0
        self.inodes: dict[int, Inode] = {}
        self.changed_us = 0
        self._free: list[int] = []
        self._cookies = 0
        self._names: dict[Key, list[bytes]] = {}
        self._noted: dict[tuple[Key, bytes], bool] = {}
        self._history: dict[tuple[Key, bytes], tuple[list[int], list[bytes | None]]] = {}
        self.root = self._new(folder=True)
        self.outside = self._new(folder=True)
        self.root.top = self.outside.top = True

    def __repr__(self) -> str:
        return f"<Storage {len(self.inodes)} inodes>"

    # ---- what was true

    def held(self, key: Key, name: bytes, value: bytes | None, lo: int, hi: int) -> int | None:
        """The last place in the history of a register at which it held this within [lo, hi]."""
        times, values = self._history.get((key, name), _NEVER)
        first = max(bisect_left(times, lo) - 1, -1)  # what ends at `lo` was looked at just before
        for at in range(bisect_right(times, hi) - 1, first - 1, -1):
            if (values[at] if at >= 0 else None) == value:
                return at
        return None

    def first_held(self, key: Key, name: bytes, value: bytes | None, lo: int, hi: int) -> int:
        """The first such place."""
        times, values = self._history.get((key, name), _NEVER)
        last = bisect_right(times, hi) - 1
        for at in range(max(bisect_left(times, lo) - 1, -1), last + 1):
            if (values[at] if at >= 0 else None) == value:
                return at
        return last

    def names(self, key: Key) -> list[bytes]:
        """Names that a directory ever had; b"" is its own attributes."""
        return self._names.get(key, [])

    def story(self, key: Key, name: bytes) -> list[tuple[int, bytes | None]]:
        """All that a register ever held."""
        times, values = self._history.get((key, name), _NEVER)
        return list(zip(times, values, strict=True))

    def walk(self) -> Iterator[tuple[bytes, Inode, Inode, bytes]]:
        """(path, inode, its directory, name) of everything below the root, parents first."""
        stack = [(b"", self.root)]
        while stack:
            path, at = stack.pop()
            for name in sorted(at.kids or ()):
                kid = (at.kids or {})[name]
                yield path + b"/" + name, kid, at, name
                if kid.folder:
                    stack.append((path + b"/" + name, kid))

    def path(self, folder: Inode) -> bytes | None:
        """View path of a directory, None when it is not below the root."""
        parts: list[bytes] = []
        at = folder
        while at is not self.root:
            if not at.names:
                return None
            (_, name), at = next(iter(at.names.items()))
            parts.append(name)
        return b"/" + b"/".join(reversed(parts))

    # ---- what changes it

    def create(self, folder: Inode, name: bytes, *, subfolder: bool = False) -> list[Told]:
        """A new file or directory; the name is free."""
        made = self._new(folder=subfolder)
        self._link(folder, name, made)
        self._touch_folder(folder)
        told = [Told(folder, name, "create", made)]
        return told if subfolder else [*told, Told(folder, name, "close", made)]

    def write(self, inode: Inode, size: int, mtime_ns: int | None, *, closes: bool) -> list[Told]:
        """New content; `closes`: the writer is done with it."""
        now = self._now_ns()
        self._set(inode, inode.row._replace(size=size, mtime_ns=mtime_ns or now, ctime_ns=now))
        words = ["modify", "close"] if closes else ["modify"]
        return [Told(at, n, word, inode) for (_, n), at in _one(inode) for word in words]

    def close(self, inode: Inode) -> list[Told]:
        """The writer is done."""
        return [Told(at, n, "close", inode) for (_, n), at in _one(inode)]

    def attributes(self, inode: Inode, *, mtime_ns: int | None, mode: int | None) -> list[Told]:
        """Times or rights set by hand."""
        row = inode.row._replace(ctime_ns=self._now_ns())
        if mtime_ns is not None:
            row = row._replace(mtime_ns=mtime_ns)
        if mode is not None:
            row = row._replace(mode=stat.S_IFMT(row.mode) | mode)
        self._set(inode, row)
        return [Told(at, n, "attrib", inode) for (_, n), at in _one(inode)]

    def link(self, inode: Inode, folder: Inode, name: bytes) -> list[Told]:
        """One more name for a file; the name is free."""
        self._link(folder, name, inode)
        self._set(inode, self._counted(inode))
        self._touch_folder(folder)
        return [Told(folder, name, "create", inode)]

    def remove(self, folder: Inode, name: bytes) -> list[Told]:
        """A name goes; a directory must be empty."""
        gone = self._unlink(folder, name)
        self._touch_folder(folder)
        if gone.names:
            self._set(gone, self._counted(gone))
        else:
            self._end(gone)
        return [Told(folder, name, "delete", gone)]

    def rename(self, folder: Inode, name: bytes, to: Inode, new: bytes) -> list[Told]:
        """A move; what stands at the target, a file, is replaced."""
        old = (to.kids or {}).get(new)
        if old is not None:
            self._unlink(to, new, note=False)
        moved = self._unlink(folder, name)
        self._link(to, new, moved)
        if old is not None and old.names:
            self._set(old, self._counted(old))
        elif old is not None:
            self._end(old)
        self._set(moved, moved.row._replace(ctime_ns=self._now_ns()))
        self._touch_folder(folder)
        if to is not folder:
            self._touch_folder(to)
        self._cookies += 1
        ends = (Told(folder, name, "from", moved, self._cookies),)
        return [*ends, Told(to, new, "to", moved, self._cookies)]

    def restore(self, folder: Inode, mtime_ns: int) -> None:
        """A directory's mtime is set back by hand."""
        self._set(folder, folder.row._replace(mtime_ns=mtime_ns, ctime_ns=self._now_ns()))

    # ---- how

    def _now_ns(self) -> int:
        at = self.now_us + self.skew_us
        return (at - at % self.tick_us) * 1000

    def _new(self, *, folder: bool) -> Inode:
        uid = len(self.inodes) + 1
        ino = self._free.pop() if self._free and self.reuse else 1000 + uid
        now = self._now_ns()
        row = Row(0, now, now, ino, FOLDER if folder else FILE, 0, 0, 2 if folder else 1)
        made = Inode(uid, ino, uid if self.births else 0, row, folder=folder)
        self.inodes[uid] = made
        if folder:
            self._note(made.key, b"", made.own)
        return made

    def _note(self, key: Key, name: bytes, value: bytes | None) -> None:
        story = self._history.get((key, name))
        if story is None:
            story = self._history[key, name] = ([], [])
            self._names.setdefault(key, []).append(name)
        times, values = story
        if self._noted.get((key, name)) is not None and times:
            if values[-1] is None and value is not None:  # gone and back: the kernel tells both
                times.append(self.now_us)
                values.append(value)
            else:
                values[-1] = value  # no look falls into the middle of an operation
        elif not values or values[-1] != value:
            times.append(self.now_us)
            values.append(value)
            self._noted[key, name] = True
        self.changed_us = self.now_us

    def begin(self, now_us: int) -> None:
        """An operation begins; it happens in one instant."""
        self.now_us = now_us
        self._noted.clear()

    def _set(self, inode: Inode, row: Row) -> None:
        inode.becomes(row)
        inode.change += 1
        if inode.folder:
            self._note(inode.key, b"", inode.own)
            return
        for (_, name), folder in inode.names.items():
            self._note(folder.key, name, inode.value)

    def _touch_folder(self, folder: Inode) -> None:
        now = self._now_ns()
        count = 2 + sum(kid.folder for kid in (folder.kids or {}).values())
        self._set(folder, folder.row._replace(mtime_ns=now, ctime_ns=now, nlink=count))

    def _counted(self, inode: Inode) -> Row:
        return inode.row._replace(nlink=max(1, len(inode.names)), ctime_ns=self._now_ns())

    def _link(self, folder: Inode, name: bytes, inode: Inode) -> None:
        assert folder.kids is not None
        assert name not in folder.kids
        folder.kids[name] = inode
        inode.names[folder.uid, name] = folder
        self._note(folder.key, name, inode.value)

    def _unlink(self, folder: Inode, name: bytes, *, note: bool = True) -> Inode:
        assert folder.kids is not None
        inode = folder.kids.pop(name)
        del inode.names[folder.uid, name]
        if note:
            self._note(folder.key, name, None)
        return inode

    def _end(self, inode: Inode) -> None:
        inode.change += 1
        self._free.append(inode.ino)


def _one(inode: Inode) -> list[tuple[tuple[int, bytes], Inode]]:
    """The name by which it was used: the first one."""
    return list(inode.names.items())[:1]


_NEVER: tuple[list[int], list[bytes | None]] = ([], [])
