"""Listings that are to be made between two drained queues, in small pieces.

Directories that appeared are entered, directories that would not hold still are listed again, and
what other hosts made is covered on request. Used by the watcher's own thread; only `again` and
`cover` are called from others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import NamedTuple

from fustor_core import owing
from fustor_core.claims import Calm, Cell, Key, Listing, Origin, Owe, Same
from fustor_core.contracts import boottime_us
from fustor_core.files.listing import Lister
from fustor_source_fs.finding import Finder
from fustor_source_fs.links import Links
from fustor_source_fs.tree import NO_WATCH, Node, Tree
from fustor_source_fs.walk import Order, Walk

PIECE_US = 30_000  # of listing, before events are looked at again
AGAIN_US_MIN, AGAIN_US_MAX = 50_000, 4_000_000
AGAIN_SHARE = 50
RETRY_US = 20_000
TRIES = 25
LONG_MAX = 4  # walks under way at a time; each holds descriptors

WatchClaim = Cell | Listing | Owe
Walking = Generator[WatchClaim, None, None]


def owe(key: Key, path: bytes, reason: str, *, deep: bool = False, code: int = 0) -> Owe:
    """Evidence about a directory was lost, up to now."""
    return owing.owe(key, path, reason, boottime_us() + 1, deep=deep, code=code)


class Entry(NamedTuple):
    """A directory to be entered: a name below a registered one, or ``b""`` for the root itself.

    Attributes:
        fresh: only what is not registered there. origin: of the claims; what others made, and only
            a look has found, nobody here saw happen.
    """

    node: Node
    name: bytes
    due_us: int = 0
    tries: int = 0
    fresh: bool = True
    origin: Origin = Origin.REALTIME


class Agenda:
    """What is still to be listed.

    Args:
        finder, lister, tree, links: as the watcher's.
        left_out: told (view path, reason) of directories left out by choice.
    """

    def __init__(
        self,
        finder: Finder,
        lister: Lister,
        tree: Tree,
        links: Links,
        left_out: Callable[[bytes, str], None],
    ) -> None:
        self._finder = finder
        self._lister = lister
        self._tree = tree
        fresh = Order(Origin.REALTIME, fresh=True, changed=self.again, left_out=left_out)
        orders = fresh, replace(fresh, fresh=False), replace(fresh, origin=Origin.ON_DEMAND)
        self._walks = {(o.fresh, o.origin): Walk(lister, tree, links, o) for o in orders}
        self._entries: deque[Entry] = deque()
        self._later: list[Entry] = []
        self._again: dict[Node, int] = {}
        self._patience_us: dict[Node, int] = {}
        self._covers: deque[bytes] = deque()
        self._long: deque[Walking] = deque()

    def enter(self, node: Node, name: bytes, *, fresh: bool = True) -> None:
        """Watch and list what appeared at (node, name), and what is below it.

        Args:
            fresh: only what is not registered below it.
        """
        self._entries.append(Entry(node, name, fresh=fresh))

    def again(self, node: Node, took_us: int) -> None:
        """List a directory again that changed while it was read; each time a little later.

        Args:
            took_us: how long the reading took: that must not become all that is done.
        """
        wait = min(AGAIN_US_MAX, 2 * self._patience_us.get(node, AGAIN_US_MIN // 2))
        wait = max(wait, AGAIN_SHARE * took_us)
        self._patience_us[node] = wait
        self._again[node] = boottime_us() + wait

    def cover(self, path: bytes) -> None:
        """Watch and list what is new along a view path, and below it."""
        self._covers.append(path)

    def forget(self, node: Node) -> None:
        """A directory left the registry."""
        self._again.pop(node, None)
        self._patience_us.pop(node, None)

    @property
    def busy(self) -> bool:
        """Whether something can be done at once."""
        return bool(self._entries or self._covers or self._long)

    def due_us(self) -> list[int]:
        """Raw instants at which something is due by itself."""
        return [*list(self._again.values()), *(entry.due_us for entry in self._later)]

    def piece(self) -> list[WatchClaim]:
        """Do a piece of the work: new directories first, then one of the long walks."""
        now = boottime_us()
        self._wake(now)
        claims: list[WatchClaim] = []
        until_us = now + PIECE_US
        while boottime_us() < until_us and len(self._long) < LONG_MAX:
            walk = self._next()
            if walk is None:
                break
            if not self._run(walk, until_us, claims):
                self._long.append(walk)
        if self._long:
            walk = self._long.popleft()
            if not self._run(walk, boottime_us() + PIECE_US, claims):
                self._long.append(walk)
        return claims

    def close(self) -> None:
        """Leave everything as it is, and close what is open."""
        for walk in self._long:
            walk.close()

    def _run(self, walk: Walking, until_us: int, claims: list[WatchClaim]) -> bool:
        """Go on with a walk until an instant; whether it is over."""
        for claim in walk:
            claims.append(claim)
            if boottime_us() >= until_us:
                return False
        return True

    def _next(self) -> Walking | None:
        if self._covers:
            return self._along(self._covers.popleft())
        if self._entries:
            return self._enter(self._entries.popleft())
        return None

    def _wake(self, now: int) -> None:
        """Take up what is due."""
        if any(entry.due_us <= now for entry in self._later):
            self._entries.extend(entry for entry in self._later if entry.due_us <= now)
            self._later = [entry for entry in self._later if entry.due_us > now]
        for node, due in list(self._again.items()):
            if due <= now:
                self._again.pop(node, None)
                with self._tree.lock:
                    if node is self._tree.root:
                        self._entries.append(Entry(node, b""))
                    elif node.parent is not None:
                        self._entries.append(Entry(node.parent, node.name))

    def _enter(self, entry: Entry) -> Walking:
        node, name = entry.node, entry.name
        if node.gone:
            return
        with self._finder.root() as root, self._finder.node(root, node) as spot:
            if root is None:
                return  # whoever notices the root again owes a scan of all of it
            if spot is None:
                if entry.tries < TRIES:
                    due = boottime_us() + RETRY_US
                    self._later.append(entry._replace(due_us=due, tries=entry.tries + 1))
                else:
                    yield owe(node.key, self._finder.path(node), "not_yet", deep=True)
                return
            walk = self._walks[entry.fresh, entry.origin]
            for claim in walk.below(spot, node, [name]) if name else walk.root(spot):
                if not isinstance(claim, Same | Calm):  # never here: no silence key is known
                    yield claim
        below = node.kid(name) if name else node
        if below is not None and below not in self._again:
            self._patience_us.pop(below, None)

    def _along(self, path: bytes) -> Walking:
        """From the topmost directory of a path that is not watched yet downward."""
        node = self._tree.root
        for name in path.split(b"/") if node is not None else ():
            if not name:
                continue
            below = node.kid(name) if node is not None else None
            if node is not None and (
                below is None or not below.listed or below.wd == NO_WATCH or below.unread
            ):
                yield from self._enter(Entry(node, name, origin=Origin.ON_DEMAND))
                return
            node = below

    def __repr__(self) -> str:
        return (
            f"Agenda(entries={len(self._entries)}, again={len(self._again)}, "
            f"long={len(self._long)})"
        )
