"""The fold: journalled batches into the view, by the same code live and in replay.

`Fold.batch` is a generator that gives way every `SLICE_ROWS` rows, so that a live server answers
questions between two slices; replay runs it through.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from fustor_core import courses
from fustor_core.admission import usable, without_bad_rows
from fustor_core.arbitration import new_edges, order
from fustor_core.bulk import Bulk
from fustor_core.claims import (
    ROW_BYTES,
    WHOLE,
    Batch,
    Calm,
    Cell,
    Claim,
    Key,
    Listing,
    Many,
    Origin,
    Owe,
    Owed,
    Root,
    Same,
    Silence,
    Stamp,
    Still,
    edge_key,
    edge_row,
    is_dir,
)
from fustor_core.clock import LogicalClock
from fustor_core.contracts import (
    Arbitrator,
    Facts,
    Moment,
    Seeking,
    Verdict,
    View,
)
from fustor_core.contracts.view import Settling
from fustor_core.evidence import Evidence, evidence_of, fresh_ctimes, verdict_of
from fustor_core.frames import Audits, BatchHead, Confirm, Meta, OweLook, unpack_stamps
from fustor_core.owing import places
from fustor_core.registers import NO_LINE, Seen, seen_of
from fustor_core.stills import listing_at

SLICE_ROWS = 1000
CLAIM_ROWS = 10
EDGE_ROWS = 4
STILLS_AT_ONCE = 100
"""What a claim costs by itself, and a directory that hangs somewhere new, in plain rows."""
EVIDENCE_KEPT = 20_000
NO_STAMP = Stamp(0, 0, 0, "s")


@dataclass(slots=True)
class Folded:
    """What a batch did, filled while the fold runs.

    Attributes:
        edges: directories that hang somewhere new, but for those that a first listing of their
            parent has brought.
        over: it is applied whole.
    """

    owed: list[Owed] = field(default_factory=list)
    edges: list[Key] = field(default_factory=list)
    changes: int = 0
    over: bool = False


class Fold:
    """One view's state as the fold over its journal.

    Attributes:
        identity: the proven root's, "" until a first proof. root: its key.
        lag: the logical clock. evidence: the last judgements. judged: how many, by verdict.
        touched: the view may have changed since the present input began.
        at: index of the claim that is being applied, -1 for none.
    """

    def __init__(self, view: View, arbitrator: Arbitrator) -> None:
        self.view = view
        self._settling = view.settling if isinstance(view, Settling) else tuple
        self.arbitrator = arbitrator
        self.identity = ""
        self.root: Key | None = None
        self.lag = LogicalClock()
        self.audits = Audits()
        self.touched, self.at = False, -1
        self._before: tuple[Any, ...] = ()
        self.evidence: deque[Evidence] = deque(maxlen=EVIDENCE_KEPT)
        self.judged: Counter[str] = Counter()
        self._bulk = Bulk(view, arbitrator)

    def batch(
        self, head: BatchHead, batch: Batch, moment: Moment, aside: Collection[int] = ()
    ) -> Iterator[Folded]:
        """Judge and apply a batch, giving way between slices; the last yield is the result.

        Args:
            head: what fusion stamped. batch: the claims. moment: when it arrived.
            aside: indexes of claims that cannot be applied: what they are about is owed.
        """
        done = Folded()
        self.begin(replace(moment, by=head.agent, audit=self.audits.count + 1))
        skipped = frozenset(head.skipped)
        stamps = unpack_stamps(head.stamps)
        bulk, rows, until = self._bulk, 0, 0
        bulk.begin(batch, skipped.union(aside), head.arrival_us, moment.storage_ns)
        for i, claim in enumerate(batch.claims):
            if i < until:  # taken already
                continue
            self.at = i
            if skipped and i in skipped:
                self._quarantine(claim, head)
                continue
            if aside and i in aside:
                continue
            if not isinstance(claim, Listing):
                bulk.end()
            elif not head.refused and (taken := self._listed(i, rows, stamps, head.line)):
                until, rows = i + taken, rows + CLAIM_ROWS * taken
                if rows >= SLICE_ROWS:
                    rows = 0
                    bulk.end()
                    yield done
                continue
            seen = seen_of(claim.stamp, stamps[2 * i], stamps[2 * i + 1], head.line)
            facts = Facts(seen, head.arrival_us, moment.storage_ns)
            if isinstance(claim, Root):
                self._root(claim, seen, head.session)
            elif isinstance(claim, Calm):
                self._calm(claim, facts)
                rows += claim.count
            elif isinstance(claim, Still):
                for _ in self._still(claim, facts, head, batch.seq, done):
                    yield done
            else:
                rows += self._judged(claim, facts, head, batch.seq, done)
            if rows >= SLICE_ROWS:
                rows = 0
                yield done
        self.at = -1
        bulk.end()
        if aside:
            self._owe([batch.claims[i] for i in aside], head.arrival_us)
        for _ in self._settling():
            yield done
        applied = self.view.commit()
        self.audits = courses.passed(self.audits, head.session, batch, skipped)
        for ctime_ns in fresh_ctimes(batch, skipped):
            self.lag.sample(head.wall_ns, ctime_ns)
        done.owed, done.changes, done.over = applied.owed, applied.changes, True
        yield done

    def _listed(self, at: int, rows: int, stamps: Sequence[int], line: int) -> int:
        """Listings from this place on that need no judgement, in what is left of a slice."""
        bulk, self.touched = self._bulk, True
        try:
            taken = bulk.listed(at, max(1, (SLICE_ROWS - rows) // CLAIM_ROWS), stamps, line)
        finally:
            self.at = bulk.at
        if taken:
            self.judged["same"] += taken
        return taken

    def _judged(
        self,
        claim: Cell | Listing | Same | Owe,
        facts: Facts,
        head: BatchHead,
        seq: int,
        done: Folded,
    ) -> int:
        """One claim into the view; returns what that costs, in rows."""
        rows = CLAIM_ROWS
        if isinstance(claim, Listing):
            if head.refused:  # else all rows were found to be good
                claim = without_bad_rows(claim)
            rows += len(claim.rows) // ROW_BYTES
            if claim.via is not None:
                self._via(claim, facts, done)
        verdict = self.arbitrator.judge(self.view.known(claim.dir), claim, facts)
        self._apply(verdict)
        if verdict.writes and (verdict.rule != "first" or isinstance(claim, Cell)):
            done.edges.extend(new_edges(verdict))
        self._remember(claim, verdict, head, seq)
        return rows + EDGE_ROWS * len(verdict.writes)

    def begin(self, moment: Moment) -> None:
        """An input begins; see `undone`."""
        self.mark()
        self.view.begin(moment)

    def mark(self) -> None:
        """From here on `undone` leads back to here."""
        self.touched, self.at = False, -1
        self._before = self.identity, self.root, self.audits

    def _apply(self, verdict: Verdict) -> None:
        self.touched = True
        self.view.apply(verdict)

    def undone(self, head: BatchHead | None) -> None:
        """What the present input did beside the view, it did not do; `head` when it is a batch."""
        self.identity, self.root, self.audits = self._before
        if head is not None:
            place = head.session, head.arrival_us
            kept = [e for e in self.evidence if (e.session, e.at_us) != place]
            self.evidence = deque(kept, maxlen=EVIDENCE_KEPT)

    @contextmanager
    def rewinding(self, meta: Meta | None) -> Iterator[None]:
        """The view is as it was at that checkpoint; what is folded inside was remembered before."""
        kept, self.evidence = self.evidence, deque(maxlen=1)
        self.restore(meta)
        try:
            yield
        finally:
            self.evidence = kept

    def restore(self, meta: Meta | None) -> None:
        """Take over what a checkpoint kept; None: there was none."""
        self.identity, self.root = (meta.identity, meta.root) if meta is not None else ("", None)
        self.lag = LogicalClock(meta.lag if meta is not None else None)
        self.audits = meta.audits if meta is not None else Audits()

    def spare(self, head: BatchHead, batch: Batch, moment: Moment) -> Folded:
        """In place of `batch`, for one that cannot be applied: proofs count, the rest is owed."""
        self.begin(moment)
        now, skipped = head.arrival_us, frozenset(head.skipped)
        for i, claim in enumerate(batch.claims):
            if isinstance(claim, Root) and i not in skipped and claim.present and not self.identity:
                self.identity, self.root = claim.identity, claim.key
                seen = Seen(now, now, NO_LINE, 0, 0, 0, "m")
                self._apply(Verdict(claim.key, b"/", "root", seen, claim.origin))
        self._owe(batch.claims, now)
        return Folded(changes=self.view.commit().changes)

    def _owe(self, claims: Iterable[Claim], now_us: int) -> None:
        """What claims that cannot be applied are about is owed, all of the view if they name none.

        The arbitrator is not asked: it may be what failed.
        """
        seen = Seen(now_us, now_us, NO_LINE, 0, 0, 0, "m")
        found = places(claims)
        if not found and self.root is not None:
            found[self.root] = True
        for key, deep in found.items():
            verdict = Verdict(key, b"", "quarantine", seen, Origin.REALTIME)
            verdict.owe = seen, deep, "quarantine", 0
            self._apply(verdict)

    def _root(self, claim: Root, seen: Seen, session: str) -> None:
        if not claim.present:
            return
        if not self.identity:
            self.identity, self.root = claim.identity, claim.key
        if (claim.identity, claim.key) != (self.identity, self.root):
            return  # another storage: whatever it shows says nothing about this view
        before = self.audits.course
        self.audits = courses.proven(self.audits, claim, session, seen)
        verdict = Verdict(claim.key, b"/", "root", seen, claim.origin)
        verdict.scan = claim.origin in courses.SCANS and claim.course != WHOLE and not claim.after
        if before is not None and self.audits.course is None:
            verdict.settles = seen
        self._apply(verdict)

    def _calm(self, claim: Calm, facts: Facts) -> None:
        """As a `Same` for each directory; one that is as it was held changes nothing."""
        known_of = self.view.known
        for same in claim.each():
            key = cast("Key", same[0])
            known = known_of(key)
            if known is None or known.base is None or known.silent != same[1]:
                told = Same(
                    dir=Key(*key),
                    silence=Silence(*same[1]),
                    stamp=claim.stamp,
                    origin=claim.origin,
                )
                self._apply(self.arbitrator.judge(known, told, facts))

    def _still(
        self, claim: Still, facts: Facts, head: BatchHead, seq: int, done: Folded
    ) -> Iterator[None]:
        """As a listing for each directory; a view takes those by itself that are as it has them."""
        at = 0
        while at < claim.count:
            end = min(at + STILLS_AT_ONCE, claim.count)
            while at < end:
                self.touched = True
                taken = self._bulk.still(claim, at, end, facts.seen)
                self.judged["same"] += taken - at
                if taken < end:
                    self._judged(listing_at(claim, taken), facts, head, seq, done)
                    taken += 1
                at = taken
            yield

    def _via(self, claim: Listing, facts: Facts, done: Folded) -> None:
        """The edge under which the directory was opened, as a stat within the same stamp.

        An edge that is known already is left alone: forgetting a confirmation is always safe.
        """
        assert claim.via is not None
        parent, name = claim.via
        known = self.view.known(parent)
        held = known.get(name) if known is not None else None
        value = held.value if held is not None else None
        if value is not None and is_dir(value) and edge_key(value) == claim.dir:
            return
        if held is not None and order(held.seen, facts.seen) <= 0:
            return
        stat = claim.stamp
        cell = Cell(
            dir=parent,
            name=name,
            value=edge_row(claim.dir),
            stamp=Stamp(stat.f, stat.t, 0, "s"),
            origin=claim.origin,
            path=claim.path,
        )
        seen = seen_of(cell.stamp, facts.seen.lo, facts.seen.hi, facts.seen.line)
        facts = Facts(seen, facts.arrival_us, facts.storage_ns, facts.exact)
        verdict = self.arbitrator.judge(known, cell, facts)
        self._apply(verdict)
        done.edges.extend(new_edges(verdict))

    def _quarantine(self, claim: Claim, head: BatchHead) -> None:
        """A claim that was not taken leaves its directory owed; the root, when it names none.

        Nothing in such a claim is trusted, its stamp neither: what it knew, it knew when it came.
        A scan of a directory that nobody knows has taken nothing away: its edge owes it a listing.
        """
        if isinstance(claim, Root | Many):
            return  # that all was as before: nothing is lost with it
        self.judged["quarantined"] += 1
        key = claim.dir if usable(claim.dir) else self.root
        if key is None:
            return
        known = self.view.known(key)
        if known is None and claim.origin is not Origin.REALTIME:
            return
        now = head.arrival_us
        seen = Seen(now, now, NO_LINE, 0, 0, 0, "m")
        owe = Owe(dir=key, deep=False, reason="quarantine", stamp=NO_STAMP, origin=claim.origin)
        self._apply(self.arbitrator.judge(known, owe, Facts(seen, now, 0)))

    def _remember(self, claim: Claim, verdict: Verdict, head: BatchHead, seq: int) -> None:
        if isinstance(claim, Root | Many):
            return
        told = verdict_of(verdict.rule)
        confirmed = verdict.scan and not verdict.writes
        self.judged["same" if confirmed and told == "accepted" else told] += 1
        if confirmed or (verdict.scan and verdict.rule == "first"):
            return  # this shows in the register's own stamp
        self.evidence.extend(evidence_of(claim, verdict, head, seq))

    def confirm(self, record: Confirm) -> list[dict[str, Any]]:
        """A person's word on frozen removals; returns what it did (path, removes)."""
        if not isinstance(self.view, Seeking):
            return []
        self.begin(self._moment(record.at_us, record.wall_ns))
        self.touched = True
        done = self.view.confirm(record.path, reject=record.reject)
        self.view.commit()
        return done

    def owe(self, record: OweLook) -> bool:
        """A fresh look that was asked for; False when there is no such directory."""
        if not isinstance(self.view, Seeking):
            return False
        self.begin(self._moment(record.at_us, record.wall_ns))
        self.touched = True
        stamp = Seen(record.at_us, record.at_us, NO_LINE, 0, 0, 0, "m")
        found = self.view.owe(record.path, stamp, deep=record.deep)
        self.view.commit()
        return found

    def _moment(self, at_us: int, wall_ns: int) -> Moment:
        return Moment(at_us, wall_ns, self.lag.watermark(wall_ns), None, True, 0)

    def forget(self, keys: list[Key]) -> None:
        """Drop unseated directories (a journalled decision)."""
        self.mark()
        self.touched = True
        if isinstance(self.view, Seeking):
            self.view.forget(keys)
