"""The watcher: a thread that reads, a thread that looks, and the claims that come of it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from fustor_core.contracts import boottime_us
from fustor_core.errors import FustorError
from fustor_core.files.identity import Prober
from fustor_core.files.inotify import Chunk, Ears, Reader, watch_limit
from fustor_core.files.listing import Lister, Stopped
from fustor_core.files.rooted import RootProof, RootVanished
from fustor_source_fs.agenda import Agenda, WatchClaim, owe
from fustor_source_fs.channel import Channel
from fustor_source_fs.events import Drain, Touch, fold
from fustor_source_fs.finding import Finder
from fustor_source_fs.links import Links
from fustor_source_fs.resolve import Resolver
from fustor_source_fs.tree import NO_WATCH, Node, Tree

PAIRING_US = 30_000  # the other half of a move comes within this, or it left the watched tree
LOOSE_US = 2 * PAIRING_US
SEARCH_SHARE = 10  # at most one part in this many of the time goes into looking for hard links
OUT_CLAIMS_MAX = 100_000  # waiting to be taken; then events are left to gather
NAMED_MAX = 1000  # paths given out by `coverage`
ASK_S = 0.05  # the event loop waits no longer for the registry
JOIN_S = 5.0
_REMOVED_AT_ONCE = 2000
_IDLE_S = 3600.0


class Watcher:
    """Watches one tree.

    Args:
        ears: what hears of changes; the watcher's from now on.
        proof: of the root. lister: for the watcher's own thread.
        out: where lists of claims go.
        left_out: told (view path, reason) of directories left out by choice.
    """

    def __init__(
        self,
        ears: Ears,
        proof: RootProof,
        lister: Lister,
        out: Channel[list[WatchClaim]],
        left_out: Callable[[bytes, str], None],
    ) -> None:
        self._proof = proof
        self._prober = lister.prober
        self._out = out
        self._ears = ears
        self.tree = Tree(ears)
        self.links = Links()
        self._finder = Finder(proof, lister.prober, self.tree)
        self._agenda = Agenda(self._finder, lister, self.tree, self.links, left_out)
        self._resolver = Resolver(proof, self._finder, lister, self.tree, self.links)
        self._reader = Reader(ears, self._stir, self.tree.by_wd)
        self._stirred = threading.Event()
        self._closing = False
        self._held: list[Touch] = []
        self._halves: dict[int, tuple[Node, Touch, int]] = {}
        self._loose: dict[Node, int] = {}
        self._search_at_us = 0
        self._said: dict[str, Any] = {
            "watched_dirs": 0,
            "watch_limit": watch_limit(),
            "uncovered": [b"/"],
            "uncovered_dirs": 0,
            "watched_by": ears.way,
            "watched_why": ears.why,
            "warnings": [],
        }
        self._thread = threading.Thread(target=self._run, name="fustor-watch", daemon=True)

    def start(self) -> None:
        """Watch the root, if it is there, and begin."""
        self.arm_root(self._prober)
        self._reader.start()
        self._thread.start()

    def arm_root(self, prober: Prober) -> None:
        """Watch the root directory unless it is watched or cannot be found."""
        with self.tree.lock:
            if self.tree.root is not None:
                return
        try:
            spot = self._proof.open(prober)
        except RootVanished:
            return  # identity and scan say so; the next scan arms it
        try:
            with self.tree.lock:
                self.tree.cover(spot.fd, spot.key, None, b"", lambda: True)
        finally:
            os.close(spot.fd)

    def close(self) -> None:
        """End both threads and give all watches back."""
        self._closing = True
        self._out.close()
        self._stir()
        self._reader.close()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)
        self._ears.close()
        with self.tree.lock:
            self.tree.clear()

    def cover(self, path: bytes) -> None:
        """Watch and list what is new along a view path, and below it."""
        self._agenda.cover(path)
        self._stir()

    def changed(self, node: Node, took_us: int) -> None:
        """A scan met a directory that would not hold still: it is listed again soon."""
        self._agenda.again(node, took_us)
        self._stir()

    def scan_over(self, prober: Prober, visit: int) -> None:
        """A scan came to its end; drop directories that it did not meet, unless they are there.

        Args:
            prober: of the calling thread.
            visit: number of that scan when it was one of the whole tree, else 0.
        """
        self.links.scan_over(boottime_us())
        self._stir()
        finder = Finder(self._proof, prober, self.tree)
        with self.tree.lock:
            doubtful = [n for n in self.tree.by_key.values() if n.visit < visit]
        with finder.root() as root:
            for node in doubtful if root is not None else ():
                with finder.node(root, node) as spot:
                    if spot is not None:
                        continue
                with self.tree.lock:
                    lost = not node.gone and node.parent is not None
                    dropped = self.tree.drop(node) if lost else []
                self._forget(dropped)

    def coverage(self) -> dict[str, Any]:
        """How well the tree is watched; `uncovered_dirs` counts all, `uncovered` names the tops.

        Called on the event loop. The registry is held while a directory is looked at, which may
        hang: then what was said last is said again.
        """
        if not self.tree.lock.acquire(timeout=ASK_S):
            return self._said
        try:
            missing = self.tree.uncovered
            tops = [node for node in missing if node.parent not in missing]
            paths = [p for n in tops[:NAMED_MAX] if (p := self.tree.path(n)) is not None]
            watched, uncovered = len(self.tree.by_wd), len(missing)
            if self.tree.root is None:
                paths = [b"/"]
        finally:
            self.tree.lock.release()
        self._said = {
            "watched_dirs": watched,
            "watch_limit": watch_limit() if self._ears.way == "inotify" else None,
            "uncovered": sorted(paths),
            "uncovered_dirs": uncovered,
            "watched_by": self._ears.way,
            "watched_why": self._ears.why,
            "warnings": [self._ears.warning] if self._ears.warning else [],
        }
        return self._said

    def _stir(self) -> None:
        self._stirred.set()

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            while not self._closing:
                self._turn()
        except Stopped:
            pass
        except (OSError, FustorError) as err:
            failure = err
        finally:
            self._agenda.close()
            self._out.end(failure or sys.exc_info()[1])

    def _turn(self) -> None:
        """Wait for something to do, do a piece of it, hand over what came of it."""
        if self._out.full:
            self._out.wait_for_room(0.5)
            return
        if not self._agenda.busy:
            self._stirred.wait(self._idle_s())
        self._stirred.clear()
        chunks = self._reader.take()
        now = boottime_us()
        claims = self._drain(chunks, now) if chunks or self._held else []
        self._drop_loose(now)
        claims += self._agenda.piece()
        due_us = self.links.due_us()
        search = due_us is not None and max(due_us, self._search_at_us) <= now
        claims += self._resolver.look_at_links(now, search=search)
        if search:
            end_us = boottime_us()
            self._search_at_us = end_us + SEARCH_SHARE * (end_us - now)
        if claims:
            self._out.put(claims, len(claims))

    def _idle_s(self) -> float:
        """Seconds until something is due by itself."""
        due = [*self._agenda.due_us(), *self._resolver.due_us()]
        due += self._loose.values()
        due += (until for _, _, until in self._halves.values())
        due += (touch.until_us for touch in self._held if touch.until_us)
        search_us = self.links.due_us()
        if search_us is not None:
            due.append(max(search_us, self._search_at_us))
        if not due:
            return _IDLE_S
        return max(0.0, (min(due) - boottime_us()) / 1e6)

    def _drain(self, chunks: list[Chunk], now: int) -> list[WatchClaim]:
        """Claims of what was read."""
        drain = Drain()
        for touch in self._held:
            drain.touched[touch.node, touch.name] = touch
        with self.tree.lock:
            drain.halves = {c: (child, t) for c, (child, t, _) in self._halves.items()}
            for chunk in chunks:
                drain.lost = drain.lost or chunk.lost
                events = self._ears.events(chunk.data, self.tree.by_wd)
                fold(self.tree, drain, events, chunk.since_us)
            if drain.lost and self._ears.overrun(now):
                self.tree.deafen()
        self._halves = self._due_halves(drain, now)
        self._forget(drain.dropped)
        outcome = self._resolver.resolve(drain, {t for _, t, _ in self._halves.values()})
        self._held = outcome.held
        for node, reason in drain.owed.items():
            outcome.owe(node.key, self._finder.path(node), reason, deep=True)
        claims = outcome.all()
        if drain.lost and self._proof.key is not None:
            claims.append(owe(self._proof.key, b"/", "overflow", deep=True))
        for node, name in outcome.enter:
            self._agenda.enter(node, name)
        for node, name in outcome.relist:
            self._agenda.enter(node, name, fresh=False)
        return claims

    def _due_halves(self, drain: Drain, now: int) -> dict[int, tuple[Node, Touch, int]]:
        """Halves of moves whose other half may still come, and until when."""
        before, halves = self._halves, {}
        for cookie, (child, touch) in drain.halves.items():
            until = before[cookie][2] if cookie in before else now + PAIRING_US
            if until > now and not child.gone:
                halves[cookie] = (child, touch, until)
        return halves

    def _drop_loose(self, now: int) -> None:
        """Forget directories that left the tree, once nobody can say any more where to."""
        with self.tree.lock:
            loose = self.tree.loose
            self._loose = {node: self._loose.get(node, now + LOOSE_US) for node in loose}
            over = [node for node, until in self._loose.items() if until <= now]
            dropped = [each for node in over if not node.gone for each in self.tree.drop(node)]
        for node in over:
            del self._loose[node]
        self._forget(dropped)

    def _forget(self, dropped: list[Node]) -> None:
        """Give back what belonged to directories that left the registry."""
        self.links.dropped(dropped)
        wds = [node.wd for node in dropped if node.wd != NO_WATCH]
        for start in range(0, len(wds), _REMOVED_AT_ONCE):
            for wd in wds[start : start + _REMOVED_AT_ONCE]:
                self._ears.remove(wd)
            if self._reader.pull():  # each removal is an event: they must not fill the queue
                self._stir()  # others may have come along, and nobody else tells of them
        for node in dropped:
            self._agenda.forget(node)

    def __repr__(self) -> str:
        return f"Watcher({self.tree!r}, {self._agenda!r}, closing={self._closing})"
