"""What a pretended NFS client remembers: attributes by handle, names and listings by directory."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fustor_core.files.identity import Prober
from fustor_core.testing.fuse import ROOT_ID

_O_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

Names = dict[bytes, int | None]


@dataclass(eq=False)
class Node:
    """A file handle that the client knows.

    Attributes:
        path: where the client saw it last. seat: parent node and name there.
        generation: tells two lives of one inode number apart.
        seen: remembered attributes, asked for `at` (monotonic seconds).
        change: of the directory, when its names and its listing were remembered.
        opens: how often it is open here. silly: (directory, name) of the file that is unlinked
            when the last of them is closed.
    """

    fd: int
    id: int
    path: bytes
    seat: tuple[int, bytes] | None
    generation: int = 0
    lookups: int = 0
    seen: os.stat_result | None = None
    at: float = 0.0
    change: tuple[int, int] | None = None
    names: Names = field(default_factory=dict)
    listing: list[tuple[bytes, int, int]] | None = None
    opens: int = 0
    silly: tuple[int, bytes] | None = None


class Memory:
    """The handles of one client, and what it was told about them.

    A name, absent ones included, and a listing hold as long as the attributes that are remembered
    of their directory show no change.

    Args:
        tree: the server's directory. cache_s: for how long attributes are remembered.
    """

    def __init__(self, tree: Path, cache_s: float) -> None:
        self.cache_s = cache_s
        root = Node(os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), ROOT_ID, b"/", None)
        self.nodes = {ROOT_ID: root}
        self._prober = Prober("handle")

    def attr(self, node: Node, *, fresh: bool = False) -> os.stat_result:
        """Attributes of a handle, as remembered if they are not too old.

        Raises:
            OSError: ESTALE, its file was removed.
        """
        now = time.monotonic()
        if node.seen is not None and not fresh and now - node.at < self.cache_s:
            return node.seen
        try:
            st = os.fstat(node.fd)
            if not st.st_nlink:
                raise OSError(errno.ESTALE, "removed")
        except OSError:
            self._drop(node)
            raise
        node.seen, node.at = st, now
        return st

    def _drop(self, node: Node) -> None:
        """A name that leads to a stale handle is looked up again."""
        node.seen = None
        parent = self.nodes.get(node.seat[0]) if node.seat is not None else None
        if parent is not None and node.seat is not None:
            parent.names.pop(node.seat[1], None)

    def names(self, folder: Node, *, fresh: bool = False) -> Names:
        """The names that are remembered of a directory; none when it has changed."""
        change = _change(self.attr(folder, fresh=fresh))
        if folder.change != change:
            folder.change, folder.names, folder.listing = change, {}, None
        return folder.names

    @contextmanager
    def writing(self, folder: Node) -> Iterator[Names]:
        """Around an own change of a directory."""
        """Own changes are known at once; whether others wrote before is seen on this occasion."""
        names = self.names(folder, fresh=True)
        yield names
        folder.seen, folder.at = os.fstat(folder.fd), time.monotonic()
        folder.change, folder.listing = _change(folder.seen), None

    def seat(self, folder: Node, name: bytes) -> Node:
        """Ask the server for a name."""
        fd = os.open(name, _O_PATH, dir_fd=folder.fd)
        st = os.fstat(fd)
        node = self.nodes.get(st.st_ino)
        if node is None:
            life = self._prober.birth_of(self._prober.sight(fd), fd) & 0xFFFFFFFF
            node = self.nodes[st.st_ino] = Node(fd, st.st_ino, b"", None, generation=life)
        else:
            os.close(fd)
        node.path, node.seat = below(folder.path, name), (folder.id, name)
        node.seen, node.at = st, time.monotonic()
        self.names(folder, fresh=True)[name] = node.id
        return node

    def forget(self, node_id: int, count: int) -> None:
        """The kernel gives a handle back."""
        node = self.nodes.get(node_id)
        if node is None or node_id == ROOT_ID:
            return
        node.lookups -= count
        if node.lookups <= 0 and not os.fstat(node.fd).st_nlink:
            os.close(self.nodes.pop(node_id).fd)


def proc(fd: int) -> str:
    """What a descriptor stands for, as a path."""
    return f"/proc/self/fd/{fd}"


def below(path: bytes, name: bytes) -> bytes:
    """The path of a name in a directory."""
    return path.rstrip(b"/") + b"/" + name


def _change(st: os.stat_result) -> tuple[int, int]:
    return st.st_mtime_ns, st.st_ctime_ns
