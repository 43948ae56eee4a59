"""The watched directories: which watch belongs to which directory, and where it was last seen.

A watch belongs to an inode, so it goes on through renames of the directory and of everything above
it. The seat (parent, name) kept here is only the best guess at where to find the directory now;
whoever uses the path proves the key behind it. One lock guards all of it, and the kernel's watch is
made under that lock: an event never carries a watch that is not in the registry yet.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator

import msgspec

from fustor_core.claims import Key
from fustor_core.files.inotify import Ears

NO_WATCH = -1
FEW = 16  # child directories that are found by going through them
_GONE = -1  # for the number of a scan


class Node(msgspec.Struct, eq=False, gc=False):
    """One directory that is watched, or that should be.

    There are as many as the tree has, so it is small, and the collector of cycles does not look at
    it: a parent and its children refer to each other until they are dropped.

    Attributes:
        wd: the kernel's watch, NO_WATCH when none could be had.
        parent, name: its seat; `parent` is None for the root and for a loose directory.
        kids: child directories, by name when they are many.
        unread: it could not be opened; tried again when its mode changes.
        visit: number of the last scan that came by.
        reading: names that were looked at since its listing began, None when nobody is reading.
        listed: its listing was made, or is being made by whoever registered it.
        inos: which inode numbers its entries may have, to find hard links (inodes.py).
    """

    key: Key
    parent: Node | None
    name: bytes
    wd: int = NO_WATCH
    kids: tuple[Node, ...] | dict[bytes, Node] = ()
    visit: int = 0
    reading: set[bytes] | None = None
    inos: bytes = b""
    unread: bool = False
    listed: bool = False

    @property
    def gone(self) -> bool:
        """It left the registry; whoever still holds it drops it."""
        return self.visit == _GONE

    def kid(self, name: bytes) -> Node | None:
        """The registered child directory of that name."""
        kids = self.kids
        if isinstance(kids, dict):
            return kids.get(name)
        for each in kids:
            if each.name == name:
                return each
        return None

    def end(self) -> None:
        """It leaves the registry, and so does what is below it."""
        self.visit, self.kids = _GONE, ()

    def __repr__(self) -> str:
        return f"Node({self.name!r}, wd={self.wd}, ino={self.key.ino})"


class Tree:
    """The registry. Every method is called with `lock` held.

    Args:
        ears: what hears of directories; None when nothing does.
    """

    def __init__(self, ears: Ears | None) -> None:
        self.lock = threading.RLock()
        self.root: Node | None = None
        self.by_key: dict[Key, Node] = {}
        self.by_wd: dict[int, Node] = {}
        self.asides: dict[int, tuple[Node, bytes]] = {}  # where directories left out stand
        self.uncovered: set[Node] = set()
        self.loose: set[Node] = set()
        self.visits = 1  # number of the scan that is going on, or was last
        self.turns = 0  # grows with every directory that is heard to come or go
        self._ears = ears

    def cover(
        self,
        fd: int,
        key: Key,
        parent: Node | None,
        name: bytes,
        still: Callable[[], bool],
        turns: int = -1,
    ) -> Node | None:
        """Watch and register the directory that is open on `fd`; call it before listing it.

        Args:
            parent, name: the seat under which it was opened; None for the root.
            still: whether that seat leads to it at this very moment, after the watch was made.
            turns: `turns` before the parent was read, which showed it there. While that is the
                same, a directory that left will still be heard of, and `still` is not asked.

        Returns:
            Its node; None when it is not where it was opened any more: then an event that is
            still to be read says where it went.
        """
        wd = self._watch(fd, key)
        node = self.by_key.get(key)
        rival = self.by_wd.get(wd) if wd != NO_WATCH else None
        if rival is not None and rival is not node:
            if rival.key[:2] == key[:2]:  # an earlier life of the inode; its end is told later
                rival.wd = NO_WATCH
                del self.by_wd[wd]
            else:  # one inode under two mounts has one watch: the second place is polled
                wd = NO_WATCH
        if node is None:
            if turns != self.turns and not still():
                if wd != NO_WATCH and self._ears is not None:
                    self._ears.remove(wd)
                return None
            node = self.by_key[key] = Node(key, None, name)
            if parent is None:
                self.root = node
            else:
                self._take(node, parent, name)  # a new one has nothing below it
        elif parent is not None and (node.parent is not parent or node.name != name) and still():
            self.seat(node, parent, name)
        self._bind(node, wd)
        node.unread, node.visit = False, self.visits
        return node

    def unreadable(self, key: Key, parent: Node, name: bytes) -> None:
        """Remember a directory that could not be opened: a change of its mode is noticed."""
        node = self.by_key.get(key)
        if node is None:
            node = self.by_key[key] = Node(key, None, name)
            self.seat(node, parent, name)
        node.unread, node.visit = True, self.visits
        self.aside(key, parent, name)

    def aside(self, key: Key, parent: Node, name: bytes) -> None:
        """A directory is left out, or closed to us; its own attributes are heard of though."""
        wd = self._ears.own(key) if self._ears is not None else NO_WATCH
        if wd != NO_WATCH:
            self.asides[wd] = parent, name

    def deafen(self) -> None:
        """Nothing is heard any more of any directory that is not covered anew."""
        for node in self.by_wd.values():
            node.wd, node.listed = NO_WATCH, False
        self.uncovered.update(self.by_wd.values())
        self.by_wd.clear()
        self.asides.clear()

    def seat(self, node: Node, parent: Node, name: bytes) -> None:
        """`node` stands at (parent, name) now; whatever stood there becomes loose.

        Nothing stands in itself: where that is heard or seen, what was known of its place is old
        (another host has moved it), or it is mounted there once more.
        """
        if node is self.root or node is parent:
            return
        above: Node | None = parent
        while above is not None and above.parent is not node:
            above = above.parent
        if above is not None:  # a move not heard of yet took `parent` out of `node`'s subtree
            self.unseat(above)
        self._leave(node)
        self._take(node, parent, name)
        self.loose.discard(node)

    def _take(self, node: Node, parent: Node, name: bytes) -> None:
        """Whatever stood at (parent, name) becomes loose, `node` stands there."""
        occupant = parent.kid(name)
        if occupant is not None and occupant is not node:
            self.unseat(occupant)
        node.parent, node.name = parent, name
        kids = parent.kids
        if isinstance(kids, dict):
            kids[name] = node
        elif occupant is not node:
            kids = (*kids, node)
            parent.kids = kids if len(kids) <= FEW else {each.name: each for each in kids}

    def unseat(self, node: Node) -> None:
        """`node` is not where it was; it is loose until its new place is seen."""
        if node is not self.root:
            self._leave(node)
            self.loose.add(node)

    def drop(self, node: Node) -> list[Node]:
        """Forget `node` and everything below it; the caller removes their watches."""
        self._leave(node)
        dropped = list(subtree(node))
        for each in dropped:
            self.by_wd.pop(each.wd, None)
            if self.by_key.get(each.key) is each:
                del self.by_key[each.key]
            self.uncovered.discard(each)
            self.loose.discard(each)
            each.end()
        if node is self.root:
            self.root = None
        return dropped

    def ended(self, node: Node) -> list[Node]:
        """The kernel took the watch away with the directory; as `drop`."""
        self.by_wd.pop(node.wd, None)
        node.wd = NO_WATCH
        return self.drop(node)

    def clear(self) -> None:
        """Forget everything; the watches are given back otherwise."""
        for node in self.by_key.values():
            node.end()
        self.root = None
        for part in (self.by_key, self.by_wd, self.asides, self.uncovered, self.loose):
            part.clear()

    def path(self, node: Node) -> bytes | None:
        """View path at which `node` was last seen; None when it or something above is loose."""
        names = []
        at = node
        while at.parent is not None:
            names.append(at.name)
            at = at.parent
        if at is not self.root:
            return None
        names.reverse()
        return b"/" + b"/".join(names)

    def _watch(self, fd: int, key: Key) -> int:
        if self._ears is None:
            return NO_WATCH
        try:
            return self._ears.add(fd, key)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.ENOMEM, errno.EACCES, errno.ENOENT):
                return NO_WATCH
            raise

    def _bind(self, node: Node, wd: int) -> None:
        if wd == NO_WATCH:
            if node.wd == NO_WATCH:
                self.uncovered.add(node)
            return
        if node.wd != wd:
            self.by_wd.pop(node.wd, None)
        node.wd = wd
        self.by_wd[wd] = node
        self.uncovered.discard(node)

    def _leave(self, node: Node) -> None:
        parent = node.parent
        if parent is not None and parent.kid(node.name) is node:
            if isinstance(parent.kids, dict):
                del parent.kids[node.name]
            else:
                parent.kids = tuple(each for each in parent.kids if each is not node)
        node.parent = None

    def __repr__(self) -> str:
        return (
            f"Tree(directories={len(self.by_key)}, watches={len(self.by_wd)}, "
            f"uncovered={len(self.uncovered)}, loose={len(self.loose)})"
        )


def subtree(node: Node) -> Iterator[Node]:
    """`node` and every directory registered below it, parents first."""
    stack = [node]
    while stack:
        each = stack.pop()
        yield each
        kids = each.kids
        stack.extend(kids.values() if isinstance(kids, dict) else kids)
