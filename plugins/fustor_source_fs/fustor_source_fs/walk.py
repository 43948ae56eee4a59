"""Walking a tree: directory after directory, parents first, each armed before it is read.

A walk is an iterator of claims, so it can be paused for as long as its owner likes: the scan pauses
when the pipe is slow, the watcher when events have come. It opens every directory below the one
before it, so no symbolic link is ever followed and no path gets too long; of a deep chain only the
last few stay open, the others are opened again, and proven, on the way back.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fustor_core.claims import ROW_BYTES, Calm, Cell, Key, Listing, Origin, Same, Silence, Stamp
from fustor_core.contracts import Scope, unhurried
from fustor_core.files.identity import Prober, Spot
from fustor_core.files.listing import GONE, OPEN, Kid, Lister, Stopped, reason_of, row_of
from fustor_core.files.looking import look_at
from fustor_source_fs.links import Links
from fustor_source_fs.silence import Silent, glanced, passed_by, unchanged
from fustor_source_fs.tree import Node, Tree

FDS_MAX = 48
PAUSE_S = 0.05  # between two looks at the stop sign
WalkClaim = Listing | Same | Calm | Cell


Keep = Callable[[Kid], bool]


@dataclass(slots=True)
class Frame:
    """A directory that was read, and its children still to be visited, last one first."""

    spot: Spot
    node: Node | None
    name: bytes
    kids: list[Kid]
    turns: int  # of the registry, before it was read


@dataclass(frozen=True, slots=True)
class Order:
    """What a walk is to do.

    Attributes:
        fresh: only enter directories that are not watched yet (a directory that just appeared).
        scope: what the pipe asked for, when it did; what was sent last need not be read then.
        changed: told of a watched directory that would not hold still, and how long it took, µs.
        left_out: told (view path, reason) of each directory left out by choice.
        found: told (view path, key, silence, st_dev) of each directory; the silence is None when
            it has to be looked at again in any case.
    """

    origin: Origin
    recursive: bool = True
    fresh: bool = False
    scope: Scope | None = None
    changed: Callable[[Node, int], None] = lambda node, took_us: None
    left_out: Callable[[bytes, str], None] = lambda path, reason: None
    found: Callable[[bytes, Key, Silence | None, int], None] = lambda path, key, silence, dev: None


class Walk:
    """One walk. Used by one thread.

    Args:
        lister: reads the directories. tree, links: the registry; None when nothing is watched.
    """

    def __init__(self, lister: Lister, tree: Tree | None, links: Links, order: Order) -> None:
        self._lister = lister
        self._prober: Prober = lister.prober
        self._tree = tree
        self._links = links
        self._order = order
        scope = order.scope
        self._glances = scope is not None and scope.tier == "directories" and tree is None
        self._spares = scope is not None and scope.tier != "full"
        self._passes = scope is not None and bool(scope.after)
        self._paced = scope is not None and scope.pace is not unhurried

    def root(self, top: Spot, keep: Keep | None = None) -> Iterator[WalkClaim]:
        """The proven root, open by O_PATH on `top`, and what is below it.

        Args:
            keep: which of its children are entered; None = all.
        """
        try:
            fd = os.open(b".", OPEN, dir_fd=top.fd)
        except OSError as err:
            own = row_of(os.fstat(top.fd))
            self._order.found(b"/", top.key, None, top.dev)
            yield self._unread(top.key, b"/", None, err.errno or errno.EIO, own)
            return
        spot = top._replace(fd=fd)
        node = self._covered(spot, None, None, b"")
        yield from self._down(*_kept(self._read(spot, node, None, b""), keep))

    def below(
        self, parent: Spot, node: Node | None, names: list[bytes], keep: Keep | None = None
    ) -> Iterator[WalkClaim]:
        """What stands at `names` below an open directory, walking down name by name.

        Args:
            parent: stays the caller's. node: its entry in the registry.
            keep: which of the children of what stands there are entered; None = all.
        """
        held = -1  # the directory before the last name; those above it are closed again
        try:
            for name in names[:-1]:
                if self._left_out(parent, name):
                    break
                claims, spot, node = self._open(parent, node, name)
                if held >= 0:
                    os.close(held)
                    held = -1
                if spot is None:
                    yield from claims
                    return
                parent, held = spot, spot.fd
            else:
                name = names[-1]
            if self._left_out(parent, name):
                yield from self._kid_left_out(parent, name)
                return
            yield from self._down(*_kept(self._visit(parent, node, name), keep))
        finally:
            if held >= 0:
                os.close(held)

    def _down(self, claims: list[WalkClaim], first: Frame | None) -> Iterator[WalkClaim]:
        stack: list[Frame] = [first] if first is not None else []
        try:
            yield from claims
            while stack:
                frame = stack[-1]
                if not frame.kids:
                    _close(stack.pop())
                    continue
                if frame.spot.fd < 0 and not self._reopened(stack):
                    for kid in reversed(stack.pop().kids):
                        path = frame.spot.below(kid.name)
                        reason = kid.left_out or "not_yet"
                        self._order.found(path, kid.key, None, frame.spot.dev)
                        yield self._lister.unread(
                            kid.key, path, self._order.origin, None, reason=reason
                        )
                    continue
                kid = frame.kids.pop()
                if kid.left_out:
                    yield from self._kid_left_out(frame.spot, kid.name)
                    continue
                if self._glances and (same := self._glanced(frame, kid)) is not None:
                    yield same
                    continue
                claims, child = self._visit(frame.spot, frame.node, kid.name, frame.turns)
                yield from claims
                if child is not None:
                    stack.append(child)
                    if len(stack) > FDS_MAX:
                        far = stack[-FDS_MAX]
                        _close(far)
                        far.spot = far.spot._replace(fd=-1)
        finally:
            for frame in stack:
                _close(frame)

    def _visit(
        self, parent: Spot, above: Node | None, name: bytes, turns: int = -1
    ) -> tuple[list[WalkClaim], Frame | None]:
        claims, spot, node = self._open(parent, above, name, turns)
        if spot is None:
            return claims, None
        return self._read(spot, node, (parent.key, name), name)

    def _open(
        self, parent: Spot, above: Node | None, name: bytes, turns: int = -1
    ) -> tuple[list[WalkClaim], Spot | None, Node | None]:
        """Open and watch a child; when there is nothing to open, the claims that say why."""
        fd = -1
        try:
            fd = os.open(name, OPEN, dir_fd=parent.fd)
            spot, crossing = self._prober.opened(parent, name, fd)
        except OSError as err:
            if fd >= 0:
                os.close(fd)
            code = err.errno or errno.EIO
            if code in GONE:
                return self.edge(parent, name), None, None
            return self._shut(parent, above, name, code), None, None
        if crossing and not self._lister.cross:
            os.close(fd)
            return self._kid_left_out(parent, name), None, None
        return [], spot, self._covered(spot, parent, above, name, turns)

    def _covered(
        self, spot: Spot, parent: Spot | None, above: Node | None, name: bytes, turns: int = -1
    ) -> Node | None:
        tree = self._tree
        if tree is None or (parent is not None and above is None):
            return None
        still = partial(_leads_to, parent, name, spot.key) if parent is not None else _yes
        with tree.lock:
            if above is not None and above.gone:
                return None
            return tree.cover(spot.fd, spot.key, above, name, still, turns)

    def _read(
        self, spot: Spot, node: Node | None, via: tuple[Key, bytes] | None, name: bytes
    ) -> tuple[list[WalkClaim], Frame | None]:
        """Claims of an open directory, and the frame of its children; closes it without them."""
        claims: list[WalkClaim]
        order, entered = self._order, list[Kid]()
        turns = self._tree.turns if self._tree is not None else 0
        try:
            since_us = self._lister.now_us() if self._paced else 0
            passed = passed_by(spot, order.scope, self._lister) if self._passes else None
            silent = self._silent(spot, node) if self._spares and passed is None else None
            if passed is not None:
                claims, kids, operations = [], passed, 2 + len(passed)
            elif silent is not None:
                claims = [silent.claim]
                order.found(spot.path, spot.key, silent.claim.silence, spot.dev)
                kids, operations = silent.kids, silent.operations
            else:
                reading = self._lister.read(spot, order.origin, via, node)
                claims, kids = [reading.listing], reading.kids
                order.found(spot.path, spot.key, reading.listing.silence, spot.dev)
                operations = 2 + len(reading.listing.rows) // ROW_BYTES if self._paced else 0
                if node is not None:
                    self._links.listed(node, reading.listing)
                    if reading.changed:
                        stamp = reading.listing.stamp
                        order.changed(node, stamp.t - stamp.at)
            if self._paced:
                self.pause(operations, since_us)
            if node is not None and passed is None:
                node.listed = True
            if kids and order.recursive:
                entered = [k for k in reversed(kids) if k.left_out or self._wanted(node, k)]
            else:
                for kid in kids:
                    claims += self._kid_left_out(spot, kid.name) if kid.left_out else []
        finally:
            if not entered:
                os.close(spot.fd)
        return claims, Frame(spot, node, name, entered, turns) if entered else None

    def _silent(self, spot: Spot, node: Node | None) -> Silent | None:
        """A directory that is as it was sent last; one that is watched was listed once at least."""
        scope = self._order.scope
        if scope is None or scope.whole(spot.key) or (node is not None and not node.listed):
            return None
        return unchanged(spot, scope, self._lister)

    def _glanced(self, frame: Frame, kid: Kid) -> Same | None:
        """The cheapest look of all; where a watch is to be armed, directories are opened."""
        scope = self._order.scope
        if scope is None or scope.whole(kid.key):
            return None
        since_us = self._lister.now_us()
        same = glanced(frame.spot, kid, scope, self._lister)
        self.pause(1, since_us)
        if same is not None:
            self._order.found(same.path, kid.key, same.silence, frame.spot.dev)
        return same

    def pause(self, operations: int, since_us: int) -> None:
        """Leave the storage to others for a while; the stop sign is seen meanwhile."""
        scope, now_us = self._order.scope, self._lister.now_us
        if scope is None:
            return
        rest_s = scope.pace(operations, (now_us() - since_us) / 1e6)
        while rest_s > 0:
            if self._lister.stopped():
                raise Stopped
            time.sleep(min(rest_s, PAUSE_S))
            rest_s -= PAUSE_S

    def _wanted(self, node: Node | None, kid: Kid) -> bool:
        if not self._order.fresh or node is None:
            return True
        there = node.kid(kid.name)
        return there is None or there.key != kid.key or not there.listed or there.unread

    def _left_out(self, parent: Spot, name: bytes) -> bool:
        test = self._lister.exclusion.within(parent.path)
        return test is not None and test(name)

    def _kid_left_out(self, parent: Spot, name: bytes) -> list[WalkClaim]:
        """An incomplete listing of a directory that is left out by choice, without rows."""
        try:
            sight = self._prober.sight(parent.fd, name)
            if not stat.S_ISDIR(sight.mode):
                return []
            own = row_of(os.lstat(name, dir_fd=parent.fd))
        except OSError:
            return []
        key, _ = self._prober.child(parent, name, sight)
        path, reason = parent.below(name), "other_device"
        if self._left_out(parent, name):
            reason = "excluded"
            if self._tree is not None:
                with self._tree.lock:
                    above = self._tree.by_key.get(parent.key)
                    if above is not None:
                        self._tree.aside(key, above, name)
        self._order.left_out(path, reason)
        self._order.found(path, key, None, parent.dev)
        via = (parent.key, name)
        return [self._lister.unread(key, path, self._order.origin, via, reason=reason, own=own)]

    def _shut(self, parent: Spot, above: Node | None, name: bytes, code: int) -> list[WalkClaim]:
        """An incomplete listing of a directory that cannot be opened."""
        try:
            sight = self._prober.sight(parent.fd, name)
            own = row_of(os.lstat(name, dir_fd=parent.fd))
        except OSError as err:
            return self.edge(parent, name) if err.errno in GONE else []
        if not stat.S_ISDIR(sight.mode):
            return self.edge(parent, name)
        key, _ = self._prober.child(parent, name, sight)
        if self._tree is not None and above is not None:
            with self._tree.lock:
                if not above.gone:
                    self._tree.unreadable(key, above, name)
        self._order.found(parent.below(name), key, None, parent.dev)
        return [self._unread(key, parent.below(name), (parent.key, name), code, own)]

    def _unread(
        self, key: Key, path: bytes, via: tuple[Key, bytes] | None, code: int, own: bytes
    ) -> Listing:
        return self._lister.unread(
            key, path, self._order.origin, via, reason=reason_of(code), code=code, own=own
        )

    def edge(self, parent: Spot, name: bytes) -> list[WalkClaim]:
        """One name of an open directory, by stat; nothing when it cannot be had."""
        f = self._lister.now_us()
        try:
            value = look_at(self._prober, parent, name)
        except OSError:
            return []
        stamp = Stamp(f - self._lister.cache_bound_us, self._lister.now_us() + 1, 0, "s")
        origin = self._order.origin
        return [
            Cell(
                dir=parent.key, name=name, value=value, stamp=stamp, origin=origin, path=parent.path
            )
        ]

    def _reopened(self, stack: list[Frame]) -> bool:
        """Open the last frame again, from the nearest open one above it, proving each step."""
        start = max(i for i, frame in enumerate(stack) if frame.spot.fd >= 0)
        fd = os.dup(stack[start].spot.fd)
        for frame in stack[start + 1 :]:
            try:
                below = os.open(frame.name, OPEN, dir_fd=fd)
            except OSError:
                below = -1
            os.close(fd)
            if below < 0:
                return False
            fd = below
            if self._prober.is_key(fd, frame.spot.key) is None:
                os.close(fd)
                return False
        stack[-1].spot = stack[-1].spot._replace(fd=fd)
        return True


def _kept(
    read: tuple[list[WalkClaim], Frame | None], keep: Keep | None
) -> tuple[list[WalkClaim], Frame | None]:
    claims, frame = read
    if frame is not None and keep is not None:
        frame.kids = [kid for kid in frame.kids if keep(kid)]
    return claims, frame


def _leads_to(parent: Spot, name: bytes, key: Key) -> bool:
    try:
        return os.lstat(name, dir_fd=parent.fd).st_ino == key.ino
    except OSError:
        return False


def _yes() -> bool:
    return True


def _close(frame: Frame) -> None:
    if frame.spot.fd >= 0:
        os.close(frame.spot.fd)
