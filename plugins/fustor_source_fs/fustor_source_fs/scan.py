"""One scan: a thread that walks, and the bounded way by which its listings reach the pipe."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from fustor_core.claims import ROW_BYTES, Key, Listing, Silence
from fustor_core.contracts import Scope
from fustor_core.errors import FustorError
from fustor_core.files.identity import Spot
from fustor_core.files.listing import Lister, Stopped
from fustor_core.files.rooted import RootProof
from fustor_source_fs.book import Book, Writer
from fustor_source_fs.channel import Channel
from fustor_source_fs.links import Links
from fustor_source_fs.priority import Priority
from fustor_source_fs.review import Review
from fustor_source_fs.walk import Order, Walk, WalkClaim
from fustor_source_fs.watch import Watcher

CHUNK_ROWS = 10_000
CHUNK_S = 0.05
ROOM_ROWS = 60_000  # read ahead of the pipe; then the scan waits
CLAIM_WEIGHT = 4  # of the row budget, beside the rows
JOIN_S = 5.0


class Scan:
    """Scans one scope in a thread of its own. Made on the event loop.

    Args:
        scope: what to scan. proof: of the root, before and after.
        lister: for the scan's own thread. watcher: arms what is listed; None when nothing watches.
        left_out: told (view path, reason) of directories left out by choice.
        book: what the last whole scan has found. priority: of the scan's thread.

    Attributes:
        book: what this one has found, when it was whole and its claims are remembered.
    """

    def __init__(
        self,
        scope: Scope,
        proof: RootProof,
        make_lister: Callable[[Callable[[], int], Callable[[], bool]], Lister],
        watcher: Watcher | None,
        left_out: Callable[[bytes, str], None],
        book: Book | None = None,
        priority: Priority | None = None,
    ) -> None:
        self._scope = scope
        self._priority = priority or Priority()
        self._proof = proof
        self._before = book
        self.book: Book | None = None
        self._writer: Writer | None = None
        self._all_written = not scope.after
        whole = scope.path == b"/" and scope.recursive
        if whole and scope.recall is not None:
            self._writer = Writer(scope.recall)
        self._watcher = watcher
        self.chunks: Channel[list[WalkClaim]] = Channel(ROOM_ROWS)
        self._lister = make_lister(scope.now_us, lambda: self.chunks.closed)
        links = watcher.links if watcher is not None else Links()
        order = Order(
            scope.origin,
            recursive=scope.recursive,
            scope=scope,
            changed=watcher.changed if watcher is not None else _unwatched,
            left_out=left_out,
            found=self._writer.add if self._writer is not None else _unwritten,
        )
        tree = watcher.tree if watcher is not None else None
        self._walk = Walk(self._lister, tree, links, order)
        self._thread = threading.Thread(target=self._run, name="fustor-scan", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End at once; what was read and not taken is thrown away."""
        self.chunks.close()

    @property
    def alive(self) -> bool:
        """Whether its thread has not ended yet."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread is over; not for ever, a look may hang."""
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        failure: BaseException | None = None
        self._priority.take()
        try:
            self._scan()
        except Stopped:
            pass
        except (OSError, FustorError) as err:
            failure = err
        finally:
            self.chunks.end(failure or sys.exc_info()[1])

    def _scan(self) -> None:
        prober, watcher = self._lister.prober, self._watcher
        top = self._proof.open(prober)
        try:
            visit = 0
            if watcher is not None:
                watcher.arm_root(prober)
                with watcher.tree.lock:
                    watcher.tree.visits += 1
                    visit = watcher.tree.visits
            names = [name for name in self._scope.path.split(b"/") if name]
            if names:
                node = watcher.tree.root if watcher is not None else None
                claims = self._walk.below(top, node, names)
            else:
                claims = self._whole(top)
            if not self._hand_over(claims):
                return
        finally:
            os.close(top.fd)
        os.close(self._proof.open(prober).fd)  # still the same storage, else all of it is void
        if self._writer is not None and self._all_written:
            self.book = self._writer.book()
        if watcher is not None:
            met = self._scope.recursive and not names and not self._scope.after
            watcher.scan_over(prober, visit if met else 0)

    def _whole(self, top: Spot) -> Iterator[WalkClaim]:
        """Everything; by the book where that holds and not every file is looked at."""
        scope, book, writer = self._scope, self._before, self._writer
        if book is None or writer is None or not book.holds(scope.recall) or scope.tier == "full":
            return self._walk.root(top)
        self._all_written = True  # what it does not look at stands in it as before
        tree = self._watcher.tree if self._watcher is not None else None
        return Review(book, self._walk, self._lister, tree, scope, writer).claims(top)

    def _hand_over(self, claims: Iterator[WalkClaim]) -> bool:
        """Pass on in chunks, the first ones soon; False when nobody takes them any more."""
        chunk: list[WalkClaim] = []
        weight, until = 0, time.monotonic() + CHUNK_S
        for claim in claims:
            chunk.append(claim)
            weight += CLAIM_WEIGHT
            if type(claim) is Listing:
                weight += len(claim.rows) // ROW_BYTES
            if weight >= CHUNK_ROWS or time.monotonic() >= until:
                if not self.chunks.put(chunk, weight):
                    return False
                chunk, weight, until = [], 0, time.monotonic() + CHUNK_S
        return not chunk or self.chunks.put(chunk, weight)

    def __repr__(self) -> str:
        return f"Scan({self._scope.path!r}, {self.chunks!r})"


def _unwritten(path: bytes, key: Key, silence: Silence | None, dev: int) -> None:
    """Nobody compares anything with a part of the tree."""


def _unwatched(node: object, took_us: int) -> None:
    """Nobody watches, so nobody lists again by himself."""
