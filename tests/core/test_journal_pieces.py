"""Journal: a frame whose body is written from where it lies is all there, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fustor_core.errors import DiskFull
from fustor_core.journal import Journal, JournalFailed

HEAD, BODY = b"head" * 9, bytes(range(256)) * 1024
KEPT = [b"first", HEAD + BODY[:70_000]]
LAST = [b"small", HEAD + BODY, b"x" * 66_000, b"end"]


def frames(journal: Journal) -> list[bytes]:
    return [bytes(payload) for _, _, payload in journal.replay()]


def begun(folder: Path) -> int:
    """A journal with what was synced; returns its bytes."""
    with Journal.open(folder) as journal:
        journal.append(1, KEPT[0])
        journal.append(1, (HEAD, memoryview(BODY)[:70_000]))
        journal.sync()
        return journal.size_bytes


def more(journal: Journal) -> list[int]:
    """A group of frames, large ones among them, that is not synced yet."""
    payloads = (LAST[0], (HEAD, BODY), (b"", LAST[2]), LAST[3])
    return [journal.append(2, payload) for payload in payloads]


def test_pieces_are_one_frame(tmp_path: Path) -> None:
    begun(tmp_path)
    with Journal.open(tmp_path) as journal:
        more(journal)
        journal.sync()
        assert frames(journal) == KEPT + LAST
    with Journal.open(tmp_path) as journal:
        assert journal.recovery.whole
        assert frames(journal) == KEPT + LAST


def test_a_group_torn_anywhere_keeps_what_was_synced(tmp_path: Path) -> None:
    size = begun(tmp_path)
    (path,) = tmp_path.iterdir()
    with Journal.open(tmp_path) as journal:
        more(journal)
        journal.sync()
    content = path.read_bytes()
    body, large = content.index(HEAD + BODY) + len(HEAD), content.index(LAST[2])
    places = {
        p + d for p in (size, body, body + len(BODY), large, large + 66_000) for d in (-1, 0, 1)
    }
    for end in sorted({*places, size + 7, body + 65_536, len(content) - 1} - {size - 1}):
        path.write_bytes(content[:end])
        with Journal.open(tmp_path) as journal:
            assert journal.recovery.whole, end
            found = frames(journal)
            assert found[: len(KEPT)] == KEPT
            assert found == (KEPT + LAST)[: len(found)]
            assert len(found) < len(KEPT + LAST)
            assert journal.append(1, b"next") == len(found) + 1
            journal.sync()
        with Journal.open(tmp_path) as journal:
            assert frames(journal) == [*found, b"next"]


@pytest.mark.parametrize("hole", [(0, 40), (40, 70_000), (100_000, 5)])
def test_pieces_that_never_reached_the_disk_are_no_frame(
    tmp_path: Path, hole: tuple[int, int]
) -> None:
    """After a crash what was written last may be there, and what was written first may not."""
    size = begun(tmp_path)
    (path,) = tmp_path.iterdir()
    with Journal.open(tmp_path) as journal:
        journal.append(2, (HEAD, BODY))
        journal.sync()
    content = bytearray(path.read_bytes())
    at, length = size + hole[0], hole[1]
    content[at : at + length] = bytes(length)
    path.write_bytes(content)
    with Journal.open(tmp_path) as journal:
        assert frames(journal) == KEPT
        assert journal.append(1, b"next") == len(KEPT) + 1


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_between_two_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, code: int
) -> None:
    size = begun(tmp_path)
    pwrite, done = os.pwrite, 0

    def failing(fd: int, data: memoryview, offset: int) -> int:
        nonlocal done
        if done == before:  # some of it is written, as a disk does that becomes full
            pwrite(fd, data[: len(data) // 2], offset)
            raise OSError(code, os.strerror(code))
        done += 1
        return pwrite(fd, data, offset)

    with Journal.open(tmp_path) as journal:
        numbers = more(journal)
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", failing)
            with pytest.raises(DiskFull if code == errno.ENOSPC else JournalFailed):
                journal.sync()
        assert done == before
        assert (journal.durable_lsn, journal.last_lsn) == (len(KEPT), len(KEPT))
        if code == errno.ENOSPC:
            assert journal.size_bytes == size == sum(p.stat().st_size for p in tmp_path.iterdir())
            assert more(journal) == numbers
            journal.sync()
        else:
            with pytest.raises(JournalFailed):
                journal.sync()
    with Journal.open(tmp_path) as journal:
        assert journal.recovery.whole
        found = frames(journal)
        assert found == (KEPT + LAST)[: len(found)]
        assert len(found) == len(KEPT + LAST) or code == errno.EIO
        assert found[: len(KEPT)] == KEPT


def test_large_frames_leave_memory_when_they_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int]] = []

    def durable(fd: int) -> None:
        os.fdatasync(fd)
        told.append(("durable", 0, 0))

    def let_go(fd: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        told.append(("let go", offset, offset + length))
        raise OSError(errno.EINVAL, "not here")  # is no reason to stop

    monkeypatch.setattr(os, "posix_fadvise", let_go)
    with Journal.open(tmp_path, fdatasync=durable) as journal:
        journal.append(1, b"small")
        journal.sync()
        assert {what for what, _, _ in told} == {"durable"}
        for number in range(3):
            before = journal.size_bytes
            told.clear()
            journal.append(1, (b"head %d" % number, BODY))
            journal.sync()
            assert [what for what, _, _ in told] == ["durable", "let go"]
            _, start, end = told[1]
            page = os.sysconf("SC_PAGE_SIZE")
            assert start == before // page * page
            assert end == journal.size_bytes // page * page, "the last page stays"
        assert len(frames(journal)) == 4
