"""Opening a broken journal: the good prefix stays, the rest is set aside and reported."""

from __future__ import annotations

import errno
import shutil
import zlib
from pathlib import Path

import pytest

from fustor_core.errors import StateError
from fustor_core.journal import Journal, recovery
from fustor_core.journal.frames import FRAME, HEADER, pack_header, segment_name

PAYLOAD = b"0123456789" * 3
FRAME_BYTES = FRAME.size + len(PAYLOAD)
PER_SEGMENT = 4
COUNT = 3 * PER_SEGMENT


def fill(folder: Path, count: int = COUNT) -> None:
    """Frames 1…count, `PER_SEGMENT` in each file."""
    size = HEADER.size + PER_SEGMENT * FRAME_BYTES
    with Journal.open(folder, segment_bytes=size) as journal:
        for _ in range(count):
            journal.append(7, PAYLOAD)
            journal.sync()


def numbers(journal: Journal, after: int = 0) -> list[int]:
    return [lsn for lsn, _, _ in journal.replay(after)]


def flip(path: Path, offset: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= bit
    path.write_bytes(data)


def segment(folder: Path, number: int) -> Path:
    """The file that holds frames ``number * PER_SEGMENT + 1 …``."""
    return folder / segment_name(number * PER_SEGMENT + 1)


def test_a_tail_torn_at_any_byte_is_cut(tmp_path: Path) -> None:
    fill(tmp_path / "whole", PER_SEGMENT)
    data = segment(tmp_path / "whole", 0).read_bytes()
    for end in range(len(data) - FRAME_BYTES, len(data)):
        folder = tmp_path / f"torn-{end}"
        folder.mkdir()
        (folder / segment_name(1)).write_bytes(data[:end])
        with Journal.open(folder) as journal:
            assert numbers(journal) == list(range(1, PER_SEGMENT))
            assert journal.recovery.damage == ()
            torn = journal.recovery.torn
            if end == len(data) - FRAME_BYTES:
                assert torn is None
            else:
                assert torn is not None
                assert torn.offset == len(data) - FRAME_BYTES
                assert torn.bytes == end - torn.offset
            assert journal.append(1, b"again") == PER_SEGMENT
            journal.sync()
        with Journal.open(folder) as journal:
            assert journal.recovery.torn is None
            assert numbers(journal) == list(range(1, PER_SEGMENT + 1))


def test_a_torn_tail_of_zeros_or_old_bytes_is_cut(tmp_path: Path) -> None:
    for name, rest in {"zeros": bytes(9000), "garbage": b"\xff\x01" * 3000}.items():
        folder = tmp_path / name
        fill(folder, 3)
        with open(folder / segment_name(1), "ab") as stream:
            stream.write(rest)
        with Journal.open(folder) as journal:
            assert journal.recovery.torn is not None
            assert journal.recovery.torn.bytes == len(rest)
            assert numbers(journal) == [1, 2, 3]


@pytest.mark.parametrize("size", [0, 1, HEADER.size - 1, HEADER.size])
def test_a_segment_whose_making_was_interrupted(tmp_path: Path, size: int) -> None:
    fill(tmp_path, PER_SEGMENT)
    header = pack_header(PER_SEGMENT + 1, PER_SEGMENT)
    segment(tmp_path, 1).write_bytes(header[:size])
    with Journal.open(tmp_path) as journal:
        assert journal.recovery.whole
        assert numbers(journal) == list(range(1, PER_SEGMENT + 1))
        assert journal.append(1, b"x") == PER_SEGMENT + 1
        journal.sync()
    with Journal.open(tmp_path) as journal:
        assert journal.recovery.torn is None
        assert numbers(journal) == list(range(1, PER_SEGMENT + 2))


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """In each byte of the middle segment: nothing wrong is replayed, nothing goes unsaid."""
    fill(tmp_path / "good")
    whole = segment(tmp_path / "good", 1).read_bytes()
    for offset in range(HEADER.size, len(whole)):
        folder = tmp_path / "work"
        shutil.copytree(tmp_path / "good", folder)
        flip(segment(folder, 1), offset, 1 << (offset % 8))
        lost = PER_SEGMENT + 1 + (offset - HEADER.size) // FRAME_BYTES
        with Journal.open(folder) as journal:
            assert numbers(journal) == list(range(1, lost))
            assert all(bytes(payload) == PAYLOAD for _, _, payload in journal.replay())
            (loss,) = journal.recovery.damage
            assert (loss.first_lsn, loss.last_lsn, loss.needed) == (lost, lost, True)
            assert not journal.recovery.whole
            good = (lost - 1 - PER_SEGMENT) * FRAME_BYTES
            cut = HEADER.size + good if good else 0
            kept = sum(path.stat().st_size for path in loss.set_aside)
            assert kept == len(whole) - cut + len(whole)
            assert all(path.suffix == ".damaged" for path in loss.set_aside)
        shutil.rmtree(folder)


def test_a_flipped_bit_in_a_header_costs_no_frame(tmp_path: Path) -> None:
    for offset in range(HEADER.size):
        folder = tmp_path / f"at-{offset}"
        fill(folder)
        flip(segment(folder, 1), offset)
        with Journal.open(folder) as journal:
            assert journal.recovery.whole
            assert numbers(journal) == list(range(1, COUNT + 1))


def test_numbers_are_never_given_twice_after_damage(tmp_path: Path) -> None:
    fill(tmp_path)
    flip(segment(tmp_path, 1), HEADER.size + 3)
    for start in (COUNT + 1, COUNT + 2):
        with Journal.open(tmp_path) as journal:
            assert not journal.recovery.whole, "reported until the checkpoint has passed it"
            assert journal.append(1, b"new") == start
            journal.sync()
    with Journal.open(tmp_path) as journal:
        assert numbers(journal) == [*range(1, PER_SEGMENT + 1), COUNT + 1, COUNT + 2]
    with Journal.open(tmp_path, after=COUNT) as journal:
        assert journal.recovery.damage == ()
        assert numbers(journal, COUNT) == [COUNT + 1, COUNT + 2]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_missing_segment(tmp_path: Path, lost: int) -> None:
    fill(tmp_path)
    segment(tmp_path, lost).unlink()
    with Journal.open(tmp_path, after=0) as journal:
        (loss,) = journal.recovery.damage
        assert loss.first_lsn == lost * PER_SEGMENT + 1
        assert loss.last_lsn == (lost + 1) * PER_SEGMENT
        assert numbers(journal) == list(range(1, lost * PER_SEGMENT + 1))
        assert len(loss.set_aside) == 2 - lost
        assert journal.append(1, b"") == COUNT + 1


def test_a_missing_last_segment_is_noticed_by_the_checkpoint_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    segment(tmp_path, 2).unlink()
    with Journal.open(tmp_path, after=COUNT) as journal:
        assert journal.recovery.whole
        assert journal.append(1, b"") == COUNT + 1


def test_damage_before_the_checkpoint_costs_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    flip(segment(tmp_path, 1), HEADER.size + FRAME_BYTES + 3)
    checkpoint = PER_SEGMENT + 2
    for _ in range(2):
        with Journal.open(tmp_path, after=checkpoint) as journal:
            (loss,) = journal.recovery.damage
            assert not loss.needed
            assert journal.recovery.whole
            assert numbers(journal, checkpoint) == list(range(checkpoint + 1, COUNT + 1))
    with Journal.open(tmp_path, after=checkpoint) as journal:
        journal.drop_until(PER_SEGMENT * 2)
        assert journal.segments == 1
        assert numbers(journal) == list(range(PER_SEGMENT * 2 + 1, COUNT + 1))
        assert len(list(tmp_path.iterdir())) == 1


def test_a_gap_is_not_hidden_by_a_checkpoint_before_it(tmp_path: Path) -> None:
    fill(tmp_path)
    flip(segment(tmp_path, 1), HEADER.size + 3)
    with Journal.open(tmp_path, after=PER_SEGMENT - 1) as journal:
        assert not journal.recovery.whole
        assert numbers(journal, PER_SEGMENT - 1) == [PER_SEGMENT]


def test_a_last_segment_that_is_all_garbage(tmp_path: Path) -> None:
    fill(tmp_path)
    path = segment(tmp_path, 2)
    path.write_bytes(b"\xa5" * path.stat().st_size)
    with Journal.open(tmp_path) as journal:
        (loss,) = journal.recovery.damage
        assert (loss.first_lsn, loss.last_lsn) == (2 * PER_SEGMENT + 1, None)
        assert len(loss.set_aside) == 1
        assert numbers(journal) == list(range(1, 2 * PER_SEGMENT + 1))
        assert journal.append(1, b"") > COUNT, "it may have held frames of these numbers"


def test_the_only_segment_is_garbage(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(b"\xa5" * 4096)
    with Journal.open(tmp_path) as journal:
        assert not journal.recovery.whole
        assert numbers(journal) == []
        journal.append(1, b"new")
        journal.sync()
    with Journal.open(tmp_path) as journal:
        assert len(numbers(journal)) == 1


def test_leftovers_that_could_not_be_moved_do_not_come_back(tmp_path: Path) -> None:
    """A later segment's header has disowned them, as after a full disk during recovery."""
    fill(tmp_path)
    flip(segment(tmp_path, 1), HEADER.size + 3)
    follower = tmp_path / segment_name(COUNT + 1)
    follower.write_bytes(pack_header(COUNT + 1, PER_SEGMENT))
    with Journal.open(tmp_path) as journal:
        assert numbers(journal) == list(range(1, PER_SEGMENT + 1))
        assert journal.append(1, b"") == COUNT + 1
        assert not journal.recovery.whole
        assert not segment(tmp_path, 2).exists()


@pytest.mark.parametrize("whole_frames", [0, 1])
def test_a_torn_tail_that_cannot_be_cut_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_frames: int
) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(1, b"first")
        journal.sync()
        journal.roll()
        for _ in range(whole_frames):
            journal.append(1, b"second")
        journal.sync()
    tail = max(tmp_path.iterdir())
    with tail.open("ab") as stream:
        stream.write(b"torn")

    def no_room(path: Path, mode: str) -> None:
        raise OSError(errno.ENOSPC, "planted")

    with monkeypatch.context() as patched:
        patched.setattr(recovery, "open", no_room, raising=False)
        journal = Journal.open(tmp_path)
    with journal:
        assert journal.recovery.torn is not None
        journal.append(1, b"next")
        assert journal.sync() == 2 + whole_frames
    with Journal.open(tmp_path) as journal:
        assert journal.recovery.whole
        assert [payload for _, _, payload in journal.replay()][-1] == b"next"


def test_an_unreadable_segment_is_damage_not_an_exception(tmp_path: Path) -> None:
    fill(tmp_path)
    path = segment(tmp_path, 1)
    path.unlink()
    path.mkdir()
    with Journal.open(tmp_path) as journal:
        (loss,) = journal.recovery.damage
        assert loss.needed
        assert numbers(journal) == list(range(1, PER_SEGMENT + 1))


def test_a_newer_format_is_refused_and_untouched(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    path = segment(tmp_path, 0)
    data = bytearray(path.read_bytes())
    newer = bytearray(pack_header(1, 0)[:-4])
    newer[8] = 2
    data[: HEADER.size] = bytes(newer) + zlib.crc32(newer).to_bytes(4, "little")
    path.write_bytes(data[:-1])
    with pytest.raises(StateError, match="newer"):
        Journal.open(tmp_path)
    assert path.read_bytes() == data[:-1]


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("")
    with pytest.raises(StateError, match="cannot be opened"):
        Journal.open(tmp_path / "j")
