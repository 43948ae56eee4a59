"""A source in memory: a tree that test methods change, scanned, watched and looked at."""

from __future__ import annotations

import errno
import itertools
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import BaseModel

from fustor_core.claims import (
    MOVED,
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Stamp,
    edge_row,
    pack_rows,
)
from fustor_core.contracts import Scope, boottime_us, walk_order
from fustor_core.errors import Refused

FILE_MODE = stat.S_IFREG | 0o644
DIR_MODE = stat.S_IFDIR | 0o755
Seen = list[Cell | Listing | Owe]


@dataclass(slots=True)
class Folder:
    """One directory: its inode, and files and folders by name."""

    ino: int
    names: dict[bytes, Row | Folder] = field(default_factory=dict)

    def key(self, birth: str) -> Key:
        """Its identity; inodes are never used twice here."""
        return Key(0, self.ino, 0 if birth == "none" else self.ino)

    @property
    def own(self) -> bytes:
        """Its own attributes."""
        return Row(ino=self.ino, mode=DIR_MODE).pack()


def parts(path: bytes) -> list[bytes]:
    """The names in a view path."""
    return [name for name in path.split(b"/") if name]


class MemorySource:
    """A tree in memory with every power of a source.

    `write`, `mkdir`, `remove` and `move` change it; while `watch` is entered they are seen. `lose`
    stands for an overflow, `vanish` and `come_back` for a mount that goes, `hold` and `release`
    stop a scan before its next directory, `break_scan` makes the next scans raise.
    """

    in_order = True

    class Config(BaseModel):
        """Options: the files at the start, by view path, with their sizes in bytes."""

        files: dict[str, int] = {}

    def __init__(self, config: Config) -> None:
        self.now_us: Callable[[], int] = boottime_us
        self.identity_text = "memory:1"
        self.birth = "btime"
        self.births: list[str] = []  # what `bear` was told
        self.scans: list[tuple[bytes, bool, Origin]] = []
        self.looked: list[bytes] = []
        self.covered: list[bytes] = []
        self.coverage_document: dict[str, Any] = {}
        self.watches = 0  # how often a watch was entered
        self.running = 0  # scans under way
        self.overlapped = False  # more scans ran at once than the engine may start
        self._held: tuple[Origin, ...] = ()
        self._inodes = itertools.count(2)
        self._root = Folder(1)
        self._watchers: list[MemoryObjectSendStream[Seen | Exception]] = []
        self._present = True
        self._faults: list[Exception] = []
        self._watch_faults: list[Exception] = []
        self._gate, self._at_gate = anyio.Event(), anyio.Event()
        self._gate.set()
        self._watcher: MemoryObjectSendStream[Seen | Exception] | None = None
        self._ordinal = 0
        for path, size in sorted(config.files.items()):
            self.write(path.encode(), size)

    def __repr__(self) -> str:
        return f"<MemorySource {self.identity_text} watched={self._watcher is not None}>"

    # -- the contract

    async def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]:
        """Each directory of the scope once, parents first."""
        self.scans.append((scope.path, scope.recursive, scope.origin))
        self.overlapped = self.overlapped or self.running >= getattr(self, "scans_at_once", 1)
        self.running += 1
        try:
            async for listing in self._walk(scope):
                yield listing
        finally:
            self.running -= 1

    async def _walk(self, scope: Scope) -> AsyncIterator[Listing]:
        if not self._present:
            raise OSError(errno.ENODEV, "the tree is not there")
        queue: list[tuple[bytes, Folder | None]] = [(scope.path.rstrip(b"/") or b"/", None)]
        while queue:
            path, parent = queue.pop(0)
            await self._pass_gate(scope.origin)
            if self._faults:
                raise self._faults.pop(0)
            found = self._find(path)
            if not isinstance(found, Folder):
                continue
            if not scope.after or walk_order(path) > walk_order(scope.after):
                yield self._list(path, found, scope.origin, parent, scope.now_us)
            if scope.recursive:
                prefix = path.rstrip(b"/") + b"/"
                queue[:0] = [
                    (prefix + name, found)
                    for name, node in sorted(found.names.items())
                    if isinstance(node, Folder)
                ]

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Seen]]:
        """From here on every change is a list of claims."""
        if self._watch_faults:
            raise self._watch_faults.pop(0)
        send, receive = anyio.create_memory_object_stream[Seen | Exception](float("inf"))
        self._watcher = send
        self.watches += 1
        self._watchers.append(send)

        async def drained() -> AsyncIterator[Seen]:
            async for seen in receive:
                if isinstance(seen, Exception):
                    raise seen
                yield seen

        try:
            yield drained()
        finally:
            self._watcher = None
            self._watchers.remove(send)
            send.close()
            receive.close()

    async def cover(self, paths: Sequence[bytes]) -> None:
        """All of it is watched anyway: the paths are noted."""
        self.covered.extend(paths)

    async def look(self, paths: Sequence[bytes]) -> Sequence[Cell]:
        """What stands at the paths now, each edge on the way included."""
        await anyio.lowlevel.checkpoint()
        cells, self.looked = [], [*self.looked, *paths]
        for path in paths:
            folder, walked = self._root, b"/"
            for name in parts(path):
                node = folder.names.get(name)
                cells.append(self._cell(folder, name, walked, "s", Origin.SENTINEL))
                if not isinstance(node, Folder):
                    break
                folder, walked = node, walked.rstrip(b"/") + b"/" + name
            else:
                cells.append(self._cell(folder, b"", walked, "s", Origin.SENTINEL))
        return cells

    async def bear(self, kind: str) -> bool:
        """Keys with births, or without; all of them change with the kind."""
        await anyio.lowlevel.checkpoint()
        self.births.append(kind)
        if kind not in ("btime", "none"):
            raise Refused(f"a tree in memory has no births of the kind {kind!r}")
        before, self.birth = self.birth, kind
        return before != kind

    async def identity(self) -> Root:
        """Which tree stands here now."""
        await anyio.lowlevel.checkpoint()
        now = self.now_us()
        return Root(
            key=self._root.key(self.birth) if self._present else Key(0, 0, 0),
            identity=self.identity_text if self._present else "",
            stamp=Stamp(now, now, 0, "s"),
            present=self._present,
            reason="" if self._present else "vanished_root",
            birth=self.birth,
        )

    def coverage(self) -> dict[str, Any]:
        """What `coverage_document` was set to, over the plain answer."""
        plain: dict[str, Any] = {"watched_dirs": 0, "watch_limit": None, "uncovered": []}
        return plain | {"excluded": []} | self.coverage_document

    # -- what tests do to the tree

    def twin(self) -> MemorySource:
        """The same tree, as another host has it."""
        other = MemorySource(self.Config())
        other.now_us = self.now_us
        other._inodes, other._root, other._watchers = self._inodes, self._root, self._watchers
        return other

    def write(self, path: bytes | str, size: int = 0, **row: int) -> None:
        """Create or change a file, its directories included; `row` sets columns of `Row`."""
        folder, name, walked = self._parent(path)
        now_ns = self.now_us() * 1000
        columns = {
            "mtime_ns": now_ns,
            "ctime_ns": now_ns,
            "ino": next(self._inodes),
            "mode": FILE_MODE,
        }
        old = folder.names.get(name)
        if isinstance(old, Row):
            columns["ino"] = old.ino
        folder.names[name] = Row(size=size, **(columns | row))
        self._tell([self._cell(folder, name, walked, "e", Origin.REALTIME)])

    def mkdir(self, path: bytes | str) -> Key:
        """Make an empty directory; its key."""
        folder, name, walked = self._parent(path)
        made = folder.names[name] = Folder(next(self._inodes))
        below = walked.rstrip(b"/") + b"/" + name
        edge = self._cell(folder, name, walked, "e", Origin.REALTIME)
        self._tell([edge, self._list(below, made, Origin.REALTIME, folder, self.now_us)])
        return made.key(self.birth)

    def remove(self, path: bytes | str) -> None:
        """Remove a file or a whole directory."""
        folder, name, walked = self._parent(path)
        del folder.names[name]
        self._tell([self._cell(folder, name, walked, "e", Origin.REALTIME)])

    def move(self, old: bytes | str, new: bytes | str) -> None:
        """Rename a file or a directory."""
        source, old_name, old_path = self._parent(old)
        target, new_name, new_path = self._parent(new)
        target.names[new_name] = source.names.pop(old_name)
        self._tell(
            [
                self._cell(source, old_name, old_path, "e", Origin.REALTIME, MOVED),
                self._cell(target, new_name, new_path, "e", Origin.REALTIME, MOVED),
            ]
        )

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What is done inside, no watch sees."""
        watchers, self._watchers = self._watchers, []
        try:
            yield
        finally:
            self._watchers = watchers

    def lose(self, path: bytes | str = b"/") -> None:
        """The queue of events has overflowed: something below `path` was not seen."""
        folder = self._find(_bytes(path))
        if isinstance(folder, Folder):
            now = self.now_us()
            stamp = Stamp(now, now, self._next(), "w")
            owe = Owe(
                dir=folder.key(self.birth),
                deep=True,
                reason="overflow",
                stamp=stamp,
                origin=Origin.REALTIME,
                path=_bytes(path),
            )
            self._tell([owe])

    def vanish(self) -> None:
        """The mount is gone; the watch ends with an error."""
        self._present = False
        self.break_watch(OSError(errno.ENODEV, "the tree is not there"))

    def come_back(self, identity: str | None = None) -> None:
        """The mount is there again, as another storage if `identity` says so."""
        self._present = True
        self.identity_text = identity or self.identity_text

    def break_scan(self, *errors: Exception) -> None:
        """The next directories raise, one error each, instead of being listed."""
        self._faults.extend(errors)

    def break_watch(self, error: Exception) -> None:
        """The watch that is entered raises; without one, the next that is entered."""
        if self._watcher is None:
            self._watch_faults.append(error)
        else:
            self._watcher.send_nowait(error)

    def hold(self, *origins: Origin) -> anyio.Event:
        """Scans stop before their next directory, or only these do; the event says when one has."""
        self._gate, self._at_gate, self._held = anyio.Event(), anyio.Event(), origins
        return self._at_gate

    def release(self) -> None:
        """Scans go on."""
        self._gate.set()

    # -- inside

    async def _pass_gate(self, origin: Origin) -> None:
        await anyio.lowlevel.checkpoint()
        if not self._gate.is_set() and (not self._held or origin in self._held):
            self._at_gate.set()
            await self._gate.wait()

    def _find(self, path: bytes) -> Row | Folder | None:
        node: Row | Folder | None = self._root
        for name in parts(path):
            node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    def _parent(self, path: bytes | str) -> tuple[Folder, bytes, bytes]:
        """The folder of a path (made if need be), the last name, the folder's path."""
        *above, name = parts(_bytes(path))
        folder, walked = self._root, b"/"
        for step in above:
            walked = walked.rstrip(b"/") + b"/" + step
            if not isinstance(folder.names.get(step), Folder):
                self.mkdir(walked)
            node = folder.names[step]
            folder = node if isinstance(node, Folder) else folder
        return folder, name, walked

    def _value(self, node: Row | Folder) -> bytes:
        return edge_row(node.key(self.birth), DIR_MODE) if isinstance(node, Folder) else node.pack()

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal

    def _cell(
        self, folder: Folder, name: bytes, path: bytes, kind: str, origin: Origin, flags: int = 0
    ) -> Cell:
        node = folder.names.get(name)
        now = self.now_us()
        return Cell(
            dir=folder.key(self.birth),
            name=name,
            value=folder.own if not name else None if node is None else self._value(node),
            stamp=Stamp(now, now, self._next() if kind == "e" else 0, kind),
            origin=origin,
            flags=flags,
            path=path,
        )

    def _list(
        self,
        path: bytes,
        folder: Folder,
        origin: Origin,
        parent: Folder | None,
        now_us: Callable[[], int],
    ) -> Listing:
        began = now_us()
        names, rows = pack_rows({n: self._value(node) for n, node in folder.names.items()})
        return Listing(
            dir=folder.key(self.birth),
            names=names,
            rows=rows,
            stamp=Stamp(began, now_us(), began, "l"),
            origin=origin,
            path=path,
            own=folder.own,
            via=(parent.key(self.birth), parts(path)[-1]) if parent else None,
        )

    def _tell(self, claims: Seen) -> None:
        for watcher in self._watchers:
            watcher.send_nowait(claims)


class WideSource(MemorySource):
    """A tree that may be scanned on demand beside a snapshot."""

    scans_at_once = 2


def _bytes(path: bytes | str) -> bytes:
    return path.encode() if isinstance(path, str) else path
