"""Journal: what sync covered is there again, in order, whatever happened in between."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fustor_core.errors import DiskFull
from fustor_core.journal import Journal, JournalFailed

SMALL_DISK_BYTES = 256 << 10


def frames(journal: Journal, after: int = 0) -> list[tuple[int, int, bytes]]:
    return [(lsn, kind, bytes(payload)) for lsn, kind, payload in journal.replay(after)]


def test_what_was_synced_is_replayed_in_order(tmp_path: Path) -> None:
    written = []
    with Journal.open(tmp_path / "j") as journal:
        assert journal.sync() == 0
        for number in range(1, 20):
            payload = bytes([number]) * (number * 7 - 7)
            assert journal.append(number % 3, payload) == number
            written.append((number, number % 3, payload))
            if number % 4 == 0:
                assert journal.sync() == number
        assert journal.durable_lsn == 16
        assert journal.last_lsn == 19
        assert frames(journal) == written[:16]
        assert journal.sync() == 19
    with Journal.open(tmp_path / "j") as journal:
        assert journal.recovery.whole
        assert journal.recovery.torn is None
        assert journal.recovery.frames == 19
        assert frames(journal) == written
        assert frames(journal, after=12) == written[12:]
        assert journal.append(0, b"next") == 20


def test_unsynced_frames_are_forgotten_by_close(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(1, b"kept")
        journal.sync()
        journal.append(1, b"not kept")
        assert journal.buffered_bytes > len(b"not kept")
    with Journal.open(tmp_path) as journal:
        assert [payload for _, _, payload in frames(journal)] == [b"kept"]


def test_the_payload_may_be_any_buffer(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(1, bytearray(b"array"))
        journal.append(2, memoryview(b"a view")[2:])
        journal.sync()
        assert frames(journal) == [(1, 1, b"array"), (2, 2, b"view")]


@pytest.mark.parametrize("kind", [-1, 256])
def test_a_kind_is_one_byte(tmp_path: Path, kind: int) -> None:
    with Journal.open(tmp_path) as journal:
        with pytest.raises(ValueError, match="0 to 255"):
            journal.append(kind, b"")
        assert journal.last_lsn == 0


def test_segments_roll_by_size_and_are_dropped_whole(tmp_path: Path) -> None:
    with Journal.open(tmp_path, segment_bytes=500) as journal:
        for _ in range(30):
            journal.append(1, bytes(100))
            journal.sync()
        assert journal.segments > 4
        before = journal.size_bytes
        sizes = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert before == sizes
        freed = journal.drop_until(15)
        assert 0 < freed == before - journal.size_bytes
        assert 1 < journal.first_lsn <= 16
        assert [lsn for lsn, _, _ in frames(journal, after=15)] == list(range(16, 31))
        journal.drop_until(30)
        assert journal.segments == 1
        journal.roll()
        journal.drop_until(30)
        assert frames(journal) == []
    with Journal.open(tmp_path, segment_bytes=500, after=30) as journal:
        assert journal.recovery.whole
        assert journal.append(1, b"") == 31


def test_rolling_an_empty_segment_makes_no_other(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.roll()
        journal.roll()
        assert journal.segments == 0
        journal.append(1, b"x")
        journal.sync()
        journal.roll(journal.size_bytes + 1)
        assert journal.segments == 1, "it is small"
        journal.roll(journal.size_bytes)
        assert journal.segments == 2
        journal.roll()
        assert journal.segments == 2
        assert frames(journal) == [(1, 1, b"x")]


def test_what_waits_for_the_disk_goes_into_the_new_segment(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(1, b"old")
        journal.sync()
        journal.append(1, b"new")
        journal.roll()
        assert journal.durable_lsn == 1, "nobody asked for that"
        journal.append(1, b"newer")
        assert journal.sync() == 3
        assert journal.drop_until(1) > 0
        assert frames(journal) == [(2, 1, b"new"), (3, 1, b"newer")]
    with Journal.open(tmp_path, after=1) as journal:
        assert journal.recovery.whole
        assert journal.last_lsn == 3


def test_numbers_go_on_behind_a_checkpoint_that_is_ahead(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(1, b"old")
        journal.sync()
    with Journal.open(tmp_path, after=10) as journal:
        assert journal.append(1, b"new") == 11
        journal.sync()
    with Journal.open(tmp_path, after=10) as journal:
        assert journal.recovery.whole
        assert frames(journal, after=10) == [(11, 1, b"new")]


def test_files_are_private(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "a" / "j") as journal:
        journal.append(1, b"x")
        journal.sync()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "j").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "a" / "j").stat().st_mode & 0o777 == 0o700


def failing(code: int, fail: Callable[[int], bool]) -> tuple[Callable[[int], None], list[int]]:
    """An fdatasync that fails with `code` when `fail(call number)` says so."""
    calls: list[int] = []

    def fdatasync(fd: int) -> None:
        calls.append(fd)
        if fail(len(calls)):
            raise OSError(code, os.strerror(code))
        os.fdatasync(fd)

    return fdatasync, calls


def test_a_failed_fsync_is_final(tmp_path: Path) -> None:
    fdatasync, calls = failing(errno.EIO, lambda call: call == 3)
    journal = Journal.open(tmp_path, fdatasync=fdatasync)
    journal.append(1, b"good")
    journal.sync()
    journal.append(1, b"bad")
    with pytest.raises(JournalFailed, match="cannot be made durable"):
        journal.sync()
    reached = len(calls)
    journal.append(1, b"later")
    with pytest.raises(JournalFailed):
        journal.sync()
    assert not journal.roll()
    assert len(calls) == reached, "fsync was tried again"
    assert journal.durable_lsn == 1
    journal.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EIO])
def test_a_new_segment_that_cannot_be_made_costs_nothing(tmp_path: Path, code: int) -> None:
    full = iter([False, False, True, False])
    fdatasync, _ = failing(code, lambda call: next(full))
    with Journal.open(tmp_path, fdatasync=fdatasync) as journal:
        journal.append(1, b"good")
        journal.sync()
        journal.append(1, b"waits")
        assert not journal.roll()
        assert journal.segments == 1
        assert journal.sync() == 2
        assert frames(journal) == [(1, 1, b"good"), (2, 1, b"waits")]
    assert len(list(tmp_path.iterdir())) == 1


def test_no_space_at_fsync_takes_the_frames_back(tmp_path: Path) -> None:
    fdatasync, _ = failing(errno.ENOSPC, lambda call: call == 3)
    with Journal.open(tmp_path, fdatasync=fdatasync) as journal:
        journal.append(1, b"good")
        journal.sync()
        journal.append(1, b"refused")
        with pytest.raises(DiskFull, match="no space left"):
            journal.sync()
        assert journal.last_lsn == journal.durable_lsn == 1
        assert journal.append(1, b"again") == 2
        journal.sync()
    with Journal.open(tmp_path) as journal:
        assert journal.recovery.torn is None
        assert frames(journal) == [(1, 1, b"good"), (2, 1, b"again")]


def test_what_was_taken_back_is_off_the_disk_before_another_segment_begins(tmp_path: Path) -> None:
    """Else it could stand beside the numbers that are given again, after the power went."""
    synced: list[int] = []

    def fdatasync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, "planted")
        os.fdatasync(fd)

    with Journal.open(tmp_path, fdatasync=fdatasync) as journal:
        journal.append(1, b"good")
        journal.sync()
        journal.append(1, b"refused")
        with pytest.raises(DiskFull):
            journal.sync()
        assert journal.roll()
        header, good, refused, cut, other = synced
        assert header == other < good == cut < refused
        journal.append(1, b"again")
        assert journal.sync() == 2
        assert frames(journal) == [(1, 1, b"good"), (2, 1, b"again")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size={SMALL_DISK_BYTES},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if shutil.which("mount") is None:
        pytest.skip("no mount command here")
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill_with_pairs(journal: Journal, kept: list[int]) -> None:
    for number in range(SMALL_DISK_BYTES):
        journal.append(1, bytes([number % 251]) * 5000)
        journal.append(2, b"second of the group")
        journal.sync()
        kept.append(number)


def fill_disk(filler: Path) -> None:
    with open(filler, "wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


def test_a_full_disk_refuses_and_recovers_by_itself(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(SMALL_DISK_BYTES // 2))
    with Journal.open(small_disk / "j") as journal:
        kept: list[int] = []
        with pytest.raises(DiskFull):
            fill_with_pairs(journal, kept)
        assert kept, "the disk was full from the start"
        last = journal.durable_lsn
        assert last == len(kept) * 2
        journal.append(1, bytes(SMALL_DISK_BYTES))
        with pytest.raises(DiskFull):
            journal.sync()
        assert len(frames(journal)) == last, "reads go on"
        filler.unlink()
        assert journal.append(3, b"after") == last + 1
        assert journal.sync() == last + 1
    with Journal.open(small_disk / "j") as journal:
        assert journal.recovery.torn is None
        found = frames(journal)
        assert [lsn for lsn, _, _ in found] == list(range(1, last + 2))
        assert found[-1] == (last + 1, 3, b"after")
        assert [payload[0] for _, kind, payload in found if kind == 1] == kept


def test_a_disk_that_is_full_at_the_start_opens(small_disk: Path) -> None:
    with Journal.open(small_disk / "j") as journal:
        journal.append(1, b"before")
        journal.sync()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        fill_disk(filler)
    with Journal.open(small_disk / "j", segment_bytes=1) as journal:
        assert frames(journal) == [(1, 1, b"before")]
        journal.append(1, b"x")
        with pytest.raises(DiskFull):
            journal.sync()
        assert not journal.roll()
        filler.unlink()
        journal.append(1, b"x")
        assert journal.sync() == 2
        assert journal.segments == 2


def test_replay_while_another_thread_appends(tmp_path: Path) -> None:
    rounds = 200
    with Journal.open(tmp_path, segment_bytes=2000) as journal:
        journal.append(0, b"first")
        journal.sync()

        def write() -> None:
            for number in range(rounds):
                journal.append(1, bytes(number))
                journal.sync()

        writer = threading.Thread(target=write)
        writer.start()
        seen = 0
        while writer.is_alive():
            numbers = [lsn for lsn, _, _ in frames(journal)]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= seen
            seen = len(numbers)
        writer.join()
        assert len(frames(journal)) == rounds + 1


def test_segments_end_and_go_while_another_thread_appends(tmp_path: Path) -> None:
    """As behind checkpoints; whatever is behind what was dropped is there, in order."""
    rounds = 300
    with Journal.open(tmp_path, segment_bytes=20_000) as journal:

        def write() -> None:
            for number in range(1, rounds + 1):
                journal.append(1, b"%d" % number)
                journal.append(2, bytes(number))
                journal.sync()

        writer = threading.Thread(target=write)
        writer.start()
        dropped = rolled = 0
        while writer.is_alive():
            at = journal.durable_lsn
            rolled += journal.roll(500)
            dropped += journal.drop_until(at)
            assert journal.first_lsn <= at + 1
        writer.join()
        assert rolled > 3
        assert dropped > 0
        left = frames(journal)
        assert [lsn for lsn, _, _ in left] == list(range(journal.first_lsn, 2 * rounds + 1))
        assert all(payload == b"%d" % (lsn // 2 + 1) for lsn, kind, payload in left if kind == 1)
        checkpoint = journal.first_lsn - 1
    with Journal.open(tmp_path, after=checkpoint) as journal:
        assert journal.recovery.whole
        assert frames(journal) == left


CHILD = """
import os, random, sys, zlib
from pathlib import Path
from fustor_core.journal import Journal
journal = Journal.open(Path(sys.argv[1]), segment_bytes=20_000)
rng = random.Random(journal.durable_lsn)
while True:
    for _ in range(rng.randrange(1, 5)):
        lsn = journal.last_lsn + 1
        journal.append(lsn % 256, (b"%d;" % lsn) * rng.randrange(1, 900))
    if not lsn % 3:
        journal.roll(5_000)
    os.write(1, b"%d\\n" % journal.sync())
"""


def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Ten children append until killed, each at another moment; all acks are in the journal."""
    acknowledged = 0
    for kill in range(10):
        child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(1 + kill * 7):
            acknowledged = int(child.stdout.readline())
        child.kill()
        said = child.stdout.read().split(b"\n")
        acknowledged = max([acknowledged, *map(int, filter(None, said[:-1]))])
        child.wait()
        child.stdout.close()
        with Journal.open(tmp_path) as journal:
            assert journal.recovery.damage == ()
            assert journal.durable_lsn >= acknowledged
            for expected, (lsn, kind, payload) in enumerate(journal.replay(), 1):
                unit = b"%d;" % expected
                assert (lsn, kind) == (expected, expected % 256)
                assert bytes(payload) == unit * (len(payload) // len(unit))
            assert expected == journal.durable_lsn
