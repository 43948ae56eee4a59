"""The journal itself: append, make durable, replay, drop. Synchronous; for one writer."""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from fustor_core.errors import DiskFull, StateError
from fustor_core.journal.frames import Segment, create_segment, frame_head, read_frames
from fustor_core.journal.recovery import Recovery, recover
from fustor_core.state.files import make_folder

SEGMENT_BYTES = 64 << 20
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

WRITE_BYTES = 64 << 10
"""What is larger is written from where it is; smaller pieces are put together before."""

Piece = bytes | bytearray | memoryview
Payload = Piece | tuple[Piece, ...]
"""One frame's, in one piece or in some that stand behind each other."""


class JournalFailed(StateError):
    """The disk failed under the journal: the process must end, and verify at its next start.

    After a failed fsync nobody knows what is on the disk, so it is never tried a second time.
    """


class Journal:
    """Append-only frames in numbered segment files under one directory.

    ``append`` numbers and buffers, ``sync`` makes durable: only what a returned ``sync`` covered
    may be acknowledged. All methods may be called from any thread; ``sync`` blocks the others.

    Attributes:
        folder: the directory, exclusively ours.
        recovery: what opening found.
    """

    def __init__(
        self,
        folder: Path,
        segments: list[Segment],
        highest: int,
        recovery: Recovery,
        *,
        after: int,
        segment_bytes: int,
        fdatasync: Callable[[int], None],
    ) -> None:
        self.folder = folder
        self.recovery = recovery
        self._segments = segments
        self._after = after
        self._segment_bytes = segment_bytes
        self._fdatasync = fdatasync
        self._fd = -1
        self._buffer: list[Piece] = []
        self._buffered_bytes = 0
        self._lock = threading.RLock()
        self._failure: JournalFailed | None = None
        self._cut = False  # the file was made shorter, and who knows whether the disk has that
        # Numbers are dense inside a segment: one that lies behind the state takes no more frames.
        if segments and segments[-1].last < highest:
            segments[-1].closed = True
        self._last = self._durable = highest

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        after: int | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        fdatasync: Callable[[int], None] = os.fdatasync,
    ) -> Self:
        """Open or make a journal; see `recovery` for what was cut or set aside.

        Args:
            folder: made (0700) when absent.
            after: lsn up to which the state is safe elsewhere (the checkpoint). Damage before it
                costs nothing, frames missing right behind it are noticed, and no lsn up to it is
                given out again. None: not known.
            segment_bytes: a segment that has reached this size is followed by a new one.
            fdatasync: makes a descriptor's data durable.

        Raises:
            StateError: the directory cannot be used, or a newer version wrote it.
        """
        try:
            make_folder(folder)
            segments, highest, recovery = recover(folder, after, fdatasync)
            if segments:  # what a killed process wrote is counted now, and may be acknowledged
                _harden(segments[-1].path, fdatasync)
        except OSError as error:
            raise StateError(f"{folder}: the journal cannot be opened: {error.strerror}") from error
        return cls(
            folder,
            segments,
            highest,
            recovery,
            after=after or 0,
            segment_bytes=segment_bytes,
            fdatasync=fdatasync,
        )

    def __repr__(self) -> str:
        return (
            f"<Journal {self.folder} lsn {self.first_lsn}…{self._durable}"
            f" {len(self._segments)} segments {self.size_bytes} bytes>"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def first_lsn(self) -> int:
        """Oldest frame that can be replayed; ``last_lsn + 1`` when there is none."""
        return self._segments[0].first if self._segments else self._durable + 1

    @property
    def durable_lsn(self) -> int:
        """Every frame up to here survives a crash."""
        return self._durable

    @property
    def last_lsn(self) -> int:
        """Number of the last frame appended, durable or not."""
        return self._last

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, without what was set aside."""
        return sum(segment.end for segment in self._segments)

    @property
    def buffered_bytes(self) -> int:
        """Bytes appended and not yet written."""
        return self._buffered_bytes

    @property
    def segments(self) -> int:
        """Number of segment files."""
        return len(self._segments)

    def append(self, kind: int, payload: Payload) -> int:
        """Buffer one frame.

        Args:
            kind: 0…255; its meaning is the caller's.
            payload: under 4 GiB; not copied before `sync`, so it must not change until then.

        Returns:
            its lsn. Not durable yet, and taken back when the next `sync` fails.
        """
        if not 0 <= kind <= 255:
            raise ValueError(f"a kind is a number from 0 to 255, not {kind}")
        with self._lock:
            lsn = self._last + 1
            parts = payload if isinstance(payload, tuple) else (payload,)
            head = frame_head(kind, lsn, parts)
            self._buffer += (head, *parts)
            self._buffered_bytes += len(head) + sum(map(len, parts))
            self._last = lsn
            return lsn

    def sync(self) -> int:
        """Write all buffered frames and make them durable.

        Returns:
            the durable lsn.

        Raises:
            DiskFull: no space; the buffered frames are gone as if never appended, and their
                numbers will be given again. Appending later may succeed.
            JournalFailed: any other failure of the disk, now and at each further call.
        """
        with self._lock:
            self._check()
            if not self._buffer:
                return self._durable
            pieces, size = self._buffer, self._buffered_bytes
            last = self._last
            self._forget()
            try:
                segment = self._writable()
                offset = segment.end
                for piece in _gathered(pieces):
                    self._write(offset, piece)
                    offset += len(piece)
                self._fdatasync(self._fd)
                self._cut = False
            except OSError as error:
                self._undo(error)
            if size >= WRITE_BYTES:
                self._let_go(segment.end, segment.end + size)
            segment.end += size
            segment.last = self._last = self._durable = last
            return last

    def roll(self, least_bytes: int = 0) -> bool:
        """Begin a new segment, so that `drop_until` can delete the ones before it.

        What is buffered stays so, and goes into the new one.

        Args:
            least_bytes: a segment that has less goes on.

        Returns:
            False: the segment of before stays in use; it has less, or another could not be made.
            That harms nothing: a disk that is broken is found out by the next `sync`.
        """
        with self._lock:
            tail = self._segments[-1] if self._segments else None
            if self._failure is not None or tail is None or tail.last < tail.first:
                return False
            if tail.end < least_bytes:
                return False
            try:
                self._start_segment()
            except OSError:
                return False
            return True

    def replay(self, after_lsn: int = 0) -> Iterator[tuple[int, int, memoryview]]:
        """Durable frames behind `after_lsn`, oldest first, as (lsn, kind, payload).

        May run while frames are appended, and while others up to `after_lsn` are dropped; it ends
        where the journal was durable at its start.

        Raises:
            JournalFailed: what was whole at opening cannot be read any more.
        """
        with self._lock:
            parts = [(s.path, s.start, s.end, s.last) for s in self._segments]
        for path, start, end, last in parts:
            if last <= after_lsn:
                continue
            reached = start
            try:
                with open(path, "rb", buffering=1 << 18) as stream:
                    for frame in read_frames(stream, start, end):
                        reached = frame.end
                        if frame.lsn > after_lsn:
                            yield frame.lsn, frame.kind, memoryview(frame.payload)
            except OSError as error:
                raise JournalFailed(f"{path}: {error.strerror}") from error
            if reached != end:
                raise JournalFailed(f"{path}: no whole frame at byte {reached}, whole at opening")

    def drop_until(self, lsn: int) -> int:
        """Delete segments whose frames are all at or before `lsn`; the newest one stays.

        Returns:
            bytes freed.
        """
        gone = []
        with self._lock:
            while len(self._segments) > 1 and self._segments[0].last <= lsn:
                gone.append(self._segments.pop(0))
        for segment in gone:
            segment.path.unlink(missing_ok=True)
        return sum(segment.end for segment in gone)

    def close(self) -> None:
        """Close the file. Frames that no `sync` covered are forgotten."""
        with self._lock:
            self._forget()
            self._last = self._durable
            self._leave_segment()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _forget(self) -> None:
        self._buffer = []
        self._buffered_bytes = 0

    def _writable(self) -> Segment:
        """The segment that takes the next frame, its file open."""
        tail = self._segments[-1] if self._segments else None
        if tail is None or tail.closed or tail.end >= self._segment_bytes:
            return self._start_segment()
        if self._fd < 0:
            self._fd = os.open(tail.path, os.O_WRONLY | os.O_CLOEXEC)
        return tail

    def _start_segment(self) -> Segment:
        """Make the next segment file and its directory entry durable."""
        if self._cut:  # lest what was taken back stands beside what is written now, after a crash
            self._fdatasync(self._fd)
            self._cut = False
        first = self._durable + 1
        follows = self._segments[-1].last if self._segments else min(self._after, first - 1)
        segment, fd = create_segment(self.folder, first, follows, self._fdatasync)
        self._leave_segment()
        self._fd = fd
        self._segments.append(segment)
        return segment

    def _leave_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, offset: int, data: Piece) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view = view[written:]
            offset += written

    def _let_go(self, start: int, end: int) -> None:
        """Durable bytes need not be in memory too: nobody reads them but the next start.

        Their pages take what is written next; pages that nobody has used for long cost three times
        as much. The page in which the next frame begins stays: without it, it would be read again.
        """
        start, end = (at // mmap.PAGESIZE * mmap.PAGESIZE for at in (start, end))
        with suppress(OSError):  # some file systems keep what they want
            os.posix_fadvise(self._fd, start, end - start, os.POSIX_FADV_DONTNEED)

    def _undo(self, error: OSError) -> NoReturn:
        """Bring the file back to its last durable frame; always raises."""
        self._last = self._durable
        if error.errno in _NO_SPACE:
            try:
                if self._fd >= 0:
                    self._cut = True
                    os.ftruncate(self._fd, self._segments[-1].end)
                raise DiskFull(
                    f"no space left for the journal in {self.folder}: nothing more is"
                    " acknowledged until there is some; questions are still answered",
                    remedy="free space there; it goes on by itself",
                ) from error
            except OSError as again:
                error = again
        self._failure = JournalFailed(
            f"the journal in {self.folder} cannot be made durable: {error.strerror or error}",
            remedy="check the disk, then start again: the journal is verified at the start",
        )
        raise self._failure from error


def whole(payload: Payload) -> Piece:
    """A payload in one piece."""
    return b"".join(payload) if isinstance(payload, tuple) else payload


def _gathered(pieces: list[Piece]) -> Iterator[Piece]:
    """The same bytes in fewer pieces."""
    small: list[Piece] = []
    for piece in pieces:
        if len(piece) < WRITE_BYTES:
            small.append(piece)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield piece
    if small:
        yield b"".join(small)


def _harden(path: Path, fdatasync: Callable[[int], None]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fdatasync(fd)
    finally:
        os.close(fd)
