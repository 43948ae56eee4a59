"""From the kernel's words to what has to be looked at.

`fold` replays one drained queue on the registry, in queue order, and keeps of the rest one `Touch`
for each name: what is claimed in the end is what a look finds, not what the kernel's word was.
Nothing here looks at a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fustor_core.claims import CLOSED, WRITING
from fustor_core.files import inotify
from fustor_core.files.fanotify import MERGED
from fustor_core.files.inotify import ISDIR, NAMES, Raw
from fustor_source_fs.tree import Node, Tree

_UNMAKES = inotify.DELETE | inotify.MOVED_FROM


@dataclass(slots=True, eq=False)
class Touch:
    """One name that has to be looked at; ``b""`` means the directory's own attributes.

    Attributes:
        mask: all kernel words about it. last: the last of those that make or unmake a name; all of
            them where their order is not known.
        flags: WRITING or CLOSED, by the last word about its content.
        since_us: the queue was empty at this raw instant, before any of it.
        until_us: its directory could not be proven; tried again until this raw instant.
    """

    node: Node
    name: bytes
    since_us: int
    mask: int = 0
    last: int = 0
    flags: int = 0
    until_us: int = 0

    def add(self, mask: int) -> None:
        """One more word of the kernel about this name."""
        self.mask |= mask
        if mask & NAMES:
            merged = self.last if mask & MERGED else 0
            self.last, self.flags = merged | mask & NAMES, 0  # another file from here on
        if mask & inotify.CLOSE_WRITE:
            self.flags = CLOSED
        elif mask & inotify.MODIFY:
            self.flags = WRITING

    @property
    def unmade(self) -> bool:
        """The kernel's last word, whichever it is, is that the name went away."""
        return bool(self.last & _UNMAKES) and not self.last & ~_UNMAKES


@dataclass(slots=True, eq=False)
class Move:
    """Where a watched directory was moved from and to, both halves by one cookie."""

    child: Node
    froms: list[Touch] = field(default_factory=list)
    to: Touch | None = None


@dataclass(slots=True)
class Drain:
    """One drained queue, folded.

    Attributes:
        touched: names to look at, in the order of their first event.
        halves: cookies of directories that left a watched place and did not arrive yet.
        moves: watched directories that left and arrived.
        dropped: directories that are gone, with what was registered below them.
        owed: directories below which evidence was lost, with the reason.
        lost: the queue ran over.
    """

    touched: dict[tuple[Node, bytes], Touch] = field(default_factory=dict)
    halves: dict[int, tuple[Node, Touch]] = field(default_factory=dict)
    moves: dict[Node, Move] = field(default_factory=dict)
    dropped: list[Node] = field(default_factory=list)
    owed: dict[Node, str] = field(default_factory=dict)
    lost: bool = False

    def touch(self, node: Node, name: bytes, since_us: int) -> Touch:
        """The touch of one name, made when there is none yet."""
        key = (node, name)
        found = self.touched.get(key)
        if found is None:
            found = self.touched[key] = Touch(node, name, since_us)
        return found


def fold(tree: Tree, drain: Drain, events: Iterable[Raw], since_us: int) -> None:
    """Replay events on the registry and collect what has to be looked at.

    Args:
        tree: its lock is held.
        since_us: the queue was empty at this raw instant, before these events.
    """
    by_wd, touched = tree.by_wd, drain.touched
    for wd, mask, cookie, name in events:
        node = by_wd.get(wd)
        if node is None:
            if mask & inotify.Q_OVERFLOW:
                drain.lost = True
            elif wd in tree.asides and not name:
                parent, name = tree.asides[wd]
                drain.touch(parent, name, since_us).add(mask)
            continue  # a watch that was dropped: the rest of its events say nothing new
        if not name:
            _own(tree, drain, node, mask, since_us)
            continue
        touch = touched.get((node, name))
        if touch is None:
            touch = touched[node, name] = Touch(node, name, since_us)
        touch.add(mask)
        if mask & NAMES:
            drain.touch(node, b"", since_us)
            if mask & ISDIR:
                _seat(tree, drain, touch, mask, cookie)


def _own(tree: Tree, drain: Drain, node: Node, mask: int, since_us: int) -> None:
    """A word about a watched directory itself."""
    if mask & inotify.IGNORED:
        drain.dropped += tree.ended(node)
    elif mask & inotify.UNMOUNT:
        if node.parent is None:
            drain.owed[node] = "vanished_root"
        elif node.parent.key.dev != node.key.dev:
            drain.owed[node.parent] = "io_error"
    elif mask & inotify.ATTRIB:
        drain.touch(node, b"", since_us).add(mask)
        if mask & MERGED and node.parent is not None:  # fanotify tells the parent nothing
            drain.touch(node.parent, node.name, since_us).add(mask)


def _seat(tree: Tree, drain: Drain, touch: Touch, mask: int, cookie: int) -> None:
    """A directory came to, or left, a watched place."""
    node, name = touch.node, touch.name
    kid = node.kid(name)
    tree.turns += 1
    if mask & inotify.MOVED_FROM:
        if kid is not None:
            tree.unseat(kid)
            if cookie:  # none: it is known that it went to where nobody listens
                drain.halves[cookie] = (kid, touch)
    elif mask & inotify.MOVED_TO:
        child, origin = drain.halves.pop(cookie, (None, None))
        if child is not None and origin is not None and not child.gone and child is not node:
            tree.seat(child, node, name)
            move = drain.moves.setdefault(child, Move(child))
            move.froms.append(origin)
            move.to = touch
    elif mask & inotify.DELETE and kid is not None:
        tree.unseat(kid)  # what the look finds there decides
