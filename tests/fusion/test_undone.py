"""What an input that failed has done beside the view is undone with it."""

from __future__ import annotations

import pytest

from fustor_core.claims import BEGINS, WHOLE, Batch, Cell, Claim, Origin, Root, Stamp
from fustor_core.contracts import Moment
from fustor_core.fold import Fold
from fustor_core.frames import Audits, BatchHead, pack_stamps
from fustor_core.testing.store import MemoryView

from .party import ROOT, file
from .test_set_aside import POISON, Touchy


def test_what_a_failed_batch_did_beside_the_view_it_did_not_do() -> None:
    """Also where no checkpoint leads back: its proof of the root, its scan, its evidence."""
    fold = Fold(MemoryView(MemoryView.Config()), Touchy(Touchy.Config()))
    moment = Moment(5, 5, 5, None, True, 0)
    stamp = Stamp(1, 2, 0, "e")

    def batch(seq: int, *claims: Claim) -> tuple[BatchHead, Batch]:
        head = BatchHead("s", "a", 1, seq, 0, [], pack_stamps([(seq, seq)] * len(claims)))
        return head, Batch(1, seq, 1, list(claims))

    def cell(name: bytes) -> Cell:
        return Cell(dir=ROOT, name=name, value=file().pack(), stamp=stamp, origin=Origin.REALTIME)

    root = Root(
        key=ROOT, identity="disk", stamp=stamp, origin=Origin.AUDIT, course=BEGINS, after=b""
    )
    head, failing = batch(1, root, cell(b"a"), cell(POISON))
    with pytest.raises(ZeroDivisionError):
        list(fold.batch(head, failing, moment))
    assert (fold.identity, fold.root) == ("disk", ROOT)
    assert fold.audits.course is not None
    assert fold.evidence
    fold.undone(head)
    assert (fold.identity, fold.root, fold.audits) == ("", None, Audits())
    assert not fold.evidence

    list(fold.batch(*batch(2, root, cell(b"a")), moment))
    kept = fold.identity, fold.root, fold.audits
    told = list(fold.evidence)
    other = Root(key=ROOT, identity="disk", stamp=stamp, origin=Origin.AUDIT, course=WHOLE)
    head, failing = batch(3, other, cell(POISON))
    with pytest.raises(ZeroDivisionError):
        list(fold.batch(head, failing, moment))
    assert fold.audits != kept[2], "the scan was whole"
    fold.undone(head)
    assert (fold.identity, fold.root, fold.audits) == kept
    assert list(fold.evidence) == told
