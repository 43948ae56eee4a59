"""A view that is told claims by hand, and the recomputation of its tallies."""

from __future__ import annotations

import stat
from collections.abc import Mapping

from fustor_arbitrator_fs import FSArbitrator
from fustor_view_file import FileView, tally
from fustor_view_file.directory import Directory
from fustor_view_file.view import GuardConfig

from fustor_core.claims import (
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Row,
    Stamp,
    edge_row,
    join_names,
)
from fustor_core.contracts import Facts, Moment, Verdict
from fustor_core.registers import Seen

ROOT = Key(0, 1, 0)
S = 1_000_000
NOW_NS = 2_000_000 * 10**9


def file(ino: int, size: int = 10, mtime_s: int = 1_000, nlink: int = 1) -> bytes:
    return Row(
        size, mtime_s * 10**9, mtime_s * 10**9, ino, stat.S_IFREG | 0o644, 0, 0, nlink
    ).pack()


def edge(ino: int) -> bytes:
    return edge_row(Key(0, ino, 0))


class World:
    """A view that is told claims, one batch a call, by one line at growing instants."""

    def __init__(self, **guard: float) -> None:
        options = GuardConfig.model_validate(guard) if guard else GuardConfig()
        self.view = FileView(FileView.Config(mass_delete_guard=options))
        self.arbitrator = FSArbitrator(FSArbitrator.Config())
        self.now_us = 0
        self.storage_ns = NOW_NS
        self._ordinal = 0
        self.view.begin(self.moment())
        self.begin_scan()

    def begin_scan(self) -> None:
        verdict = Verdict(ROOT, b"/", "root", Seen(0, 0, 0, 0, 0, 0, "s"), Origin.AUDIT, scan=True)
        self.view.apply(verdict)

    def end_scan(self) -> None:
        seen = Seen(self.now_us, self.now_us, 0, 0, 0, 0, "s")
        verdict = Verdict(ROOT, b"/", "root", seen, Origin.REALTIME, settles=seen)
        self.view.begin(self.moment())
        self.view.apply(verdict)
        self.view.commit()

    def moment(self) -> Moment:
        return Moment(self.now_us, self.storage_ns, self.storage_ns, self.now_us, False, 1)

    def tell(self, *claims: Claim, after_s: float = 1) -> None:
        self.now_us += int(after_s * S)
        self.begin(*claims)
        self.view.commit()
        check(self.view)

    def begin(self, *claims: Claim) -> None:
        """A batch, but for its end."""
        self.view.begin(self.moment())
        for claim in claims:
            stamp = claim.stamp
            self._ordinal += 1
            at = self._ordinal if stamp.kind in "ew" else self.now_us
            seen = Seen(self.now_us, self.now_us, 1, self.now_us, self.now_us, at, stamp.kind)
            facts = Facts(seen, self.now_us, self.storage_ns)
            assert not isinstance(claim, type(None))
            known = self.view.known(claim.dir)  # type: ignore[union-attr]
            self.view.apply(self.arbitrator.judge(known, claim, facts))
            self.now_us += 1

    @property
    def root(self) -> Directory:
        assert self.view.registers.tree.root is not None
        return self.view.registers.tree.root

    def kinds(self) -> list[tuple[str, bytes, bytes | None]]:
        return [(c.kind, c.path, c.from_path) for c in self.view.registers.feed.all()]


def check(view: FileView) -> None:
    """Every tally equals its recomputation (DESIGN §6: rollups are exact)."""
    tree = view.registers.tree
    for directory in tree.dirs.values():
        files, others, size, newest, touched = tally.of_pack(directory.glance())
        want = [0] * tally.SUMS
        want[tally.FILES], want[tally.OTHERS], want[tally.BYTES] = files, others, size
        want[tally.SUSPECTS] = len(directory.suspects)
        want[tally.BLIND] = len(directory.blind or ())
        want[tally.FROZEN] = len(directory.frozen or ())
        want[tally.GAPS] = 0 if directory.listed or directory.left_out else 1
        want[tally.LEFT_OUT] = int(directory.left_out)
        want[tally.DEBTS] = sum(m.debt for m in directory.own.values()) + directory.disputed
        want[tally.DEBTS] += sum(1 for key, _ in tree.hidden() if key == directory.key)
        for child in tree.children(directory):
            want = [a + b for a, b in zip(want, child.count[: tally.SUMS], strict=True)]
            want[tally.DIRS] += 1
            newest = max(newest, tree.maximum(child, tally.NEWEST_NS))
            touched = max(touched, tree.maximum(child, tally.TOUCHED_NS))
        want[tally.BYTES] = (want[tally.BYTES] + (1 << 63)) % (1 << 64) - (1 << 63)
        assert list(directory.count[: tally.SUMS]) == want, directory
        assert tree.maximum(directory, tally.NEWEST_NS) == newest, directory


def listing(
    ino: int,
    entries: Mapping[bytes, bytes],
    origin: Origin = Origin.SNAPSHOT,
    *,
    complete: bool = True,
    reason: str = "",
) -> Listing:
    names = sorted(entries)
    rows = b"".join(entries[n] for n in names)
    return Listing(
        dir=Key(0, ino, 0),
        names=join_names(names),
        rows=rows,
        stamp=Stamp(0, 0, 0, "l"),
        origin=origin,
        complete=complete,
        reason=reason,
    )


def cell(
    ino: int, name: bytes, value: bytes | None, flags: int = 0, origin: Origin = Origin.REALTIME
) -> Cell:
    kind = "e" if origin is Origin.REALTIME else "s"
    return Cell(
        dir=Key(0, ino, 0),
        name=name,
        value=value,
        stamp=Stamp(0, 0, 0, kind),
        origin=origin,
        flags=flags,
    )


def small_world() -> World:
    """``/a`` 10 B, ``/d/b`` 20 B, ``/d/e/c`` 30 B; all listed."""
    world = World()
    world.tell(
        listing(1, {b"a": file(11, 10), b"d": edge(2)}),
        listing(2, {b"b": file(12, 20), b"e": edge(3)}),
        listing(3, {b"c": file(13, 30)}),
    )
    return world
