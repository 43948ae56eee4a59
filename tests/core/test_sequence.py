"""Numbers of batches: what is fresh, a repeat, underway or a gap."""

from __future__ import annotations

import pytest

from fustor_core.claims import Ack, Owed, path_key
from fustor_core.sequence import REPLIES_KEPT, BatchSequence, Fresh, Gap, Repeat, Underway


def acknowledged(count: int) -> BatchSequence:
    batches = BatchSequence()
    for seq in range(1, count + 1):
        batches = batches.take(seq).acknowledge(Ack(acked=seq, server_time=seq * 10))
    return batches


@pytest.mark.parametrize(
    ("acked", "taken", "seq", "expected"),
    [
        (0, 0, 1, Fresh(1)),
        (0, 0, 2, Gap(1)),
        (0, 0, 0, Gap(1)),
        (0, 0, -1, Gap(1)),
        (3, 3, 4, Fresh(4)),
        (3, 3, 9, Gap(4)),
        (3, 3, 3, Repeat(3, Ack(acked=3, server_time=30))),
        (3, 3, 1, Repeat(1, Ack(acked=1, server_time=10))),
        (3, 4, 4, Underway(4)),
        (3, 4, 5, Fresh(5)),
        (3, 5, 4, Underway(4)),
        (3, 5, 7, Gap(6)),
    ],
)
def test_what_a_number_is(
    acked: int, taken: int, seq: int, expected: Fresh | Repeat | Underway | Gap
) -> None:
    batches = acknowledged(acked)
    for number in range(acked + 1, taken + 1):
        batches = batches.take(number)
    assert batches.check(seq) == expected


def test_a_repeat_gets_the_very_reply_and_one_too_old_gets_the_number() -> None:
    owed = (Owed(path_key(b"/a"), b"/a"),)
    batches = acknowledged(4).take(5).acknowledge(Ack(acked=5, owed=owed))
    assert batches.check(5) == Repeat(5, Ack(acked=5, owed=owed))
    far = acknowledged(REPLIES_KEPT + 2)
    assert len(far.replies) == REPLIES_KEPT
    assert far.check(2) == Repeat(2, Ack(acked=REPLIES_KEPT + 2))
    assert far.check(3) == Repeat(3, Ack(acked=3, server_time=30))


def test_what_is_not_next_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="not the next one, 3"):
        acknowledged(2).take(4)


@pytest.mark.parametrize("seq", [2, 3, 5])
def test_only_the_oldest_taken_batch_can_be_acknowledged(seq: int) -> None:
    batches = acknowledged(2) if seq == 3 else acknowledged(2).take(3).take(4)
    with pytest.raises(ValueError, match="cannot be acknowledged"):
        batches.acknowledge(Ack(acked=seq))


def test_what_the_journal_refused_never_came() -> None:
    batches = acknowledged(2).take(3).take(4)
    assert batches.release() == acknowledged(2)
    assert batches.release().check(3) == Fresh(3)
