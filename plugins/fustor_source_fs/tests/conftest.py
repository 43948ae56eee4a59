"""A live source on a real directory, its claims folded naively, and the tree as the oracle."""

from __future__ import annotations

import asyncio
import operator
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource

from fustor_core.claims import (
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Row,
    edge_key,
    is_dir,
    split_names,
    unpack_row,
)
from fustor_core.contracts import Scope
from fustor_core.files.listing import row_of

from .mounts import need_marks, run

DEADLINE_S = 20.0
ROW_BYTES = 48
Value = bytes | None


class Fold:
    """Registers by (directory key, name): the value whose look ended last. Enough for one host."""

    def __init__(self) -> None:
        self.registers: dict[tuple[Key, bytes], tuple[int, Value]] = {}
        self.bases: dict[Key, tuple[int, set[bytes]]] = {}
        self.incomplete: dict[Key, str] = {}
        self.owed: list[Owe] = []

    def add(self, claim: Any) -> None:
        """Take one claim."""
        if isinstance(claim, Cell):
            self._put(claim.dir, claim.name, claim.value, claim.stamp.t)
        elif isinstance(claim, Listing):
            self._listing(claim)
        elif isinstance(claim, Owe):
            self.owed.append(claim)

    def _put(self, key: Key, name: bytes, value: Value, t: int) -> None:
        known = self.registers.get((key, name))
        if known is None or known[0] <= t:
            self.registers[key, name] = (t, value)

    def _listing(self, claim: Listing) -> None:
        names, t = split_names(claim.names), claim.stamp.t
        for i, name in enumerate(names):
            if name not in claim.weak or (claim.dir, name) not in self.registers:
                row = claim.rows[i * ROW_BYTES : (i + 1) * ROW_BYTES]
                self._put(claim.dir, name, row, t)
        if claim.own is not None:
            self._put(claim.dir, b"", claim.own, t)
        if not claim.complete:
            self.incomplete.setdefault(claim.dir, claim.reason)
            return
        self.incomplete.pop(claim.dir, None)
        self.bases[claim.dir] = (t, set(names))
        for key, name in list(self.registers):
            if key == claim.dir and name and name not in names and name not in claim.weak:
                self._put(key, name, None, t)

    def names(self, key: Key) -> dict[bytes, bytes]:
        """Present names of a directory."""
        return {
            name: value
            for (dir_, name), (_, value) in self.registers.items()
            if dir_ == key and name and value is not None
        }

    def paths(self, root: Key) -> dict[Key, bytes]:
        """View path of each directory that is shown."""
        found: dict[Key, bytes] = {root: b"/"}
        stack = [root]
        while stack:
            key = stack.pop()
            for name, value in self.names(key).items():
                if is_dir(value) and edge_key(value) not in found:
                    found[edge_key(value)] = found[key].rstrip(b"/") + b"/" + name
                    stack.append(edge_key(value))
        return found

    def tree(self, root: Key) -> dict[bytes, bytes]:
        """What is shown: rows by view path; a directory's row is its own attributes."""
        by_dir: dict[Key, dict[bytes, bytes]] = {}
        for (key, name), (_, value) in self.registers.items():
            if value is not None:
                by_dir.setdefault(key, {})[name] = value
        shown: dict[bytes, bytes] = {}
        stack = [(b"", root)]
        met: set[Key] = set()  # half of a move may be told: then a directory holds itself
        while stack:
            prefix, key = stack.pop()
            if key in met:
                continue
            met.add(key)
            for name, value in by_dir.get(key, {}).items():
                path = prefix + b"/" + name
                if not name:
                    shown[prefix or b"/"] = value
                elif is_dir(value):
                    shown.setdefault(path, b"never listed")
                    stack.append((path, edge_key(value)))
                else:
                    shown[path] = value
        return shown


def truth(root: Path) -> dict[bytes, bytes]:
    """The same of the real tree, by lstat."""
    shown: dict[bytes, bytes] = {}
    top = os.fsencode(root)
    stack = [b""]
    while stack:
        prefix = stack.pop()
        shown[prefix or b"/"] = row_of(os.lstat(top + prefix))
        for name in os.listdir(top + prefix):
            path = prefix + b"/" + name
            st = os.lstat(top + path)
            if stat.S_ISDIR(st.st_mode):
                stack.append(path)
            else:
                shown[path] = row_of(st)
    return shown


class Live:
    """A source that is scanned and watched, and everything that it claimed."""

    def __init__(self, source: FsSource, root: Path) -> None:
        self.source = source
        self.root = root
        self.fold = Fold()
        self.claims: list[Any] = []
        self.batches: list[list[Any]] = []
        self.root_key = Key(0, 0, 0)
        self.served = 0
        self._news = asyncio.Event()
        self._error: BaseException | None = None

    async def scan(self, scope: Scope | None = None) -> list[Any]:
        """Scan, fold and return the claims of the scan."""
        claims = [claim async for claim in self.source.scan(scope or Scope())]
        for claim in claims:
            self.fold.add(claim)
        return claims

    async def take(self, batches: AsyncIterator[list[Any]]) -> None:
        """Take what the watcher says, until cancelled."""
        try:
            async for batch in batches:
                self.batches.append(batch)
                self.claims += batch
                for claim in batch:
                    self.fold.add(claim)
                self._news.set()
        except BaseException as err:
            self._error = err
            self._news.set()
            raise

    def forget(self) -> None:
        """Forget the claims so far, not what they say."""
        self.claims.clear()
        self.batches.clear()

    async def until(self, there: Callable[[], Any], *, serve: bool = False) -> Any:
        """Wait for something to hold; fails after the deadline, showing the claims.

        Args:
            serve: scan what is owed meanwhile, as an engine does.
        """
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not (found := there()):
                    if self._error is not None:
                        raise self._error
                    self._news.clear()
                    if serve:
                        await self.serve()
                    try:
                        async with asyncio.timeout(0.05):  # the tree may change by itself too
                            await self._news.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            told = "\n".join(map(str, self.claims[-6:]))
            pytest.fail(f"did not come; the last claims:\n{told}")
        return found

    async def settled(self) -> None:
        """Wait until what was claimed equals the tree, in every field."""

        def both() -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
            return self.fold.tree(self.root_key), truth(self.root)

        try:
            await self.until(lambda: operator.eq(*both()), serve=True)
        except pytest.fail.Exception:
            owed = "\n".join(map(str, self.fold.owed))
            pytest.fail(f"{difference(*both())}\nowed:\n{owed}", pytrace=False)

    async def serve(self) -> None:
        """Scan what is owed, as an engine does."""
        owed, self.fold.owed = self.fold.owed, []
        for owe in owed:
            path = self.fold.paths(self.root_key).get(owe.dir)
            if path is not None:
                self.served += 1
                await self.scan(Scope(path, owe.deep, Origin.ON_DEMAND))

    def cells(self, name: bytes) -> list[Cell]:
        """All cells of the watcher about a name."""
        return [c for c in self.claims if isinstance(c, Cell) and c.name == name]

    def cell(self, name: bytes) -> Cell | None:
        """The last of them."""
        cells = self.cells(name)
        return cells[-1] if cells else None

    def listings(self, path: bytes) -> list[Listing]:
        """All listings of the watcher of a directory."""
        return [c for c in self.claims if isinstance(c, Listing) and c.path == path]

    def key(self, path: str) -> Key:
        """Key of the directory at a path below the root, as the claims have it."""
        key = self.root_key
        for name in Path(path).parts:
            key = edge_key(self.fold.names(key)[name.encode()])
        return key


def difference(view: dict[bytes, bytes], tree: dict[bytes, bytes]) -> str:
    """What a test prints when the two differ."""
    lines = []
    for path in sorted(set(view) | set(tree)):
        if view.get(path) != tree.get(path):
            both = [_shown(view.get(path)), _shown(tree.get(path))]
            lines.append(f"{path!r}\n  claimed {both[0]}\n  is      {both[1]}")
    return "\n".join(lines[:20])


def _shown(row: bytes | None) -> Row | bytes | None:
    return unpack_row(row) if row is not None and len(row) == ROW_BYTES else row


@pytest.fixture
def mounted() -> Iterator[Callable[..., None]]:
    """`mounted(path, *words)`: `mount` with these words, on a directory that is made."""
    places: list[Path] = []

    def mount(at: Path, *words: str | Path) -> None:
        at.mkdir(exist_ok=True)
        if not run("mount", *words, at):
            pytest.skip(f"nothing can be mounted here: {words}")
        places.append(at)

    yield mount
    for at in reversed(places):
        run("umount", at)


@pytest.fixture(params=["inotify", "fanotify"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """How changes are heard of."""
    if request.param == "fanotify":
        need_marks(tmp_path)
    return str(request.param)


@pytest.fixture
def live(way: str) -> Any:
    """`async with live(root, **config) as it`: scanned, watched, and claims taken."""

    @asynccontextmanager
    async def start(root: Path, *, scan: bool = True, **config: Any) -> AsyncIterator[Live]:
        config.setdefault("watch", way)
        source = FsSource(FsConfig(root=str(root), **config))
        it = Live(source, root)
        it.root_key = (await source.identity()).key
        async with source.watch() as batches:
            taker = asyncio.create_task(it.take(batches))
            try:
                if scan:
                    await it.scan()
                yield it
            finally:
                taker.cancel()
                await asyncio.wait([taker])

    return start


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory to be watched, with a neighbour outside (`root.parent`)."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="fustor-") as path:
        os.chmod(path, 0o755)
        yield Path(path)


@pytest.fixture
def in_child() -> Callable[[Callable[[], None], Callable[[], str]], str]:
    """`in_child(prepare, work)`: what `work` returns in a forked child that was prepared first."""

    def run(prepare: Callable[[], None], work: Callable[[], str]) -> str:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            said = ""
            try:
                prepare()
                said = work()
            finally:
                said = said or f"the child failed: {sys.exc_info()[1]!r}"
                os.write(writing, said.encode())
                os._exit(0)
        os.close(writing)
        with open(reading, encoding="utf-8") as file:
            said = file.read()
        os.waitpid(child, 0)
        return said

    return run


@pytest.fixture
def naive() -> type[Fold]:
    """The naive fold, for claims that come without a watcher."""
    return Fold


@pytest.fixture
def tree_of() -> Callable[[Path], dict[bytes, bytes]]:
    """The oracle."""
    return truth
