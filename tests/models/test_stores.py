"""Packs and rows hold the same: whatever is claimed, kept and read back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from fustor_view_file import FileView, tally
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fustor_core import frames
from fustor_core.claims import (
    PROTOCOL,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Silence,
    Stamp,
    digest_of,
    edge_row,
    pack_rows,
)
from fustor_core.claims import Batch as Claims
from fustor_core.contracts import Moment
from fustor_core.fold import Fold
from fustor_core.testing.rows import RowView
from fustor_core.testing.store import MemoryArbitrator, MemoryView

KEYS = [Key(0, number, 1) for number in range(1, 6)]
ROOT = KEYS[0]
NAMES = [b"a", b"b", b"c", b"\xff\n", b"sub", b"very " * 40]
WALL_NS = 1_700_000_000_000_000_000

keys = st.sampled_from(KEYS)
names = st.sampled_from(NAMES)
files = st.builds(
    lambda size, mtime: Row(size=size, mtime_ns=mtime, ctime_ns=mtime, ino=100 + size).pack(),
    st.integers(0, 3),
    st.integers(0, 2),
)
edges = st.builds(lambda key: edge_row(key, 0o040755), st.sampled_from(KEYS[1:]))
values = st.one_of(files, files, edges)
origins = st.sampled_from([Origin.REALTIME, Origin.SNAPSHOT, Origin.AUDIT, Origin.ON_DEMAND])
silences = st.one_of(
    st.none(), st.builds(Silence, st.integers(0, 1), st.just(1), st.just(1), st.just(2))
)
weak_names = st.lists(names, max_size=2, unique=True)
ago = st.sampled_from([0, 0, 0, 5, 50, 500])
lasts = st.integers(1, 60)
lines = st.integers(1, 3)


class Stores(RuleBasedStateMachine):
    """One view of packs, one of rows; the same batches to both, by the same fold."""

    budget: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="stores-"))
        self.now = 1000
        self.ordinal = self.lsn = 0
        self.batch: list[Claim] = []
        self.rows = RowView(MemoryView.Config())
        self._open()

    def teardown(self) -> None:
        self.packs.close()
        shutil.rmtree(self.folder)

    def _open(self) -> None:
        self.packs = FileView(FileView.Config(memory_budget=self.budget))
        self.position = self.packs.open(self.folder, "v")
        assert not self.packs.damage()
        arbitrator = MemoryArbitrator(MemoryArbitrator.Config())
        self.folds = [Fold(view, arbitrator) for view in (self.packs, self.rows)]

    # ---- claims

    def _stamp(self, kind: str, ago: int, lasts: int) -> Stamp:
        self.now += 10
        self.ordinal += 1
        f = max(0, self.now - ago - lasts)
        at = self.ordinal if kind in "ew" else f if kind == "l" else 0
        return Stamp(f, f + lasts, at, kind)

    @initialize()
    def root(self) -> None:
        """A view has a root before anything else."""
        root = Root(key=ROOT, identity="models", stamp=self._stamp("s", 0, 1))
        self._take([root], 1)

    @rule(key=keys, name=names, value=st.one_of(st.none(), values), origin=origins, line=lines,
          ago=ago, lasts=lasts)  # fmt: skip
    def cell(
        self, key: Key, name: bytes, value: bytes | None, origin: Origin, line: int, ago: int,
        lasts: int,
    ) -> None:  # fmt: skip
        """An event, or a stat."""
        stamp = self._stamp("e" if origin is Origin.REALTIME else "s", ago, lasts)
        self._take([Cell(dir=key, name=name, value=value, stamp=stamp, origin=origin)], line)

    @rule(key=keys, entries=st.dictionaries(names, values), weak=weak_names,
          whole=st.booleans(), silence=silences, line=lines, ago=ago, lasts=lasts,
          twice=st.booleans())  # fmt: skip
    def listing(
        self, key: Key, entries: dict[bytes, bytes], weak: list[bytes], whole: bool,
        silence: Silence | None, line: int, ago: int, lasts: int, twice: bool,
    ) -> None:  # fmt: skip
        """A directory that is read, to its end or not; it may come twice."""
        blobs = pack_rows(entries)
        listing = Listing(
            dir=key, names=blobs[0], rows=blobs[1], stamp=self._stamp("l", ago, lasts),
            origin=Origin.AUDIT, weak=tuple(weak), complete=whole,
            reason="" if whole else "io_error", silence=silence,
        )  # fmt: skip
        for _ in range(1 + twice):
            self._take([listing], line)

    @rule(key=keys, line=lines, true=st.booleans())
    def digest(self, key: Key, line: int, true: bool) -> None:
        """What did not change is sent as a digest."""
        known = self.rows.known(key)
        blobs = known.blobs() if known is not None and true else (b"?", b"")
        stamp = self._stamp("l", 0, 5)
        listing = Listing(
            dir=key, names=b"", rows=b"", stamp=stamp, origin=Origin.AUDIT, digest=digest_of(*blobs)
        )
        self._take([listing], line)

    @rule(key=keys, silence=silences, line=lines)
    def same(self, key: Key, silence: Silence | None, line: int) -> None:
        """A look at the directory alone."""
        if silence is not None:
            stamp = self._stamp("s", 0, 5)
            self._take([Same(dir=key, silence=silence, stamp=stamp, origin=Origin.AUDIT)], line)

    @rule(key=keys, deep=st.booleans(), line=lines)
    def owe(self, key: Key, deep: bool, line: int) -> None:
        """Evidence was lost."""
        stamp = self._stamp("w", 0, 1)
        self._take(
            [Owe(dir=key, deep=deep, reason="overflow", stamp=stamp, origin=Origin.REALTIME)], line
        )

    @rule(child=st.sampled_from(KEYS[1:]), before=keys, after=keys, names=st.tuples(names, names))
    def move(self, child: Key, before: Key, after: Key, names: tuple[bytes, bytes]) -> None:
        """Both halves in one batch."""
        gone, come = self._stamp("e", 0, 1), self._stamp("e", 0, 1)
        told: dict[str, Any] = {"origin": Origin.REALTIME, "flags": 1}
        self._take(
            [
                Cell(dir=before, name=names[0], value=None, stamp=gone, **told),
                Cell(dir=after, name=names[1], value=edge_row(child), stamp=come, **told),
            ],
            1,
        )

    # ---- keeping

    @rule()
    def checkpoint(self) -> None:
        """What is dirty is kept."""
        self.lsn += 1
        *_, work = self.packs.checkpoint(self.lsn, b"meta")
        self.meanwhile()
        work()

    def meanwhile(self) -> None:
        """What happens while a checkpoint is written."""

    @precondition(lambda self: self.lsn)
    @rule()
    def restart(self) -> None:
        """Kept, closed, read back: as it was."""
        self.checkpoint()
        self.packs.close()
        self._open()
        assert self.position == (self.lsn, b"meta")
        self.compare()

    # ---- both

    def moment(self) -> Moment:
        return Moment(self.now, WALL_NS, WALL_NS, self.now, False, 1)

    def _take(self, claims: list[Claim], line: int) -> None:
        stamps = frames.pack_stamps([(c.stamp.f, c.stamp.t) for c in claims])
        head = frames.BatchHead("s", "a", line, self.now, WALL_NS, [], stamps)
        for fold in self.folds:
            for _ in fold.batch(head, Claims(PROTOCOL, 1, 1, claims), self.moment()):
                pass
        self.compare()

    def compare(self) -> None:
        """Every register of every directory; sums, where nothing is in two places."""
        named: list[Key] = []
        for key in KEYS:
            packs, rows = self.packs.known(key), self.rows.known(key)
            heard = rows is not None
            assert (packs is not None) == heard or packs is None or not packs.names()
            if packs is None or rows is None:
                continue
            assert packs.base == rows.base
            assert packs.blobs() == rows.blobs()
            assert packs.digest() == rows.digest()
            assert packs.silent == rows.silent
            assert sorted(packs.own) == sorted(rows.own)
            for name in NAMES:
                a, b = packs.get(name), rows.get(name)
                assert (a and (a.value, a.seen, a.debt)) == (b and (b.value, b.seen, b.debt)), name
            named += [child for _, child in rows.edges()]  # type: ignore[attr-defined]
        if len(set(named)) == len(named) and ROOT not in named:
            self._compare_sums()

    def _compare_sums(self) -> None:
        directory = self.packs.registers.tree.root
        assert directory is not None
        count = directory.count
        found = (count[tally.FILES], count[tally.DIRS], count[tally.BYTES])
        assert found == self.rows.sums(ROOT)


class Pressed(Stores):
    """The same with room for nothing: each pack is put away as soon as nobody holds it."""

    budget = 1

    @rule()
    def put_away(self) -> None:
        """Packs that were looked at are put away."""
        self.packs.flush(1.0)
        for directory in self.packs.registers.tree.dirs.values():
            assert not directory.resident or not directory.glance().rows
        self.compare()

    def meanwhile(self) -> None:
        """Nothing that is still to be written is looked for on the disk."""
        self.put_away()


TestStores = Stores.TestCase
TestPressed = Pressed.TestCase
TestStores.settings = TestPressed.settings = settings(
    max_examples=max(25, settings.default.max_examples // 4), stateful_step_count=30
)
