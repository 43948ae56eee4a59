"""Finding a registered directory again: by the path it was last seen at, proven by its key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fustor_core.files.identity import Prober, Spot
from fustor_core.files.rooted import RootProof
from fustor_source_fs.tree import Node, Tree

PATH_BYTES = 4000  # of one open; longer paths are walked in pieces


class Finder:
    """Opens registered directories. One for each thread.

    Args:
        proof: of the root. prober: the thread's own. tree: the registry.
    """

    def __init__(self, proof: RootProof, prober: Prober, tree: Tree) -> None:
        self._proof = proof
        self._prober = prober
        self._tree = tree

    @contextmanager
    def root(self) -> Iterator[Spot | None]:
        """The root, open by O_PATH for as long as the block; None when it is not there."""
        spot = self._proof.reopen(self._prober)
        try:
            yield spot
        finally:
            if spot is not None:
                os.close(spot.fd)

    @contextmanager
    def node(self, root: Spot | None, node: Node) -> Iterator[Spot | None]:
        """A directory, open by O_PATH and proven; None when it is not where it was last seen."""
        spot = self._open(root, node) if root is not None else None
        try:
            yield spot
        finally:
            if spot is not None:
                self._prober.close(spot.fd)

    def by(self, prober: Prober) -> Finder:
        """The same, by the calls of another prober of this thread."""
        return Finder(self._proof, prober, self._tree)

    def path(self, node: Node) -> bytes:
        """View path of a directory for people, b"" when it has none."""
        with self._tree.lock:
            return self._tree.path(node) or b""

    def _open(self, root: Spot, node: Node) -> Spot | None:
        path = self.path(node)
        if not path:
            return None
        try:
            fd = open_path(self._prober, root.fd, path)
        except OSError:
            return None
        try:
            dev = self._prober.is_key(fd, node.key)
        except OSError:
            dev = None
        if dev is None:
            self._prober.close(fd)
            return None
        return Spot(fd, node.key, dev, path)

    def __repr__(self) -> str:
        return f"Finder({self._proof!r})"


def open_path(prober: Prober, root: int, path: bytes) -> int:
    """The directory at a view path, by O_PATH; the caller closes it and proves its key.

    Args:
        prober: whose calls are used. root: descriptor of the root directory.

    Raises:
        OSError: it cannot be opened.
    """
    rest = path[1:]
    if len(rest) <= PATH_BYTES:
        return prober.open(rest or b".", root)
    fd = os.dup(root)
    try:
        while rest:
            cut = len(rest) if len(rest) <= PATH_BYTES else rest.rindex(b"/", 0, PATH_BYTES)
            below = prober.open(rest[:cut], fd)
            os.close(fd)
            fd, rest = below, rest[cut + 1 :]
    except OSError:
        os.close(fd)
        raise
    return fd
