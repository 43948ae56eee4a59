"""Telling the feed what a batch changed: one `moved` for a moved directory, not a thousand."""

from __future__ import annotations

from fustor_core.claims import Key, Origin, is_dir, unpack_row
from fustor_core.contracts import Write
from fustor_core.registers import Register, Seen
from fustor_view_file.directory import Directory
from fustor_view_file.feed import Change, Feed
from fustor_view_file.tally import DIRS
from fustor_view_file.tree import Tree


class Teller:
    """Turns changed registers and seats into changes.

    Halves of moves wait for each other until the end of the batch.

    Attributes:
        ready: the first whole look is over; before, nothing is told one by one.
        origin: of the verdict that is being applied. now_us, wall_ns: when the batch came.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.ready = False
        self.begin(0, 0)
        self._lost: dict[Key, bytes] = {}
        self._halves: dict[int, bytes] = {}
        self._prefixes: dict[Directory, bytes] = {}  # of this batch; b"" for what is not shown

    def begin(self, now_us: int, wall_ns: int) -> None:
        """A batch begins: what is told must not depend on what another process had told before."""
        self.origin, self.now_us, self.wall_ns = str(Origin.SNAPSHOT), now_us, wall_ns

    def end_batch(self) -> None:
        """Halves that found no other half are deletions after all."""
        for path in (*self._lost.values(), *self._halves.values()):
            self.tell("deleted", path, None)
        self._lost.clear()
        self._halves.clear()
        self._prefixes.clear()

    def forget_paths(self) -> None:
        """Directories may be shown elsewhere from here on, or no longer."""
        self._prefixes.clear()

    def _prefix(self, tree: Tree, directory: Directory) -> bytes:
        found = self._prefixes.get(directory)
        if found is None:
            found = prefix_of(directory) if tree.visible(directory) else b""
            self._prefixes[directory] = found
        return found

    def write(self, tree: Tree, directory: Directory, write: Write) -> None:
        """A register changed its value or its debt; edges tell themselves when they seat."""
        prefix = self._prefix(tree, directory) if self.ready else b""
        if not prefix:
            return
        old = write.old.value if write.old is not None else None
        new = write.new.value
        path = prefix + write.name
        flags: tuple[str, ...] = ("debt",) if write.new.debt else ()
        if old == new:
            if write.old is not None and write.old.debt != write.new.debt:
                self.tell("flagged", path, new, flags=flags, seen=write.new.seen)
            return
        gone = old if old is not None and not is_dir(old) else None
        come = new if new is not None and not is_dir(new) else None
        if gone is not None and come is None:
            if write.moved:
                self._halves[unpack_row(gone).ino] = path
            else:
                self.tell("deleted", path, None, seen=write.new.seen)
        if come is None:
            return
        half = self._halves.pop(unpack_row(come).ino, None) if write.moved else None
        kind = "moved" if half is not None else "modified" if gone is not None else "created"
        self.tell(kind, path, come, from_path=half, flags=flags, seen=write.new.seen)

    def flagged(self, tree: Tree, directory: Directory, name: bytes) -> None:
        """A name became suspect, or is no longer."""
        if self.ready and tree.visible(directory):
            flags = ("suspect",) if name in directory.suspects else ()
            row = directory.pack.get(name)
            self.tell("flagged", prefix_of(directory) + name, row, flags=flags)

    def changed(self, tree: Tree, directory: Directory, attrs: Register) -> None:
        """A directory's own mode or owner changed."""
        if self.ready and tree.visible(directory):
            self.tell("modified", directory.path(), attrs.value, seen=attrs.seen)

    def reseated(self, tree: Tree, directory: Directory, before: bytes | None) -> None:
        """A directory's seat changed; `before` is its path if it was visible."""
        if not self.ready:
            return
        if before is not None or directory.count[DIRS]:
            self.forget_paths()
        else:  # nothing lies below
            self._prefixes.pop(directory, None)
        if not tree.visible(directory):
            if before is not None:
                self._lost[directory.key] = before
            return
        came = self._lost.pop(directory.key, before)
        parent = directory.parent
        path = (self._prefix(tree, parent) if parent is not None else b"/") + directory.name
        row = parent.pack.get(directory.name) if parent is not None else None
        if came is None:
            self.tell("created", path, row)
        elif came != path:
            self.tell("moved", path, row, from_path=came)

    def tell(
        self,
        kind: str,
        path: bytes,
        row: bytes | None,
        *,
        from_path: bytes | None = None,
        flags: tuple[str, ...] = (),
        seen: Seen | None = None,
    ) -> None:
        """Append a change to the feed."""
        if not self.ready:
            return
        observed = (seen.lo, seen.hi) if seen is not None else (self.now_us, self.now_us)
        self.feed.add(
            Change(
                self.feed.head + 1,
                self.now_us,
                self.wall_ns,
                kind,
                path,
                from_path,
                row,
                self.origin,
                flags,
                observed,
            )
        )


def prefix_of(directory: Directory) -> bytes:
    """The view path of a directory, ending in a slash."""
    path = directory.path()
    return path if path.endswith(b"/") else path + b"/"
