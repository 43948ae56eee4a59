"""A view that is told batches by the fold, with short ways or with every claim judged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fustor_arbitrator_fs import FSArbitrator
from fustor_view_file import FileView
from fustor_view_file.view import GuardConfig

from fustor_core.claims import PROTOCOL, Batch, Claim, Row
from fustor_core.contracts import Facts, Known, Moment, Verdict
from fustor_core.fold import Fold
from fustor_core.frames import BatchHead, pack_stamps
from fustor_core.testing.sim.replaying import Asked, difference, image

WALL_NS = 2_000_000 * 10**9


def own(ino: int, at: int) -> bytes:
    """Attributes of a directory."""
    return Row(4096, at, at, ino, 0o040755, nlink=2).pack()


class Counting(FSArbitrator):
    """Says how often it was asked."""

    def __init__(self) -> None:
        super().__init__(FSArbitrator.Config())
        self.asked: Counter[str] = Counter()

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        """As the one inherited from does."""
        self.asked[type(claim).__name__] += 1
        return super().judge(known, claim, facts)


class Side:
    """A view that is told batches, by one way of judging."""

    def __init__(
        self, folder: Path, *, asked: bool, budget: int | None, guard: GuardConfig | None = None
    ) -> None:
        self.folder, self.asked = folder, asked
        self.config = FileView.Config(
            memory_budget=budget, mass_delete_guard=guard or GuardConfig()
        )
        self.lsn = self.kept = 0
        self.journal: list[tuple[int, int, int, list[Claim]]] = []
        folder.mkdir()
        self.begin()

    def begin(self) -> None:
        """The process begins."""
        self.arbitrator = Counting()
        self.view = FileView(self.config)
        self.fold = Fold(self.view, Asked(self.arbitrator) if self.asked else self.arbitrator)
        lsn, _ = self.view.open(self.folder, "v")
        for number, now_us, line, claims in self.journal:
            if number > lsn:
                self._fold(number, now_us, line, claims)

    def take(self, now_us: int, line: int, claims: list[Claim]) -> None:
        """One batch."""
        self.lsn += 1
        self.journal.append((self.lsn, now_us, line, claims))
        self._fold(self.lsn, now_us, line, claims)

    def _fold(self, lsn: int, now_us: int, line: int, claims: list[Claim]) -> None:
        stamps = pack_stamps([(c.stamp.f, c.stamp.t) for c in claims])
        head = BatchHead("s", "a", line, now_us, WALL_NS + now_us, [], stamps, proven=True)
        moment = Moment(now_us, WALL_NS + now_us, WALL_NS, now_us, False, 1)
        for _ in self.fold.batch(head, Batch(PROTOCOL, lsn, 1, claims), moment):
            pass

    def checkpoint(self) -> None:
        """All is kept."""
        for step in self.view.checkpoint(self.lsn, b""):
            work = step
        work()

    def again(self) -> None:
        """The process ends and another one begins."""
        self.checkpoint()
        self.crash()

    def crash(self) -> None:
        """The process ends before a checkpoint: another one replays what the last one lacks."""
        self.view.close()
        self.begin()


def same(a: Side, b: Side, *, judged: bool = True) -> None:
    """Nobody can tell one from the other; `judged`: not by how many claims they took either."""
    one, other = a.view.registers, b.view.registers
    assert not difference(image(a.view), image(b.view))
    for what in ("origin", "reason", "errno", "left_out", "gap", "left"):
        assert {k: getattr(d, what) for k, d in one.tree.dirs.items()} == {
            k: getattr(d, what) for k, d in other.tree.dirs.items()
        }, what
    assert {k: list(d.count) for k, d in one.tree.dirs.items()} == {
        k: list(d.count) for k, d in other.tree.dirs.items()
    }
    for what in ("gone", "waiting", "asked"):
        assert getattr(one.tree, what) == getattr(other.tree, what), what
    assert one.tree.contested() == other.tree.contested()
    assert sorted(one.tree.hidden()) == sorted(other.tree.hidden())
    assert len(one.links) == len(other.links)
    assert one.links.sought == other.links.sought
    assert one.sightings.rows() == other.sightings.rows()
    assert one.guard.counts == other.guard.counts
    assert (one.ready, one.alarms) == (other.ready, other.alarms)
    assert one.feed.all() == other.feed.all()
    if judged:
        assert a.fold.judged == b.fold.judged
        assert a.fold.evidence == b.fold.evidence
